//! How much of the limits is taken.

/// What [`Limits`](crate::Limits) count at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitsStatus {
    /// Streams.
    pub streams: RoomStatus,
    /// Connections.
    pub connections: RoomStatus,
    /// How many messages were refused because their client publishes too often.
    pub refused_publishes: u64,
    /// Why limits per address are off, if they are: see [`Proxies::suspicion`](crate::Proxies::suspicion).
    pub suspicion: Option<String>,
}

/// Places of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomStatus {
    /// How many are taken.
    pub open: usize,
    /// How many there are, if that is limited.
    pub most: Option<usize>,
    /// How many addresses have any, if they are counted.
    pub addresses: usize,
    /// How many subjects have any, if they are counted.
    pub subjects: usize,
    /// How many clients were turned away because all places were taken.
    pub refused: u64,
    /// How many because their address had as many as it may.
    pub refused_by_address: u64,
    /// How many because their subject had.
    pub refused_by_subject: u64,
}
