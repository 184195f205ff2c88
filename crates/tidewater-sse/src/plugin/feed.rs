//! One subscription: an event source whose events become deliveries, each with its place.

use std::{collections::VecDeque, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tidewater_core::{
    Cursor, Delivery, Error, ErrorKind, Gap, GapReason, Headers, Message, Next, Position, Result, Retry,
    TopicCursor,
    payload::{BINARY_EVENT, CURSOR_EVENT, EVENT_HEADER, GAP_EVENT, TOMBSTONE_EVENT},
};
use tokio::time::timeout;

use super::{
    EPOCH, Topic,
    position::{Base, Place},
};
use crate::{Builder, Event, EventSource, Signal};

/// How long the first block of a stream is waited for: Tidewater's own says at once where the stream begins.
const FIRST_BLOCK: Duration = Duration::from_millis(500);

/// A subscription.
pub(super) struct Feed {
    source: EventSource,
    topic: Topic,
    start: Place,
    /// After the last event that was read.
    place: Place,
    /// How many events without an id the server sends again, before anything else.
    again: u32,
    /// Whether anything has come since the stream was opened.
    heard: bool,
    ready: VecDeque<Delivery>,
}

impl Feed {
    /// Connects, and finds out where the stream begins.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if there is no connection now; what the endpoint answers that is no event stream.
    pub(super) async fn open(builder: Builder, topic: Topic, wanted: Option<Place>) -> Result<Self> {
        // A run can't be gone back to: what was wanted is the caller's to compare with the start.
        let wanted = wanted.filter(|place| matches!(place.base, Base::Id(_)));
        let source = builder.last_event_id(wanted.as_ref().map_or("", Place::id)).build().map_err(error)?;
        let again = wanted.as_ref().map_or(0, |place| place.behind);
        let found = wanted.is_some();
        let start = wanted.unwrap_or_else(Place::run);
        let mut feed = Self {
            source,
            topic,
            place: Place { behind: 0, ..start.clone() },
            start,
            again,
            heard: false,
            ready: VecDeque::new(),
        };
        while !matches!(feed.signal().await?, Signal::Open(_)) {}
        if !found {
            // An error comes again, or a reconnection brings something better.
            if let Ok(begun) = timeout(FIRST_BLOCK, feed.begin()).await {
                begun?;
            }
        }
        Ok(feed)
    }

    /// Where it starts.
    pub(super) fn start(&self) -> &Place {
        &self.start
    }

    /// The next delivery. The last one is an error.
    pub(super) async fn next(&mut self) -> Option<Result<Delivery>> {
        loop {
            if let Some(delivery) = self.ready.pop_front() {
                return Some(Ok(delivery));
            }
            let read = match self.signal().await {
                Ok(Signal::Event(event)) => self.event(event),
                Ok(Signal::Open(_)) => {
                    self.opened_again();
                    Ok(())
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                return Some(Err(error));
            }
        }
    }

    /// The next signal. A reconnection is an error, so that whoever reads knows that the source is down; but servers
    /// may end streams that were well and have them opened again.
    async fn signal(&mut self) -> Result<Signal> {
        let signal = match self.source.next().await {
            Some(signal) => signal.map_err(error)?,
            None => {
                let what = format!("{} says that there are no more events (204)", self.topic.name);
                return Err(Error::new(ErrorKind::Closed, what));
            }
        };
        match &signal {
            Signal::Open(_) => self.heard = false,
            Signal::Event(_) | Signal::Comment(_) => self.heard = true,
            Signal::Reconnecting { error, .. } if error.kind() == crate::ErrorKind::Ended && self.heard => {}
            Signal::Reconnecting { error, .. } => {
                return Err(Error::new(ErrorKind::Unavailable, error.to_string()));
            }
            _ => {}
        }
        Ok(signal)
    }

    /// Waits for the first event. If it only says where the stream begins, that is the start.
    async fn begin(&mut self) -> Result<()> {
        loop {
            if let Signal::Event(event) = self.signal().await? {
                if event.event_type == CURSOR_EVENT && !event.last_event_id.is_empty() {
                    self.place = Place::at(&event.last_event_id)?;
                    self.start = self.place.clone();
                    return Ok(());
                }
                return self.event(event);
            }
        }
    }

    /// The server has ended the stream and begun another one, from the last id if there is one.
    fn opened_again(&mut self) {
        match &self.place.base {
            Base::Id(_) => self.again = std::mem::take(&mut self.place.behind),
            Base::Run(_) => {
                // What was sent meanwhile, nobody knows.
                self.gap(GapReason::Lost);
                self.place = Place::run();
                self.progress();
            }
        }
    }

    fn event(&mut self, event: Event) -> Result<()> {
        let moved = event.last_event_id != self.place.id();
        if moved {
            self.again = 0;
            self.place =
                if event.last_event_id.is_empty() { Place::run() } else { Place::at(&event.last_event_id)? };
        }
        match &*event.event_type {
            CURSOR_EVENT if moved => self.progress(),
            CURSOR_EVENT => {}
            GAP_EVENT => {
                self.gap(reason(&event.data));
                self.progress();
            }
            _ => {
                if !moved || matches!(self.place.base, Base::Run(_)) {
                    self.place.behind = self.place.behind.saturating_add(1);
                }
                if self.again > 0 {
                    self.again -= 1;
                    return Ok(());
                }
                let message = self.message(event)?;
                self.ready.push_back(Delivery::Message(message));
            }
        }
        Ok(())
    }

    fn message(&self, event: Event) -> Result<Message> {
        let mut message = Message::new(self.topic.name.clone(), Bytes::new());
        message.tag = self.topic.tag;
        message.position = Position::Opaque(self.place.to_position()?);
        let binary =
            (event.event_type == BINARY_EVENT).then(|| BASE64_STANDARD.decode(&*event.data).ok()).flatten();
        if let Some(payload) = binary {
            message.payload = Some(payload.into());
            return Ok(message);
        }
        if event.event_type == TOMBSTONE_EVENT {
            message.payload = None;
            message.key = Some(event.data.into_bytes());
            return Ok(message);
        }
        message.payload = Some(event.data.into_bytes());
        if event.event_type != "message" {
            message.headers = Headers::from_iter([(EVENT_HEADER, event.event_type.into_bytes())]);
        }
        Ok(message)
    }

    fn gap(&mut self, reason: GapReason) {
        self.ready.push_back(Delivery::Gap(Gap {
            topic: self.topic.name.clone(),
            tag: self.topic.tag,
            partition: 0,
            missing: None,
            reason,
        }));
    }

    fn progress(&mut self) {
        let next = Next::After(self.place.to_bytes());
        let at = TopicCursor { tag: self.topic.tag, epoch: EPOCH.tag(), next };
        self.ready.push_back(Delivery::Progress(Cursor::from_iter([at])));
    }
}

/// The reason that another Tidewater's gap gives.
fn reason(data: &str) -> GapReason {
    use GapReason::{Ahead, Conflated, Epoch, Lag, Lost, Map, Replay, Retention, Unreadable};
    let told: Option<serde_json::Value> = serde_json::from_str(data).ok();
    let told = told.as_ref().and_then(|told| told["reason"].as_str());
    [Retention, Epoch, Ahead, Unreadable, Replay, Lag, Conflated, Map]
        .into_iter()
        .find(|reason| told == Some(reason.as_str()))
        .unwrap_or(Lost)
}

/// The client's error as the workspace's.
pub(super) fn error(error: crate::Error) -> Error {
    use crate::ErrorKind as From;
    let kind = match (error.kind(), error.status().map(|status| status.as_u16())) {
        (_, Some(401 | 403)) => ErrorKind::Denied,
        (_, Some(404 | 410)) => ErrorKind::NotFound,
        (From::Config | From::ContentType | From::Redirect, _) => ErrorKind::Config,
        (From::LastEventId | From::TooLong, _) => ErrorKind::Unsupported,
        _ => ErrorKind::Unavailable,
    };
    let retry = if error.is_transient() { Retry::Later } else { Retry::Never };
    Error::new(kind, error.to_string()).with_retry(retry)
}
