//! What hostile or broken clients send: a clear 4xx or a closed connection, never a panic, a hang, or anything of others.

use std::{
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::web::{Checked, Failure, Server, ensure, site::Site, soon};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// This status, with a text that says why where it is an error of the endpoint's.
    Status(u16),
    /// Whatever the web server makes of it before the endpoint is asked: a 4xx, or a closed connection.
    Refused,
    /// 200; or the web server refuses it, as it may: its own bounds of heads differ.
    StreamOrRefused,
}

use Wanted::{Refused, Status, StreamOrRefused};

/// Every request of the table is answered as it should be, no thread panics over it, and a client beside it gets its events.
pub async fn bad_input_is_refused_or_served(server: &dyn Server) -> Checked {
    let endpoint = |endpoint: tidewater_http::Endpoint| endpoint.publish(true).max_body(1024);
    // Some notice at their next write only that a client has gone.
    let channel = |channel: tidewater_hub::ChannelBuilder| channel.heartbeat(Duration::from_millis(400));
    let site = Site::start_with(server, channel, endpoint).await?;
    let mut beside = site.open("/closed").await?;
    let panics = panics();
    for (what, request, wanted) in table() {
        let answer =
            answer(&site, &request).await.map_err(|failure| Failure::new(format!("{what}: {failure}")))?;
        let status = answer.as_deref().and_then(|head| head.get(9..12)?.parse::<u16>().ok());
        let is_refused = answer.is_none() || status.is_some_and(|status| (400..500).contains(&status));
        let fits = match wanted {
            Status(wanted) => status == Some(wanted),
            Refused => is_refused,
            StreamOrRefused => is_refused || status == Some(200),
        };
        ensure!(fits, "{what}: {wanted:?} is wanted, and this came: {answer:?}");
        let injected = answer.as_deref().is_some_and(|head| head.to_ascii_lowercase().contains("injected"));
        ensure!(!injected, "{what}: what the client sent stands in the head of the answer: {answer:?}");
        ensure!(self::panics() == panics, "{what}: a thread panicked");
        site.write(what);
        let seen = beside.seen().await?;
        ensure!(seen.data == what, "{what}: a client beside it got {seen:?}");
    }
    site.clients(1).await
}

fn get(target: &str, fields: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: x\r\n{fields}\r\n").into_bytes()
}

fn post(target: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nhost: x\r\n{fields}\r\n{body}").into_bytes()
}

