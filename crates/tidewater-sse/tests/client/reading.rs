//! How a stream is read.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tidewater_sse::{ErrorKind, EventSource, Limits, Signal};
use tokio::runtime;

use crate::{event, last_error, message, next, opened, quick, reconnecting, server::Server};

#[tokio::test]
async fn signals_come_in_the_order_of_the_stream() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).build().unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nx-a: 1\r\n\r\n";
    let text = "\u{feff}: hi\nretry: 7\nevent: e\ndata: x\ndata: y\nid: 1\n\n:\n";
    let (_exchange, signal) = tokio::join!(server.answer(format!("{head}{text}")), next(&mut source));
    let Signal::Open(response) = signal else { panic!("{signal:?}") };
    assert_eq!((response.status().as_u16(), &response.headers()["x-a"]), (200, &"1".parse().unwrap()));
    let signals = [next(&mut source).await, next(&mut source).await];
    let [Signal::Comment(comment), Signal::Retry(retry)] = signals else { panic!("{signals:?}") };
    assert_eq!((&*comment, retry), (" hi", Duration::from_millis(7)));
    assert_eq!(event(&mut source).await, ("e".to_owned(), "x\ny".to_owned(), "1".to_owned()));
    assert!(matches!(next(&mut source).await, Signal::Comment(comment) if comment.is_empty()));
    assert!(source.next().now_or_never().is_none());
}

/// Nothing reads ahead: there is no task that could, and a server can send no more than sockets hold.
#[tokio::test]
async fn bytes_are_read_when_they_are_asked_for() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).build().unwrap();
    let tasks = runtime::Handle::current().metrics().num_alive_tasks();
    let (mut exchange, ()) = tokio::join!(server.stream("data: first\n\n"), opened(&mut source));
    assert_eq!(event(&mut source).await, message("first", ""));
    assert_eq!(runtime::Handle::current().metrics().num_alive_tasks(), tasks, "a task was spawned");

    let data = "x".repeat(60_000);
    let chunk = format!("{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8);
    let mut sent = 0;
    let mut rest = chunk.as_bytes();
    while let Ok(count) = exchange.socket.get_ref().try_write(rest) {
        rest = &rest[count..];
        if rest.is_empty() {
            (sent, rest) = (sent + 1, chunk.as_bytes());
        }
        assert!(sent < 1_000, "somebody reads");
    }
    assert!(sent > 0);
    let rest = std::str::from_utf8(rest).unwrap().to_owned();
    let writing = async {
        exchange.send(&rest).await;
        exchange
    };
    let reading = async {
        for _ in 0..=sent {
            assert_eq!(event(&mut source).await.1.len(), data.len());
        }
    };
    let (exchange, ()) = tokio::join!(writing, reading);
    drop(source);
    exchange.closed().await;
}

#[tokio::test]
async fn dropping_it_closes_the_connection() {
    let server = Server::start().await;
    let mut source = EventSource::new(server.url("/")).unwrap();
    let (exchange, ()) = tokio::join!(server.stream(""), opened(&mut source));
    drop(source);
    exchange.closed().await;

    let mut source = EventSource::new(server.url("/")).unwrap();
    let exchange = tokio::select! {
        exchange = server.request() => exchange,
        signal = next(&mut source) => panic!("{signal:?}"),
    };
    drop(source);
    exchange.closed().await;
}

/// Futures are dropped at every turn; what comes is whole.
#[tokio::test]
async fn a_dropped_future_loses_nothing() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).build().unwrap();
    let serving = async {
        let mut exchange = server.request().await;
        exchange.begin_stream().await;
        for number in 0..50 {
            for part in [&format!("data: {number}"), "\n", "\n"] {
                exchange.chunk(part).await;
                tokio::task::yield_now().await;
            }
        }
        exchange
    };
    let reading = async {
        let mut data = Vec::new();
        while data.len() < 50 {
            match source.next().now_or_never() {
                None => tokio::task::yield_now().await,
                Some(Some(Ok(Signal::Event(event)))) => data.push(event.data.parse::<u32>().unwrap()),
                Some(Some(Ok(Signal::Open(_)))) => {}
                Some(other) => panic!("{other:?}"),
            }
        }
        data
    };
    let (_exchange, data) = crate::soon(async { tokio::join!(serving, reading) }).await;
    assert_eq!(data, Vec::from_iter(0..50));
}

#[tokio::test]
async fn silence_is_a_cut() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).read_timeout(Duration::from_millis(50)).build().unwrap();
    // Before an answer, and within a stream.
    let (silent, (kind, _)) = tokio::join!(server.request(), reconnecting(&mut source));
    assert_eq!(kind, ErrorKind::Timeout);
    silent.closed().await;
    let (silent, ()) = tokio::join!(server.stream(":"), opened(&mut source));
    let Signal::Reconnecting { error, .. } = next(&mut source).await else { panic!("it goes on") };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("nothing for 50ms"), "{error}");
    silent.closed().await;
}

#[tokio::test]
async fn an_event_past_its_limit_is_the_end() {
    let server = Server::start().await;
    let limits = Limits { max_line_bytes: 20, max_event_bytes: 20 };
    let mut source = quick(&server.url("/?key=s3cret")).limits(limits).build().unwrap();
    let text = format!("id: 1\ndata: x\n\ndata: {}\n\n", "y".repeat(30));
    let (_exchange, ()) = tokio::join!(server.stream(&text), opened(&mut source));
    assert_eq!(event(&mut source).await, message("x", "1"));
    let error = last_error(&mut source).await;
    assert_eq!(error.kind(), ErrorKind::TooLong);
    assert!(error.to_string().contains("20 bytes") && !error.to_string().contains("s3cret"), "{error}");
    assert_eq!(source.last_event_id(), "1");
}
