//! `[channels.NAME]`: one channel.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tidewater::{
    AllowedReplay, Channel, Combined, Error, ErrorKind, EventFrom, LogBounds, PayloadMode, Prewarm, Sink,
    Start,
    http::SelectBy,
    plugin::{open_sink, open_source},
};

use super::{
    cors::CorsConfig,
    limits::{ChannelLimits, Limits},
    reader::Reader,
    setting::Size,
    url::Url,
    words::{Compress, Lag, PrewarmBounds},
};

/// As the hub has it.
const READERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// One channel. What it is not told is as the library has it.
#[derive(Clone, Debug)]
pub(crate) struct ChannelConfig {
    pub(crate) name: String,
    /// Several are combined.
    pub(crate) source: Vec<Url>,
    /// Where `POST` publishes to; where nothing is said, its source, if that can be written to.
    pub(crate) sink: Option<Url>,
    pub(crate) publish: bool,
    /// Whether everybody may read it, whoever that is.
    pub(crate) public: bool,
    pub(crate) replay: AllowedReplay,
    pub(crate) lag: Lag,
    pub(crate) prewarm: Option<Prewarm>,
    pub(crate) linger: Duration,
    pub(crate) compress: Compress,
    pub(crate) heartbeat: Duration,
    pub(crate) retry: Duration,
    pub(crate) start: Start,
    pub(crate) payload: PayloadMode,
    pub(crate) event: EventFrom,
    pub(crate) select: Vec<SelectBy>,
    pub(crate) log: LogBounds,
    pub(crate) large_ids: bool,
    pub(crate) backfill_readers: NonZeroUsize,
    pub(crate) share_upstream: bool,
    pub(crate) cors: CorsConfig,
    pub(crate) limits: ChannelLimits,
}

/// What holds for all channels.
pub(super) struct OfAll<'a> {
    pub(super) cors: &'a CorsConfig,
    pub(super) limits: &'a Limits,
    pub(super) has_authorization: bool,
}

impl ChannelConfig {
    pub(super) fn read(name: &str, table: &mut Reader<'_>, all: &OfAll<'_>) -> Option<Self> {
        let source: Option<Vec<Url>> = table.find("source");
        let is_known = source.is_some();
        let source: Vec<_> = source.into_iter().flatten().map(|url| url.named(name)).collect();
        let is_own = matches!(source.as_slice(), [one] if one.is_own());
        let config = Self {
            name: name.to_owned(),
            source,
            sink: table.find("sink").map(|sink: Url| sink.named(name)),
            publish: table.get("publish", is_own && !all.has_authorization),
            public: table.get("public", !all.has_authorization),
            replay: table.get("replay", AllowedReplay::default()),
            lag: table.get("lag", Lag::default()),
            prewarm: prewarm(table),
            linger: table.within("linger", Duration::ZERO, Duration::ZERO, Duration::from_secs(60)),
            compress: table.get("compress", Compress::default()),
            heartbeat: table.within(
                "heartbeat",
                Duration::from_secs(15),
                Duration::from_millis(100),
                Duration::MAX,
            ),
            retry: table.within("retry", Duration::from_secs(2), Duration::from_millis(500), Duration::MAX),
            start: table.get("start", Start::default()),
            payload: table.get("payload", PayloadMode::default()),
            event: table.get("event", EventFrom::default()),
            select: table.get("select", SelectBy::ALL.to_vec()),
            log: table.table("log", log),
            large_ids: table.get("large_ids", false),
            backfill_readers: table.get("backfill_readers", READERS),
            share_upstream: table.get("share_upstream", true),
            cors: table.table("cors", |table| CorsConfig::read(table, all.cors)),
            limits: table.table("limits", |table| ChannelLimits::read(table, all.limits)),
        };
        if let Err(error) = Channel::check_name(name) {
            table.refuse("", error);
        }
        config.check(table, is_known);
        if !config.public && !all.has_authorization {
            table.refuse(
                "public",
                "without [authorization] everybody who reaches the gateway can read it: say there who may",
            );
        }
        is_known.then_some(config)
    }

    /// Where `POST` publishes to, if anywhere: its sink, or else its source. Nothing is connected.
    pub(crate) fn open_sink(&self) -> tidewater::Result<Option<Arc<dyn Sink>>> {
        match (&self.sink, self.source.as_slice()) {
            (Some(sink), _) => open_sink(sink.secret()).map(Some),
            // One that can only be read is no error where nobody may publish.
            (None, [source]) => match open_sink(source.secret()) {
                Err(_) if !self.publish => Ok(None),
                opened => opened.map(Some),
            },
            (None, _) if !self.publish => Ok(None),
            (None, _) => Err(Error::new(ErrorKind::Config, "it has several sources")),
        }
    }

    /// What only the plugins know. Nothing is connected.
    fn check(&self, table: &Reader<'_>, is_known: bool) {
        if self.source.is_empty() {
            // Of one that can't be read it has been said.
            if is_known || !table.has("source") {
                table.refuse(
                    "source",
                    "a channel needs one: write source = \"kafka://localhost:9092/orders\", or the like",
                );
            }
            return;
        }
        let sources: tidewater::Result<Vec<_>> =
            self.source.iter().map(|source| open_source(source.secret())).collect();
        if let Err(error) = sources.and_then(Combined::new) {
            return table.refuse("source", error);
        }
        if let Err(error) = self.open_sink() {
            if self.sink.is_some() {
                return table.refuse("sink", error);
            }
            table.refuse(
                "publish",
                format_args!(
                    "{error}. The channel can be read, not written to: leave publishing off, or name one place to write \
                     to as its sink"
                ),
            );
        }
    }
}

fn prewarm(table: &mut Reader<'_>) -> Option<Prewarm> {
    if !table.is_table("prewarm") {
        return table.get("prewarm", PrewarmBounds::default()).0;
    }
    // As with the text: what is not said is bounded by the log alone.
    Some(table.table("prewarm", |table| Prewarm {
        events: table.find("events").unwrap_or(usize::MAX),
        bytes: table.find("bytes").map_or(usize::MAX, |Size(bytes)| bytes),
        age: table.find("age"),
    }))
}

fn log(table: &mut Reader<'_>) -> LogBounds {
    let default = LogBounds::default();
    LogBounds {
        events: table.get("events", default.events),
        bytes: table.get("bytes", Size(default.bytes)).0,
        age: table.get("age", default.age),
    }
}
