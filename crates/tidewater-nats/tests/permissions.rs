//! The permissions that `docs/nats.md` lists: with them everything works, and without each of them what can't be done
//! is refused with an error that names it.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use async_nats::{Client, HeaderMap, HeaderName, jetstream};
use tidewater_core::{
    Cursor, Delivery, Error, ErrorKind, Message, Result, Retry, Subscription, Transfer, plugin,
};
use tidewater_secure_nats::{Account, Operator, Permissions};
use tidewater_testkit::{broker::NatsServer, secret};

use crate::common::{next, open};

const FILTER: &str = "orders.eu.>";

/// A server whose users may do nothing that they aren't allowed, with the stream ORDERS.
struct Secured {
    server: NatsServer,
    account: Account,
    admin: Client,
}

impl Secured {
    async fn new() -> Self {
        let operator = Operator::new().unwrap();
        let account = operator.account("orders").unwrap();
        let server = NatsServer::with_config(&operator.config(&[&account]).unwrap()).unwrap();
        let creds = account.user("admin", &Permissions::all()).unwrap().creds().unwrap();
        let admin = async_nats::ConnectOptions::with_credentials(&creds).unwrap();
        let admin = admin.connect(server.url()).await.unwrap();
        let config = jetstream::stream::Config {
            name: "ORDERS".into(),
            subjects: vec!["orders.>".into()],
            ..Default::default()
        };
        jetstream::new(admin.clone()).create_stream(config).await.unwrap();
        Self { server, account, admin }
    }

    /// The URL of something for a user who may do this, with the credentials' file.
    fn url(&self, scheme: &str, path: &str, permissions: &Permissions) -> (String, impl Drop + use<>) {
        let creds = self.account.user("restricted", permissions).unwrap().creds_file().unwrap();
        let url =
            format!("{scheme}://127.0.0.1:{}/{path}?creds={}", self.server.port(), creds.path().display());
        (url, creds.into_temp_path())
    }

    async fn say(&self, subject: &str, text: &str) {
        self.admin.publish(subject.to_owned(), text.to_owned().into()).await.unwrap();
        self.admin.flush().await.unwrap();
    }

