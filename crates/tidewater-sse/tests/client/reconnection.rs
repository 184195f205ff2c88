//! Cuts, and what comes after them.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::poll_fn};
use tidewater_sse::{ErrorKind, EventSource, Signal};
use tokio::sync::Notify;

use crate::{event, last_error, message, next, opened, quick, reconnecting, server::Server, soon};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

#[tokio::test]
async fn a_stream_goes_on_with_the_last_id() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).build().unwrap();
    let (exchange, ()) =
        tokio::join!(server.stream("id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: cut"), opened(&mut source));
    assert_eq!(exchange.header("last-event-id"), None);
    assert_eq!(event(&mut source).await, message("a", "1"));
    assert_eq!(event(&mut source).await, message("b", "1"));
    exchange.end().await;
    assert_eq!(reconnecting(&mut source).await.0, ErrorKind::Ended);
    let (exchange, ()) = tokio::join!(server.stream("data: c\n\nid\ndata: d\n\n"), opened(&mut source));
    assert_eq!(exchange.header("last-event-id"), Some("1"), "not of the block that was cut");
    assert_eq!(event(&mut source).await, message("c", "1"));
    assert_eq!(event(&mut source).await, message("d", ""));
    drop(exchange);
    assert_eq!(reconnecting(&mut source).await.0, ErrorKind::Cut);
    let (exchange, ()) = tokio::join!(server.stream(""), opened(&mut source));
    assert_eq!(exchange.header("last-event-id"), None, "an empty id is none");
}

#[tokio::test]
async fn events_outlive_cuts() {
    let server = Server::start().await;
    let mut events = quick(&server.url("/")).build().unwrap().events();
    for number in 0..3 {
        let text = format!(":comment\nretry: 1\nid: {number}\ndata: {number}\n\n");
        let (exchange, event) = tokio::join!(server.stream(&text), next(&mut events));
        assert_eq!(event.data, number.to_string());
        assert_eq!(exchange.header("last-event-id").is_some(), number > 0);
        exchange.end().await;
    }
    assert_eq!(events.get_ref().last_event_id(), "2");
    let (_, end) = tokio::join!(server.answer("HTTP/1.1 204 No\r\n\r\n"), soon(events.next()));
    assert!(end.is_none());
}

#[tokio::test]
async fn an_id_that_no_header_carries_is_an_error_and_not_lost_in_silence() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/?key=s3cret")).build().unwrap();
    let (exchange, ()) = tokio::join!(server.stream("id: a\u{1}b\ndata: x\n\n"), opened(&mut source));
    assert_eq!(event(&mut source).await, message("x", "a\u{1}b"));
    exchange.end().await;
    reconnecting(&mut source).await;
    let error = last_error(&mut source).await;
    assert_eq!(error.kind(), ErrorKind::LastEventId);
    assert!(!error.to_string().contains("s3cret"), "{error}");
    assert_eq!(source.last_event_id(), "a\u{1}b", "whoever knows better can still go on");
}

#[tokio::test]
async fn a_server_that_is_away_is_found_again() {
    let server = Server::start().await;
    let address = server.address();
    let mut source = quick(&server.url("/x?key=s3cret")).build().unwrap();
    drop(server);
    let Signal::Reconnecting { error, .. } = next(&mut source).await else { panic!("nobody listens") };
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(text.contains(&format!("http://{address}/x can't be reached")), "{text}");
    assert!(text.to_lowercase().contains("connection refused") && !text.contains("s3cret"), "{text}");
    let server = Server::start_at(&address).await;
    let open = async { while !matches!(next(&mut source).await, Signal::Open(_)) {} };
    tokio::join!(server.stream(""), open);
}

#[tokio::test]
async fn what_breaks_before_an_answer_passes() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).build().unwrap();
    for (answer, kind) in [
        ("", ErrorKind::Cut),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/ev", ErrorKind::Cut),
        ("SSH-2.0-OpenSSH_10.0\r\n", ErrorKind::Http),
    ] {
        let answered = async { drop(server.answer(answer).await) };
        let ((), (found, _)) = tokio::join!(answered, reconnecting(&mut source));
        assert_eq!(found, kind, "{answer}");
    }
}

