//! Writing each message of a source once.
//!
//! Each message, or the last one of a batch that the stream takes whole or not at all, says where its writer goes on
//! ([`mark`](super::mark)). Each write says which message it expects to be the subject's last: what was written in
//! between, by another writer of the id or by a write of ours that was given up and came all the same, makes the server
//! refuse it. So nothing rests on the server's window of duplicates, and a message's `Nats-Msg-Id` is not copied: within
//! that window the server would drop what a purge has removed and is written again.

use std::{collections::VecDeque, time::Duration};

use async_nats::{HeaderMap, jetstream::stream::RetentionPolicy};
use async_trait::async_trait;
use bytes::Bytes;
use tidewater_core::{Cursor, Epoch, Error, ErrorKind, ExactlyOnce, Result, Transfer};

use super::{
    address::{Address, Refused},
    mark::Writer,
    stream::held,
};
use crate::{
    convert::{self, TO_THE_SERVER},
    error,
    link::Link,
};

/// The most messages that are published at once: half of what a server takes by default.
const BATCH_MESSAGES: usize = 500;

/// The most bytes that are published at once, but for one message.
const BATCH_BYTES: usize = 4 << 20;

/// How often a write is tried when others publish to the subject at the same time.
const TRIES: u32 = 20;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// What the server is told in a batch (ADR-50).
const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";
const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";

/// Writes to one subject of a stream.
#[derive(Debug)]
pub(super) struct JetStreamWriter {
    address: Address,
    id: String,
    /// `None`: not known, or not any more.
    at: Option<At>,
}

/// Where it stands.
#[derive(Debug)]
struct At {
    epoch: Epoch,
    writer: Writer,
    /// The sequence of the subject's last message; 0 if there is none.
    last: u64,
    /// How many messages the stream takes in one batch; 1 where it takes none.
    most: usize,
    /// How many batches there were.
    batches: u64,
}

/// A message that is ready to go, but for its mark.
#[derive(Clone)]
struct Ready {
    headers: HeaderMap,
    payload: Bytes,
    size: usize,
    next: Cursor,
}

impl JetStreamWriter {
    pub(super) fn new(address: Address, id: &str) -> Self {
        Self { address, id: id.to_owned(), at: None }
    }

    async fn write_all(&self, at: &mut At, mut ready: VecDeque<Ready>) -> Result<()> {
        while !ready.is_empty() {
            let mut bytes = 0;
            let fits = |message: &&Ready| {
                bytes += message.size;
                bytes <= BATCH_BYTES
            };
            let count = ready.iter().take(at.most).take_while(fits).count().max(1);
            match self.settle(at, &ready.make_contiguous()[..count]).await? {
                true => drop(ready.drain(..count)),
                // As many as it takes.
                false => at.most = (at.most / 2).max(1),
            }
        }
        Ok(())
    }

    /// Has these written, however many tries it takes; `false` if they are too many.
    async fn settle(&self, at: &mut At, messages: &[Ready]) -> Result<bool> {
        let (mut done, mut whole) = (0, at.most > 1 && messages.len() > 1);
        for attempt in 0..TRIES {
            if attempt > 1 {
                tokio::time::sleep(PAUSE).await;
            }
            let published = match whole {
                true => self.batch(at, messages).await,
                false => self.one_by_one(at, messages, &mut done).await,
            };
            match published {
                Ok(()) => return Ok(true),
                Err(Refused::WrongLast) => self.look(at).await?,
                // One by one says which message it is, if it is one.
                Err(Refused::Batch) => whole = false,
                Err(Refused::LargeBatch) => return Ok(false),
                Err(Refused::Otherwise(error)) => return Err(error),
            }
        }
        Err(error::unavailable(format!(
            "{}: others publish to the subject all the time, and each write was too late",
            self.address
        )))
    }

    /// All or none of them.
    async fn batch(&self, at: &mut At, messages: &[Ready]) -> Result<(), Refused> {
        let link = self.address.stream.connection.link().await?;
        let id = format!("{}-{}", at.writer.token, at.batches);
        at.batches += 1;
        let publish = async {
            for (message, number) in messages.iter().zip(1..) {
                let mut headers = message.headers.clone();
                headers.insert(BATCH_ID, id.as_str());
                headers.insert(BATCH_SEQUENCE, number.to_string());
                if number == 1 {
                    headers.insert(EXPECTED_LAST, at.last.to_string());
                }
                if number < messages.len() {
                    self.address.tell(&link, headers, message.payload.clone()).await?;
                    continue;
                }
                headers.insert(BATCH_COMMIT, "1");
                at.writer.mark(&mut headers, &message.next);
                return self.address.publish(&link, headers, message.payload.clone()).await;
            }
            Err(Refused::Batch)
        };
        at.last = link.ask(&self.address.subject, publish).await??.sequence;
        Ok(())
    }

