//! A plugin that anybody could publish: the lines of a file as a source and a sink, under the scheme `lines:`.
//!
//! ```
//! use custom_source as _;
//!
//! let source = tidewater::plugin::open_source("lines:/var/log/app.log")?;
//! assert_eq!(source.to_string(), "lines:/var/log/app.log");
//! # Ok::<(), tidewater::Error>(())
//! ```
//!
//! The `as _` is all that an application has to say: the plugin registers itself, and from then on every URL with
//! that scheme is a source, or a sink. A crate that nothing names is not linked, and its plugin isn't there.
//!
//! # How a file becomes a source
//!
//! | of the contract | here |
//! |---|---|
//! | topic | the path |
//! | position | the offset of the byte that ends the line, so the next position is where the next line begins |
//! | epoch | the file's creation time and inode: a file that log rotation puts in its place is another incarnation |
//! | bounds | from 0 to the end of the last whole line |
//! | replay | yes, from any line; not from a time, as lines have none |

mod reader;
mod sink;

use std::{fmt, path::PathBuf, sync::Arc};

use futures_util::{StreamExt as _, stream};
use tidewater::{
    Bounds, Capabilities, Cursor, Error, ErrorKind, Next, Plugin, Result, ShareKey, Source, SourceUrl, Start,
    Subscribed, Subscription, TopicBounds, TopicCursor, TopicName, TopicTag,
};

use reader::{Opened, Reader};

pub use sink::LinesSink;

const KIND: &str = "lines";

const CAPABILITIES: Capabilities =
    Capabilities { replay: true, from_time: false, partitioned: false, mergeable: true };

tidewater::inventory::submit! {
    Plugin {
        name: KIND,
        schemes: &[KIND],
        about: "the lines of a file, followed through log rotation",
        example: "lines:/var/log/app.log",
        capabilities: CAPABILITIES,
        source: Some(|url| Ok(Arc::new(Lines::from_url(url)?))),
        sink: Some(|url| Ok(Arc::new(LinesSink::new(Lines::from_url(url)?)))),
    }
}

/// The lines of a file. It need not be there before the source is used.
#[derive(Clone, Debug)]
pub struct Lines {
    path: PathBuf,
    topic: TopicName,
}

impl Lines {
    /// The lines of this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let topic = TopicName::new(path.to_string_lossy());
        Self { path, topic }
    }

    fn from_url(url: &SourceUrl) -> Result<Self> {
        // Everything in a URL is the plugin's to check: what it doesn't know is an error, never passed over.
        url.params()?.finish(&[])?;
        let path = url.decoded_path()?;
        if !url.authority().is_empty() || path.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                "it names a file and no host: write lines:/path/to/a.log",
            ));
        }
        Ok(Self::new(path))
    }

    fn tag(&self) -> TopicTag {
        TopicTag::of(KIND, &self.topic)
    }
}

#[async_trait::async_trait]
impl Source for Lines {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn bounds(&self) -> Result<Bounds> {
        let mut file = Opened::open(&self.path).await?;
        let lines = 0..file.end().await?;
        let (name, tag) = (self.topic.clone(), self.tag());
        Ok(Bounds { topics: vec![TopicBounds { name, tag, epoch: file.epoch, partitions: vec![lines] }] })
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let mut file = Opened::open(&self.path).await?;
        let wanted = subscription.after.as_ref().and_then(|cursor| cursor.topic(self.tag()));
        let next = match (wanted, subscription.start) {
            (Some(wanted), _) if wanted.epoch == file.epoch.tag() => file.line_at(wanted.offset(0)).await?,
            // Positions of another file say nothing about this one.
            (Some(_), _) | (None, Start::Earliest) => 0,
            (None, Start::Latest) => file.end().await?,
            (None, Start::Time(_)) => {
                return Err(Error::new(ErrorKind::Unsupported, format!("{self}: lines have no time")));
            }
        };
        let cursor =
            TopicCursor { tag: self.tag(), epoch: file.epoch.tag(), next: Next::Offsets(vec![next]) };
        let start: Cursor = [cursor].into_iter().collect();
        let reader = Reader::new(self.clone(), file, next).await?;
        // Pull only: nothing is read but when the stream is polled. Dropping it closes the file.
        let deliveries = stream::try_unfold(reader, async |mut reader| {
            let delivery = reader.next().await?;
            Ok(Some((delivery, reader)))
        });
        Ok(Subscribed { start, deliveries: deliveries.boxed() })
    }

    fn share_key(&self) -> Option<ShareKey> {
        Some(ShareKey::new(KIND, [self.path.as_os_str().as_encoded_bytes()]))
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}:{}", self.topic)
    }
}
