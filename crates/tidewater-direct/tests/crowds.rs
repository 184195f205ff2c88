//! Very many connections, and more than there may be.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Connection, GET, SOON, Site};
use tidewater_direct::Admitted;
use tidewater_http::{Limits, LimitsConfig, Proxies};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// How many connections a test may have, both ends in this process.
fn room() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let descriptors = limit.maximum.map_or(1 << 20, |maximum| maximum as usize);
    (descriptors.saturating_sub(200) / 2).min(10_000)
}

/// The memory of this process, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

/// They cost little, are closed in time, and meanwhile the server serves others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_harm_nobody() {
    let crowd = room();
    assert!(crowd >= 1_000, "no room for {crowd} connections: raise the hard limit of open files");
    let head_timeout = Duration::from_secs(20);
    let site = Site::start_with(|channel| channel, |direct| direct.head_timeout(head_timeout)).await;
    let mut stream = site.stream().await;
    let before = memory();
    let began = Instant::now();
    let mut silent = Vec::with_capacity(crowd);
    for _ in 0..crowd {
        silent.push(TcpStream::connect(site.address).await.unwrap());
    }
    // The last one has been accepted when one that comes behind it is served.
    site.publish("one");
    stream.until("data: one\n").await;
    let mut other = site.stream().await;
    site.publish("two");
    other.until("data: two\n").await;
    let each = memory().saturating_sub(before) / crowd;
    println!("{crowd} connections, {each} bytes for both ends of each");
    assert!(each < 6 << 10, "{each} bytes each");
    // Nobody waits for an end that does not come.
    assert!(began.elapsed() < head_timeout, "too slow to tell: {:?}", began.elapsed());
    for (n, connection) in silent.iter_mut().enumerate() {
        let end = timeout(head_timeout + SOON, connection.read(&mut [0; 16])).await;
        assert_eq!(end.unwrap_or_else(|_| panic!("the {n}th is kept")).unwrap_or(0), 0);
    }
    assert!(began.elapsed() >= head_timeout);
    site.publish("three");
    stream.until("data: three\n").await;
    site.clients(2).await;
}

/// I10: those beyond the bound are told to come back, and the others are none the worse.
#[tokio::test]
async fn i10_those_beyond_the_bound_are_told_to_come_back() {
    for take_over in [true, false] {
        let site =
            Site::start_with(|channel| channel, |direct| direct.max_connections(3).take_over(take_over))
                .await;
        let mut streams = vec![site.stream().await, site.stream().await, site.stream().await];
        site.clients(3).await;
        let mut beyond = site.connect().await;
        beyond.send("GET /events HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\nAccept-Encoding: gzip\r\n\r\n").await;
        let told = beyond.rest().await;
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{told}");
        let retry: u64 = body.strip_prefix("retry: ").unwrap().trim_end().parse().unwrap();
        assert!((5_000..15_000).contains(&retry) && body.ends_with("\n\n"), "{told}");
        assert!(!head.contains("content-encoding"), "{told}");
        // What is no stream must not be told that it was done.
        for (request, status) in [
            ("POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "503"),
            ("GET /page HTTP/1.1\r\nHost: x\r\n\r\n", "503"),
            ("HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n", "503"),
            // Proxies ask for streams by these.
            ("GET /events HTTP/1.0\r\n\r\n", "200"),
            ("GET /events HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "200"),
            // What means it, still does.
            ("GET /events?since=never HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ] {
            let mut beyond = site.connect().await;
            beyond.send(request).await;
            let answer = beyond.rest().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
            assert_eq!(answer.contains("\r\n\r\nretry: "), status == "200", "{request:?}: {answer}");
        }
        site.publish("one");
        for stream in &mut streams {
            stream.until("data: one\n").await;
        }
        // There is room again as soon as one has gone.
        streams.pop();
        site.clients(2).await;
        streams.push(stream_when_there_is_room(&site).await);
        site.clients(3).await;
    }
}

/// The connection's task may end a moment after its stream.
async fn stream_when_there_is_room(site: &Site) -> Connection {
    let end = Instant::now() + SOON;
    loop {
        let mut connection = site.connect().await;
        connection.send(GET).await;
        if connection.until("\n\n").await.contains("tidewater.cursor") || Instant::now() > end {
            return connection;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// What the application keeps for a connection is kept as long as it lives, by a shard as by the fallback.
#[tokio::test]
async fn who_is_let_in_is_kept_until_the_connection_ends() {
    struct Kept(Arc<AtomicUsize>);
    impl Drop for Kept {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, two) = (count.clone(), 2);
    let admit = move |_| {
        if counted.fetch_add(1, Ordering::SeqCst) < two {
            return Some(Admitted::new(Kept(counted.clone())));
        }
        counted.fetch_sub(1, Ordering::SeqCst);
        None
    };
    let site = Site::start_with(|channel| channel, |direct| direct.admit(admit)).await;
    let direct = site.stream().await;
    let mut kept_alive = site.connect().await;
    kept_alive.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    kept_alive.until("fallback").await;
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let mut refused = site.connect().await;
    refused.send(GET).await;
    assert!(refused.rest().await.contains("\r\n\r\nretry: "));
    drop((direct, kept_alive));
    let gone = async {
        while count.load(Ordering::SeqCst) > 0 {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, gone).await.expect("what was kept for a connection is never let go");
}

/// Connections are counted by their peer, and are the limits' again when they end.
#[tokio::test]
async fn connections_are_let_in_within_limits() {
    let config = LimitsConfig { connections_per_address: Some(2), ..LimitsConfig::default() };
    let limits = Limits::new(config, Proxies::default());
    let given = limits.clone();
    let site = Site::start_with(|channel| channel, |direct| direct.limits(given)).await;
    let direct = site.stream().await;
    let mut kept_alive = site.connect().await;
    kept_alive.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    kept_alive.until("fallback").await;
    assert_eq!(limits.status().connections.open, 2);
    let mut refused = site.connect().await;
    refused.send(GET).await;
    assert!(refused.rest().await.contains("\r\n\r\nretry: "));
    assert_eq!(limits.status().connections.refused_by_address, 1);
    drop((direct, kept_alive));
    let gone = async {
        while limits.status().connections.open > 0 {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, gone).await.expect("a connection's place is never given back");
    assert_eq!(limits.status().connections.addresses, 0);
}
