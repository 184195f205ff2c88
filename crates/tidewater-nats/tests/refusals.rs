//! Logins and certificates that don't do: each an error that names the setting, says what to do, and shows nothing
//! secret; and the same source works once it is put right.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;

use tempfile::NamedTempFile;
use tidewater_core::{Delivery, Error, ErrorKind, Retry, Sink as _, Source as _, Subscription};
use tidewater_nats::NatsConfig;
use tidewater_secure_nats::{Authority, Identity, Operator, Permissions, file, nkey};
use tidewater_testkit::{broker::NatsServer, secret};

use crate::common::{eventually, next, open};

/// What a source and a sink of core NATS, and a source of JetStream say to this.
async fn refused(server: &NatsServer, params: &str, names: &[&str]) {
    let mut errors = Vec::new();
    for url in ["nats", "jetstream"].map(|scheme| format!("{scheme}://127.0.0.1:{}/S{params}", server.port()))
    {
        errors.push(open(&url).subscribe(Subscription::latest()).await.unwrap_err());
    }
    let sink =
        tidewater_core::plugin::open_sink(&format!("nats://127.0.0.1:{}/S{params}", server.port())).unwrap();
    errors.push(sink.send(tidewater_core::Message::new("", "x")).await.unwrap_err());
    for error in errors {
        told(&error, names);
    }
}

fn told(error: &Error, names: &[&str]) {
    let text = format!("{error} {error:?}");
    println!("{error}");
    assert_eq!(error.retry(), Retry::Later, "{text}");
    assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::Config | ErrorKind::Unavailable), "{text}");
    for name in names {
        assert!(text.contains(name), "{name:?} is missing: {text}");
    }
    secret::assert_hidden(&text);
}

async fn let_in(server: &NatsServer, params: &str) {
    let source = open(&format!("nats://127.0.0.1:{}/S{params}", server.port()));
    source.subscribe(Subscription::latest()).await.unwrap();
    secret::assert_hidden(&format!("{source} {source:?}"));
}

