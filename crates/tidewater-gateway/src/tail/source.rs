//! A source in this process: a channel of a hub with one client.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, Method};
use tidewater::{Channel, Hub, Resume, Select, UpstreamState};
use tidewater::{PayloadMode, Retry, Start, plugin::open_source};

use super::Refused;
use crate::failure::Failure;

/// A channel over a source: what it prints is what a browser would get of it.
#[derive(Debug)]
pub(crate) struct Channels {
    channel: Channel,
    start: Option<Start>,
}

impl Channels {
    /// Opens the source. Inside a runtime.
    pub(crate) fn open(url: &str, since: Option<&str>, payload: PayloadMode) -> Result<Self, Failure> {
        let start = since.map(start).transpose()?;
        let channel = Hub::new()
            .channel("tail")
            .source(open_source(url)?)
            .payload(payload)
            .retry(Duration::from_secs(1))
            .open()?;
        Ok(Self { channel, start })
    }

    pub(super) async fn connect(
        &self,
        last_event_id: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, String>> + Unpin + use<>, Refused> {
        self.reached().await?;
        let last_event_id = (!last_event_id.is_empty()).then(|| last_event_id.to_owned());
        let resume = Resume { last_event_id, start: self.start, ..Resume::default() };
        Ok(self.channel.stream(resume, Select::all()).await.map(Ok))
    }

    /// Waits until the source answers, or says what is wrong. (A browser would be told to come back; here somebody
    /// looks at the terminal.)
    async fn reached(&self) -> Result<(), Refused> {
        loop {
            let status = self.channel.status();
            if status.upstream == UpstreamState::Live {
                return Ok(());
            }
            if let Some(error) = status.error {
                return Err(match error.retry() {
                    Retry::Later => Refused::ForNow(error.to_string()),
                    Retry::Never => Refused::ForGood(Failure::runtime(error)),
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Reads `--since` as the endpoint reads `?since=`.
fn start(text: &str) -> Result<Start, Failure> {
    let query = format!("since={}", super::http::percent_encoded(text));
    let read = tidewater::http::Resume::from_head(&Method::GET, Some(&query), &HeaderMap::new());
    let resume = read.map_err(|error| Failure::usage(format_args!("--since: {error}")))?;
    Ok(Resume::from(resume).start.unwrap_or_default())
}
