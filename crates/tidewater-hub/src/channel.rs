//! A channel's handle.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidewater_core::{
    Cursor, Error, ErrorKind, EventFrom, Message, Place, Receipt, Result, Sink, Source, payload::EVENT_HEADER,
};
use tracing::{Instrument as _, Span, debug_span, field::Empty};

use crate::{
    builder::check_name,
    hub::Hub,
    resume::Resume,
    select::Select,
    settings::LagPolicy,
    state::Shared,
    status::Status,
    stream::{Ending, EventStream},
};

/// What comes from a source, rendered and kept for a while, and everybody who follows it. Cloning shares it.
///
/// It lives as long as its [`Hub`], with clients or without, or until [`Hub::close`]. Channels that read the same share
/// one upstream subscription ([`ChannelBuilder::share_upstream`](crate::ChannelBuilder::share_upstream)).
#[derive(Clone)]
pub struct Channel {
    pub(crate) hub: Hub,
    pub(crate) shared: Arc<Shared>,
}

impl Channel {
    /// Checks that a channel can have this name: 1 to 128 letters, digits, `-`, `_`, `.` and `~`, and not only dots.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with what a name may have.
    pub fn check_name(name: &str) -> Result<()> {
        check_name(name).map_err(|error| error.context(format!("channel {name:?}")))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Where its messages come from.
    pub fn source(&self) -> &Arc<dyn Source> {
        self.shared.source()
    }

    /// Where [`publish`](Self::publish) publishes to, if anywhere.
    pub fn sink(&self) -> Option<&Arc<dyn Sink>> {
        self.shared.sink.as_ref()
    }

    /// The hub it belongs to.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The normal reconnection time of its clients.
    pub fn retry(&self) -> Duration {
        self.shared.settings.retry
    }

    /// What may happen to a client that falls behind: the channel's own policy first, then what a subscription may
    /// choose instead, each once.
    pub fn lag_policies(&self) -> Vec<LagPolicy> {
        let mut all = Vec::new();
        for policy in &self.shared.settings.lag {
            if !all.contains(policy) {
                all.push(*policy);
            }
        }
        all
    }

    /// What names its events.
    pub fn event_from(&self) -> &EventFrom {
        &self.shared.render.event
    }

    /// The message header to publish an event's name in: the one that names the channel's events, or else
    /// `tidewater-event`, for others who read the topic.
    pub fn event_header(&self) -> &str {
        match self.event_from() {
            EventFrom::Header(name) => name,
            _ => EVENT_HEADER,
        }
    }

    /// A client's stream: what it asked for, narrowed by `select`.
    ///
    /// Never fails. What can't be served now becomes a stream that says when to come back and ends (I10).
    ///
    /// # Cancel safety
    /// Safe: nothing is left behind.
    pub async fn stream(&self, resume: impl Into<Resume>, select: Select) -> EventStream {
        let resume = resume.into();
        let span = debug_span!(
            "open",
            tidewater.channel = self.name(),
            tidewater.begins = Empty,
            tidewater.sent_away = Empty
        );
        if let Some(stream) = span.in_scope(|| EventStream::open_now(&self.shared, &resume, &select)) {
            opened(&span, &stream);
            return stream;
        }
        let shared = self.shared.clone();
        // Servers keep the room of a handler's future for as long as its connection lives.
        Box::pin(async move {
            let stream = EventStream::open(shared, resume, select).instrument(span.clone()).await;
            opened(&span, &stream);
            stream
        })
        .await
    }

    /// What a client gets that can't be served now, for a reason that passes by itself: a stream that says when to come back, each
    /// at a time of its own, and ends (I10).
    pub fn come_back(&self) -> EventStream {
        EventStream::sent_away(&self.shared, Ending::Unavailable)
    }

    /// Where the channel is now: the id to start from for whoever shows the state of the world and then its changes.
    ///
    /// Take it **before** the state is read. What was published before it is in the state, what is published after it
    /// comes by the stream; what falls between comes twice, so applying a change has to be idempotent. With the state
    /// read first, it would be missed. It is the broker's end where the source can replay and answers, else the place
    /// that this node has got to, which is earlier.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] while the source has not been reached yet.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn cursor(&self) -> Result<Cursor> {
        if self.shared.source().capabilities().replay {
            // What is in the broker when the caller asks is before the cursor, whether or not it is here yet.
            match self.shared.origin.bounds().await {
                Ok(bounds) => return Ok(bounds.end()),
                // This node's own place is older, and so as good: it repeats, and leaves nothing out.
                Err(error) => tracing::debug!(channel = self.name(), "the broker was not asked: {error}"),
            }
        }
        let state = self.shared.lock();
        match &state.log {
            Some(log) => Ok((**log.head()).clone()),
            None => Err(Error::new(
                ErrorKind::Unavailable,
                "the source has not been reached yet, try again shortly",
            )
            .context(format!("channel {:?}", self.name()))),
        }
    }