fn path(file: &NamedTempFile) -> std::path::Display<'_> {
    file.path().display()
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn passwords_tokens_and_nkeys() {
    let [right, wrong] = ["right", "wrong"].map(secret::secret);
    let server =
        NatsServer::with_config(&format!("authorization {{ user: me, password: {right:?} }}")).unwrap();
    let_in(&server, &format!("?user=me&password={right}")).await;
    refused(&server, &format!("?user=me&password={wrong}"), &["user \"me\"", "password"]).await;
    refused(&server, "", &["without a login", "creds", "token"]).await;
    let settings = file(&format!("user = me\npassword = {right}\n")).unwrap();
    let_in(&server, &format!("?config={}", path(&settings))).await;

    let server = NatsServer::with_config(&format!("authorization {{ token: {right:?} }}")).unwrap();
    let_in(&server, &format!("?token={right}")).await;
    refused(&server, &format!("?token={wrong}"), &["refuses token"]).await;

    let ((public, right), (_, wrong)) = (nkey().unwrap(), nkey().unwrap());
    let server =
        NatsServer::with_config(&format!("authorization {{ users: [ {{ nkey: {public} }} ] }}")).unwrap();
    let_in(&server, &format!("?nkey={right}")).await;
    refused(&server, &format!("?nkey={wrong}"), &["refuses nkey"]).await;
    let [right, wrong] = [right, wrong].map(|seed| file(&seed).unwrap());
    let_in(&server, &format!("?nkey_file={}", path(&right))).await;
    refused(&server, &format!("?nkey_file={}", path(&wrong)), &["nkey_file", &path(&wrong).to_string()])
        .await;
    refused(&server, "?nkey_file=/nonexistent", &["nkey_file /nonexistent", "can't be read"]).await;
    let cut = file(&std::fs::read_to_string(right.path()).unwrap()[..50]).unwrap();
    refused(&server, &format!("?nkey_file={}", path(&cut)), &["nkey_file", "SU"]).await;
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn credentials() {
    let (operator, other) = (Operator::new().unwrap(), Operator::new().unwrap());
    let mut account = operator.account("ours").unwrap();
    let user = account.user("me", &Permissions::all()).unwrap();
    let revoked = account.user("revoked", &Permissions::all()).unwrap();
    account.revoke(&revoked);
    let server = NatsServer::with_config(&operator.config(&[&account]).unwrap()).unwrap();
    let good = user.creds_file().unwrap();
    let_in(&server, &format!("?creds={}", path(&good))).await;

    let revoked = revoked.creds_file().unwrap();
    refused(
        &server,
        &format!("?creds={}", path(&revoked)),
        &["creds", &path(&revoked).to_string(), "revoked"],
    )
    .await;
    let expired = account.user_until("expired", &Permissions::all(), -100).unwrap().creds_file().unwrap();
    refused(&server, &format!("?creds={}", path(&expired)), &["creds", "its JWT has expired"]).await;
    let others = other.account("x").unwrap().user("x", &Permissions::all()).unwrap().creds_file().unwrap();
    refused(&server, &format!("?creds={}", path(&others)), &["creds", &path(&others).to_string()]).await;
    refused(&server, "?creds=/nonexistent", &["creds /nonexistent", "can't be read"]).await;
    refused(&server, "?creds=/", &["creds /", "not a file"]).await;
    let text = user.creds().unwrap();
    for malformed in ["", "hello", &text[..text.len() / 2], &text.replace("SU", "SA")] {
        let malformed = file(malformed).unwrap();
        refused(&server, &format!("?creds={}", path(&malformed)), &["creds", "no credentials"]).await;
    }
}

/// A JWT that runs out while the source reads, and one that is taken back: told, and once the file has another, the
/// same source goes on.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn credentials_that_end_while_a_source_reads() {
    let operator = Operator::new().unwrap();
    let mut account = operator.account("ours").unwrap();
    let mut server = NatsServer::with_config(&operator.config(&[&account]).unwrap()).unwrap();
    let admin = async_nats::ConnectOptions::with_credentials(
        &account.user("admin", &Permissions::all()).unwrap().creds().unwrap(),
    );
    let admin = admin.unwrap().connect(server.url()).await.unwrap();
    let kept = async_nats::jetstream::stream::Config { name: "S".into(), ..Default::default() };
    async_nats::jetstream::new(admin).create_stream(kept).await.unwrap();
    let creds = file("").unwrap();
    let sources = ["nats", "jetstream"]
        .map(|scheme| open(&format!("{scheme}://127.0.0.1:{}/S?creds={}", server.port(), path(&creds))));
    for ends in ["expires", "revoked"] {
        let user = match ends {
            "expires" => account.user_until("short", &Permissions::all(), 3).unwrap(),
            _ => account.user("revoked", &Permissions::all()).unwrap(),
        };
        std::fs::write(creds.path(), user.creds().unwrap()).unwrap();
        let mut streams = Vec::new();
        for source in &sources {
            streams.push(source.subscribe(Subscription::latest()).await.unwrap().deliveries);
        }
        if ends == "revoked" {
            account.revoke(&user);
            server.reload(&operator.config(&[&account]).unwrap()).unwrap();
        }
        for (deliveries, source) in streams.iter_mut().zip(&sources) {
            let error = loop {
                match next(deliveries).await {
                    Ok(Delivery::Gap(_) | Delivery::Progress(_)) => {}
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.retry(), Retry::Later, "{error}");
            told(
                &source.subscribe(Subscription::latest()).await.unwrap_err(),
                &["creds", &path(&creds).to_string()],
            );
        }
    }
    let renewed = account.user("renewed", &Permissions::all()).unwrap();
    std::fs::write(creds.path(), renewed.creds().unwrap()).unwrap();
    for source in &sources {
        source.subscribe(Subscription::latest()).await.unwrap();
    }
}

/// An application's own options log in by a callback, and are told apart from others.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn options_of_the_application() {
    let [right, wrong] = ["right", "wrong"].map(secret::secret);
    let server = NatsServer::with_config(&format!("authorization {{ token: {right:?} }}")).unwrap();
    let options = |token: String| {
        async_nats::ConnectOptions::with_auth_callback(move |_| {
            let token = token.clone();
            async move {
                let mut auth = async_nats::Auth::new();
                auth.token = Some(token);
                Ok(auth)
            }
        })
    };
    let config = NatsConfig::new(&format!("127.0.0.1:{}", server.port())).unwrap();
    let [right, wrong] = [right, wrong].map(|token| config.clone().with_options(options(token)));
    right.source("live").unwrap().subscribe(Subscription::latest()).await.unwrap();
    right.sink("live").unwrap().send(tidewater_core::Message::new("", "x")).await.unwrap();
    assert!(right.source("x").unwrap().share_key() == right.source("x").unwrap().share_key());
    assert!(right.source("x").unwrap().share_key() != wrong.source("x").unwrap().share_key());
    let error = wrong.stream("S", None).unwrap().bounds().await.unwrap_err();
    told(&error, &["the given options"]);
    secret::assert_hidden(&format!("{right:?} {right} {:?}", right.source("live")));
}

/// Files of an identity.
struct Files {
    cert: NamedTempFile,
    key: NamedTempFile,
}

impl Files {
    fn new(identity: &Identity) -> Self {
        Self { cert: file(&identity.certificate).unwrap(), key: file(&identity.key).unwrap() }
    }

    fn server(&self, more: &str) -> NatsServer {
        let (cert, key) = (self.cert.path(), self.key.path());
        NatsServer::with_config(&format!("tls {{ cert_file: {cert:?}, key_file: {key:?}, {more} }}")).unwrap()
    }

