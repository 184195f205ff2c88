//! The endpoint as a source: what becomes of its events, and where a subscription goes on.

use tidewater_core::{
    Cursor, Delivery, ErrorKind, GapReason, Message, Next, Position, Retry, Source, SourceUrl, Subscribed,
    Subscription, TopicTag, payload::EVENT_HEADER,
};
use tidewater_sse::{EventSource, SSE, SseSource};

use crate::{server::Server, soon};

fn source(server: &Server, rest: &str) -> SseSource {
    let url: SourceUrl = format!("sse+{}{rest}", server.url("/x")).parse().unwrap();
    SseSource::open(&url).unwrap()
}

/// After this message.
fn after(server: &Server, message: &Message) -> Subscription {
    let Position::Opaque(id) = &message.position else { panic!("{message:?}") };
    let bounds = soon_now(source(server, "").bounds());
    let mut cursor = Cursor::default();
    cursor.advance(message.tag, bounds.topics[0].epoch.tag(), 0, &Position::Opaque(id.clone()));
    Subscription::after(cursor)
}

fn soon_now<T>(future: impl Future<Output = tidewater_core::Result<T>>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("it waits").unwrap()
}

async fn delivery(subscribed: &mut Subscribed) -> Delivery {
    soon(futures_util::StreamExt::next(&mut subscribed.deliveries)).await.expect("it has ended").unwrap()
}

async fn message(subscribed: &mut Subscribed) -> Message {
    match delivery(subscribed).await {
        Delivery::Message(message) => message,
        other => panic!("no message: {other:?}"),
    }
}

async fn text(subscribed: &mut Subscribed) -> String {
    String::from_utf8(message(subscribed).await.payload.unwrap().to_vec()).unwrap()
}

async fn error(subscribed: &mut Subscribed) -> tidewater_core::Error {
    soon(futures_util::StreamExt::next(&mut subscribed.deliveries)).await.expect("it has ended").unwrap_err()
}

/// What a message's position is, as a cursor.
fn stands_at(cursor: &Cursor, message: &Message) -> bool {
    let Position::Opaque(id) = &message.position else { return false };
    cursor.topic(message.tag).is_some_and(|topic| topic.is_after(id.as_bytes()))
}

#[tokio::test]
async fn an_id_is_where_the_next_subscription_goes_on() {
    let server = Server::start().await;
    let source = source(&server, "?y=1&sse.header.x-key=k&sse.read_timeout=off");
    let (subscribed, mut first) =
        tokio::join!(source.subscribe(Subscription::latest()), server.stream(":hello\nid: a\ndata: 1\n\n"));
    let mut subscribed = subscribed.unwrap();
    assert_eq!(first.line, "GET /x?y=1 HTTP/1.1");
    assert_eq!((first.header("x-key"), first.header("last-event-id")), (Some("k"), None));
    first.chunk("event: price\nid: b\ndata: 2\n\n").await;
    assert_eq!(text(&mut subscribed).await, "1");
    let second = message(&mut subscribed).await;
    assert_eq!(second.headers.get(EVENT_HEADER).map(|name| &name[..]), Some(&b"price"[..]));
    assert_eq!(second.tag, TopicTag::of(SSE, &format!("{}/x", server.address())));
    drop(subscribed);
    first.closed().await;

    let wanted = after(&server, &second);
    let (subscribed, again) = tokio::join!(source.subscribe(wanted), server.stream("id: c\ndata: 3\n\n"));
    let mut subscribed = subscribed.unwrap();
    assert_eq!(again.header("last-event-id"), Some("b"));
    assert!(stands_at(&subscribed.start, &second), "the start is what was wanted");
    assert_eq!(text(&mut subscribed).await, "3");
}

#[tokio::test]
async fn events_without_an_id_are_counted_behind_the_last_one() {
    let server = Server::start().await;
    let source = source(&server, "");
    let stream = "id: a\ndata: 1\n\ndata: 2\n\ndata: 3\n\n";
    let (subscribed, _first) = tokio::join!(source.subscribe(Subscription::latest()), server.stream(stream));
    let mut subscribed = subscribed.unwrap();
    assert_eq!(text(&mut subscribed).await, "1");
    let second = message(&mut subscribed).await;
    let third = message(&mut subscribed).await;
    assert_ne!(second.position, third.position);

    // The server sends again what follows the id.
    let stream = "data: 2\n\ndata: 3\n\ndata: 4\n\nid: b\ndata: 5\n\n";
    let (subscribed, again) = tokio::join!(source.subscribe(after(&server, &second)), server.stream(stream));
    assert_eq!(again.header("last-event-id"), Some("a"));
    let mut subscribed = subscribed.unwrap();
    let repeated = message(&mut subscribed).await;
    assert_eq!(
        (repeated.payload, repeated.position),
        (third.payload, third.position),
        "the same place as before"
    );
    assert_eq!((text(&mut subscribed).await, text(&mut subscribed).await), ("4".into(), "5".into()));

    // One that does not is believed at its next id.
    let (subscribed, _again) =
        tokio::join!(source.subscribe(after(&server, &second)), server.stream("id: b\ndata: 5\n\n"));
    assert_eq!(text(&mut subscribed.unwrap()).await, "5");
}

