//! The client of event streams over TLS: whom it trusts, and that nothing leads it out of TLS again.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tidewater_sse::{Builder, ErrorKind, EventSource, Signal};
use tidewater_tests::PATIENCE;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
    server::TlsStream,
};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 1\ndata: x\n\n";

#[tokio::test]
async fn a_server_whose_authority_is_trusted_is_followed() {
    for host in ["localhost", "127.0.0.1"] {
        let server = Server::start(&["localhost", "127.0.0.1"]).await;
        let mut source = server.trusted(&server.url(host)).build().unwrap();
        for id in [None, Some("last-event-id: 1")] {
            let ((mut stream, request), signal) = tokio::join!(server.answer(STREAM), next(&mut source));
            assert!(matches!(signal, Signal::Open(_)), "{signal:?}");
            assert!(request.starts_with("GET /x HTTP/1.1\r\n"), "{request}");
            assert_eq!(request.lines().find(|line| line.starts_with("last-event-id")), id);
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert!(matches!(next(&mut source).await, Signal::Event(event) if event.data == "x"));
            stream.shutdown().await.unwrap();
            drop(stream);
            assert!(matches!(next(&mut source).await, Signal::Reconnecting { .. }));
        }
    }
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_refused() {
    let server = Server::start(&["localhost"]).await;
    let stranger = Server::start(&["localhost"]).await;
    for (builder, what) in [
        (EventSource::builder(server.url("localhost")), "UnknownIssuer"),
        (stranger.trusted(&server.url("localhost")), "UnknownIssuer"),
        (server.trusted(&server.url("127.0.0.1")), "not valid for"),
    ] {
        let mut source = builder.build().unwrap();
        let refused = async { drop(server.acceptor.accept(server.accept().await).await) };
        let ((), signal) = tokio::join!(refused, next(&mut source));
        let Signal::Reconnecting { error, .. } = signal else { panic!("{signal:?}") };
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert!(text.contains(what) && text.contains("/x") && !text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_no_server() {
    let server = Server::start(&["localhost"]).await;
    let mut source = server.trusted(&server.url("localhost")).build().unwrap();
    let plain = async { server.accept().await.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap() };
    let ((), signal) = tokio::join!(plain, next(&mut source));
    assert!(matches!(signal, Signal::Reconnecting { error, .. } if error.kind() == ErrorKind::Tls));
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let server = Server::start(&["localhost"]).await;
    let builder = server.trusted(&server.url("localhost")).connect_timeout(Duration::from_millis(50));
    let mut source = builder.build().unwrap();
    let (_silent, signal) = tokio::join!(server.accept(), next(&mut source));
    let Signal::Reconnecting { error, .. } = signal else { panic!("{signal:?}") };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("within 50ms (the connect timeout)"), "{error}");
}

#[tokio::test]
async fn a_redirect_leads_into_tls_and_never_out_of_it() {
    let server = Server::start(&["localhost"]).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", plain.local_addr().unwrap());
    let to = |url: &str| format!("HTTP/1.1 307 Elsewhere\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n");

    let mut source = server.trusted(&url).header("authorization", "Bearer mine").build().unwrap();
    let into = async {
        let mut stream = soon(plain.accept()).await.unwrap().0;
        assert!(read_head(&mut stream).await.contains("authorization: Bearer mine"));
        stream.write_all(to(&server.url("localhost")).as_bytes()).await.unwrap();
        server.answer(STREAM).await
    };
    let ((_stream, request), signal) = tokio::join!(into, next(&mut source));
    assert!(matches!(signal, Signal::Open(_)), "{signal:?}");
    assert!(!request.contains("authorization"), "another origin: {request}");
    assert_eq!(source.url().scheme_str(), Some("https"));

    let mut source = server.trusted(&server.url("localhost")).build().unwrap();
    let out = to(&url);
    let (_, error) = tokio::join!(server.answer(&out), async { soon(source.next()).await.unwrap() });
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Redirect);
    assert!(error.to_string().contains("from https to http://"), "{error}");
}

#[test]
fn certificates_that_are_none_are_told_by_build() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "no certificate", broken] {
        let error = EventSource::builder("https://localhost/").root_certificates(pem).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("BEGIN CERTIFICATE"), "{error}");
    }
}

/// A server with a certificate of an authority of its own.
struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    authority: String,
}

impl Server {
    /// Its certificate is for these names.
    async fn start(names: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Authorities of one name would be one authority with a wrong signature.
        let name = format!("the authority of port {}", listener.local_addr().unwrap().port());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { listener, acceptor: Arc::new(config).into(), authority: authority.pem() }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/x", self.listener.local_addr().unwrap().port())
    }

    /// A client that trusts this server.
    fn trusted(&self, url: &str) -> Builder {
        EventSource::builder(url).initial_retry(Duration::ZERO).root_certificates(self.authority.clone())
    }

    async fn accept(&self) -> TcpStream {
        soon(self.listener.accept()).await.unwrap().0
    }

    /// The next request, answered. Answers with the connection and the request's head.
    async fn answer(&self, answer: &str) -> (TlsStream<TcpStream>, String) {
        let mut stream = soon(self.acceptor.accept(self.accept().await)).await.unwrap();
        let head = read_head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        (stream, head)
    }
}

async fn read_head(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn next(source: &mut EventSource) -> Signal {
    soon(source.next()).await.expect("the stream has ended").expect("a final error")
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("nothing comes")
}
