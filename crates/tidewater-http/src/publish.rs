//! `POST`: the body becomes a message.

use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Uri, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;
use tidewater_core::{Error, ErrorKind, EventFrom, Headers, Message, Position, payload, sse::EventName};
use tidewater_hub::{Channel, Published};
use tokio::time::timeout;

use crate::{
    Action, Ask, Authorizer, Body, Cors, Grant, Limits, Refusal, Rejection, body, cors::default_port,
    query::pairs, trace,
};

/// The most bytes that a key or the name of an event may have.
const MOST_NAME: usize = 4 << 10;

/// How large a body may be, and how long it may take to arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyBounds {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// What is published to, and who may publish how much.
#[derive(Clone, Copy)]
pub(crate) struct Publishing<'a> {
    pub(crate) channel: &'a Channel,
    pub(crate) cors: &'a Cors,
    pub(crate) authorizer: Option<&'a dyn Authorizer>,
    pub(crate) limits: Option<&'a Limits>,
    pub(crate) bounds: BodyBounds,
}

/// The message that a request is to publish, if it may. Tells the subject, too, as soon as it is known.
pub(crate) async fn message<B>(
    to: Publishing<'_>,
    parts: &Parts,
    body: B,
    subject: &mut Option<Arc<str>>,
) -> Result<Message, Rejection>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let Publishing { channel, cors, authorizer, limits, bounds } = to;
    // Only then: a page of another origin could use up what its visitor may publish.
    check_origin(cors, parts)?;
    check_length(parts, bounds.bytes)?;
    let asked = Asked::read(parts.uri.query())?;
    let grant = match authorizer {
        Some(authorizer) => Some(asked.authorize(channel, authorizer, parts, subject).await?),
        None => None,
    };
    check_rate(limits, parts, grant.as_ref())?;
    let mut message = Message::new(channel.name(), read(body, bounds).await?);
    message.key = asked.key;
    if let Some(event) = &asked.event {
        let from = channel.event_from();
        if !matches!(from, EventFrom::Header(_)) {
            return Err(Rejection::bad_request(format!(
                "?event={} would name nothing: the events of the channel {:?} have their names from elsewhere ({from})",
                event.as_str(),
                channel.name()
            )));
        }
        let value = Bytes::copy_from_slice(event.as_str().as_bytes());
        message.headers = [(channel.event_header(), value)].into_iter().collect::<Headers>();
    }
    Ok(message)
}

/// 202, with where the broker put it.
pub(crate) fn accepted(published: Published) -> Response<Body> {
    let (partition, offset) = match published.receipt.place {
        None => (None, None),
        Some(place) => {
            let offset = match place.position {
                Position::Offset(offset) => Some(offset),
                Position::Opaque(_) => None,
            };
            (Some(place.partition), offset)
        }
    };
    body::json(
        StatusCode::ACCEPTED,
        &json!({
            "topic": published.receipt.topic.as_str(),
            "partition": partition,
            "offset": offset,
            "id": published.id.map(|id| id.to_string()),
        }),
    )
}

/// What `POST` reads from the query.
#[derive(Debug)]
struct Asked {
    key: Option<Bytes>,
    event: Option<EventName>,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Self, Rejection> {
        let mut asked = Self { key: None, event: None };
        for pair in pairs(query)? {
            let twice = |name: &str| {
                Err(Rejection::bad_request(format!("?{name}= is given twice: a message has one")))
            };
            match &*pair.name {
                "key" | "event" if pair.value.len() > MOST_NAME => {
                    return Err(Rejection::bad_request(format!(
                        "?{}= has {} bytes: {MOST_NAME} at most (what is longer belongs into the body)",
                        pair.name,
                        pair.value.len()
                    )));
                }
                "key" if asked.key.is_some() => return twice("key"),
                "key" => asked.key = Some(pair.value.into()),
                "event" if asked.event.is_some() => return twice("event"),
                "event" => asked.event = Some(event_name(&pair.text()?)?),
                _ => {}
            }
        }
        Ok(asked)
    }