#[tokio::test]
async fn a_stream_that_ends_goes_on_and_one_without_ids_tells_a_gap() {
    let server = Server::start().await;
    let source = source(&server, "");
    let (subscribed, first) = tokio::join!(
        source.subscribe(Subscription::latest()),
        server.stream("retry: 1\nid: a\ndata: 1\n\ndata: 2\n\n")
    );
    let mut subscribed = subscribed.unwrap();
    assert_eq!(text(&mut subscribed).await, "1");
    assert_eq!(text(&mut subscribed).await, "2");
    first.end().await;
    let (third, second) = tokio::join!(text(&mut subscribed), server.stream("data: 2\n\ndata: 3\n\n"));
    assert_eq!((second.header("last-event-id"), &*third), (Some("a"), "3"), "nothing twice");
    drop(subscribed);

    let (subscribed, first) =
        tokio::join!(source.subscribe(Subscription::latest()), server.stream("retry: 1\ndata: 1\n\n"));
    let mut subscribed = subscribed.unwrap();
    let one = message(&mut subscribed).await;
    first.end().await;
    let (gap, _second) = tokio::join!(delivery(&mut subscribed), server.stream("data: 2\n\n"));
    assert!(
        matches!(&gap, Delivery::Gap(gap) if gap.missing.is_none() && gap.reason == GapReason::Lost),
        "{gap:?}"
    );
    assert!(matches!(delivery(&mut subscribed).await, Delivery::Progress(_)));
    assert_ne!(message(&mut subscribed).await.position, one.position, "another run of the stream");

    // And such a place can't be gone back to: the start is another one.
    let (subscribed, again) =
        tokio::join!(source.subscribe(after(&server, &one)), server.stream("data: 3\n\n"));
    let mut subscribed = subscribed.unwrap();
    assert_eq!(again.header("last-event-id"), None);
    assert!(!stands_at(&subscribed.start, &one));
    assert_eq!(text(&mut subscribed).await, "3");
}

#[tokio::test]
async fn what_another_tidewater_says_is_what_it_is() {
    let server = Server::start().await;
    let source = source(&server, "");
    let stream = "retry: 500\nevent: tidewater.cursor\ndata:\nid: a\n\n\
                  event: tidewater.cursor\ndata:\nid: a\n\n\
                  event: tidewater.gap\ndata: {\"reason\":\"retention\",\"from\":1,\"to\":2}\nid: b\n\n\
                  event: tidewater.binary\ndata: AP8=\nid: c\n\n\
                  event: tidewater.tombstone\ndata: k\nid: d\n\n\
                  event: tidewater.cursor\ndata:\nid: e\n\n";
    let (subscribed, _first) = tokio::join!(source.subscribe(Subscription::latest()), server.stream(stream));
    let mut subscribed = subscribed.unwrap();
    let at = |cursor: &Cursor, id: &str| {
        let topic = &cursor.topics()[0];
        matches!(&topic.next, Next::After(bytes) if bytes.ends_with(id.as_bytes()))
    };
    assert!(at(&subscribed.start, "a"), "the first block says where the stream begins");
    let Delivery::Gap(gap) = delivery(&mut subscribed).await else { panic!("no gap") };
    assert_eq!((gap.reason, gap.missing), (GapReason::Retention, None));
    assert!(matches!(delivery(&mut subscribed).await, Delivery::Progress(cursor) if at(&cursor, "b")));
    assert_eq!(message(&mut subscribed).await.payload.as_deref(), Some(&[0, 0xff][..]));
    let tombstone = message(&mut subscribed).await;
    assert_eq!((tombstone.payload, tombstone.key.as_deref()), (None, Some(&b"k"[..])));
    assert!(matches!(delivery(&mut subscribed).await, Delivery::Progress(cursor) if at(&cursor, "e")));
}

#[tokio::test]
async fn what_is_wrong_is_told_as_what_it_is() {
    let server = Server::start().await;
    let source = source(&server, "");
    for (answer, kind, retry) in [
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", ErrorKind::Denied, Retry::Never),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", ErrorKind::NotFound, Retry::Never),
        (
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            ErrorKind::Unavailable,
            Retry::Later,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n",
            ErrorKind::Config,
            Retry::Never,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", ErrorKind::Closed, Retry::Never),
        // A stream that ends at once says: not now.
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 13\r\n\r\nretry: 1000\n\n",
            ErrorKind::Unavailable,
            Retry::Later,
        ),
    ] {
        let (subscribed, _exchange) =
            tokio::join!(source.subscribe(Subscription::latest()), server.answer(answer));
        let error = subscribed.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{answer}: {error}");
    }

    let (subscribed, first) =
        tokio::join!(source.subscribe(Subscription::latest()), server.stream("id: a\ndata: 1\n\n"));
    let mut subscribed = subscribed.unwrap();
    assert_eq!(text(&mut subscribed).await, "1");
    drop(first);
    assert_eq!(error(&mut subscribed).await.kind(), ErrorKind::Unavailable, "a cut is told");

    let at = Subscription::at(std::time::SystemTime::UNIX_EPOCH);
    assert_eq!(source.subscribe(at).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_client_of_the_applications_own_is_a_source_too() {
    let server = Server::start().await;
    let url = server.url("/v1/chat");
    let source = SseSource::new(move || {
        EventSource::builder(&*url).method(http::Method::POST).body("{\"stream\":true}").header("x-key", "k")
    });
    let (subscribed, first) = tokio::join!(
        source.as_ref().unwrap().subscribe(Subscription::latest()),
        server.stream("data: {}\n\n")
    );
    assert_eq!((&*first.line, &first.body[..]), ("POST /v1/chat HTTP/1.1", &b"{\"stream\":true}"[..]));
    assert_eq!(text(&mut subscribed.unwrap()).await, "{}");
}
