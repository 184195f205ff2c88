//! Two gateways over one topic, clients that hop between them, and gateways that die: nothing is lost and nothing
//! comes twice (I1, I2, I4, I6).
//!
//! 30 clients are cut at random and come back with their last id to either gateway, while a producer of another make
//! writes 4,000 messages in bursts and each gateway is killed and started again. `TIDEWATER_REPEAT=10` does it ten
//! times in a row; `TIDEWATER_SEED` has a run's choices again.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
#[cfg(feature = "kafka")]
use tidewater_tests::Transactions;
use tidewater_tests::{
    Gateway, Holes, NatsProducer, Offset, Oracle, SseClient, heavy, kafka, nats, repeat, seed,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

const CLIENTS: usize = 30;
const MESSAGES: u64 = 4_000;
const KILLS: usize = 3;
const PATH: &str = "/channels/feed";
/// How long the whole may take. It takes about a third of it.
const LIMIT: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn over_a_kafka_topic_of_four_partitions() -> Result<()> {
    let _alone = heavy().await;
    for round in 1..=repeat() {
        let topic = kafka::Topic::create("two-gateways", 4).await?;
        run(&topic.url(), ["hyper", "warp"], 4, 0, Producer::Kafka(topic))
            .await
            .with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn over_a_jetstream_stream() -> Result<()> {
    let _alone = heavy().await;
    for round in 1..=repeat() {
        let stream = nats::Stream::create("two-gateways").await?;
        let producer = Producer::JetStream(stream.producer().await?, stream.subject());
        run(&stream.url(), ["salvo", "rocket"], 1, 1, producer)
            .await
            .with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// The same as production has it: TLS, a user by `.creds` file, and no more permissions than a source needs.
#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn over_a_jetstream_stream_with_credentials() -> Result<()> {
    use tidewater_tests::secure_nats::{Permissions, SecureNats};

    let _alone = heavy().await;
    for round in 1..=repeat() {
        let nats = SecureNats::start()?;
        let (stream, subject) = nats.stream("two-gateways").await?;
        let access = nats.access("jetstream", &stream, &Permissions::stream_source(&stream, None))?;
        let producer = Producer::JetStream(nats.producer().await?, subject);
        run(&access.url, ["hyper", "salvo"], 1, 1, producer)
            .await
            .with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// The same as production has it: TLS, a user whose password is in the environment and who may read the topic and no
/// more. And a topic in zstd, written in transactions, every third of which is aborted.
#[cfg(feature = "kafka")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn over_a_kafka_topic_with_credentials_and_transactions() -> Result<()> {
    use tidewater_tests::secure_kafka::{Access, Operation, Resource, Scram, SecureKafka};

    let _alone = heavy().await;
    let kafka = SecureKafka::shared()?;
    for round in 1..=repeat() {
        let topic = kafka::Topic::absent_at(kafka.admin(), "two-gateways", 4).in_zstd();
        topic.make().await?;
        let user = kafka.user("two-gateways", Scram::Sha512)?;
        kafka.allow(&user.name, Operation::Read, Resource::Topic(topic.name()))?;
        kafka.allow(&user.name, Operation::Describe, Resource::Topic(topic.name()))?;
        let access = Access::sasl(kafka, &user)?;
        let holes = Holes::default();
        let producer = Producer::Transactions(Transactions::new(kafka.admin(), &topic, &holes)?, 0);
        let told = Told { url: access.url(topic.name()), envs: access.environment().collect(), holes };
        run_told(told, ["warp", "rocket"], 4, 0, producer).await.with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// What gateways and oracles are told of a topic.
#[derive(Clone, Debug, Default)]
struct Told {
    url: String,
    /// The gateways' environment.
    envs: Vec<(String, String)>,
    holes: Holes,
}

async fn run(url: &str, servers: [&str; 2], partitions: u32, first: u64, producer: Producer) -> Result<()> {
    run_told(Told { url: url.to_owned(), ..Told::default() }, servers, partitions, first, producer).await
}

async fn run_told(
    Told { url, envs, holes }: Told,
    servers: [&str; 2],
    partitions: u32,
    first: u64,
    mut producer: Producer,
) -> Result<()> {
    let began = Instant::now();
    let mut rng = Rng::with_seed(seed());
    let mut gateways = Vec::new();
    for server in servers {
        let gateway = Gateway::new(server).channel("feed", &url).envs(envs.clone()).start().await?;
        gateway.until_live().await?;
        gateways.push(gateway);
    }
    let counts = Arc::new(Counts::default());
    let (goal, _) = watch::channel(Goal::Open);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client {
            rng: rng.fork(),
            gateways: [gateways[0].address(), gateways[1].address()],
            oracle: Oracle::new(partitions, first).among(&holes),
            last_event_id: None,
            from_start: number % 3 == 0,
            goal: goal.subscribe(),
            counts: counts.clone(),
        };
        clients.spawn(async move { client.run().await.with_context(|| format!("client {number}")) });
    }

    let done = async {
        let [one, two] = &mut gateways[..] else { bail!("not two gateways") };
        let mut produced = vec![first; partitions as usize];
        let (mut bursts, mut at_one, mut at_two) = (rng.fork(), rng.fork(), rng.fork());
        tokio::try_join!(
            producer.bursts(&mut produced, &mut bursts),
            break_now_and_then(one, &mut at_one),
            break_now_and_then(two, &mut at_two),
        )?;
        // First everybody gets there; then one more each shows that nothing came twice in between.
        goal.send_replace(Goal::Reach(produced.clone()));
        while counts.reached.load(Ordering::Relaxed) < CLIENTS as u64 {
            sleep(Duration::from_millis(50)).await;
        }
        for partition in 0..partitions {
            producer.send(partition, &mut produced, 1).await?;
        }
        goal.send_replace(Goal::Finish(produced));
        std::future::pending().await
    };
    // A client that ends before all have got there has failed.
    let all = async {
        let mut received = Vec::new();
        while let Some(client) = clients.join_next().await {
            received.push(client??);
        }
        Ok::<_, anyhow::Error>(received)
    };
    let ended = timeout(LIMIT, async {
        tokio::select! {
            received = all => received,
            failed = done => failed,
        }
    });
    let outcome = match ended.await {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow::anyhow!(
            "not done within {LIMIT:?}: {} of {CLIENTS} clients have everything",
            counts.reached.load(Ordering::Relaxed)
        )),
    };
    if outcome.is_err() {
        for gateway in &gateways {
            println!("{} wrote:\n{}", gateway.address(), gateway.output());
        }
    }
    let received = outcome?;
    ensure!(received.len() == CLIENTS, "{} clients", received.len());
    // Those that began at the earliest have had it all.
    let whole = MESSAGES + u64::from(partitions);
    let complete = received.iter().filter(|count| **count == whole).count();
    ensure!(complete >= CLIENTS / 3, "{complete} clients have had all {whole} messages: {received:?}");
    println!(
        "{url}: {CLIENTS} clients, {} messages received, {} connections, {} streams cut by the other end, {:?}",
        received.iter().sum::<u64>(),
        counts.connections.load(Ordering::Relaxed),
        counts.broken.load(Ordering::Relaxed),
        began.elapsed(),
    );
    Ok(())
}

/// What a client works towards.
#[derive(Clone, Debug)]
enum Goal {
    Open,
    /// Everything before these offsets, one per partition; then on.
    Reach(Vec<u64>),
    /// Everything before these, and then it is done.
    Finish(Vec<u64>),
}

#[derive(Debug, Default)]
struct Counts {
    /// Clients that have reached the goal.
    reached: AtomicU64,
    connections: AtomicU64,
    broken: AtomicU64,
}

/// One client over all its connections.
struct Client {
    rng: Rng,
    gateways: [SocketAddr; 2],
    oracle: Oracle,
    last_event_id: Option<String>,
    from_start: bool,
    goal: watch::Receiver<Goal>,
    counts: Arc<Counts>,
}

impl Client {
    /// Until it has everything; gives how many messages it had.
    async fn run(mut self) -> Result<u64> {
        // They don't all come at once.
        sleep(Duration::from_millis(self.rng.u64(0..3_000))).await;
        let mut reached = false;
        loop {
            let ended = self.connection(&mut reached).await?;
            if ended {
                return Ok(self.oracle.received());
            }
            sleep(Duration::from_millis(self.rng.u64(0..300))).await;
        }
    }

    /// One connection, to either gateway, until it breaks, is cut, or the goal is reached.
    async fn connection(&mut self, reached: &mut bool) -> Result<bool> {
        let to = self.gateways[self.rng.usize(0..2)];
        let path = if self.from_start { format!("{PATH}?since=earliest") } else { PATH.to_owned() };
        let Ok(mut stream) = SseClient::connect(to, &path, self.last_event_id.as_deref()).await else {
            // A gateway that is down, or died just now.
            return Ok(false);
        };
        ensure!(stream.status() == 200, "status {} (I10)", stream.status());
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        let cut = sleep(Duration::from_millis(self.rng.u64(5..2_500)));
        tokio::pin!(cut);
        let mut events = self.rng.usize(1..600);
        loop {
            let goal = self.goal.borrow_and_update().clone();
            match &goal {
                Goal::Reach(ends) if !*reached && self.oracle.has_reached(ends) => {
                    *reached = true;
                    self.counts.reached.fetch_add(1, Ordering::Relaxed);
                }
                Goal::Finish(ends) if self.oracle.has_reached(ends) => return Ok(true),
                _ => {}
            }
            if events == 0 {
                return Ok(false);
            }
            tokio::select! {
                event = stream.next() => match event {
                    Ok(Some(event)) => {
                        self.oracle.take(&event).with_context(|| format!("from {to}"))?;
                        self.last_event_id = stream.last_event_id().map(str::to_owned);
                        events -= 1;
                    }
                    Ok(None) | Err(_) => {
                        self.counts.broken.fetch_add(1, Ordering::Relaxed);
                        return Ok(false);
                    }
                },
                () = &mut cut => return Ok(false),
                _ = self.goal.changed() => {}
            }
        }
    }
}

/// Kills a gateway and starts it again, a few times, while the producer is at work.
async fn break_now_and_then(gateway: &mut Gateway, rng: &mut Rng) -> Result<()> {
    for _ in 0..KILLS {
        sleep(Duration::from_millis(rng.u64(1_500..6_000))).await;
        gateway.kill().await?;
        sleep(Duration::from_millis(rng.u64(0..1_500))).await;
        gateway.restart().await?;
    }
    Ok(())
}

/// A producer of another make. Each payload says where it will stand.
enum Producer {
    Kafka(kafka::Topic),
    JetStream(NatsProducer, String),
    /// And how many transactions there were.
    #[cfg(feature = "kafka")]
    Transactions(Transactions, u64),
}

impl Producer {
    /// [`MESSAGES`] in bursts of random size, with pauses.
    async fn bursts(&mut self, produced: &mut [u64], rng: &mut Rng) -> Result<()> {
        let each = MESSAGES / produced.len() as u64;
        let mut left = vec![each; produced.len()];
        while left.iter().any(|left| *left > 0) {
            let partition = rng.usize(0..left.len());
            let count = left[partition].min(rng.u64(1..200));
            left[partition] -= count;
            self.send(u32::try_from(partition)?, produced, count).await?;
            sleep(Duration::from_millis(rng.u64(0..600))).await;
        }
        Ok(())
    }

    /// Appends to a partition; `produced` is the next offset of each.
    async fn send(&mut self, partition: u32, produced: &mut [u64], count: u64) -> Result<()> {
        let next = &mut produced[partition as usize];
        #[cfg(feature = "kafka")]
        if let Self::Transactions(producer, done) = self {
            *done += 1;
            if *done % 3 == 0 {
                producer.write(partition, next, count.div_ceil(2), false)?;
            }
            return producer.write(partition, next, count, true);
        }
        let lines: Vec<String> = (*next..*next + count).map(|at| Offset(partition, at).into()).collect();
        match self {
            Self::Kafka(topic) => topic.produce(partition, lines).await?,
            Self::JetStream(producer, subject) => {
                let sequences = producer.store(subject, &[], &lines).await?;
                ensure!(sequences.iter().copied().eq(*next..*next + count), "stored at {sequences:?}");
            }
            #[cfg(feature = "kafka")]
            Self::Transactions(..) => {}
        }
        *next += count;
        Ok(())
    }
}