    /// Each once the one before is there; `done` says how many are.
    async fn one_by_one(&self, at: &mut At, messages: &[Ready], done: &mut usize) -> Result<(), Refused> {
        let link = self.address.stream.connection.link().await?;
        for message in &messages[*done..] {
            at.last = self.one(&link, at, message).await?;
            *done += 1;
        }
        Ok(())
    }

    async fn one(&self, link: &Link, at: &At, message: &Ready) -> Result<u64, Refused> {
        let mut headers = message.headers.clone();
        headers.insert(EXPECTED_LAST, at.last.to_string());
        at.writer.mark(&mut headers, &message.next);
        Ok(self.address.publish(link, headers, message.payload.clone()).await?.sequence)
    }

    /// What has come to the subject instead: messages of others, behind which we go on, or a writer of our id.
    async fn look(&self, at: &mut At) -> Result<()> {
        let stream = &self.address.stream;
        let held = held(&stream.info(&*stream.connection.link().await?).await?);
        if held.epoch != at.epoch || held.end <= at.last {
            return Err(error::unavailable(format!("{}: the stream is not the one it was", self.address)));
        }
        let found = self.address.find(&self.id, at.last + 1).await?;
        let Some(mark) = found.mark else {
            // Nothing behind our own last one: it may have been removed, and what stood before it too.
            let last = if found.last == 0 { stream.last_of(&self.address.subject).await? } else { None };
            at.last = last.map_or(found.last, |last| last.sequence);
            return Ok(());
        };
        // Of the same generation is one that has resumed at the same position: who wrote first goes on, unless it has
        // ended meanwhile, as a writer of ours that was dropped in the middle has. To resume tells.
        if mark.writer.generation > at.writer.generation {
            return Err(Error::new(
                ErrorKind::Closed,
                format!("{}: another writer with the id {:?} took over", self.address, self.id),
            ));
        }
        Err(error::unavailable(format!(
            "{}: another write of a writer with the id {:?} came first",
            self.address, self.id
        )))
    }
}

#[async_trait]
impl ExactlyOnce for JetStreamWriter {
    async fn resume(&mut self) -> Result<Option<Cursor>> {
        self.at = None;
        let stream = &self.address.stream;
        let link = stream.connection.link().await?;
        let info = stream.info(&link).await?;
        let why = match (&info.config.retention, &info.config.subject_transform) {
            (RetentionPolicy::Limits, None) => None,
            (RetentionPolicy::Limits, Some(_)) => {
                Some("it gives messages other subjects than they came with")
            }
            _ => Some("it removes messages once they were taken, and the position with them"),
        };
        if let Some(why) = why {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("{}: the stream can't keep the position of a writer: {why}", self.address),
            ));
        }
        let held = held(&info);
        let found = self
            .address
            .find(&self.id, held.first)
            .await
            .map_err(|error| error.context(self.address.to_string()))?;
        let inbox = link.client().new_inbox();
        let token = inbox.rsplit('.').next().unwrap_or_default();
        self.at = Some(At {
            epoch: held.epoch,
            writer: Writer::after(&self.id, found.mark.as_ref(), token),
            last: found.last,
            most: if info.config.allow_atomic_publish { BATCH_MESSAGES } else { 1 },
            batches: 0,
        });
        Ok(found.mark.map(|mark| mark.next))
    }

    /// Without messages there is nothing to stand on: the position waits for the next one.
    async fn write(&mut self, batch: Vec<Transfer>, next: &Cursor) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        // Not put back on an error, nor when this is dropped: what is there then is known to `resume` only.
        let mut at = self.at.take().ok_or_else(|| {
            error::unavailable(format!("{}: where to go on isn't known: resume first", self.address))
        })?;
        let mut ready = batch.iter().map(prepared).collect::<Result<VecDeque<_>>>()?;
        if let Some(last) = ready.back_mut() {
            last.next = next.clone();
        }
        self.write_all(&mut at, ready).await?;
        self.at = Some(at);
        Ok(())
    }
}

/// What was said to the server about the original, it has done.
fn prepared(transfer: &Transfer) -> Result<Ready> {
    let mut message = transfer.message.clone();
    let own = |name: &str| !name.starts_with(TO_THE_SERVER);
    message.headers = message
        .headers
        .iter()
        .filter(|header| own(&header.name))
        .map(|header| (header.name.clone(), header.value.clone()))
        .collect();
    let headers = convert::headers_of(&message)?.unwrap_or_default();
    let size = message.size();
    Ok(Ready { headers, payload: message.payload.unwrap_or_default(), size, next: transfer.next.clone() })
}
