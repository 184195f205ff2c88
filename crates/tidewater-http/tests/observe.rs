//! What an observer is told of requests and streams.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tidewater_core::memory::MemoryLog;
use tidewater_http::{
    Answered, Ask, Authorizer, Body, Endpoint, Exchange, Grant, Limits, LimitsConfig, Observer, OnEnd, Peer,
    Proxies, Refusal, Reply, Resume,
};
use tidewater_hub::{Begins, Channel, Ended, Ending, Hub, Select};
use tidewater_testkit::secret::{assert_hidden, secret};

/// Keeps what it is told, as lines.
#[derive(Clone, Debug, Default)]
struct Book {
    lines: Arc<Mutex<Vec<String>>>,
    ended: Arc<Mutex<Vec<Ended>>>,
}

impl Book {
    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }
}

impl Observer for Book {
    fn answered(&self, exchange: &Exchange<'_>, answered: &Answered) -> Option<OnEnd> {
        let stream = answered.stream.map(|stream| stream.map_or_else(Ending::as_str, Begins::as_str));
        self.lines.lock().unwrap().push(format!(
            "{} {} {} {:?} {:?} {stream:?} {:?} {:?}",
            exchange.request.method,
            exchange.channel,
            answered.status.as_u16(),
            exchange.client.map(|client| client.to_string()),
            exchange.subject,
            exchange.last_event_id(),
            exchange.known_query().collect::<Vec<_>>(),
        ));
        let ended = self.ended.clone();
        Some(Box::new(move |now| ended.lock().unwrap().push(now)))
    }
}

/// Grants ada everything but keys, and everybody else nothing.
#[derive(Debug)]
struct Ada;

#[async_trait]
impl Authorizer for Ada {
    async fn authorize(&self, ask: Ask<'_>) -> Result<Grant, Refusal> {
        match ask.head.headers.contains_key("authorization") {
            true => Ok(Grant::new().reading(Select::all()).publishing_keys([]).with_subject("ada")),
            false => Err(Refusal::unauthenticated("who are you?")),
        }
    }
}

fn channel() -> Channel {
    let log = MemoryLog::new("observed");
    Hub::new().channel("orders").source(log.source()).sink(log.sink()).open().unwrap()
}

async fn ask(endpoint: &Endpoint, method: &str, uri: &str, headers: &[(&str, &str)]) -> (StatusCode, Body) {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Full::new(bytes::Bytes::from("payload"))).unwrap();
    request.extensions_mut().insert(Peer::Address(([127, 0, 0, 1], 1).into()));
    let response = endpoint.respond(request).await;
    (response.status(), response.into_body())
}

/// Takes what comes until it contains this.
async fn until(body: &mut Body, part: &str) {
    while !String::from_utf8_lossy(&body.frame().await.unwrap().unwrap().into_data().unwrap()).contains(part)
    {
    }
}

#[tokio::test]
async fn requests_are_told_with_whose_they_are_and_without_what_is_secret() {
    let token = secret("observed");
    let book = Book::default();
    let limits = Limits::new(LimitsConfig::default(), Proxies::trust(["127.0.0.0/8"]).unwrap());
    let endpoint =
        Endpoint::new(channel()).limits(limits).authorize(Ada).publish(true).observe(Arc::new(book.clone()));
    let bearer = format!("Bearer {token}");
    let ada = [("authorization", bearer.as_str()), ("x-forwarded-for", "203.0.113.9")];
    let query = format!("/?access_token={token}&{token}&since=5m&topic=a%0Ab&last_event_id=q");
    for (method, uri, headers, line) in [
        (
            "POST",
            "/?key=k",
            &ada[..],
            r#"POST orders 403 Some("203.0.113.9") Some("ada") None None [("key", "k")]"#,
        ),
        ("GET", "/", &[], r#"GET orders 401 Some("127.0.0.1") None None None []"#),
        (
            "GET",
            "/?since=never",
            &ada,
            r#"GET orders 400 Some("203.0.113.9") None None None [("since", "never")]"#,
        ),
        ("OPTIONS", "/", &[], r#"OPTIONS orders 204 Some("127.0.0.1") None None None []"#),
        ("PUT", "/", &[], r#"PUT orders 405 Some("127.0.0.1") None None None []"#),
        (
            "GET",
            query.as_str(),
            &ada,
            r#"GET orders 200 Some("203.0.113.9") Some("ada") Some("gap") Some("q") [("since", "5m"), ("topic", "a\nb")]"#,
        ),
    ] {
        ask(&endpoint, method, uri, headers).await;
        let lines = book.lines();
        assert_eq!(lines, [line], "{method} {uri}");
        assert_hidden(&lines.join("\n"));
    }
}

#[tokio::test]
async fn a_stream_is_told_of_when_it_has_ended_and_one_that_was_none_is_not() {
    let book = Book::default();
    let channel = channel();
    let endpoint = Endpoint::new(channel.clone()).publish(true).observe(Arc::new(book.clone()));
    // Two observers are told the same.
    let other = Book::default();
    let endpoint = endpoint.observe(Arc::new(other.clone()));
    let (_, mut body) = ask(&endpoint, "GET", "/", &[]).await;
    until(&mut body, "tidewater.cursor").await;
    ask(&endpoint, "POST", "/", &[]).await;
    until(&mut body, "data: payload").await;
    assert!(book.ended.lock().unwrap().is_empty());
    drop(body);
    let ended = book.ended.lock().unwrap().pop().unwrap();
    assert_eq!((ended.why, ended.events), (Ending::Left, 1));
    assert_eq!(other.ended.lock().unwrap().pop(), Some(ended));

    book.lines();
    let full = Limits::new(LimitsConfig { streams: Some(0), ..LimitsConfig::default() }, Proxies::default());
    drop(ask(&endpoint.limits(full), "GET", "/", &[]).await);
    assert_eq!(book.lines(), [r#"GET orders 200 Some("127.0.0.1") None Some("full") None []"#]);
    assert!(book.ended.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_handler_of_the_applications_own_tells_it_too() {
    let (book, channel) = (Book::default(), channel());
    let (parts, ()) = Request::get("/users/ada").header("last-event-id", "h").body(()).unwrap().into_parts();
    let exchange = Exchange::new(channel.name(), &parts).subject("ada");
    let stream = channel.stream(Resume::from_parts(&parts).unwrap(), Select::key("ada")).await;
    let reply = exchange.answered(Reply::from(stream), &book);
    assert_eq!(book.lines(), [r#"GET orders 200 None Some("ada") Some("gap") Some("h") []"#]);
    drop(reply);
    assert_eq!(book.ended.lock().unwrap().pop().unwrap().why, Ending::Left);
}
