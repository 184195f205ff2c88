//! A broker that goes and comes back while it is read: the real one, behind a proxy that can cut every connection.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use support::{PATIENCE, Reading, Topic, broker, text};
use tidewater_core::{Delivery, ErrorKind, Message, Retry, Sink as _, Source as _, Subscription};
use tidewater_kafka::KafkaConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, timeout},
};

/// Forwards to the broker. Answers that name the broker's address name the proxy's instead, so that clients stay.
struct Proxy {
    address: SocketAddr,
    /// Whether connections are taken; those that are open end when they aren't.
    up: watch::Sender<bool>,
    /// Each open connection holds one.
    open: Arc<()>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (up, state) = watch::channel(true);
        let open = Arc::new(());
        tokio::spawn(run(listener, address, state, open.clone()));
        Self { address, up, open }
    }

    fn config(&self, topic: &Topic) -> KafkaConfig {
        KafkaConfig::new(&self.address.to_string(), [topic.name.as_str()]).unwrap()
    }

    /// Returns when nothing listens any more and every connection has ended.
    async fn down(&self) {
        self.up.send_replace(false);
        // One for the proxy, one for its listening task.
        while TcpStream::connect(self.address).await.is_ok() || Arc::strong_count(&self.open) > 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn up(&self) {
        self.up.send_replace(true);
    }
}

async fn run(listener: TcpListener, address: SocketAddr, mut state: watch::Receiver<bool>, open: Arc<()>) {
    let mut listener = Some(listener);
    loop {
        if !*state.borrow_and_update() {
            listener = None;
            if state.changed().await.is_err() {
                break;
            }
            continue;
        }
        if listener.is_none() {
            listener = Some(TcpListener::bind(address).await.unwrap());
        }
        tokio::select! {
            accepted = listener.as_ref().unwrap().accept() => {
                let (client, mut state, open) = (accepted.unwrap().0, state.clone(), open.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = forward(client, address.port()) => {}
                        // Also if it is down by now, and when the test is over.
                        _ = state.wait_for(|up| !up) => {}
                    }
                    drop(open);
                });
            }
            changed = state.changed() => if changed.is_err() { break },
        }
    }
}

async fn forward(client: TcpStream, port: u16) {
    let broker = broker();
    let (host, broker_port) = broker.rsplit_once(':').unwrap();
    let named = |port: u16| -> Vec<u8> { [host.as_bytes(), &i32::from(port).to_be_bytes()].concat() };
    let (from, to) = (named(broker_port.parse().unwrap()), named(port));
    let server = TcpStream::connect(&broker).await.unwrap();
    let (mut client_in, mut client_out) = client.into_split();
    let (mut server_in, mut server_out) = server.into_split();
    let up = async { tokio::io::copy(&mut client_in, &mut server_out).await.map(|_| ()) };
    let down = async {
        loop {
            let length = server_in.read_u32().await?;
            let mut frame = vec![0; length as usize];
            server_in.read_exact(&mut frame).await?;
            for at in 0..frame.len().saturating_sub(from.len() - 1) {
                if frame[at..].starts_with(&from) {
                    frame[at..at + to.len()].copy_from_slice(&to);
                }
            }
            client_out.write_u32(length).await?;
            client_out.write_all(&frame).await?;
        }
    };
    // One of the two has gone: the other is cut by it.
    let ended: Result<(), std::io::Error> = tokio::select! { up = up => up, down = down => down };
    ended.ok();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_broker_that_is_lost_while_it_is_read_is_waited_for() {
    let (proxy, topic) = (Proxy::start().await, Arc::new(Topic::new(2).await));
    let source = proxy.config(&topic).source();
    let mut reading = Reading::open(&source, Subscription::latest()).await;
    topic.publish(0, ["before"]).await;
    assert_eq!(text(&reading.message().await), "before");
    for round in 0..2 {
        proxy.down().await;
        let asked = Instant::now();
        let error = source.bounds().await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later), "{error}");
        assert!(error.to_string().contains("no broker answers at 127.0.0.1"), "{error}");
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
        // The others still reach it.
        let meanwhile = [format!("{round} meanwhile 0"), format!("{round} meanwhile 1")];
        topic.publish(1, meanwhile.iter().map(String::as_str)).await;
        proxy.up();
        assert_eq!(reading.payloads(2).await, meanwhile, "none lost, none twice");
        topic.publish(0, ["after"]).await;
        assert_eq!(reading.payloads(1).await, ["after"]);
        source.bounds().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_topic_made_again_while_the_broker_was_away_is_a_new_epoch() {
    let (proxy, topic) = (Proxy::start().await, Topic::new(1).await);
    let mut reading = Reading::open(&proxy.config(&topic).source(), Subscription::latest()).await;
    topic.publish(0, ["old 0", "old 1"]).await;
    assert_eq!(reading.payloads(2).await, ["old 0", "old 1"]);
    proxy.down().await;
    topic.recreate().await;
    topic.publish(0, ["new 0", "new 1", "new 2", "new 3"]).await;
    proxy.up();
    let told = reading.next().await;
    assert!(matches!(&told, Delivery::Epoch(told) if told.start == [0]), "{told:?}");
    assert_eq!(reading.payloads(4).await, ["new 0", "new 1", "new 2", "new 3"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn retention_while_the_broker_was_away_is_a_gap() {
    let (proxy, topic) = (Proxy::start().await, Topic::new(1).await);
    let mut reading = Reading::open(&proxy.config(&topic).source(), Subscription::latest()).await;
    topic.publish(0, ["0"]).await;
    assert_eq!(reading.payloads(1).await, ["0"]);
    proxy.down().await;
    topic.publish(0, ["1", "2", "3"]).await;
    topic.remove_before(0, 3).await;
    proxy.up();
    let gap = reading.next().await;
    assert!(matches!(&gap, Delivery::Gap(gap) if gap.missing == Some(1..3)), "{gap:?}");
    assert_eq!(reading.payloads(1).await, ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn a_sink_outlives_its_broker() {
    let (proxy, topic) = (Proxy::start().await, Topic::new(1).await);
    let sink = proxy.config(&topic).with_property("message.timeout.ms", "3000").unwrap().sink().unwrap();
    sink.send(Message::new("", "before")).await.unwrap();
    proxy.down().await;
    let error = timeout(PATIENCE, sink.send(Message::new("", "lost"))).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later), "{error}");
    assert!(error.to_string().contains("no broker answers"), "{error}");
    proxy.up();
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = sink.send(Message::new("", "after")).await {
        assert!(error.kind() == ErrorKind::Unavailable && Instant::now() < deadline, "{error}");
    }
    let mut reading = topic.read(Subscription::earliest()).await;
    assert_eq!(reading.payloads(2).await, ["before", "after"], "what was given up is not sent later");
}
