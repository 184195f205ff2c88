//! Any endpoint of server-sent events as a Tidewater source: `sse+https://host/path`.
//!
//! ```no_run
//! // Another gateway's channel, and a feed that wants a token.
//! let orders = tidewater_core::plugin::open_source("sse+http://10.0.0.7:8080/channels/orders?topic=eu")?;
//! let feed = tidewater_core::plugin::open_source(
//!     "sse+https://feed.example/v1/events?sse.header.authorization=Bearer%20${FEED_TOKEN}",
//! )?;
//! # Ok::<(), tidewater_core::Error>(())
//! ```
//!
//! One connection serves the channel's clients, whatever their number. The endpoint's ids become positions without an
//! order: what a client's id says is found in the channel's log; what the log has not is asked of the endpoint, by a
//! connection that sends that id. So it is exact where the endpoint keeps to its own ids, as Tidewater's do. An
//! endpoint that ignores `Last-Event-ID`, or gives no ids, is like core NATS: exact as long as this process and its
//! connection live, and a gap of unknown extent where not.
//!
//! What another Tidewater says comes through as what it is: its gaps are gaps, its cursors move the position without a
//! message, and binary payloads and tombstones are what they were.
//!
//! | parameter | meaning |
//! |---|---|
//! | `sse.header.NAME=VALUE` | a header of every request, e.g. `sse.header.authorization=Bearer%20${TOKEN}` |
//! | `sse.read_timeout=60s` | how long nothing at all may come until the connection counts as cut; `off` for ever |
//! | any other | is the endpoint's own, and goes there as it is; `${NAME}` is an environment variable |

mod feed;
mod position;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tidewater_core::{
    Bounds, Capabilities, Cursor, Epoch, Error, ErrorKind, Next, Plugin, Result, ShareKey, Source, SourceUrl,
    Start, Subscribed, Subscription, TopicBounds, TopicCursor, TopicName, TopicTag, inventory,
    plugin::Params,
};

use self::{feed::Feed, position::Place};
use crate::{Builder, EventSource, NOT_NOW};

/// The kind of this source, as its tags are made from.
pub const SSE: &str = "sse";

const HTTP: &str = "sse+http";
const HTTPS: &str = "sse+https";
const HEADER: &str = "sse.header.";
const READ_TIMEOUT: &str = "sse.read_timeout";

const CAPABILITIES: Capabilities =
    Capabilities { replay: true, from_time: false, partitioned: false, mergeable: false };

/// An endpoint does not say when it begins anew: whoever sends it an id of its past is told by the endpoint itself.
const EPOCH: Epoch = Epoch(1);

/// Half-open connections are noticed, and few servers are quiet for longer without a comment in between.
const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(60);

inventory::submit! {
    Plugin {
        name: SSE,
        schemes: &[HTTP, HTTPS],
        about: "an endpoint of server-sent events: another gateway, a public feed",
        example: "sse+http://localhost:8080/channels/demo",
        capabilities: CAPABILITIES,
        source: Some(|url| Ok(Arc::new(SseSource::open(url)?))),
        sink: None,
    }
}

/// Reads an endpoint of server-sent events. See the [crate](crate)'s documentation for what it is as a client, and
/// `docs/client.md` for what it is as a source.
#[derive(Clone)]
pub struct SseSource {
    make: Arc<dyn Fn() -> Builder + Send + Sync>,
    topic: Topic,
    key: Option<ShareKey>,
}

/// The one topic of the cursor: the host and the path.
#[derive(Clone, Debug)]
struct Topic {
    name: TopicName,
    tag: TopicTag,
}

impl SseSource {
    /// Reads a URL. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], saying what is wrong with it.
    pub fn open(url: &SourceUrl) -> Result<Self> {
        let scheme = url.scheme().strip_prefix("sse+").unwrap_or_default();
        if url.path().contains('#') || url.query().contains('#') {
            let what = "what stands behind \"#\" is never sent to a server; a \"#\" of the path is %23";
            return Err(Error::new(ErrorKind::Config, what));
        }
        let mut given = url.params_named(|name| name.starts_with("sse."))?;
        let read_timeout = read_timeout(&mut given)?;
        let headers: Vec<(String, String)> = given
            .rest()
            .into_iter()
            .map(|(name, value)| match name.strip_prefix(HEADER) {
                Some(header) => Ok((header.to_owned(), value)),
                None => Err(Error::new(
                    ErrorKind::Config,
                    format!("there is no parameter {name:?} (there are: {HEADER}NAME, {READ_TIMEOUT})"),
                )),
            })
            .collect::<Result<_>>()?;

        let mut target = format!("{scheme}://{}/{}", url.authority(), url.path());
        for (index, pair) in endpoint_params(url.query())?.into_iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(&pair);
        }
        let mut parts = vec![target.clone(), format!("{read_timeout:?}")];
        parts.extend(headers.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
        let make = move || {
            let builder = EventSource::builder(&*target).read_timeout(read_timeout);
            headers
                .iter()
                .fold(builder, |builder, (name, value)| builder.header(name.as_str(), value.as_str()))
        };
        let source = Self::new(make)?;
        Ok(Self { key: Some(ShareKey::new(SSE, parts)), ..source })
    }

