//! What things cost, each number with where it was measured. Another machine has others: this is the one place for them.

/// Memory of the process for an idle direct stream: 370 to 730 bytes (docs/direct.md, "A million clients"); the more of them.
pub(super) const PROCESS: u64 = 730;
/// Memory of the kernel for its socket (docs/direct.md, the same table).
pub(super) const KERNEL: u64 = 4_600;
/// Memory of the kernel for an event on its way to one client, until it is acknowledged (docs/direct.md: 1 to 2 GB a million).
pub(super) const ON_ITS_WAY: u64 = 2_000;
/// Memory of a gateway without channels (docs/benchmarks/channels.md: one channel of `memory:`, idle).
pub(super) const PROGRAM: u64 = 22 << 20;
/// A channel's log, and that the process needs half as much again for it (docs/reliability.md).
pub(super) const LOG_BYTES: u64 = 64 << 20;
pub(super) const LOG_FACTOR: f64 = 1.5;
/// What else bounds it (`LogBounds::default`).
pub(super) const LOG_EVENTS: f64 = 65_536.0;
pub(super) const LOG_SECONDS: f64 = 600.0;
/// How much of the past a node that starts has read (`Prewarm::default`).
pub(super) const PREWARM_BYTES: f64 = 8.0 * 1024.0 * 1024.0;
pub(super) const PREWARM_EVENTS: f64 = 8_192.0;

/// Processor time for a write to one client, in seconds (docs/benchmarks/fanout.md, W1, ours, direct). A slow run of that machine:
/// others of the same day had 3.9 µs.
pub(super) const WRITE: f64 = 5.43e-6;
/// Processor time for a message that is read, whoever wants it, in seconds (the same, W7: with one delivery in it).
pub(super) const MESSAGE: f64 = 17.8e-6;
/// Streams accepted in a second, on one core (the same, W2).
pub(super) const ACCEPTED: u64 = 29_306;
/// Between two heartbeats of a client (`ChannelBuilder::heartbeat`).
pub(super) const HEARTBEAT: f64 = 15.0;

/// What stands around the data of an event that has no name: `data: `, `id: `, three line breaks. (W1: 256 bytes of data and an
/// id of 16 characters were 285 bytes.)
pub(super) const AROUND_EVENT: u64 = 13;
/// A heartbeat: `event: tidewater.cursor`, `data: `, `id: `, four line breaks.
pub(super) const AROUND_HEARTBEAT: u64 = 37;
/// The headers of a segment: Ethernet 18, IPv4 20, TCP with timestamps 32. Its acknowledgement is as much, the other way.
pub(super) const HEADERS: u64 = 70;

/// Connections that a listener lets wait (`tidewater_direct::BACKLOG`).
pub(super) const BACKLOG: u64 = 4_096;
/// What the kernel waits before it sends a SYN again that nobody took: doubled each time, so often (`net.ipv4.tcp_syn_retries`).
pub(super) const SYN_AGAIN_MS: u64 = 1_000;
pub(super) const SYN_RETRIES: u32 = 6;
