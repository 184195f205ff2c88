//! The decoders, all through one door: chunks in, every event shown to a [`Visit`].

mod floors;
mod ours;
mod peers;
mod plain;

use bytes::Bytes;

pub use floors::{FLOORS, Floor};

/// Who gets the events.
pub trait Visit {
    /// An event as it would be dispatched; what it is made of is the caller's own.
    fn event(&mut self, event_type: &str, data: &[u8], last_event_id: &str);
}

/// How many events there were, and how many bytes of data in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events.
    pub events: usize,
    /// Bytes of data.
    pub data: usize,
}

impl Visit for Tally {
    #[inline]
    fn event(&mut self, _: &str, data: &[u8], _: &str) {
        self.events += 1;
        self.data += data.len();
    }
}

/// Type, data and id of every event.
pub type Events = Vec<(String, String, String)>;

impl Visit for Events {
    fn event(&mut self, event_type: &str, data: &[u8], last_event_id: &str) {
        self.push((event_type.into(), String::from_utf8_lossy(data).into_owned(), last_event_id.into()));
    }
}

/// One that decodes.
#[derive(Debug)]
pub struct Decoder {
    /// How reports call it: `ours: …`, `peer: …` (the name of the crate) or `plain: …`.
    pub id: &'static str,
    /// Counts the events of a stream.
    pub tally: Run<Tally>,
    /// Keeps the events of a stream.
    pub events: Run<Events>,
}

/// How a decoder takes its chunks.
#[derive(Debug)]
pub enum Run<T> {
    /// As slices.
    Lent(fn(&[Bytes]) -> Result<T, String>),
    /// As `Bytes` each, which it keeps as long as it likes: they are made before the clock starts.
    Given(fn(Vec<Bytes>) -> Result<T, String>),
}

impl<T> Run<T> {
    /// Runs it, whichever it is.
    ///
    /// # Errors
    ///
    /// What the decoder says of a stream that it does not take.
    pub fn over(&self, chunks: &[Bytes]) -> Result<T, String> {
        match self {
            Self::Lent(run) => run(chunks),
            Self::Given(run) => run(chunks.to_vec()),
        }
    }
}

macro_rules! decoder {
    ($id:literal, $run:ident, $decode:path) => {
        Decoder {
            id: $id,
            tally: Run::$run(|chunks| {
                let mut tally = Tally::default();
                $decode(chunks, &mut tally)?;
                Ok(tally)
            }),
            events: Run::$run(|chunks| {
                let mut events = Events::default();
                $decode(chunks, &mut events)?;
                Ok(events)
            }),
        }
    };
}

/// All that are measured.
pub const DECODERS: [Decoder; 14] = [
    decoder!("ours: feed_bytes", Given, ours::feed_bytes),
    decoder!("ours: feed", Lent, ours::feed),
    decoder!("ours: feed_bytes, next_event_ref", Given, ours::feed_bytes_lent),
    decoder!("ours: feed, next_event_ref", Lent, ours::feed_lent),
    decoder!("ours: decode_stream", Given, ours::stream),
    decoder!("plain: lines", Lent, plain::lines),
    decoder!("peer: async-sse", Lent, peers::async_sse),
    decoder!("peer: eventsource-client", Given, peers::client::decode),
    decoder!("peer: eventsource-stream", Given, peers::eventsource_stream),
    decoder!("peer: sse-codec", Lent, peers::sse_codec),
    decoder!("peer: sse-core", Lent, peers::sse_core),
    decoder!("peer: sse-parse", Lent, peers::sse_parse),
    decoder!("peer: sse-stream", Given, peers::sse_stream),
    decoder!("peer: sseer", Given, peers::sseer),
];
