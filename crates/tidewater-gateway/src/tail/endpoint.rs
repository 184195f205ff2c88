//! An event stream of a server, by Tidewater's own client.

use std::time::Duration;

use futures_util::StreamExt;
use tidewater::{
    client::{Error, ErrorKind, EventSource, NOT_NOW, Signal},
    sse::Limits,
};

use super::{printer::Printer, too_long};
use crate::{failure::Failure, since::percent_encoded};

/// Three heartbeats of Tidewater's endpoints.
const READ_TIMEOUT: Duration = Duration::from_secs(45);
/// Signals that are printed at once, if they are there.
const CHUNK: usize = 256;

/// An event stream at an `http://` or `https://` URL.
#[derive(Debug)]
pub(crate) struct Endpoint(String);

impl Endpoint {
    /// Checks the URL; nothing is opened yet.
    pub(crate) fn new(url: &str, since: Option<&str>) -> Result<Self, Failure> {
        let endpoint = Self(match since {
            None => url.to_owned(),
            Some(since) => {
                let separator = if url.contains('?') { '&' } else { '?' };
                format!("{url}{separator}since={}", percent_encoded(since))
            }
        });
        endpoint.open("").map(|_| endpoint)
    }

    fn open(&self, last_event_id: &str) -> Result<EventSource, Failure> {
        let builder = EventSource::builder(&*self.0).read_timeout(READ_TIMEOUT).retry_statuses(NOT_NOW);
        builder.last_event_id(last_event_id).build().map_err(|error| match error.kind() {
            ErrorKind::Config if cfg!(not(feature = "sse-tls")) && self.0.starts_with("https:") => {
                let url = &self.0;
                Failure::usage(format_args!(
                    "{error}: without the feature sse-tls, let curl do it: curl -sN {url} | tidewater decode"
                ))
            }
            _ => Failure::usage(error),
        })
    }

    pub(super) async fn follow(&self, last_event_id: &str, printer: &mut Printer) -> Result<(), Failure> {
        let mut chunks = self.open(last_event_id)?.ready_chunks(CHUNK);
        let mut connected = false;
        while !printer.is_done() {
            let Some(signals) = chunks.next().await else { break };
            for signal in signals {
                match signal.map_err(ended)? {
                    Signal::Open(_) => connected = true,
                    Signal::Event(event) => printer.print(&event)?,
                    // A server that was never there is a mistake in the URL more often than one that is away.
                    Signal::Reconnecting { error, .. } if !connected => return Err(Failure::runtime(error)),
                    Signal::Reconnecting { error, after, .. } if error.kind() == ErrorKind::Ended => {
                        tracing::info!("{error}; connecting again in {after:?}");
                    }
                    Signal::Reconnecting { error, after, .. } => {
                        tracing::warn!("{error}; trying again in {after:?}");
                    }
                    _ => {}
                }
            }
            printer.flush()?;
        }
        Ok(())
    }
}

fn ended(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::TooLong => too_long(Limits::default().max_event_bytes),
        _ => Failure::runtime(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked() {
        for url in ["http:///x", "http://a b:x/", "ftp://a/"] {
            let error = Endpoint::new(url, None).unwrap_err().to_string();
            assert!(error.contains(&url[..8]), "{url}: {error}");
        }
        let with = |url, since| Endpoint::new(url, Some(since)).unwrap().0;
        assert_eq!(with("http://a/b", "5m"), "http://a/b?since=5m");
        assert_eq!(
            with("http://a/b?key=1", "2026-01-31T12:00:00+01:00"),
            "http://a/b?key=1&since=2026%2D01%2D31T12%3A00%3A00%2B01%3A00"
        );
    }
}
