//! Messages that nobody would want: bytes that are no text, line breaks that forge events, 10 MiB, hostile headers. Each
//! reaches every client as what the contract with the page says (docs/http.md), and the channel goes on.

use anyhow::{Context, Result};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tidewater_tests::{Feed, NatsServer, PATIENCE, env, heavy, kafka, nats};

use crate::{
    load::Rate,
    stage::{Plan, Stage},
};

const LARGE: usize = 10 << 20;

/// A message that may have anything.
#[derive(Clone, Debug, Default)]
struct Poison {
    key: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    payload: Option<Vec<u8>>,
}

impl Poison {
    fn of(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: Some(payload.into()), ..Self::default() }
    }

    fn header(name: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { headers: vec![(name.to_owned(), Some(value.into()))], ..Self::of("headers") }
    }
}

/// What any broker carries.
fn payloads() -> Vec<Poison> {
    let forged = "x\r\nid: forged\r\rdata: y\n\nevent: tidewater.gap\n\nretry: 1\n\n";
    let large: String = (0..2 * LARGE).map(|n| char::from(b' ' + (n % 95) as u8)).take(LARGE).collect();
    let mut all: Vec<Poison> = [
        &b""[..],
        b"\0",
        b"\0\0\0\0\x07framed",
        b"a\0b",
        b"\xff\xfe\n\x01",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbfa byte order mark",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\r",
        b"a\r\nb\rc\nd\r\r\n\n",
        b": a comment",
        b" a blank",
        b"data: x",
        forged.as_bytes(),
        "\u{2028}\u{85}\u{feff}\u{202e}\u{1f4a5}".as_bytes(),
    ]
    .map(Poison::of)
    .into();
    all.push(Poison::of(large));
    all.push(Poison::of(vec![0xff; LARGE]));
    all.push(Poison::of(vec![b'\n'; 1 << 20]));
    all.push(Poison::of([b'\r', b'\r', b'\n'].repeat(1 << 18)));
    all
}

/// Names for events, in the header that gives them.
fn event_names() -> Vec<Poison> {
    let long = "n".repeat(32 << 10);
    let names =
        ["message", "error", "open", "tidewater.gap", "tidewater.cursor", "tidewater.", "Error", &long];
    let mut all: Vec<_> = names.map(|name| Poison::header("tidewater-event", name)).into();
    all.extend(["\u{4e16}", "a b", "a: b"].map(|name| Poison::header("tidewater-event", name)));
    all
}

/// What Kafka carries besides.
fn of_kafka() -> Vec<Poison> {
    let mut all = payloads();
    all.extend(event_names());
    for name in ["", "a\nb", "a\rid: forged", "a\0b", "\n", "  "] {
        all.push(Poison::header("tidewater-event", name));
    }
    all.push(Poison::header("tidewater-event", b"\xff\xfe".to_vec()));
    for name in ["", " ", "x\r\nid: forged", "\u{4e16}\u{754c}", "tidewater-event\r\n", &"h".repeat(32 << 10)]
    {
        all.push(Poison::header(name, b"\xff\0\r\n".to_vec()));
    }
    all.push(Poison { headers: vec![("tidewater-event".into(), None)], ..Poison::of("a header of nothing") });
    let twice = ["first", "last"].map(|name| ("tidewater-event".to_owned(), Some(name.into())));
    all.push(Poison { headers: twice.into(), ..Poison::of("two names") });
    let keys = [None, Some(&b""[..]), Some(b"k"), Some(b"\xff"), Some(b"\0k"), Some(b"a\r\nid: forged\n\n")];
    all.extend(keys.map(|key| Poison { key: key.map(<[u8]>::to_vec), ..Poison::default() }));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run cargo xtask test"]
async fn kafka_carries_poison() -> Result<()> {
    let _alone = heavy().await;
    let topic = kafka::Topic::absent_at(&env::kafka()?, "poison", 1).set("max.message.bytes", "16777216");
    topic.make().await?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", topic.broker())
        .set("message.max.bytes", "16777216")
        .create()?;
    let name = topic.name().to_owned();
    let plan = Plan { rate: Rate::of(0), clients: 4, ..Plan::new("Kafka: poison payloads, keys, headers") };
    let stage = Stage::new(Plan { some_earlier: false, ..plan }, Feed::Kafka(topic), 1).await?;
    stage
        .play(async |_| {
            for poison in of_kafka() {
                let mut headers = OwnedHeaders::new();
                for (key, value) in &poison.headers {
                    headers = headers.insert(Header { key, value: value.as_deref() });
                }
                let mut record = FutureRecord::<[u8], [u8]>::to(&name).partition(0).headers(headers);
                (record.key, record.payload) = (poison.key.as_deref(), poison.payload.as_deref());
                let sent = producer.send(record, PATIENCE).await;
                sent.map_err(|(error, _)| error).with_context(|| format!("{poison:.300?}"))?;
            }
            Ok(())
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn jetstream_carries_poison() -> Result<()> {
    let _alone = heavy().await;
    let mut server = NatsServer::reserve()?;
    server.start().await?;
    let stream = nats::Stream::create_at(&server.url(), "poison").await?;
    let mut producer = stream.producer().await?;
    let subject = stream.subject();
    let plan = Plan { rate: Rate::of(0), clients: 4, ..Plan::new("JetStream: poison payloads and headers") };
    let stage = Stage::new(Plan { some_earlier: false, ..plan }, Feed::JetStream(stream), 1).await?;
    stage
        .play(async |_| {
            for poison in [payloads(), event_names()].concat() {
                let text = |value: &Option<Vec<u8>>| String::from_utf8(value.clone().unwrap_or_default());
                let headers = poison.headers.iter().map(|(name, value)| Ok((name.clone(), text(value)?)));
                let headers = headers.collect::<Result<Vec<_>>>()?;
                let payload = poison.payload.as_deref().unwrap_or_default();
                let stored = producer.store(&subject, &headers, &[payload]).await;
                stored.with_context(|| format!("{poison:.300?}"))?;
            }
            Ok(())
        })
        .await
}

/// Headers that a client of NATS may write and no client library reads: each made the connection be lost whenever it was
/// read, and so for ever.
const UNREADABLE: [&[u8]; 7] = [
    b"NATS/1.0\r\nx: \xff\xfe\r\n\r\n",
    b"NATS/1.0\r\na b: c\r\n\r\n",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/1.0\r\n\xe4\xb8\x96: x\r\n\r\n",
    b"NATS/1.0 what\r\n\r\n",
    b"NATS/1.0\r\nx: a\rid: forged\r\n\r\n",
    b"NATS/1.0\r\n: nobody\r\n\r\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn jetstream_carries_headers_that_cannot_be_read() -> Result<()> {
    let _alone = heavy().await;
    let stream = nats::Stream::create("hostile").await?;
    let mut producer = stream.producer().await?;
    let subject = stream.subject();
    let plan = Plan { clients: 4, rate: Rate::of(20), ..Plan::new("JetStream: headers that cannot be read") };
    let stage = Stage::new(plan, Feed::JetStream(stream), 1).await?;
    stage
        .play(async |_| {
            for (number, head) in UNREADABLE.iter().enumerate() {
                let payload = format!("p0 behind unreadable headers {number}");
                producer.store_raw(&subject, head, payload.as_bytes()).await?;
            }
            Ok(())
        })
        .await
}
