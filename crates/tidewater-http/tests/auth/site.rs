//! An endpoint in this process, and what it answers.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tidewater_core::{Message, Outgoing, memory::MemoryLog, sse::Decoder};
use tidewater_http::{Authorizer, Body, Endpoint};
use tidewater_hub::{Channel, Hub, UpstreamState};
use tokio::time::timeout;

/// Long enough for what comes; what must not come is waited for until something behind it has come.
const SOON: Duration = Duration::from_secs(20);

pub struct Site {
    pub log: MemoryLog,
    pub channel: Channel,
    pub endpoint: Endpoint,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Body,
    decoder: Decoder,
}

impl Site {
    /// A channel on a log of this name, live. Each message is tagged with what stands before the first dot of its data.
    pub async fn new(name: &str, authorizer: impl Authorizer) -> Self {
        let log = MemoryLog::new(name);
        let step = |message: &Message| {
            let data = String::from_utf8_lossy(message.payload.as_deref().unwrap_or_default()).into_owned();
            let tag = data.split('.').next().unwrap_or_default().to_owned();
            Ok(Some(Outgoing::new(data).tag(tag)))
        };
        let channel =
            Hub::new().channel("orders").source(log.source()).sink(log.sink()).map(step).open().unwrap();
        while channel.status().upstream != UpstreamState::Live {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let endpoint = Endpoint::new(channel.clone()).authorize(authorizer).publish(true);
        Self { log, channel, endpoint }
    }

    pub fn write(&self, key: &str, data: &str) {
        self.log.publish(Message::new("t", data.to_owned()).with_key(key.to_owned()));
    }

    pub async fn ask(&self, method: &str, query: &str, headers: &[(&str, &str)]) -> Answer {
        let uri = format!("/channels/orders?{query}");
        let mut request = Request::builder().method(method).uri(uri).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(Bytes::from_static(b"posted"))).unwrap()).await
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        timeout(SOON, self.endpoint.respond(request)).await.unwrap().into()
    }

    pub async fn get(&self, query: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", query, headers).await
    }
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body, decoder: Decoder::new() }
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The data of the next event of the application's; `None` at the end of the stream. Heartbeats don't count as something.
    pub async fn event(&mut self) -> Option<String> {
        timeout(SOON, self.next()).await.expect("something comes")
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            while let Some(event) = self.decoder.next_event().unwrap() {
                if !event.event_type.starts_with("tidewater.") {
                    return Some(event.data.to_string());
                }
            }
            let frame = self.body.frame().await?;
            self.decoder.feed_bytes(frame.unwrap().into_data().unwrap());
        }
    }

    /// What has come so far, all that is in memory.
    #[cfg(feature = "jwt")]
    pub async fn ready(&mut self) -> String {
        use futures_util::FutureExt as _;

        let mut text = String::new();
        // What is not there at the first poll would have to be asked for.
        let first = timeout(SOON, self.body.frame()).await.unwrap();
        let mut frames = first.into_iter().collect::<Vec<_>>();
        while let Some(Some(frame)) = self.body.frame().now_or_never() {
            frames.push(frame);
        }
        for frame in frames {
            text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
        text
    }

    /// All of a body that has an end.
    pub async fn text(self) -> String {
        let all = timeout(SOON, self.body.collect()).await.unwrap().unwrap().to_bytes();
        String::from_utf8(all.to_vec()).unwrap()
    }

    /// That it is a stream which tells its client when to come back, and nothing else.
    pub async fn assert_comes_back(self) {
        assert_eq!((self.status.as_u16(), self.header("content-type")), (200, Some("text/event-stream")));
        let text = self.text().await;
        assert!(text.starts_with("retry: ") && text.lines().count() == 2, "{text}");
    }
}
