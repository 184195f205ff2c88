//! Several listeners of one server; Unix sockets; proxies.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::SocketAddr;

use support::{Connection, GET, Site};
use tidewater_direct::Listener;
use tidewater_http::Proxies;
use tokio::net::TcpStream;

fn listener() -> (tokio::net::TcpListener, SocketAddr) {
    let listener = tidewater_direct::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A header of version 2 (§2.2 of the protocol): this command, family and rest.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

const IPV4: &[u8] = &[192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb];

async fn proxied(trusted: &[&str]) -> Site {
    let (listener, address) = listener();
    let listener = Listener::from(listener).proxy_protocol(Proxies::trust(trusted).unwrap());
    Site::start_on([listener], address, |channel| channel, |direct| direct).await
}

#[cfg(unix)]
#[tokio::test]
async fn a_tcp_and_a_unix_socket_are_served_alike() {
    use tokio::net::{UnixListener, UnixStream};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (tcp, address) = listener();
    let listeners = [tcp.into(), UnixListener::bind(&path).unwrap().into()];
    let site = Site::start_on(listeners, address, |channel| channel, |direct| direct).await;
    let mut over_tcp = site.stream().await;
    let mut over_unix = Connection(UnixStream::connect(&path).await.unwrap());
    over_unix.send(GET).await;
    assert!(over_unix.until("\n\n").await.contains("connection: close"), "it is not direct");
    site.clients(2).await;
    let large = "x".repeat(3 << 20);
    site.publish(&*large);
    site.publish("last");
    for text in [over_tcp.until("data: last\n").await, over_unix.until("data: last\n").await] {
        assert!(text.contains(&large));
    }
    drop(over_unix);
    site.clients(1).await;
    let mut page = Connection(UnixStream::connect(&path).await.unwrap());
    page.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(page.until("fallback").await.contains("peer: unix\r\n"));
}

#[tokio::test]
async fn a_proxy_says_for_whom_it_speaks() {
    let site = proxied(&["127.0.0.0/8"]).await;
    let mut ipv6 = [0; 36];
    ipv6[..16].copy_from_slice(&std::net::Ipv6Addr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]).octets());
    ipv6[32..34].copy_from_slice(&12345_u16.to_be_bytes());
    let more: Vec<u8> = [IPV4, &[0x05, 0, 3, b'a', b'b', b'c'], &[0x04, 0x08, 0], &[0; 2048]].concat();
    for (header, peer) in [
        (header(1, 0x11, IPV4), "192.0.2.7:12345"),
        (header(1, 0x11, &more), "192.0.2.7:12345"),
        (header(1, 0x21, &ipv6), "[2001:db8::7]:12345"),
        // It speaks for itself, or for somebody without an address.
        (header(0, 0x00, &[]), "127.0.0.1:"),
        (header(0, 0x11, IPV4), "127.0.0.1:"),
        (header(1, 0x00, &[]), "127.0.0.1:"),
        (header(1, 0x31, &[0; 216]), "127.0.0.1:"),
    ] {
        // All at once, and byte by byte.
        for piece in [usize::MAX, 1] {
            let mut connection = site.connect().await;
            for piece in header.chunks(piece.min(header.len())) {
                connection.send(piece).await;
            }
            connection.send("GET /page HTTP/1.1\r\nHost: x\r\n\r\n").await;
            let answer = connection.until("fallback").await;
            assert!(answer.contains(&format!("peer: {peer}")), "{peer}: {answer}");
        }
    }
    // A stream behind it is direct as any.
    let mut stream = site.connect().await;
    stream.send(header(1, 0x11, IPV4)).await;
    stream.send(GET).await;
    assert!(stream.until("\n\n").await.contains("connection: close"));
}

#[tokio::test]
async fn without_a_valid_header_the_connection_is_closed() {
    let site = proxied(&["127.0.0.1", "::1"]).await;
    let mut wrong = header(1, 0x11, IPV4);
    wrong[0] = b'x';
    for header in [
        GET.into(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n".to_vec(),
        wrong,
        header(1, 0x11, &IPV4[..11]),
        header(1, 0x21, IPV4),
        header(1, 0x12, IPV4),
        header(1, 0x41, IPV4),
        header(2, 0x11, IPV4),
        header(1, 0x11, &[0; 5000]),
        header(1, 0x11, &[0; u16::MAX as usize]),
    ] {
        let mut connection = site.connect().await;
        // It may be closed before it is written to its end.
        let all = [&*header, GET.as_bytes()].concat();
        drop(tokio::io::AsyncWriteExt::write_all(&mut connection.0, &all).await);
        assert_eq!(connection.rest().await, "", "{:?}", &header[..16]);
    }
    site.clients(0).await;
}

#[tokio::test]
async fn only_those_listed_are_believed() {
    let site = proxied(&["10.0.0.0/8", "unix"]).await;
    let mut connection = Connection(TcpStream::connect(site.address).await.unwrap());
    connection.send(header(1, 0x11, IPV4)).await;
    drop(tokio::io::AsyncWriteExt::write_all(&mut connection.0, GET.as_bytes()).await);
    assert_eq!(connection.rest().await, "");
    for wrong in ["10.0.0.0/33", "example.org", "", "10.0.0.0/8,::1"] {
        let error = Proxies::trust([wrong]).unwrap_err().to_string();
        assert!(error.contains(&format!("{wrong:?}")) && error.contains("10.0.0.0/8"), "{error}");
    }
    // As a socket for both kinds of addresses shows it.
    let mapped: SocketAddr = "[::ffff:10.1.2.3]:80".parse().unwrap();
    assert!(Proxies::trust(["10.0.0.0/8"]).unwrap().trusts(&mapped.into()));
}
