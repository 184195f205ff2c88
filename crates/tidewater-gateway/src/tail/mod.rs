//! Following a stream of events over cuts and restarts.

mod endpoint;
mod printer;
mod source;

pub(crate) use endpoint::Endpoint;
pub(crate) use source::Channels;

use self::printer::Printer;
use crate::failure::Failure;

/// Where events come from.
pub(crate) enum Upstream {
    /// An endpoint of a server.
    Endpoint(Endpoint),
    /// A source, read in this process.
    Source(Channels),
}

/// How they are followed.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) json: bool,
    pub(crate) cursors: bool,
    pub(crate) count: Option<u64>,
    pub(crate) last_event_id: String,
}

/// Prints events until there are enough, or no more.
pub(crate) async fn follow(upstream: Upstream, follow: Follow) -> Result<(), Failure> {
    let last_event_id = follow.last_event_id.clone();
    let mut printer = Printer::new(follow);
    let done = match upstream {
        Upstream::Endpoint(endpoint) => endpoint.follow(&last_event_id, &mut printer).await,
        Upstream::Source(channels) => channels.follow(&last_event_id, &mut printer).await,
    };
    let printed = printer.flush();
    done.and(printed)
}

fn too_long(limit: usize) -> Failure {
    Failure::runtime(format_args!(
        "an event of the stream is longer than {limit} bytes, which is more than is kept"
    ))
}
