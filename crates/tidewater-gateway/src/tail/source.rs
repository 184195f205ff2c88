//! A source in this process: a channel of a hub with one client.

use std::time::Duration;

use futures_util::StreamExt;
use tidewater::{
    Channel, Hub, PayloadMode, Resume, Select, Start, UpstreamState,
    plugin::open_source,
    sse::{DecodeError, Decoder},
};

use super::{printer::Printer, too_long};
use crate::{failure::Failure, since};

/// What is waited until the stream says otherwise.
const RETRY: Duration = Duration::from_secs(1);

/// A channel over a source: what it prints is what a browser would get of it.
#[derive(Debug)]
pub(crate) struct Channels {
    channel: Channel,
    start: Option<Start>,
}

impl Channels {
    /// Opens the source. Inside a runtime.
    pub(crate) fn open(url: &str, since: Option<&str>, payload: PayloadMode) -> Result<Self, Failure> {
        let start = since.map(|text| since::start("--since", text)).transpose()?;
        let channel =
            Hub::new().channel("tail").source(open_source(url)?).payload(payload).retry(RETRY).open()?;
        Ok(Self { channel, start })
    }

    /// Prints what comes. The hub ends a stream when its client shall come back with the last id.
    pub(super) async fn follow(&self, last_event_id: &str, printer: &mut Printer) -> Result<(), Failure> {
        let mut decoder = Decoder::new().with_last_event_id(last_event_id);
        self.reached().await?;
        loop {
            decoder.restart();
            let last_event_id = Some(decoder.last_event_id().to_owned()).filter(|id| !id.is_empty());
            let resume = Resume { last_event_id, start: self.start, ..Resume::default() };
            let mut chunks = self.channel.stream(resume, Select::all()).await;
            while let Some(chunk) = chunks.next().await {
                decoder.feed_bytes(chunk);
                while let Some(event) = decoder.next_event().map_err(too_much)? {
                    printer.print(&event)?;
                }
                printer.flush()?;
                if printer.is_done() {
                    return Ok(());
                }
            }
            tokio::time::sleep(decoder.retry().map_or(RETRY, Duration::from_millis)).await;
        }
    }

    /// Waits until the source answers, or says what is wrong. (A browser would be told to come back; here somebody
    /// looks at the terminal.)
    async fn reached(&self) -> Result<(), Failure> {
        loop {
            let status = self.channel.status();
            if status.upstream == UpstreamState::Live {
                return Ok(());
            }
            if let Some(error) = status.error {
                return Err(Failure::runtime(error));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn too_much(error: DecodeError) -> Failure {
    match error {
        DecodeError::LineTooLong { limit } | DecodeError::EventTooLong { limit } => too_long(limit),
        other => Failure::runtime(other),
    }
}