#[tokio::test]
async fn waits_grow_until_a_stream_brings_something() {
    let server = Server::start().await;
    let builder = EventSource::builder(server.url("/")).initial_retry(Duration::from_millis(20));
    let mut source = builder.max_retry(Duration::from_millis(100)).build().unwrap();
    let bounds = [(20, 25), (20, 40), (40, 80), (50, 100), (50, 100)];
    for (least, most) in bounds {
        // A server that takes connections and ends them: nothing that it does is good.
        let answer = async { drop(server.answer(STREAM).await) };
        tokio::join!(answer, opened(&mut source));
        let after = reconnecting(&mut source).await.1.as_millis();
        assert!((least..=most).contains(&after), "{after} is not within {least} and {most}");
    }
    let answer = async { drop(server.answer(format!("{STREAM}:")).await) };
    tokio::join!(answer, opened(&mut source));
    let after = reconnecting(&mut source).await.1.as_millis();
    assert!((20..=25).contains(&after), "{after}");
}

#[tokio::test]
async fn the_streams_reconnection_time_counts_within_bounds() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).build().unwrap();
    for (retry, said, waited) in
        [("120", 120, 120..=150), ("0", 0, 100..=125), ("99999999999", 99_999_999_999, 3_600_000..=4_500_000)]
    {
        let text = format!("retry: {retry}\n");
        let (exchange, ()) = tokio::join!(server.stream(&text), opened(&mut source));
        let signal = next(&mut source).await;
        assert!(matches!(signal, Signal::Retry(time) if time == Duration::from_millis(said)), "{signal:?}");
        exchange.end().await;
        let after = reconnecting(&mut source).await.1.as_millis();
        assert!(waited.contains(&after), "{retry}: {after}");
        assert_eq!(source.retry().as_millis(), *waited.start());
    }
    // An hour is not waited here.
    source.restart();
    let (exchange, ()) = tokio::join!(server.stream(""), opened(&mut source));
    exchange.end().await;
    assert!(reconnecting(&mut source).await.1 >= Duration::from_secs(3_600), "it outlives its connection");
}

#[tokio::test]
async fn a_restart_connects_at_once_from_what_was_taken() {
    let server = Server::start().await;
    let builder = EventSource::builder(server.url("/")).initial_retry(Duration::from_secs(3_600));
    let mut source = builder.build().unwrap();
    let (first, ()) =
        tokio::join!(server.stream("id: 1\ndata: a\n\nid: 2\ndata: b\n\n"), opened(&mut source));
    assert_eq!(event(&mut source).await, message("a", "1"));
    source.restart();
    let (second, ()) = tokio::join!(server.stream("id: 2\ndata: b\n\n"), opened(&mut source));
    assert_eq!(second.header("last-event-id"), Some("1"), "the second one was read and not taken");
    first.closed().await;
    assert_eq!(event(&mut source).await, message("b", "2"));

    // From elsewhere, while somebody waits for what does not come.
    let handle = source.handle();
    let polled = Arc::new(Notify::new());
    let opening = tokio::spawn({
        let polled = polled.clone();
        async move {
            let mut next = source.next();
            let signal = poll_fn(|cx| {
                let signal = next.poll_unpin(cx);
                polled.notify_one();
                signal
            });
            assert!(matches!(soon(signal).await, Some(Ok(Signal::Open(_)))));
            source
        }
    });
    soon(polled.notified()).await;
    handle.restart();
    let (third, source) = tokio::join!(server.stream(""), opening);
    let mut source = source.unwrap();
    assert_eq!(third.header("last-event-id"), Some("2"));
    second.closed().await;

    // And in the middle of a long wait.
    third.end().await;
    assert!(reconnecting(&mut source).await.1 >= Duration::from_secs(3_600));
    assert!(source.next().now_or_never().is_none(), "it waits");
    source.handle().restart();
    tokio::join!(server.stream(""), opened(&mut source));
}