    /// Reads a message, and then on until the reader has looked at the stream, or `patience` is over.
    async fn read(&self, url: &str, patience: Duration) -> Result<()> {
        let source = open(url);
        source.bounds().await?;
        let mut subscribed = source.subscribe(Subscription::latest()).await?;
        self.say("orders.eu.new", "1").await;
        let Delivery::Message(message) = next(&mut subscribed.deliveries).await? else { panic!() };
        assert_eq!(message.payload.as_deref(), Some(&b"1"[..]));
        // What the filter leaves out is told as progress, after a look.
        self.say("orders.us.new", "2").await;
        let looked = async {
            loop {
                if let Delivery::Progress(_) = next(&mut subscribed.deliveries).await? {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(patience, looked).await.unwrap_or(Ok(()))
    }

    async fn write(&self, url: &str) -> Result<tidewater_core::Receipt> {
        let sink = plugin::open_sink(url)?;
        sink.send(Message::new("", "1")).await?;
        sink.send(Message::new("", "2")).await
    }
}

/// Names what was refused, and nothing that is secret.
fn assert_names(error: &Error, subject: &str) {
    let text = format!("{error} {error:?}");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Denied, Retry::Later), "{text}");
    // Names of consumers are made up.
    let named = subject.split(".*").next().unwrap();
    assert!(text.contains(named) && text.contains("creds /"), "{subject}: {text}");
    secret::assert_hidden(&text);
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_source_of_core_nats_needs_its_subject() {
    let secured = Secured::new().await;
    let needed = Permissions::source("orders.>");
    let (url, _creds) = secured.url("nats", "orders.>", &needed);
    secured.read(&url, Duration::ZERO).await.unwrap();
    let (url, _creds) =
        secured.url("nats", "orders.>", &Permissions::of(["_INBOX.>"], ["_INBOX.>", "orders.eu.*"]));
    assert_names(&secured.read(&url, Duration::ZERO).await.unwrap_err(), "orders.>");
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_source_of_jetstream_needs_these_and_no_more() {
    let secured = Secured::new().await;
    for filter in [None, Some(FILTER)] {
        let needed = Permissions::stream_source("ORDERS", filter);
        let path = filter.map_or("ORDERS".to_owned(), |filter| format!("ORDERS/{filter}"));
        let (url, _creds) = secured.url("jetstream", &path, &needed);
        secured.read(&url, Duration::from_secs(if filter.is_some() { 30 } else { 0 })).await.unwrap();
        for (missing, rest) in needed.each_left_out() {
            let (url, _creds) = secured.url("jetstream", &path, &rest);
            let began = std::time::Instant::now();
            let error = secured.read(&url, Duration::from_secs(30)).await.err();
            let error = error.unwrap_or_else(|| panic!("{missing} is not needed"));
            assert_names(&error, &missing);
            println!("without {missing}, after {:?}: {error}", began.elapsed());
        }
    }
}

/// Without the right to ask for one message nobody gets past headers that no client reads, and is told what it takes.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn headers_that_no_client_reads_take_the_right_to_ask_for_a_message() {
    let secured = Secured::new().await;
    let needed = Permissions::stream_source("ORDERS", None);
    let (url, _creds) = secured.url("jetstream", "ORDERS", &needed);
    let mut subscribed = open(&url).subscribe(Subscription::latest()).await.unwrap();
    secured.say("orders.eu.new", "1").await;
    // The client checks what it reads, and not this.
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("a b"), "x");
    secured.admin.publish_with_headers("orders.eu.new", headers, "2".into()).await.unwrap();
    secured.say("orders.eu.new", "3").await;
    let Delivery::Message(message) = next(&mut subscribed.deliveries).await.unwrap() else { panic!() };
    assert_eq!(message.payload.as_deref(), Some(&b"1"[..]));
    let error = next(&mut subscribed.deliveries).await.unwrap_err().to_string();
    assert!(error.contains("$JS.API.STREAM.MSG.GET.ORDERS"), "{error}");
    secret::assert_hidden(&error);

    let mut may_ask = needed;
    may_ask.publish.push("$JS.API.STREAM.MSG.GET.ORDERS".to_owned());
    let (url, _creds) = secured.url("jetstream", "ORDERS", &may_ask);
    let mut subscribed = open(&url).subscribe(Subscription::earliest()).await.unwrap();
    for payload in ["1", "2", "3"] {
        let Delivery::Message(message) = next(&mut subscribed.deliveries).await.unwrap() else { panic!() };
        assert_eq!(message.payload.as_deref(), Some(payload.as_bytes()));
    }
}

/// Who may read one part of a stream can't read another by asking for it.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn permission_for_a_filter_is_for_that_filter_alone() {
    let secured = Secured::new().await;
    let needed = Permissions::stream_source("ORDERS", Some(FILTER));
    for path in ["ORDERS", "ORDERS/orders.us.>", "ORDERS/orders.>"] {
        let (url, _creds) = secured.url("jetstream", path, &needed);
        let error = open(&url).subscribe(Subscription::earliest()).await.unwrap_err();
        assert_names(&error, "$JS.API.CONSUMER.CREATE.ORDERS");
    }
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_sink_of_core_nats_needs_its_subject_and_an_inbox_to_be_sure() {
    let secured = Secured::new().await;
    let needed = Permissions::sink("orders.eu.new");
    let (url, _creds) = secured.url("nats", "orders.eu.new", &needed);
    assert_eq!(secured.write(&url).await.unwrap().place, None);
    let (url, _creds) = secured.url("nats", "orders.eu.new", &Permissions::sink("orders.eu.old"));
    assert_names(&secured.write(&url).await.unwrap_err(), "orders.eu.new");
    // Without an inbox the message goes out, and a refusal is still told, if late.
    for inbox in 0..2 {
        let (_, without) = needed.each_left_out().swap_remove(1 + inbox);
        let (url, _creds) = secured.url("nats", "orders.eu.new", &without);
        secured.write(&url).await.unwrap();
        let (url, _creds) = secured.url("nats", "orders.us.new", &without);
        assert_names(&secured.write(&url).await.unwrap_err(), "orders.us.new");
    }
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_sink_of_jetstream_needs_these_and_no_more() {
    let secured = Secured::new().await;
    let needed = Permissions::stream_sink("ORDERS", "orders.eu.new");
    let (url, _creds) = secured.url("jetstream", "ORDERS/orders.eu.new", &needed);
    assert!(secured.write(&url).await.unwrap().place.unwrap().epoch.is_some());
    for (missing, rest) in needed.each_left_out() {
        let (url, _creds) = secured.url("jetstream", "ORDERS/orders.eu.new", &rest);
        let written = secured.write(&url).await;
        if missing.starts_with("$JS") {
            assert_eq!(
                written.unwrap().place.unwrap().epoch,
                None,
                "published, and not known into which incarnation"
            );
        } else {
            assert_names(&written.unwrap_err(), &missing);
        }
    }
}

#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_writer_that_writes_each_message_once_needs_these_and_no_more() {
    let secured = Secured::new().await;
    let write = async |permissions: &Permissions| {
        let (url, _creds) = secured.url("jetstream", "ORDERS/orders.eu.new", permissions);
        let mut writer = plugin::open_sink(&url)?.exactly_once("w")?.unwrap();
        writer.resume().await?;
        let (message, next) = (Message::new("", "1"), Cursor::default());
        writer.write(vec![Transfer { message, next: next.clone() }], &next).await
    };
    let needed = Permissions::stream_writer("ORDERS", "orders.eu.new");
    write(&needed).await.unwrap();
    for (missing, rest) in needed.each_left_out() {
        let error = write(&rest).await.err().unwrap_or_else(|| panic!("{missing} is not needed"));
        assert_names(&error, &missing);
    }
}

/// The client asks for its inbox once for a connection, and the answer is everybody's who shares it.
#[tokio::test]
#[ignore = "needs NATS: run cargo xtask test"]
async fn who_shares_a_connection_without_an_inbox_is_told_too() {
    let secured = Secured::new().await;
    let mut needed = Permissions::stream_source("ORDERS", None);
    needed.publish.push("live".into());
    needed.subscribe = vec!["nothing".into()];
    let (url, _creds) = secured.url("nats", "live", &needed);
    let sink = plugin::open_sink(&url).unwrap();
    sink.send(Message::new("", "1")).await.unwrap();
    let began = std::time::Instant::now();
    let error =
        open(&url.replace("nats:", "jetstream:").replace("/live", "/ORDERS")).bounds().await.unwrap_err();
    assert_names(&error, "_INBOX.>");
    assert!(began.elapsed() < Duration::from_secs(4), "it waited for an answer: {:?}", began.elapsed());
    sink.send(Message::new("", "2")).await.unwrap();
}

/// Inboxes of a user's own, as they are when users must not read each other's answers.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn an_inbox_prefix_of_its_own() {
    let secured = Secured::new().await;
    let mut needed = Permissions::stream_source("ORDERS", None);
    needed.subscribe = vec!["_INBOX_reader.>".into()];
    let (url, _creds) = secured.url("jetstream", "ORDERS", &needed);
    let error = open(&url).bounds().await.unwrap_err();
    assert_names(&error, "_INBOX.>");
    assert!(error.to_string().contains("inbox_prefix"), "{error}");
    secured.read(&format!("{url}&inbox_prefix=_INBOX_reader"), Duration::ZERO).await.unwrap();
}

