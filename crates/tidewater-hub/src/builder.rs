//! How a channel is made.

use std::{fmt, sync::Arc, time::Duration};

use tidewater_core::{
    Combined, Error, ErrorKind, EventFrom, Message, Outgoing, PayloadMode, Result, Sink, Source, Start,
    memory::{MemorySink, MemorySource},
    plugin::{open_sink, open_source},
};

use crate::{
    channel::Channel,
    hub::Hub,
    log::LogBounds,
    render::{Counts, Map, Render},
    retry,
    settings::{AllowedReplay, LagPolicy, MapFailure, Prewarm, Settings},
    state::Shared,
};

/// Longer than anybody lets messages wait.
const MAX_LINGER: Duration = Duration::from_secs(60);

/// A channel in the making. [`open`](Self::open) makes it.
#[must_use = "a channel is made by open()"]
pub struct ChannelBuilder {
    hub: Hub,
    name: String,
    sources: Vec<Result<Arc<dyn Source>>>,
    sink: Option<Result<Arc<dyn Sink>>>,
    map: Option<Map>,
    on_failure: MapFailure,
    payload: PayloadMode,
    event: EventFrom,
    share: bool,
    settings: Settings,
}

impl ChannelBuilder {
    pub(crate) fn new(hub: Hub, name: String) -> Self {
        Self {
            hub,
            name,
            sources: Vec::new(),
            sink: None,
            map: None,
            on_failure: MapFailure::default(),
            payload: PayloadMode::default(),
            event: EventFrom::default(),
            share: true,
            settings: Settings::default(),
        }
    }

    /// Where messages come from: a URL (`"kafka://localhost:9092/orders"`), or a source. An error in a URL is told by
    /// [`open`](Self::open). Given more than once, they are [combined](Combined): the channel has the topics of all.
    pub fn source(mut self, source: impl IntoSource) -> Self {
        self.sources.push(source.into_source());
        self
    }

    /// Where [`Channel::publish`] publishes to: a URL, or a sink. Without one, publishing is refused.
    pub fn sink(mut self, sink: impl IntoSink) -> Self {
        self.sink = Some(sink.into_sink());
        self
    }

    /// The application's own step, run once for each message before it is encoded. `Ok(None)` sends nothing. It may
    /// run again for a message that is read from the broker for a client that was away.
    pub fn map<F>(mut self, map: F) -> Self
    where
        F: Fn(&Message) -> Result<Option<Outgoing>> + Send + Sync + 'static,
    {
        self.map = Some(Arc::new(map));
        self
    }

    /// What becomes of a message on which the map fails or panics. Default: a gap.
    pub fn on_map_failure(mut self, on_failure: MapFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// How payloads are written. Default: as text.
    pub fn payload(mut self, payload: PayloadMode) -> Self {
        self.payload = payload;
        self
    }

    /// What names the events. Default: the message header `tidewater-event`. Names that are illegal or reserved go out as
    /// `message`, and are counted; a fixed one is refused by [`open`](Self::open).
    pub fn event(mut self, from: EventFrom) -> Self {
        self.event = from;
        self
    }

    /// The message header that names the event: [`event`](Self::event) of [`EventFrom::Header`].
    pub fn event_header(self, name: impl Into<String>) -> Self {
        self.event(EventFrom::Header(name.into()))
    }

    /// What happens to a client that falls behind. Default: backfill.
    pub fn lag(mut self, lag: LagPolicy) -> Self {
        if let Some(own) = self.settings.lag.first_mut() {
            *own = lag;
        }
        self
    }

    /// What a subscription may choose instead ([`Resume::lag`](crate::Resume::lag), `?lag=`). Default: nothing.
    pub fn lag_choices(mut self, choices: impl IntoIterator<Item = LagPolicy>) -> Self {
        self.settings.lag.truncate(1);
        self.settings.lag.extend(choices);
        self
    }

    /// How far back a client may go. Default: as far as the broker can.
    pub fn replay(mut self, replay: AllowedReplay) -> Self {
        self.settings.replay = replay;
        self
    }

    /// How often an idle client gets a cursor. Default: 15 s. Behind a proxy, keep it below the proxy's read timeout.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.settings.heartbeat = heartbeat;
        self
    }

    /// How long a browser waits before it reconnects. Default: 2 s; never under 500 ms.
    pub fn retry(mut self, retry: Duration) -> Self {
        self.settings.retry = retry.max(retry::SHORTEST);
        self
    }

    /// How much is kept in memory.
    pub fn log(mut self, log: LogBounds) -> Self {
        self.settings.log = log;
        self
    }

    /// How much of the past is read into the log when the channel starts, or `None`. Default: 8,192 events or 8 MiB. Only
    /// where the source replays, and can compare positions. Clients that come back in the meantime wait for it, for 5 s at
    /// most; new ones don't.
    pub fn prewarm(mut self, prewarm: impl Into<Option<Prewarm>>) -> Self {
        self.settings.prewarm = prewarm.into();
        self
    }

