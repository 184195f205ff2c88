//! One transaction: messages, and the position behind them. Everything here blocks.

use std::{
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    error::KafkaError,
    producer::{DeliveryFuture, FutureRecord, Producer as _},
    types::RDKafkaErrorCode as Code,
};
use tidewater_core::{Error, ErrorKind, Result, Retry, Transfer};

use crate::{
    KafkaConfig, error,
    producer::{Handle, record},
};

/// How long a transaction is tried to be committed; well below the 60 seconds after which the broker ends it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one is aborted, which the broker and the next writer of the id do as well.
const ABORT: Duration = Duration::from_secs(2);

/// Between two looks at a queue that is full.
const PAUSE: Duration = Duration::from_millis(5);

/// A position, and where it is kept.
pub(crate) struct Kept {
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Makes the producer the one of its transactional id: those before it are fenced, and what they had begun is ended.
///
/// # Errors
/// [`ErrorKind::Unavailable`], [`ErrorKind::Denied`].
pub(crate) fn begin(producer: &Handle, config: &KafkaConfig) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let client = producer.client()?;
    loop {
        match client.init_transactions(left(deadline)) {
            Ok(()) => return Ok(()),
            Err(error) if is_retriable(&error) && Instant::now() < deadline => {}
            Err(error) => return Err(failed(producer, config, &error, None)),
        }
    }
}

/// Writes these and the position, all or nothing.
///
/// # Errors
/// As a sink's [`send`](tidewater_core::Sink::send), and [`ErrorKind::Closed`] if another writer took over. The producer
/// is of no more use then.
pub(crate) fn transact(
    producer: &Handle,
    config: &KafkaConfig,
    batch: &[Transfer],
    position: &Kept,
) -> Result<()> {
    let (began, client) = (Instant::now(), producer.client()?);
    let done = client
        .begin_transaction()
        .and_then(|()| commit(producer, config, batch, position, began + PATIENCE))
        .map_err(|error| failed(producer, config, &error, Some(began)));
    match &done {
        Ok(()) => producer.events.works(),
        // Readers wait for what is open. If it can't be aborted here, the next writer or the broker does it.
        Err(_) => drop(client.abort_transaction(ABORT)),
    }
    done
}

fn commit(
    producer: &Handle,
    config: &KafkaConfig,
    batch: &[Transfer],
    position: &Kept,
    deadline: Instant,
) -> Result<(), KafkaError> {
    let client = producer.client().map_err(|_| KafkaError::Canceled)?;
    let mut sent = Vec::with_capacity(batch.len() + 1);
    for transfer in batch {
        sent.push(send(producer, record(&config.topics()[0], &transfer.message), deadline)?);
    }
    let kept: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&position.topic)
        .partition(0)
        .key(position.key.as_bytes())
        .payload(position.value.as_bytes());
    sent.push(send(producer, kept, deadline)?);
    // Before the commit, which would look for them only every 100 ms. One that was not taken says why, unless it went with
    // another: then that one does, or the commit.
    for sent in sent {
        match delivered(sent, deadline) {
            Err(error) if !is_purged(&error) => return Err(error),
            _ => {}
        }
    }
    loop {
        match client.commit_transaction(left(deadline)) {
            Ok(()) => return Ok(()),
            Err(error) if is_retriable(&error) && Instant::now() < deadline => {}
            Err(error) => return Err(error),
        }
    }
}

fn send(
    producer: &Handle,
    mut record: FutureRecord<'_, [u8], [u8]>,
    deadline: Instant,
) -> Result<DeliveryFuture, KafkaError> {
    let client = producer.client().map_err(|_| KafkaError::Canceled)?;
    loop {
        match client.send_result(record) {
            Ok(sent) => return Ok(sent),
            Err((KafkaError::MessageProduction(Code::QueueFull), back)) if Instant::now() < deadline => {
                record = back;
                thread::sleep(PAUSE);
            }
            Err((error, _)) => return Err(error),
        }
    }
}

fn delivered(sent: DeliveryFuture, deadline: Instant) -> Result<(), KafkaError> {
    let answer = async { tokio::time::timeout_at(deadline.into(), sent).await };
    match tokio::runtime::Handle::current().block_on(answer) {
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err((error, _)))) => Err(error),
        Ok(Err(_)) => Err(KafkaError::Canceled),
        Err(_) => Err(KafkaError::MessageProduction(Code::OperationTimedOut)),
    }
}

fn is_purged(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::PurgeQueue | Code::PurgeInflight))
}

fn is_retriable(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_retriable() && !error.is_fatal())
}

fn failed(producer: &Handle, config: &KafkaConfig, error: &KafkaError, began: Option<Instant>) -> Error {
    let fatal = producer.client().ok().and_then(|client| client.client().fatal_error());
    let code = fatal.map(|(code, _)| code).or_else(|| error.rdkafka_error_code());
    let what = format!("writing to {config} in a transaction");
    match code {
        Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => {
            if began.is_some_and(|began| began.elapsed() >= config.transaction_timeout()) {
                return Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "{what}: it was open for longer than transaction.timeout.ms, and the broker has ended it"
                    ),
                );
            }
            Error::new(ErrorKind::Closed, format!("{what}: another writer with the same id took over"))
        }
        Some(
            Code::MessageTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut,
        ) => error::no_broker(&config.brokers(), producer.events.last()).context(what),
        Some(code) => error::from_code(what, code),
        None => error::from_kafka(what, error).with_retry(Retry::Later),
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}