fn table() -> Vec<(&'static str, Vec<u8>, Wanted)> {
    let a = |count| "A".repeat(count);
    let mut table = vec![
        ("since that is no time", get("/closed?since=never", ""), Status(400)),
        ("since that is no text", get("/closed?since=%ff", ""), Status(400)),
        ("since beyond all numbers", get("/closed?since=99999999999999999999s", ""), Status(400)),
        ("a topic that is no text", get("/closed?topic=%ff", ""), Status(400)),
        ("a topic that is none", get("/closed?topic=a*b", ""), Status(400)),
        ("a tag that is no text", get("/closed?tag=%c3", ""), Status(400)),
        ("an event that is no text", get("/closed?event=%80", ""), Status(400)),
        ("a policy that there is not", get("/closed?lag=none", ""), Status(400)),
        ("a name that is misspelled", get("/closed?topics=a", ""), Status(400)),
        ("257 keys", get(&format!("/closed?{}", "key=a&".repeat(257)), ""), Status(400)),
        ("3,000 parameters", get(&format!("/closed?{}", "a=1&".repeat(3_000)), ""), Status(400)),
        ("10,000 parameters", get(&format!("/closed?{}", "a=1&".repeat(10_000)), ""), Refused),
        ("4,000 ids", get(&format!("/closed?{}", "last_event_id=&".repeat(4_000)), ""), Refused),
        ("escapes that are cut", get("/closed?key=%&key=%f&key=%zz", ""), Status(200)),
        ("a head within a key", get("/closed?key=a%0d%0aInjected:%201%0d%0a", ""), Status(200)),
        ("a head within an id", get("/closed?last_event_id=a%0d%0aInjected:%201", ""), Status(200)),
        ("an id of 12,000 bytes", get(&format!("/closed?last_event_id={}", a(12_000)), ""), Status(200)),
        ("an id of 60,000 bytes", get(&format!("/closed?last_event_id={}", a(60_000)), ""), StreamOrRefused),
        ("an id of 1 MB", get(&format!("/closed?last_event_id={}", a(1 << 20)), ""), Refused),
        ("a query of 70,000 bytes", get(&format!("/closed?key={}", a(70_000)), ""), Refused),
        (
            "a header of 64 KiB",
            get("/closed", &format!("last-event-id: {}\r\n", a(64 << 10))),
            StreamOrRefused,
        ),
        (
            "a header of 64 KiB and one",
            get("/closed", &format!("last-event-id: {}\r\n", a((64 << 10) + 1))),
            StreamOrRefused,
        ),
        ("a header of 1 MB", get("/closed", &format!("last-event-id: {}\r\n", a(1 << 20))), Refused),
        ("a cookie of 1 MB", get("/closed", &format!("cookie: {}\r\n", a(1 << 20))), Refused),
        ("1,000 headers", get("/closed", &"x: y\r\n".repeat(1000)), Refused),
        ("a name of a header of 100 KB", get("/closed", &format!("{}: y\r\n", a(100_000))), Refused),
        (
            "10,000 ranges",
            get("/closed", &format!("accept: {}\r\n", "*/*, ".repeat(10_000))),
            StreamOrRefused,
        ),
        (
            "60 KB of hops",
            get("/closed", &format!("x-forwarded-for: {}\r\n", "10.0.0.1,".repeat(6_500))),
            StreamOrRefused,
        ),
        (
            "hops that are none",
            get("/closed", "x-forwarded-for: \"\\,,;for=\r\nforwarded: for=\"\r\n"),
            Status(200),
        ),
        ("NUL in a header", get("/closed", "last-event-id: a\0b\r\n"), Refused),
        ("a header without a name", get("/closed", ": y\r\n"), Refused),
        ("a space within the target", get("/closed?key=a b", ""), Refused),
        ("a version that there is not", b"GET /closed HTTP/9.9\r\n\r\n".to_vec(), Refused),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), Refused),
        ("zeros", vec![0; 4096], Refused),
        (
            "a key of 5,000 bytes",
            post(&format!("/closed?key={}", a(5_000)), "content-length: 1\r\n", "x"),
            Status(400),
        ),
        (
            "a key of 1 MB",
            post(&format!("/closed?key={}", a(1 << 20)), "content-length: 1\r\n", "x"),
            Refused,
        ),
        (
            "the name of an event of 5,000 bytes",
            post(&format!("/closed?event={}", a(5_000)), "content-length: 1\r\n", "x"),
            Status(400),
        ),
        (
            "3,000 parameters of a post",
            post(&format!("/closed?{}", "a=1&".repeat(3_000)), "content-length: 1\r\n", "x"),
            Status(400),
        ),
        (
            "10,000 parameters of a post",
            post(&format!("/closed?{}", "a=1&".repeat(10_000)), "content-length: 1\r\n", "x"),
            Refused,
        ),
        ("a body over the limit", post("/closed", "content-length: 1025\r\n", &a(1025)), Status(413)),
        // (rocket waits for the first bytes of a body before it asks anybody.)
        (
            "a length of a terabyte",
            post("/closed", "content-length: 1099511627776\r\n", &a(100)),
            Status(413),
        ),
        (
            "a length beyond all numbers",
            post("/closed", "content-length: 99999999999999999999\r\n", "x"),
            Refused,
        ),
        ("a length below nothing", post("/closed", "content-length: -1\r\n", "x"), Refused),
        ("two lengths", post("/closed", "content-length: 1\r\ncontent-length: 2\r\n", "xy"), Refused),
        (
            "chunks that are none",
            post("/closed", "transfer-encoding: chunked\r\n", "zz\r\nx\r\n0\r\n\r\n"),
            Refused,
        ),
    ];
    let mut raw = b"GET /closed?key=".to_vec();
    raw.extend_from_slice(b"\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n");
    table.push(("bytes that are no text in the target", raw, StreamOrRefused));
    table
}

/// The head of the answer, or `None` for a connection that was closed without one. A hang is a failure.
async fn answer(site: &Site, request: &[u8]) -> Result<Option<String>, Failure> {
    let (mut reader, mut writer) = site.connect().await?.into_split();
    // Who refuses a request need not read it to its end.
    let write = async { drop(writer.write_all(request).await) };
    let read = async {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            match reader.read_buf(&mut head).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        String::from_utf8_lossy(&head).into_owned()
    };
    let (head, ()) = soon("the answer", async { tokio::join!(read, write) }).await?;
    Ok(head.starts_with("HTTP/1.1 ").then_some(head))
}

/// How many threads of this process have panicked: the task of a connection that does is only a connection that is closed.
fn panics() -> usize {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    static COUNTED: Once = Once::new();
    COUNTED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(info);
        }));
    });
    PANICS.load(Ordering::SeqCst)
}
