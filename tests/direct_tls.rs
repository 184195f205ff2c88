//! The server of direct streams over TLS: HTTP/1.1 and HTTP/2, many streams on one connection, and certificates that change.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../crates/tidewater-direct/tests/support/mod.rs"]
mod support;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use support::{Connection, GET, SOON, Site};
use tidewater_core::{Message, sse::Decoder};
use tidewater_direct::{Listener, Tls};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

/// A certificate for this name, which is its own authority; and its key.
struct Made {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

impl Made {
    fn new(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        Self { certificate, key }
    }

    fn tls(&self) -> Tls {
        Tls::from_pem(self.certificate.pem().as_bytes(), self.key.serialize_pem().as_bytes()).unwrap()
    }

    fn write(&self, folder: &Path) {
        std::fs::write(folder.join("chain.pem"), self.certificate.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), self.key.serialize_pem()).unwrap();
    }
}

async fn connect(
    address: SocketAddr,
    trusted: &Made,
    name: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certificate.der().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn start(tls: Tls, direct: impl FnOnce(tidewater_direct::Direct) -> tidewater_direct::Direct) -> Site {
    let listener = tidewater_direct::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    Site::start_on([Listener::from(listener).tls(tls)], address, |channel| channel, direct).await
}

async fn http_2(site: &Site, made: &Made) -> http2::SendRequest<Empty<Bytes>> {
    let stream = connect(site.address, made, "localhost", &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = http2::Builder::new(TokioExecutor::new());
    client.timer(TokioTimer::new());
    let (sender, connection) = client.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get() -> Request<Empty<Bytes>> {
    Request::get("https://localhost/events").body(Empty::new()).unwrap()
}

/// Reads a stream's messages to its end, and counts it when it has so many.
async fn messages(mut body: Incoming, all: usize, count: Arc<AtomicUsize>) -> (Vec<String>, Option<u64>) {
    let (mut decoder, mut messages) = (Decoder::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        decoder.feed(&frame.unwrap().into_data().unwrap());
        while let Some(event) = decoder.next_event().unwrap() {
            match &*event.event_type {
                "message" => {
                    messages.push(event.data.to_string());
                    count.fetch_add(usize::from(messages.len() == all), Ordering::SeqCst);
                }
                other => assert_eq!(other, "tidewater.cursor"),
            }
        }
    }
    (messages, decoder.retry())
}

/// I1, I9: a browser holds more than six; each has everything, and each is told when to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_many_streams_share_one_connection_and_each_has_every_event() {
    const STREAMS: usize = 100;
    const EVENTS: usize = 500;
    let made = Made::new("localhost");
    let mut site = start(made.tls(), |direct| direct).await;
    let mut client = http_2(&site, &made).await;
    let (mut readers, have_all) = (Vec::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..STREAMS {
        client.ready().await.unwrap();
        let answer = client.send_request(get()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        readers.push(tokio::spawn(messages(answer.into_body(), EVENTS, have_all.clone())));
    }
    site.clients(STREAMS).await;
    for n in 0..EVENTS {
        site.log.publish(Message::new("site", format!("{n} {}", "x".repeat(n * 37 % 900))));
        if n % 50 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    let all = async {
        while have_all.load(Ordering::SeqCst) < STREAMS {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(3 * SOON, all).await.expect("not every stream has every event");
    site.channel.hub().drain(Duration::from_secs(20)).await;
    for reader in readers {
        let (messages, retry) = timeout(SOON, reader).await.expect("a stream does not end").unwrap();
        let numbers: Vec<usize> =
            messages.iter().map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..EVENTS), "{} of {EVENTS}: {numbers:?}", numbers.len());
        assert!(retry.is_some_and(|retry| retry >= 500), "{retry:?}");
    }
    site.clients(0).await;
    let took = site.stop().await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn http_1_goes_by_tls_too() {
    let made = Made::new("localhost");
    let site = start(made.tls(), |direct| direct).await;
    for protocols in [&["http/1.1"][..], &[]] {
        let mut connection = Connection(connect(site.address, &made, "localhost", protocols).await.unwrap());
        connection.send("GET /page HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let answer = connection.until("fallback").await;
        assert!(answer.contains("peer: 127.0.0.1:"), "{answer}");
        connection.send(GET).await;
        connection.until("tidewater.cursor").await;
        site.publish("one");
        connection.until("data: one\n").await;
        drop(connection);
        site.clients(0).await;
    }
}

/// One that never begins, one that never asks, one that has asked: none is kept for ever, and a stream is.
#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let made = Made::new("localhost");
    let (head, idle) = (Duration::from_millis(300), Duration::from_millis(600));
    let site = start(made.tls(), |direct| direct.head_timeout(head).idle_timeout(idle)).await;
    for begun in
        ["", "PRI * HT", "GET / HTTP/1.1\r\nX: ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"]
    {
        let mut connection =
            Connection(connect(site.address, &made, "localhost", &["h2", "http/1.1"]).await.unwrap());
        connection.send(begun).await;
        connection.rest().await;
    }
    let mut asks_once = http_2(&site, &made).await;
    let mut streams = http_2(&site, &made).await;
    let mut body = streams.send_request(get()).await.unwrap().into_body();
    let page = Request::get("https://localhost/page").body(Empty::new()).unwrap();
    let page = asks_once.send_request(page).await.unwrap();
    assert_eq!(page.headers()["peer"].to_str().unwrap().split(':').next(), Some("127.0.0.1"));
    drop(page.into_body().collect().await.unwrap());
    let closed = async {
        while asks_once.ready().await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, closed).await.expect("an idle connection is kept");
    // Longer than a connection that is taken for idle has to say farewell.
    sleep(idle + Duration::from_secs(3)).await;
    site.publish("one");
    let read = async {
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains("data: one\n") {
            all.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
    };
    timeout(SOON, read).await.expect("a stream on an idle connection was cut");
}

/// What is no TLS is closed, and disturbs nobody.
#[tokio::test]
async fn what_is_no_handshake_is_closed() {
    let made = Made::new("localhost");
    let mut site = start(made.tls(), |direct| direct).await;
    for begun in [GET, "\u{16}\u{3}\u{1}\u{ff}\u{ff}", "\0"] {
        let mut connection = site.connect().await;
        connection.send(begun).await;
        let answer = timeout(2 * SOON, connection.rest()).await.unwrap();
        assert!(!answer.contains("HTTP/1.1"), "{begun:?}: {answer:?}");
    }
    let mut silent = site.connect().await;
    let mut asks_nothing = Connection(connect(site.address, &made, "localhost", &[]).await.unwrap());
    http_2(&site, &made).await.ready().await.unwrap();
    let took = site.stop().await;
    assert!(took < Duration::from_secs(1), "a handshake is waited for: {took:?}");
    silent.rest().await;
    asks_nothing.rest().await;
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_a_broken_one_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let (old, new) = (Made::new("localhost"), Made::new("localhost"));
    old.write(folder.path());
    let tls = Tls::from_files([(&chain, &key)]).unwrap();
    let site = start(tls.clone(), |direct| direct).await;
    let protocols = &["http/1.1"];
    let mut before = Connection(connect(site.address, &old, "localhost", protocols).await.unwrap());
    before.send(GET).await;
    before.until("tidewater.cursor").await;

    // Half of it written: what there was goes on.
    std::fs::write(&chain, new.certificate.pem()).unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("key.pem") && error.contains("not the certificate's"), "{error}");
    connect(site.address, &old, "localhost", protocols).await.unwrap();

    new.write(folder.path());
    tls.reload().unwrap();
    connect(site.address, &new, "localhost", protocols).await.unwrap();
    connect(site.address, &old, "localhost", protocols).await.unwrap_err();
    // Those that there are keep theirs.
    site.publish("one");
    before.until("data: one\n").await;
}

#[tokio::test]
async fn each_name_has_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["a.example", "*.b.example"];
    let made = names.map(Made::new);
    let pairs: Vec<_> = made
        .iter()
        .enumerate()
        .map(|(n, made)| {
            let folder = folder.path().join(n.to_string());
            std::fs::create_dir(&folder).unwrap();
            made.write(&folder);
            (folder.join("chain.pem"), folder.join("key.pem"))
        })
        .collect();
    let site = start(Tls::from_files(pairs).unwrap(), |direct| direct).await;
    connect(site.address, &made[0], "a.example", &[]).await.unwrap();
    connect(site.address, &made[1], "x.b.example", &[]).await.unwrap();
    // Whoever asks for another gets the first one.
    let error = connect(site.address, &made[0], "c.example", &[]).await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (one, other) = (Made::new("localhost"), Made::new("localhost"));
    let chain = file("chain.pem", &one.certificate.pem());
    let key = file("key.pem", &one.key.serialize_pem());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (chain, key, parts) in [
        (&folder.path().join("none.pem"), &key, ["none.pem", "can't be read"]),
        (&chain, &folder.path().join("none.pem"), ["none.pem", "can't be read"]),
        (&key, &key, ["key.pem", "no certificate"]),
        (&file("garbled.pem", garbled), &key, ["garbled.pem", "certificate can't be read"]),
        (&file("empty.pem", ""), &key, ["empty.pem", "no certificate"]),
        (&chain, &chain, ["chain.pem", "no private key"]),
        (&chain, &file("encrypted.pem", encrypted), ["encrypted.pem", "encrypted"]),
        (&chain, &file("other.pem", &other.key.serialize_pem()), ["other.pem", "not the certificate's"]),
    ] {
        let error = Tls::from_files([(chain, key)]).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
    }
    let none: [(&Path, &Path); 0] = [];
    assert!(Tls::from_files(none).unwrap_err().to_string().contains("needs a certificate"));
    let tls = Tls::from_files([(&chain, &key)]).unwrap();
    assert!(!format!("{tls:?}").contains("PRIVATE"));
}
