//! The streams that are open, and the requests that open and close them.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::json;
use tidewater_sse::Handle;
use tokio::{sync::Notify, task::JoinHandle};

use crate::{
    callbacks::follow,
    requests::{Command, Create},
};

/// What the client can do besides what the standard asks of each. Not `event-type-listeners`: that would say that it hears
/// of an event only who listens for its type, and here all are told.
const CAPABILITIES: [&str; 9] = [
    "bom",
    "comments",
    "headers",
    "last-event-id",
    "post",
    "read-timeout",
    "report",
    "restart",
    "server-directed-shutdown-request",
];

/// All streams of this program.
#[derive(Default)]
pub(crate) struct Service {
    streams: Mutex<Streams>,
    end: Notify,
}

#[derive(Default)]
struct Streams {
    opened: u64,
    open: HashMap<u64, Open>,
}

/// A stream that is followed until this is dropped.
struct Open {
    handle: Handle,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Answer = Response<Full<Bytes>>;

impl Service {
    /// Resolves when the harness has said that it is the end.
    pub(crate) async fn ended(&self) {
        self.end.notified().await;
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let (head, body) = request.into_parts();
        let id = head.uri.path().strip_prefix("/streams/").map(str::parse::<u64>);
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Ok(text(StatusCode::BAD_REQUEST, error.to_string())),
        };
        Ok(match (head.method, id, head.uri.path()) {
            (Method::GET, None, "/") => {
                let about = json!({ "name": "tidewater-sse", "capabilities": CAPABILITIES });
                let mut answer = text(StatusCode::OK, about.to_string());
                answer
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                answer
            }
            (Method::POST, None, "/") => self.create(&body),
            (Method::DELETE, None, "/") => {
                self.end.notify_one();
                text(StatusCode::NO_CONTENT, "")
            }
            (Method::POST, Some(Ok(id)), _) => self.command(id, &body),
            (Method::DELETE, Some(Ok(id)), _) => match self.streams().open.remove(&id) {
                Some(_) => text(StatusCode::NO_CONTENT, ""),
                None => no_stream(id),
            },
            (method, _, path) => text(StatusCode::NOT_FOUND, format!("there is no {method} {path}")),
        })
    }

    fn create(&self, body: &[u8]) -> Answer {
        let create: Create = match serde_json::from_slice(body) {
            Ok(create) => create,
            Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let source = match create.source() {
            Ok(source) => source,
            Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error:#}")),
        };
        let handle = source.handle();
        let task = tokio::spawn(async move {
            if let Err(error) = follow(source, create.callback_url).await {
                eprintln!("{}: the harness can't be told: {error:#}", create.tag);
            }
        });
        let mut streams = self.streams();
        streams.opened += 1;
        let id = streams.opened;
        streams.open.insert(id, Open { handle, task });
        let mut answer = text(StatusCode::CREATED, "");
        // Digits are a header value always.
        if let Ok(location) = HeaderValue::try_from(format!("/streams/{id}")) {
            answer.headers_mut().insert(header::LOCATION, location);
        }
        answer
    }

    fn command(&self, id: u64, body: &[u8]) -> Answer {
        let streams = self.streams();
        let Some(stream) = streams.open.get(&id) else { return no_stream(id) };
        match serde_json::from_slice::<Command>(body) {
            Ok(command) if command.command == "restart" => {
                stream.handle.restart();
                text(StatusCode::ACCEPTED, "")
            }
            Ok(command) => {
                text(StatusCode::BAD_REQUEST, format!("no command {:?}: there is restart", command.command))
            }
            Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer
}

fn no_stream(id: u64) -> Answer {
    text(StatusCode::NOT_FOUND, format!("there is no stream {id}"))
}