    /// How long a message may wait for others, so that clients get them in one write: at high rates it trades latency for
    /// processor time. Default: not at all; what comes together goes out together anyway. A minute at most.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = linger.min(MAX_LINGER);
        self
    }

    /// Where a client without an id starts. Default: at the latest.
    pub fn start(mut self, start: Start) -> Self {
        self.settings.start = start;
        self
    }

    /// Allows ids past 4 KiB. Raise the header limits of every proxy in front (nginx: 8 KiB for all headers).
    pub fn large_ids(mut self, large_ids: bool) -> Self {
        self.settings.large_ids = large_ids;
        self
    }

    /// How many subscriptions may read the past at once for clients that were away longer than the log goes back, at
    /// least 1. Default: 4. They belong to the source: channels that share one share its readers, and the channel that
    /// allows most decides.
    pub fn backfill_readers(mut self, readers: usize) -> Self {
        self.settings.readers = readers.max(1);
        self
    }

    /// Whether the upstream subscription may be shared with channels of this hub whose sources read the same
    /// ([`Source::share_key`]). Default: yes. A shared one costs the broker once; but a map that is slow delays every
    /// channel that shares with it, so give such a channel a subscription of its own.
    pub fn share_upstream(mut self, share: bool) -> Self {
        self.share = share;
        self
    }

    /// Makes the channel and starts its upstream subscription, or joins one that reads the same, where that is now. A broker that can't be reached is no error: it is
    /// tried again behind the channel, and [`Channel::status`] tells.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a name that is empty, taken or not usable in a URL path, a fixed event name that can't be used, a missing source, or a
    /// malformed URL; [`ErrorKind::UnknownScheme`]; [`ErrorKind::Closed`] while the hub drains.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(self) -> Result<Channel> {
        let context = |error: Error| error.context(format!("channel {:?}", self.name));
        check_name(&self.name).map_err(context)?;
        self.event.check().map_err(context)?;
        let sources = self.sources.into_iter().collect::<Result<Vec<_>>>();
        let source = sources.and_then(one_source).map_err(context)?;
        let sink = self.sink.transpose().map_err(context)?;
        let name: Arc<str> = self.name.as_str().into();
        let render = Render {
            channel: name.clone(),
            map: self.map,
            on_failure: self.on_failure,
            payload: self.payload,
            event: self.event,
            counts: Counts::default(),
        };
        let settings = self.settings;
        let make = |origin| Shared::new(name.clone(), settings, origin, sink, render);
        self.hub.insert(&name, source, self.share, make)
    }
}

impl fmt::Debug for ChannelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, sources) = (&self.name, &self.sources);
        f.debug_struct("ChannelBuilder").field("name", name).field("sources", sources).finish_non_exhaustive()
    }
}

/// What [`ChannelBuilder::source`] takes.
pub trait IntoSource {
    /// The source, or what is wrong with its URL.
    ///
    /// # Errors
    /// As [`open_source`].
    fn into_source(self) -> Result<Arc<dyn Source>>;
}

impl IntoSource for &str {
    fn into_source(self) -> Result<Arc<dyn Source>> {
        open_source(self)
    }
}

impl IntoSource for String {
    fn into_source(self) -> Result<Arc<dyn Source>> {
        open_source(&self)
    }
}

impl IntoSource for Arc<dyn Source> {
    fn into_source(self) -> Result<Arc<dyn Source>> {
        Ok(self)
    }
}

impl<S: Source> IntoSource for Arc<S> {
    fn into_source(self) -> Result<Arc<dyn Source>> {
        Ok(self)
    }
}

impl IntoSource for MemorySource {
    fn into_source(self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(self))
    }
}

/// What [`ChannelBuilder::sink`] takes.
pub trait IntoSink {
    /// The sink, or what is wrong with its URL.
    ///
    /// # Errors
    /// As [`open_sink`].
    fn into_sink(self) -> Result<Arc<dyn Sink>>;
}

impl IntoSink for &str {
    fn into_sink(self) -> Result<Arc<dyn Sink>> {
        open_sink(self)
    }
}

impl IntoSink for String {
    fn into_sink(self) -> Result<Arc<dyn Sink>> {
        open_sink(&self)
    }
}

impl IntoSink for Arc<dyn Sink> {
    fn into_sink(self) -> Result<Arc<dyn Sink>> {
        Ok(self)
    }
}

impl<S: Sink> IntoSink for Arc<S> {
    fn into_sink(self) -> Result<Arc<dyn Sink>> {
        Ok(self)
    }
}

impl IntoSink for MemorySink {
    fn into_sink(self) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(self))
    }
}

/// The source of a channel that was given these.
fn one_source(mut sources: Vec<Arc<dyn Source>>) -> Result<Arc<dyn Source>> {
    match sources.len() {
        0 => Err(Error::new(
            ErrorKind::Config,
            "it has no source: give it one with .source(\"memory:demo\") or the like",
        )),
        1 => Ok(sources.remove(0)),
        _ => Ok(Arc::new(Combined::new(sources)?)),
    }
}

/// A name that can stand in a URL path as it is.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if !name.is_empty() && name.len() <= 128 && name.bytes().all(valid) && !name.trim_matches('.').is_empty()
    {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Config,
        "its name can't be used: 1 to 128 letters, digits, \"-\", \"_\", \".\" and \"~\", and not only dots",
    ))
}