/// What a user may do changes while it is at it. A subscription that is taken away is an error, not silence; and what
/// is given back works again.
#[tokio::test]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn permissions_that_change_while_a_source_reads() {
    let password = secret::secret("reader");
    let config = |publish: &str, subscribe: &str| {
        format!(
            "authorization {{ users: [ {{ user: reader, password: {password:?}, permissions: {{ publish: [{publish}], \
             subscribe: [{subscribe}] }} }}, {{ user: admin, password: {password:?} }} ] }}"
        )
    };
    let all = config("\"$JS.API.>\", \"_INBOX.>\"", "\"live.>\", \"_INBOX.>\"");
    let mut server = NatsServer::with_config(&all).unwrap();
    let admin = async_nats::ConnectOptions::with_user_and_password("admin".into(), password.clone());
    let admin = admin.connect(server.url()).await.unwrap();
    let config_of_stream = jetstream::stream::Config {
        name: "KEPT".into(),
        subjects: vec!["kept.>".into()],
        ..Default::default()
    };
    jetstream::new(admin).create_stream(config_of_stream).await.unwrap();
    let params = format!("user=reader&password={password}");
    let live = open(&format!("nats://127.0.0.1:{}/live.>?{params}", server.port()));
    let kept = open(&format!("jetstream://127.0.0.1:{}/KEPT?{params}", server.port()));
    for (publish, subscribe, names) in [
        ("\"$JS.API.>\", \"_INBOX.>\"", "\"_INBOX.>\"", ["live.>", ""]),
        ("\"_INBOX.>\"", "\"live.>\", \"_INBOX.>\"", ["", "$JS.API."]),
        ("\"$JS.API.>\", \"_INBOX.>\"", "\"live.>\"", ["", "_INBOX."]),
    ] {
        let mut reads_live = live.subscribe(Subscription::latest()).await.unwrap();
        let mut reads_kept = kept.subscribe(Subscription::latest()).await.unwrap();
        server.reload(&config(publish, subscribe)).unwrap();
        let [of_live, of_kept] = names;
        for (what, deliveries, source) in
            [(of_live, &mut reads_live.deliveries, &live), (of_kept, &mut reads_kept.deliveries, &kept)]
        {
            if what.is_empty() {
                continue;
            }
            let error = loop {
                match next(deliveries).await {
                    // Core NATS may tell a connection that was lost.
                    Ok(Delivery::Gap(_) | Delivery::Progress(_)) => {}
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => break error,
                }
            };
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Denied, Retry::Later), "{what}: {error}");
            assert!(error.to_string().contains(what), "{what}: {error}");
            let again = source.subscribe(Subscription::latest()).await.unwrap_err();
            assert!(again.to_string().contains(what) && again.kind() == ErrorKind::Denied, "{what}: {again}");
            secret::assert_hidden(&format!("{error} {again:?}"));
        }
        server.reload(&all).unwrap();
        common::eventually(async || live.subscribe(Subscription::latest()).await.map(drop)).await;
        common::eventually(async || kept.subscribe(Subscription::latest()).await.map(drop)).await;
    }
}