    /// Publishes through the channel's sink.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] without a sink; else as [`Sink::send`].
    ///
    /// # Cancel safety
    /// As [`Sink::send`].
    pub async fn publish(&self, message: Message) -> Result<Published> {
        let sink = self.sink().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "it has no sink, so nothing can be published to it")
                .context(format!("channel {:?}", self.name()))
        })?;
        let receipt = sink.send(message).await?;
        let id = receipt.place.as_ref().and_then(|place| self.id_after(place));
        Ok(Published { receipt, id })
    }

    /// How it is.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let (counts, rendered, origin) = (&shared.counts, &shared.render.counts, &shared.origin);
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (events_out, bytes_out) = counts.sent.read();
        let (backfill_readers, backfill_readers_most, backfill_waiting) = origin.readers.of(&shared.name);
        let state = shared.lock();
        Status {
            upstream: state.upstream,
            error: state.error.clone(),
            lag: origin.lag(),
            resubscriptions: count(&origin.subscriptions).saturating_sub(1),
            stalls: count(&origin.stalls),
            events_in: count(&counts.events_in),
            bytes_in: count(&counts.bytes_in),
            last_event: state.last_event.map(|came| came.elapsed()),
            events_out,
            bytes_out,
            clients: state.waiters.len(),
            opened: count(&counts.opened),
            sent_away: count(&counts.sent_away),
            log_events: state.log.as_ref().map_or(0, |log| log.events()),
            log_bytes: state.log.as_ref().map_or(0, |log| log.bytes()),
            channel_gaps: counts.channel_gaps.read(),
            gaps: counts.gaps.read(),
            resumes_from_log: count(&counts.resumes_from_log),
            resumes_from_broker: count(&counts.resumes_from_broker),
            resumes_with_gap: count(&counts.resumes_with_gap),
            lagged: count(&counts.lagged),
            lag_disconnects: count(&counts.lag_disconnects),
            backfill_readers,
            backfill_readers_most,
            backfill_waiting,
            backfill_segments: count(&counts.segments),
            map_failures: count(&rendered.map_failures),
            names_replaced: count(&rendered.names_replaced),
            binary_payloads: count(&rendered.binary),
        }
    }

    /// The cursor of a client that has everything this node has, and this message.
    fn id_after(&self, place: &Place) -> Option<Cursor> {
        let state = self.shared.lock();
        let mut cursor = (**state.log.as_ref()?.head()).clone();
        let epoch = cursor.topic(place.tag)?.epoch;
        if place.epoch.is_some_and(|own| own.tag() != epoch) {
            return None;
        }
        cursor.advance(place.tag, epoch, place.partition, &place.position);
        Some(cursor)
    }
}

/// Says where a stream begins.
fn opened(span: &Span, stream: &EventStream) {
    if span.is_disabled() {
        return;
    }
    match stream.begins() {
        Ok(begins) => span.record("tidewater.begins", begins.as_str()),
        Err(why) => span.record("tidewater.sent_away", why.as_str()),
    };
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.name())
            .field("source", self.source())
            .finish_non_exhaustive()
    }
}

/// What became of a published message.
#[derive(Clone, Debug)]
pub struct Published {
    /// What the broker said.
    pub receipt: Receipt,
    /// The id of a client that has it and everything before it on this node; `None` where the broker doesn't tell
    /// where it put the message.
    pub id: Option<Cursor>,
}