    /// Checks that the request may publish this.
    async fn authorize(
        &self,
        channel: &Channel,
        authorizer: &dyn Authorizer,
        parts: &Parts,
        subject: &mut Option<Arc<str>>,
    ) -> Result<Grant, Rejection> {
        let action =
            Action::Publish { key: self.key.as_ref(), event: self.event.as_ref().map(EventName::as_str) };
        let verdict = authorizer.authorize(Ask::new(channel.name(), action, parts));
        let grant = trace::authorized(channel.name(), verdict).await?;
        *subject = grant.subject().cloned();
        if grant.may_publish(self.key.as_deref()) {
            grant.check_time(SystemTime::now())?;
            return Ok(grant);
        }
        let what = if grant.publishes() { "with this ?key=" } else { "here" };
        Err(Refusal::forbidden(format!(
            "publishing {what} is not granted: the channel {:?}, for who asks",
            channel.name()
        ))
        .into())
    }
}

/// A name that an application may give an event. From a broker such a name is replaced, never an error; here
/// somebody can be told.
fn event_name(name: &str) -> Result<EventName, Rejection> {
    if payload::is_reserved(name) {
        return Err(Rejection::bad_request(format!(
            "?event={name} is reserved (so are tidewater.*, error and open): choose another name"
        )));
    }
    EventName::new(name).map_err(|error| Rejection::bad_request(format!("?event=: {error}")))
}

/// What a head says of its body: not all frameworks' bodies know how long they are going to be, and one may never come.
fn check_length(parts: &Parts, max: usize) -> Result<(), Rejection> {
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > max as u64 => Err(too_large(max)),
        _ => Ok(()),
    }
}

fn too_large(max: usize) -> Rejection {
    let text = format!("the body is larger than the {max} bytes that a message may have here");
    Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, text)
}

async fn read<B>(body: B, bounds: BodyBounds) -> Result<Bytes, Rejection>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let BodyBounds { bytes: max, time: longest } = bounds;
    if body.size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    match timeout(longest, Limited::new(body, max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(max)),
        Ok(Err(error)) => Err(Rejection::bad_request(format!("the body could not be read: {error}"))),
        // Who sends a byte now and then would hold its connection, and what is there of the body, without end.
        Err(_) => Err(Rejection::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body took longer than the {longest:?} that it may take here"),
        )),
    }
}

/// A page of another origin must not publish with its visitor's cookies: browsers send a `POST` of text without
/// asking first. Who is no browser sends no `Origin`.
fn check_origin(cors: &Cors, parts: &Parts) -> Result<(), Rejection> {
    let Some(origin) = parts.headers.get(header::ORIGIN) else { return Ok(()) };
    if cors.lists(origin) || is_own(origin, parts) {
        return Ok(());
    }
    Err(Rejection::new(
        StatusCode::FORBIDDEN,
        format!(
            "pages of the origin {} may not publish here: add it to the list of CORS origins",
            String::from_utf8_lossy(origin.as_bytes())
        ),
    ))
}

fn check_rate(limits: Option<&Limits>, parts: &Parts, grant: Option<&Grant>) -> Result<(), Rejection> {
    let Some(limits) = limits else { return Ok(()) };
    let address = limits.client(parts.extensions.get(), &parts.headers);
    limits.publish(address, grant.and_then(Grant::subject).map(|subject| &**subject)).map_err(|wait| {
        let text = format!("this client publishes more often than it may here: wait {wait:.1?}");
        Rejection::new(StatusCode::TOO_MANY_REQUESTS, text).retry_after(wait)
    })
}

