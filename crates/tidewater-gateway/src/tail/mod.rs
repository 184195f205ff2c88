//! Following a stream of events over cuts and restarts: what a browser's `EventSource` does (WHATWG HTML §9.2.3).

mod http;
mod source;

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::Either};
use tidewater::{
    payload::CURSOR_EVENT,
    sse::{DecodeError, Decoder, Event, Item},
};

pub(crate) use http::Http;
pub(crate) use source::Channels;

use crate::{commands::decode::Printed, failure::Failure, output::Output};

/// Where events come from.
pub(crate) enum Upstream {
    /// An endpoint of an HTTP server.
    Http(Http),
    /// A source, read in this process.
    Source(Channels),
}

/// How they are followed.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) json: bool,
    pub(crate) cursors: bool,
    pub(crate) count: Option<u64>,
    pub(crate) last_event_id: String,
}

/// Why there is no stream.
enum Refused {
    /// Trying again can help.
    ForNow(String),
    /// It can't.
    ForGood(Failure),
    /// The server has no more events, and says so.
    NoMore,
}

/// What an `EventSource` waits before it connects again, until the stream says otherwise.
const DEFAULT_RETRY: u64 = 2_000;
/// A server that can't be reached is not asked more often than this.
const MOST_RETRY: Duration = Duration::from_secs(30);
/// Never in a hot loop, whatever the stream says.
const LEAST_RETRY: Duration = Duration::from_millis(100);

/// Prints events until there are enough, or no more.
pub(crate) async fn follow(upstream: Upstream, follow: Follow) -> Result<(), Failure> {
    let mut decoder = Decoder::new().with_last_event_id(&*follow.last_event_id);
    let mut printer = Printer { output: Output::new(), left: follow.count, follow };
    let (mut connected, mut failures) = (false, 0_u32);
    while !printer.is_done() {
        decoder.restart();
        let cut = match upstream.connect(decoder.last_event_id()).await {
            Ok(chunks) => {
                (connected, failures) = (true, 0);
                printer.print_all(chunks, &mut decoder).await?
            }
            Err(Refused::NoMore) => break,
            Err(Refused::ForGood(failure)) => return Err(failure),
            // A server that was never there is a mistake in the URL more often than one that is away.
            Err(Refused::ForNow(why)) if !connected => return Err(Failure::runtime(why)),
            Err(Refused::ForNow(why)) => {
                failures += 1;
                Some(why)
            }
        };
        if printer.is_done() {
            break;
        }
        let wait = wait(decoder.retry(), failures);
        match cut {
            Some(why) => tracing::warn!("{why}; trying again in {wait:?}"),
            None => tracing::info!("the stream ended; connecting again in {wait:?}"),
        }
        tokio::time::sleep(wait).await;
    }
    printer.output.flush()
}

impl Upstream {
    async fn connect(
        &self,
        last_event_id: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, String>> + Unpin + use<>, Refused> {
        Ok(match self {
            Self::Http(http) => Either::Left(http.connect(last_event_id).await?),
            Self::Source(channels) => Either::Right(channels.connect(last_event_id).await?),
        })
    }
}

fn wait(retry: Option<u64>, failures: u32) -> Duration {
    let base = Duration::from_millis(retry.unwrap_or(DEFAULT_RETRY)).max(LEAST_RETRY);
    base.saturating_mul(1 << failures.saturating_sub(1).min(4)).min(MOST_RETRY.max(base))
}

struct Printer {
    output: Output,
    follow: Follow,
    left: Option<u64>,
}

impl Printer {
    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints a connection's events. Answers with what cut it, if it did not just end.
    async fn print_all(
        &mut self,
        mut chunks: impl Stream<Item = Result<Bytes, String>> + Unpin,
        decoder: &mut Decoder,
    ) -> Result<Option<String>, Failure> {
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => decoder.feed_bytes(chunk),
                Err(why) => return Ok(Some(why)),
            }
            let printed = self.print_complete(decoder);
            self.output.flush()?;
            printed?;
            if self.is_done() {
                break;
            }
        }
        Ok(None)
    }

    fn print_complete(&mut self, decoder: &mut Decoder) -> Result<(), Failure> {
        while !self.is_done() {
            match decoder.next_item() {
                Ok(Some(Item::Event(event))) => self.print(&event)?,
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(DecodeError::LineTooLong { limit } | DecodeError::EventTooLong { limit }) => {
                    return Err(Failure::runtime(format_args!(
                        "an event of the stream is longer than {limit} bytes, which is more than is kept"
                    )));
                }
                Err(error) => return Err(Failure::runtime(error)),
            }
        }
        Ok(())
    }

    fn print(&mut self, event: &Event) -> Result<(), Failure> {
        if event.event_type == CURSOR_EVENT && !self.follow.cursors {
            return Ok(());
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        if self.follow.json {
            self.output.json(&Printed::from(event))
        } else {
            self.output.line(Plain(event))
        }
    }
}

/// `TYPE: DATA`, further lines of data indented. Control characters are shown, not obeyed: a payload must not be able
/// to speak to the terminal.
struct Plain<'a>(&'a Event);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_shown(f, &self.0.event_type)?;
        f.write_str(":")?;
        for (index, line) in self.0.data.split('\n').enumerate() {
            f.write_str(if index == 0 { " " } else { "\n    " })?;
            write_shown(f, line)?;
        }
        Ok(())
    }
}

fn write_shown(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\t' => f.write_str("\t")?,
            c if c.is_control() => write!(f, "{}", c.escape_unicode())?,
            c => fmt::Write::write_char(f, c)?,
        }
    }
    Ok(())
}

/// What an I/O error says, for a message that names the address itself.
fn unreachable(address: &str, error: &io::Error) -> String {
    format!("{address} can't be reached: {error}. Is the server running, and is that its port?")
}

#[cfg(test)]
mod tests {
    use tidewater::sse::Utf8Bytes;

    use super::*;

    #[test]
    fn plain_text_cannot_speak_to_the_terminal() {
        let event = Event {
            event_type: "a".into(),
            data: "x\n\u{1b}[2J\ty\u{9b}".into(),
            last_event_id: Utf8Bytes::new(),
        };
        assert_eq!(Plain(&event).to_string(), "a: x\n    \\u{1b}[2J\ty\\u{9b}");
    }

    #[test]
    fn waits_grow_and_are_never_nothing() {
        let millis = |retry, failures| wait(retry, failures).as_millis();
        assert_eq!((millis(None, 0), millis(Some(0), 0), millis(Some(700), 1)), (2_000, 100, 700));
        assert_eq!(
            (millis(Some(700), 3), millis(Some(700), 40), millis(Some(60_000), 9)),
            (2_800, 11_200, 60_000)
        );
    }
}
