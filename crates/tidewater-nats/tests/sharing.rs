//! Connections: who shares one, and what a hundred channels cost.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::{Duration, Instant};

use serde_json::Value;
use tidewater_core::{Delivery, Message, Source, Subscription, plugin};
use tidewater_testkit::{broker::NatsServer, secret};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::common::{TestStream, next, next_text, open};

/// A server that says of itself how it is.
struct Watched {
    server: NatsServer,
    monitor: String,
}

impl Watched {
    fn start(extra: &str) -> Self {
        let server = NatsServer::with_config(&format!("http: \"127.0.0.1:-1\"\n{extra}")).unwrap();
        let log = server.log();
        let at = log.split("Starting http monitor on ").nth(1).unwrap();
        let monitor = at.split_whitespace().next().unwrap().to_owned();
        Self { server, monitor }
    }

    async fn ask(&self, what: &str) -> Value {
        let mut connection = TcpStream::connect(&self.monitor).await.unwrap();
        let request = format!("GET /{what} HTTP/1.0\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// The connections that this crate has made.
    async fn connections(&self) -> usize {
        let told = self.ask("connz?limit=1024").await;
        told["connections"].as_array().unwrap().iter().filter(|one| one["name"] == "tidewater").count()
    }

    async fn until(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.connections().await != count {
            assert!(Instant::now() < deadline, "{} connections, not {count}", self.connections().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_hundred_channels_on_streams_are_one_connection() {
    let password = secret::secret("shared");
    let users = ["one", "two"].map(|user| format!("{{ user: {user}, password: {password:?} }}"));
    let config = format!("authorization {{ users: [ {} ] }}\nno_auth_user: one", users.join(", "));
    let mut watched = Watched::start(&config);
    let stream = TestStream::new(&watched.server.url(), |_| {}).await;
    let at = format!("127.0.0.1:{}", watched.server.port());
    let params = format!("user=one&password={password}");
    let sources: Vec<_> = (0..100)
        .map(|n| open(&format!("jetstream://{at}/{}/{}.{n}.>?{params}", stream.name, stream.name)))
        .collect();
    let mut reading = Vec::new();
    // All at once: the connection is made once.
    let began: Vec<_> = sources
        .iter()
        .cloned()
        .map(|source| tokio::spawn(async move { source.subscribe(Subscription::latest()).await.unwrap() }))
        .collect();
    for one in began {
        reading.push(one.await.unwrap());
    }
    let sink =
        plugin::open_sink(&format!("jetstream://{at}/{}/{}.7.x?{params}", stream.name, stream.name)).unwrap();
    let live_sink = plugin::open_sink(&format!("nats://{at}/elsewhere?{params}")).unwrap();
    sink.send(Message::new("", "to seven")).await.unwrap();
    live_sink.send(Message::new("", "x")).await.unwrap();
    assert_eq!(next_text(&mut reading[7].deliveries).await, "to seven");
    assert_eq!(watched.connections().await, 1);

    // Others have their own: another user, core NATS.
    let other = open(&format!("jetstream://{at}/{}?user=two&password={password}", stream.name));
    other.bounds().await.unwrap();
    let live = open(&format!("nats://{at}/live?{params}")).subscribe(Subscription::latest()).await.unwrap();
    assert_eq!(watched.connections().await, 3);
    drop((live, other));
    watched.until(1).await;

    // One again after the server was away for so long that the client has given up.
    watched.server.kill().unwrap();
    let mut ends = tokio::task::JoinSet::new();
    for mut one in reading {
        ends.spawn(async move { while next(&mut one.deliveries).await.is_ok() {} });
    }
    ends.join_all().await;
    watched = {
        let Watched { mut server, .. } = watched;
        server.restart().unwrap();
        let log = server.log();
        let at = log.split("Starting http monitor on ").nth(1).unwrap().split_whitespace().next().unwrap();
        let monitor = at.to_owned();
        Watched { server, monitor }
    };
    let mut reading = Vec::new();
    for source in &sources {
        reading.push(common::eventually(async || source.subscribe(Subscription::latest()).await).await);
    }
    assert_eq!(watched.connections().await, 1);
    drop((reading, sources, sink, live_sink));
    watched.until(0).await;
}

/// Many who are far behind, on one connection: each gets everything, and the server never finds the connection slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn many_readers_that_are_behind_do_not_hold_each_other_up() {
    const READERS: usize = 40;
    const MESSAGES: u64 = 2_000;
    let watched = Watched::start("");
    let stream = TestStream::new(&watched.server.url(), |_| {}).await;
    let text = ".".repeat(4096);
    for n in 1..=MESSAGES {
        let subject = stream.subject();
        stream.context.client().publish(subject, format!("{n}:{text}").into()).await.unwrap();
    }
    stream.say("in.x", "end").await;
    let source = stream.open();
    let began = Instant::now();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        let source = source.clone();
        readers.spawn(async move {
            let mut subscribed = source.subscribe(Subscription::earliest()).await.unwrap();
            for n in 1..=MESSAGES {
                let Delivery::Message(message) = next(&mut subscribed.deliveries).await.unwrap() else {
                    panic!()
                };
                assert_eq!(message.position.offset(), Some(n));
            }
        });
    }
    while let Some(done) = readers.join_next().await {
        done.unwrap();
    }
    let slow = watched.ask("varz").await["slow_consumers"].as_u64();
    println!("{READERS} readers of {MESSAGES} messages: {:?}, slow consumers: {slow:?}", began.elapsed());
    assert_eq!((slow, watched.connections().await), (Some(0), 1));
}

#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn sources_that_are_the_same_say_so() {
    let key = |url: &str| open(url).share_key().unwrap();
    for scheme in ["nats://a/x", "jetstream://a/x"] {
        assert_eq!(key(scheme), key(scheme));
        for params in ["?user=u&password=p", "?tls=required", "?inbox_prefix=_I"] {
            assert_ne!(key(scheme), key(&format!("{scheme}{params}")), "{params}");
        }
    }
    assert_ne!(key("jetstream://a/x"), key("jetstream://a/x/y"));
    assert_ne!(key("jetstream://a/x"), key("jetstream://a/x?domain=d"));
    assert_ne!(key("jetstream://a/x"), key("jetstream://a/x?read_ahead=1"));
    assert_ne!(key("nats://a/x"), key("nats://a/x?buffer=1"));
    // Whoever shares a subscription of core NATS has its count.
    let [one, other] = ["nats://a/same", "nats://a/same"].map(open);
    let epoch = async |source: &dyn Source| source.bounds().await.unwrap().topics[0].epoch;
    assert_eq!(epoch(&*one).await, epoch(&*other).await);
}

/// Everything that a hundred channels cost in this process, for the docs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
#[cfg(target_os = "linux")]
async fn what_a_hundred_channels_cost() {
    let watched = Watched::start("");
    let stream = TestStream::new(&watched.server.url(), |_| {}).await;
    let at = format!("127.0.0.1:{}", watched.server.port());
    let sockets = || std::fs::read_dir("/proc/self/fd").unwrap().count() as i64;
    let memory = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap()
    };
    for scheme in ["jetstream", "nats"] {
        let (fds, kib) = (sockets(), memory());
        let mut all = Vec::new();
        let began = Instant::now();
        for n in 0..100 {
            let url = match scheme {
                "nats" => format!("nats://{at}/live.{n}.>"),
                _ => format!("jetstream://{at}/{}/{}.{n}.>", stream.name, stream.name),
            };
            let source = open(&url);
            let subscribed = source.subscribe(Subscription::latest()).await.unwrap();
            all.push((source, subscribed));
        }
        let (files, more) = (sockets() - fds, memory() - kib);
        println!("{scheme}: 100 sources: {files} files, {more} KiB, made in {:?}", began.elapsed());
        // Other tests of this program have files, too.
        assert_eq!(watched.connections().await, if scheme == "nats" { 100 } else { 1 });
        // What a reader of the past costs: a consumer, made and removed.
        if scheme == "jetstream" {
            let began = Instant::now();
            for (source, _) in &all {
                drop(source.subscribe(Subscription::earliest()).await.unwrap());
            }
            println!("{scheme}: another reader of each: {:?} each", began.elapsed() / 100);
        }
        drop(all);
        watched.until(0).await;
    }
}