/// Whether an origin is the one that the request was sent to. The scheme is not looked at, as a proxy may have taken
/// the TLS off.
fn is_own(origin: &HeaderValue, parts: &Parts) -> bool {
    let Ok(origin) = Uri::try_from(origin.as_bytes()) else { return false };
    let (Some(scheme), Some(theirs)) = (origin.scheme_str(), origin.authority()) else { return false };
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(ours) = parts.uri.authority().cloned().or_else(|| host?.parse().ok()) else { return false };
    let port = |port: Option<u16>| port.or(default_port(scheme));
    theirs.host().eq_ignore_ascii_case(ours.host()) && port(theirs.port_u16()) == port(ours.port_u16())
}

/// The status of what the sink says: 422 is for this message, 501 for a channel that can't publish, 503 for the rest,
/// which is the broker's.
pub(crate) fn refusal(error: &Error) -> Rejection {
    let status = match error.kind() {
        ErrorKind::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Rejection::new(status, error.to_string())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(uri: &str, host: &str, origin: &str) -> Parts {
        let request = Request::post(uri).header("host", host).header("origin", origin);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_page_of_the_same_host_may_publish() {
        for (host, origin) in [
            ("app.example", "https://app.example"),
            ("app.example:443", "https://app.example"),
            ("APP.example", "http://app.example:80"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(check_origin(&Cors::default(), &parts("/", host, origin)), Ok(()), "{host} {origin}");
        }
    }

    #[test]
    fn a_page_of_another_origin_may_not() {
        for (host, origin) in [
            ("app.example", "https://evil.example"),
            ("app.example", "https://app.example.evil"),
            ("app.example", "https://app.example:8443"),
            ("app.example:8080", "http://app.example"),
            ("app.example", "null"),
            ("app.example", ""),
            ("", "https://app.example"),
        ] {
            let refused = check_origin(&Cors::any(), &parts("/", host, origin)).unwrap_err();
            assert_eq!(refused.status(), 403, "{host} {origin}");
        }
        let cors = Cors::origins(["https://other.example"]).unwrap();
        assert_eq!(check_origin(&cors, &parts("/", "app.example", "https://other.example")), Ok(()));
    }

    /// A body that has a byte each second, for so many seconds.
    struct Dripping {
        left: u32,
        next: std::pin::Pin<Box<tokio::time::Sleep>>,
    }

    impl http_body::Body for Dripping {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            if self.left == 0 {
                return std::task::Poll::Ready(None);
            }
            std::task::ready!(self.next.as_mut().poll(cx));
            self.left -= 1;
            self.next = Box::pin(tokio::time::sleep(Duration::from_secs(1)));
            std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up() {
        let body = |left| Dripping { left, next: Box::pin(tokio::time::sleep(Duration::from_secs(1))) };
        let within = |bytes| BodyBounds { bytes, time: Duration::from_secs(30) };
        assert_eq!(read(body(29), within(100)).await.unwrap().len(), 29);
        let refused = read(body(u32::MAX), within(usize::MAX)).await.unwrap_err();
        assert_eq!(refused.status(), 408);
        assert_eq!(read(body(u32::MAX), within(10)).await.unwrap_err().status(), 413);
    }

    #[test]
    fn names_and_keys_are_checked() {
        for query in [
            "event=",
            "event=a%0Ab",
            "event=open",
            "event=error",
            "event=tidewater.gap",
            "event=%ff",
            "key=a&key=b",
            "event=a&event=b",
            &format!("key={}", "%61".repeat(MOST_NAME + 1)),
            &format!("event={}", "a".repeat(MOST_NAME + 1)),
        ] {
            assert_eq!(Asked::read(Some(query)).unwrap_err().status(), 400, "{query}");
        }
        assert!(Asked::read(Some(&format!("key={}", "%61".repeat(MOST_NAME)))).is_ok());
        let asked = Asked::read(Some("key=%ff&event=order.created&topic=x")).unwrap();
        assert_eq!(asked.key.as_deref(), Some(&b"\xff"[..]));
        assert_eq!(asked.event.as_ref().map(EventName::as_str), Some("order.created"));
    }
}
