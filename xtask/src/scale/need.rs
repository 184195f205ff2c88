//! What a node needs for so many streams: the measured costs, multiplied.

use super::{Args, costs};

/// What a node needs while nothing is restarted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Need {
    pub(super) streams: u64,
    /// Bytes of the process, its log full.
    pub(super) process: u64,
    /// Bytes of the kernel, for sockets that are idle, and more while an event goes to all.
    pub(super) kernel: u64,
    pub(super) on_its_way: u64,
    /// Writes in a second: of events, and of heartbeats.
    pub(super) events: f64,
    pub(super) heartbeats: f64,
    /// Cores, if each event is a write of its own.
    pub(super) cores: f64,
    /// Cores to read what the topics have, whoever wants it.
    pub(super) reading: f64,
    /// Bits in a second to the clients, with the headers of segments.
    pub(super) out: f64,
    /// Bits in a second from the broker: data alone, as many events as there are.
    pub(super) from_broker: f64,
}

/// What a node with so many streams needs.
pub(super) fn of(args: &Args, streams: u64) -> Need {
    let clients = streams as f64;
    let (events, heartbeats) = (clients * args.rate, clients / costs::HEARTBEAT);
    let event = args.size + args.id + costs::AROUND_EVENT + costs::HEADERS;
    let heartbeat = args.id + costs::AROUND_HEARTBEAT + costs::HEADERS;
    Need {
        streams,
        process: costs::PROGRAM + log_bytes(args) + streams * costs::PROCESS,
        kernel: streams * costs::KERNEL,
        on_its_way: streams * costs::ON_ITS_WAY,
        events,
        heartbeats,
        cores: (events + heartbeats) * costs::WRITE,
        reading: args.topic_rate() * costs::MESSAGE,
        out: 8.0 * (events * event as f64 + heartbeats * heartbeat as f64),
        from_broker: 8.0 * args.topic_rate() * args.size as f64,
    }
}

/// What a channel's log comes to take.
fn log_bytes(args: &Args) -> u64 {
    let frame = (args.size + args.id + costs::AROUND_EVENT) as f64;
    let events = (args.topic_rate() * costs::LOG_SECONDS).min(costs::LOG_EVENTS);
    (costs::LOG_FACTOR * (events * frame).min(costs::LOG_BYTES as f64)) as u64
}

/// How far back a channel's memory goes, in seconds: that of a node which has run for long, and that of one which has just
/// started. Without events there is no end to it.
pub(super) fn reach(args: &Args) -> (f64, f64) {
    let rate = args.topic_rate();
    if rate == 0.0 {
        return (f64::INFINITY, f64::INFINITY);
    }
    let frame = (args.size + args.id + costs::AROUND_EVENT) as f64;
    let back = |events: f64, bytes: f64| (events.min(bytes / frame) / rate).min(costs::LOG_SECONDS);
    let old = back(costs::LOG_EVENTS, costs::LOG_BYTES as f64);
    (old, back(costs::PREWARM_EVENTS, costs::PREWARM_BYTES))
}
