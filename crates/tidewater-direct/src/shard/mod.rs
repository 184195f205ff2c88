//! Writer shards: threads that each own the sockets of many streams.
//!
//! | file | holds |
//! |---|---|
//! | `inbox` | what other threads leave for a shard: new streams, and which of its clients have something to write |
//! | `client` | one socket and its stream: reading what nobody asked for, writing what it is behind |
//! | `patience` | how long the kernel waits for a client's acknowledgement |
//! | `pace` | how long a pass waits for more: pure |
//! | `socket` | over TCP, or on this machine |
//! | `writer` | the thread: readiness, passes, timeouts |

mod client;
mod inbox;
mod pace;
mod patience;
mod socket;
mod writer;

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::mpsc};

pub(crate) use self::inbox::Arrival;
use self::{inbox::Inbox, writer::Writer};

/// How shards write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How many there are.
    pub(crate) shards: usize,
    /// The longest that a pass waits for more.
    pub(crate) hold_off: Duration,
    /// How long a client may take nothing of what is there for it.
    pub(crate) write_timeout: Duration,
}

/// How long streams that have ended may take to be written out, once the shards are told to end.
const LINGER: Duration = Duration::from_secs(2);

/// All shards. Their threads end, and the streams with them, when this is dropped.
#[derive(Debug)]
pub(crate) struct Shards {
    inboxes: Vec<Arc<Inbox>>,
    next: AtomicUsize,
    settings: Settings,
}

impl Shards {
    /// Starts their threads, and gives what closes when the last one has ended. Streams are polled in the context of this
    /// runtime.
    pub(crate) fn start(
        settings: Settings,
        runtime: &Handle,
    ) -> io::Result<(Self, mpsc::Receiver<Infallible>)> {
        let (running, ended) = mpsc::channel(1);
        let mut shards = Self { inboxes: Vec::new(), next: AtomicUsize::new(0), settings };
        for number in 0..settings.shards {
            let (writer, inbox) = Writer::new(settings)?;
            let (runtime, running) = (runtime.clone(), running.clone());
            // Before the thread, so that what has started ends if this one can't.
            shards.inboxes.push(inbox);
            std::thread::Builder::new().name(format!("tidewater-{number}")).spawn(move || {
                let _entered = runtime.enter();
                writer.run();
                drop(running);
            })?;
        }
        Ok((shards, ended))
    }

    /// Hands a stream to the next shard that runs: it writes the head, then what the stream brings.
    pub(crate) fn add(&self, arrival: Arrival) -> io::Result<()> {
        // What is not acknowledged for so long is never going to be.
        arrival.socket.set_patience(self.settings.write_timeout);
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.inboxes.len();
        let (before, from) = self.inboxes.split_at(turn);
        let mut arrival = Some(arrival);
        if from.iter().chain(before).any(|inbox| inbox.arrive(&mut arrival)) {
            return Ok(());
        }
        Err(io::Error::other("no thread that writes streams is left"))
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        for inbox in &self.inboxes {
            inbox.close();
        }
    }
}