    fn params(&self, ca: &Path) -> String {
        format!("?tls_ca={}&tls_cert={}&tls_key={}", ca.display(), path(&self.cert), path(&self.key))
    }
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn certificates_of_servers() {
    let (ours, others) = (Authority::new("ours").unwrap(), Authority::new("others").unwrap());
    let [ca, other_ca] = [&ours, &others].map(|authority| file(&authority.pem()).unwrap());
    let trusting = format!("?tls_ca={}", path(&ca));
    let good = Files::new(&ours.server(&["127.0.0.1"]).unwrap());
    let server = good.server("");
    let_in(&server, &trusting).await;
    let_in(&server, &format!("{trusting}&tls=required")).await;
    refused(
        &server,
        &format!("?tls_ca={}", path(&other_ca)),
        &["TLS", "tls_ca", &path(&other_ca).to_string()],
    )
    .await;
    // The server wants TLS, and nobody has said whom to trust.
    refused(&server, "", &["TLS", "tls_ca", "not set"]).await;
    refused(&server, "?tls=required", &["TLS", "tls_ca", "not set"]).await;
    refused(&server, "?tls_ca=/nonexistent", &["tls_ca /nonexistent"]).await;
    let empty = file("no certificate").unwrap();
    refused(&server, &format!("?tls_ca={}", path(&empty)), &["tls_ca", "no certificate in PEM"]).await;
    refused(&server, &format!("{trusting}&tls_first=true"), &["tls_first"]).await;

    let expired = Files::new(&ours.expired_server(&["127.0.0.1"]).unwrap()).server("");
    refused(&expired, &trusting, &["TLS", "server's certificate has expired"]).await;
    let elsewhere = Files::new(&ours.server(&["elsewhere.example"]).unwrap()).server("");
    refused(&elsewhere, &trusting, &["TLS", "host name", "elsewhere.example"]).await;
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn tls_where_there_is_none_and_none_where_it_comes_first() {
    let authority = Authority::new("ours").unwrap();
    let ca = file(&authority.pem()).unwrap();
    let plain = NatsServer::start().unwrap();
    let_in(&plain, "").await;
    for params in ["?tls=required".to_owned(), format!("?tls_ca={}", path(&ca))] {
        refused(&plain, &params, &["doesn't answer in TLS", "correct tls"]).await;
    }
    refused(&plain, "?tls_first=true", &["doesn't answer in TLS", "tls_first"]).await;

    let first = Files::new(&authority.server(&["127.0.0.1"]).unwrap()).server("handshake_first: true");
    let_in(&first, &format!("?tls_ca={}&tls_first=true", path(&ca))).await;
    let source = open(&format!("nats://127.0.0.1:{}/S?tls_ca={}", first.port(), path(&ca)));
    told(&source.subscribe(Subscription::latest()).await.unwrap_err(), &["tls_first=true"]);
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn certificates_of_clients() {
    let (ours, others) = (Authority::new("ours").unwrap(), Authority::new("others").unwrap());
    let ca = file(&ours.pem()).unwrap();
    let [me, stranger] = [&ours, &others].map(|authority| Files::new(&authority.client("me").unwrap()));
    let verify = format!("ca_file: {:?}, verify: true", ca.path());
    let server = Files::new(&ours.server(&["127.0.0.1"]).unwrap()).server(&verify);
    let_in(&server, &me.params(ca.path())).await;
    refused(&server, &format!("?tls_ca={}", path(&ca)), &["TLS", "tls_cert and tls_key"]).await;
    refused(&server, &stranger.params(ca.path()), &["TLS", "tls_cert", &path(&stranger.cert).to_string()])
        .await;
    let mixed = format!("?tls_ca={}&tls_cert={}&tls_key={}", path(&ca), path(&me.cert), path(&stranger.key));
    refused(&server, &mixed, &["tls_key", "tls_cert"]).await;
    let swapped = format!("?tls_ca={}&tls_cert={}&tls_key={}", path(&ca), path(&me.key), path(&me.cert));
    refused(&server, &swapped, &["tls_cert", "no certificate in PEM"]).await;
    let keyless = format!("?tls_ca={}&tls_cert={}&tls_key={}", path(&ca), path(&me.cert), path(&me.cert));
    refused(&server, &keyless, &["tls_key", "no private key in PEM"]).await;

    // The certificate is the login.
    let map = format!("ca_file: {:?}, verify_and_map: true", ca.path());
    let users = "}\nauthorization { users: [ { user: \"CN=somebody\" } ]";
    let mapped = Files::new(&ours.server(&["127.0.0.1"]).unwrap()).server(&format!("{map} {users}"));
    refused(&mapped, &me.params(ca.path()), &["tls_cert", &path(&me.cert).to_string()]).await;
    let somebody = Files::new(&ours.client("somebody").unwrap());
    let_in(&mapped, &somebody.params(ca.path())).await;
}

/// A file that comes later is enough: nothing has to be started again.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn what_is_put_right_works() {
    let password = secret::secret("late");
    let mut server = NatsServer::with_config("authorization { user: me, password: x }").unwrap();
    let params = format!("?user=me&password={password}");
    let source = open(&format!("jetstream://127.0.0.1:{}/S{params}", server.port()));
    told(&source.bounds().await.unwrap_err(), &["user \"me\""]);
    server.reload(&format!("authorization {{ user: me, password: {password:?} }}")).unwrap();
    let error = eventually(async || match source.bounds().await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(error),
        Err(error) => Err(error),
        Ok(_) => panic!("there is no stream"),
    });
    assert!(error.await.to_string().contains("no JetStream stream"));
}
