//! A server of numbered events, which answers what a test tells it to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// The helpers as they are in the tree.
const HELPER: &str = include_str!("../../clients/js/tidewater.js");
const SHARED: &str = include_str!("../../clients/js/tidewater-shared.js");

/// How many events there are: 1, 2, … Their ids are their numbers.
pub(crate) const EVENTS: u32 = 12;

/// What one request is answered. When there is no more of them, a stream has all the events that it lacks and stays open.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// The events that the client lacks, up to this number; then the connection ends. `HEAD` takes none of these.
    Until(u32),
    /// A status, to whatever is asked.
    Status(u16),
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) last_event_id: Option<String>,
}

impl Seen {
    /// The method, and the id that it begins behind: the header wins, as everywhere.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.method, self.from().unwrap_or("0"))
    }

    fn from(&self) -> Option<&str> {
        let in_url = || self.target.split_once("last_event_id=").map(|(_, id)| id);
        self.last_event_id.as_deref().or_else(in_url)
    }
}

/// `/events` as the answers say, the helpers, and at every other path an empty page with one script.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    origin: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    script: String,
    answers: VecDeque<Answer>,
    seen: Vec<Seen>,
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = Self { origin: format!("http://{}", listener.local_addr()?), state: Arc::default() };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = accepting.clone();
                tokio::spawn(async move { server.answer(stream).await });
            }
        });
        Ok(server)
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The page's script: a module.
    pub(crate) fn script(&self, script: &str) {
        script.clone_into(&mut self.state().script);
    }

    /// What the next requests are answered, one after the other.
    pub(crate) fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state().answers.extend(answers);
    }

    /// What was asked of `/events`, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request on one connection.
    async fn answer(&self, stream: TcpStream) -> Result<()> {
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut head).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8(head)?;
        let header = |wanted: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned())
        };
        let mut words = head.split(' ');
        let (method, target) = (words.next().context("no method")?, words.next().context("no target")?);
        let cors = header("origin").map_or_else(String::new, |origin| {
            format!("access-control-allow-origin: {origin}\r\naccess-control-allow-credentials: true\r\n")
        });
        let write_head = |status: u16, kind: &str| {
            format!("HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\nconnection: close\r\n{cors}\r\n")
        };
        let path = target.split('?').next().unwrap_or_default();
        if path != "/events" {
            let answer = match path {
                "/tidewater.js" => write_head(200, "text/javascript") + HELPER,
                "/tidewater-shared.js" => write_head(200, "text/javascript") + SHARED,
                "/favicon.ico" => write_head(404, "text/plain"),
                _ => {
                    let page = format!("<!doctype html><script type=module>{}</script>", self.state().script);
                    write_head(200, "text/html") + &page
                }
            };
            stream.write_all(answer.as_bytes()).await?;
            return Ok(stream.shutdown().await?);
        }
        let last_event_id = header("last-event-id");
        let seen = Seen { method: method.to_owned(), target: target.to_owned(), last_event_id };
        let answer = {
            let mut state = self.state();
            state.seen.push(seen.clone());
            let is_taken = method == "GET" || matches!(state.answers.front(), Some(Answer::Status(_)));
            if is_taken { state.answers.pop_front() } else { None }
        };
        if let Some(Answer::Status(status)) = answer {
            stream.write_all(write_head(status, "text/plain").as_bytes()).await?;
            return Ok(stream.shutdown().await?);
        }
        stream.write_all(write_head(200, "text/event-stream").as_bytes()).await?;
        if method == "HEAD" {
            return Ok(stream.shutdown().await?);
        }
        let from: u32 = seen.from().map_or(Ok(0), str::parse)?;
        let (until, stays) = match answer {
            Some(Answer::Until(until)) => (until, false),
            _ => (EVENTS, true),
        };
        let cursor = format!("retry: 500\nevent: tidewater.cursor\nid: {from}\ndata:\n\n");
        let events = (from + 1..=until).map(event);
        stream.write_all(events.fold(cursor, |all, event| all + &event).as_bytes()).await?;
        if stays {
            // Until the page goes.
            stream.read_until(b'\n', &mut Vec::new()).await?;
        }
        Ok(stream.shutdown().await?)
    }
}

/// Every fourth has a name of its own.
fn event(number: u32) -> String {
    let name = if number.is_multiple_of(4) { "event: fourth\n" } else { "" };
    format!("{name}data: {number}\nid: {number}\n\n")
}