    /// A source of a client that is built for each connection: with a method, a body, certificates. Its last event id
    /// and the statuses that it retries are set here. Never shared.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], if it can't be built.
    pub fn new(make: impl Fn() -> Builder + Send + Sync + 'static) -> Result<Self> {
        let built = make().build().map_err(feed::error)?;
        let uri = built.url();
        let name = format!("{}{}", uri.authority().map_or("", |authority| authority.as_str()), uri.path());
        let topic = Topic { tag: TopicTag::of(SSE, &name), name: TopicName::new(name) };
        Ok(Self { make: Arc::new(make), topic, key: None })
    }
}

#[async_trait]
impl Source for SseSource {
    fn kind(&self) -> &'static str {
        SSE
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    /// Answered without the endpoint, which can't be asked.
    async fn bounds(&self) -> Result<Bounds> {
        let Topic { name, tag } = self.topic.clone();
        Ok(Bounds { topics: vec![TopicBounds { name, tag, epoch: EPOCH, partitions: Vec::new() }] })
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let wanted = subscription.after.as_ref().and_then(|cursor| cursor.topic(self.topic.tag));
        if let (Start::Time(_), None) = (subscription.start, wanted) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "{self}: an event stream can't be asked for a time; what its endpoint knows goes into its URL"
                ),
            ));
        }
        let place =
            wanted.filter(|wanted| wanted.epoch == EPOCH.tag()).and_then(|wanted| match &wanted.next {
                Next::After(bytes) => Place::from_bytes(bytes),
                Next::Offsets(_) => None,
            });
        let builder = (self.make)().retry_statuses(NOT_NOW);
        let feed = Feed::open(builder, self.topic.clone(), place).await?;
        let next = Next::After(feed.start().to_bytes());
        let start = TopicCursor { tag: self.topic.tag, epoch: EPOCH.tag(), next };
        let deliveries = futures_util::stream::unfold(feed, async |mut feed| {
            let delivery = feed.next().await?;
            Some((delivery, feed))
        });
        Ok(Subscribed { start: Cursor::from_iter([start]), deliveries: deliveries.boxed() })
    }

    fn share_key(&self) -> Option<ShareKey> {
        self.key.clone()
    }
}

/// The host and the path: what stands behind them may be a secret.
impl fmt::Display for SseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SSE}://{}", self.topic.name)
    }
}

impl fmt::Debug for SseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SseSource({self})")
    }
}

fn read_timeout(params: &mut Params) -> Result<Option<Duration>> {
    match params.take(READ_TIMEOUT).as_deref() {
        None => Ok(Some(DEFAULT_READ_TIMEOUT)),
        Some("off") => Ok(None),
        Some(text) => match humantime::parse_duration(text) {
            Ok(limit) if !limit.is_zero() => Ok(Some(limit)),
            _ => Err(Error::new(
                ErrorKind::Config,
                format!("the parameter {READ_TIMEOUT}={text:?} is not a time such as 60s, or off"),
            )),
        },
    }
}

/// The endpoint's own parameters, as they were written, but for what names an environment variable.
fn endpoint_params(query: &str) -> Result<Vec<String>> {
    let own = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("sse."));
    own.map(|pair| match pair.split_once('=') {
        Some((name, value)) if value.contains("${") => {
            let decoded = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            let value = tidewater_core::plugin::expand(&decoded)
                .map_err(|error| error.context(format!("the parameter {name:?}")))?;
            Ok(format!("{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC)))
        }
        _ => Ok(pair.to_owned()),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str) -> Result<SseSource> {
        SseSource::open(&url.parse().unwrap())
    }

    #[test]
    fn urls_are_checked_and_shown_without_secrets() {
        let source =
            open("sse+http://me:hunter2@Host:8080/a/b?topic=x&topic=y&live&sse.header.x-key=hunter2")
                .unwrap();
        assert_eq!(source.to_string(), "sse://host:8080/a/b");
        assert!(!format!("{source:?}").contains("hunter2"));
        let url = (source.make)().build().unwrap().url().to_string();
        assert_eq!(url, "http://host:8080/a/b?topic=x&topic=y&live");
        for (url, what) in [
            ("sse+http://a/x?sse.hedder.x=1", "sse.header.NAME"),
            ("sse+http://a/x?sse.read_timeout=soon", "60s"),
            ("sse+http://a/x?sse.header.last-event-id=1", "last-event-id"),
            ("sse+http://a/x?y=${NO_SUCH_VARIABLE}", "NO_SUCH_VARIABLE"),
            ("sse+http://a/x#y", "%23"),
            ("sse+http:x", "host"),
        ] {
            let error = open(url).unwrap_err();
            assert!(error.to_string().contains(what), "{url}: {error}");
            assert_eq!(error.kind(), ErrorKind::Config, "{url}: {error}");
        }
    }

    #[test]
    fn equal_sources_are_shared_and_others_are_not() {
        let key = |url: &str| open(url).unwrap().share_key().unwrap();
        assert_eq!(key("sse+http://a/x?y=1"), key("sse+http://a/x?y=1"));
        for other in ["sse+http://a/x?y=2", "sse+http://a/x", "sse+http://a/x?y=1&sse.header.b=c"] {
            assert_ne!(key("sse+http://a/x?y=1"), key(other), "{other}");
        }
    }
}
