//! How much one client, and all of them together, may take.
//!
//! | file | holds |
//! |---|---|
//! | `room` | places: how many are taken in all, by each address and each subject; a permit is one of them |
//! | `counts` | how many places each key has: only of those that have any |
//! | `returns` | when those who are turned away are to come back: pure |
//! | `full` | that there is no place, and what a client is told |
//! | `rate`, `buckets` | how often something may be done: pure |
//! | `status` | how many places are taken, and how many were turned away |

mod buckets;
mod counts;
mod full;
mod rate;
mod returns;
mod room;
mod status;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use full::{Full, Which};
pub use rate::Rate;
pub use room::Permit;
pub use status::{LimitsStatus, RoomStatus};

use self::{
    buckets::Buckets,
    room::{Most, Room},
};
use http::HeaderMap;

use crate::{Peer, Proxies, address::counted};

/// How many streams and connections there may be, and how often may be published: of all endpoints and listeners that it is
/// given to together. Cloning shares it. The default limits nothing.
///
/// ```
/// use tidewater_http::{Limits, LimitsConfig, Proxies, Rate};
///
/// # fn main() -> tidewater_core::Result<()> {
/// let limits = Limits::new(
///     LimitsConfig {
///         streams: Some(50_000),
///         streams_per_address: Some(100),
///         publish: Some(Rate::per_second(10)),
///         ..LimitsConfig::default()
///     },
///     Proxies::trust(["10.0.0.0/8"])?,
/// );
/// let permit = limits.stream(Some([203, 0, 113, 9].into()), None);
/// assert!(permit.is_ok());
/// assert_eq!(limits.status().streams.open, 1);
/// # Ok(()) }
/// ```
///
/// Addresses are counted whole in IPv4, and by their network of 64 bits in IPv6. What is kept of an address or a subject goes
/// with its last place.
#[derive(Clone, Debug)]
pub struct Limits {
    shared: Arc<Shared>,
    publish: Arc<Buckets<Publisher>>,
}

/// What [`Limits`] limit. `None`, the default of each, is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsConfig {
    /// The most streams that are open at a time.
    pub streams: Option<usize>,
    /// The most of one address.
    pub streams_per_address: Option<usize>,
    /// The most of one subject: whom a token names.
    pub streams_per_subject: Option<usize>,
    /// The most connections at a time, whatever they carry.
    pub connections: Option<usize>,
    /// The most of one address, but for proxies that are trusted.
    pub connections_per_address: Option<usize>,
    /// How often one client may publish: a subject, or an address where there is none.
    pub publish: Option<Rate>,
}

#[derive(Debug)]
struct Shared {
    streams: Arc<Room>,
    connections: Arc<Room>,
    refused_publishes: AtomicU64,
    proxies: RwLock<Proxies>,
    unknown: OnceLock<()>,
}

/// Who publishes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Publisher {
    Subject(Box<str>),
    Address(IpAddr),
}

impl Limits {
    /// Limits for clients whose addresses are what these proxies say.
    pub fn new(config: LimitsConfig, proxies: Proxies) -> Self {
        let shared = Shared {
            streams: Arc::new(Room::new("streams", config.most_streams())),
            connections: Arc::new(Room::new("connections", config.most_connections())),
            refused_publishes: AtomicU64::new(0),
            proxies: RwLock::new(proxies),
            unknown: OnceLock::new(),
        };
        Self { shared: Arc::new(shared), publish: Arc::new(Buckets::new(config.publish)) }
    }

    /// The same limits, but that publishing has a rate of its own: for one endpoint of several.
    #[must_use]
    pub fn with_publish(&self, rate: Option<Rate>) -> Self {
        Self { shared: self.shared.clone(), publish: Arc::new(Buckets::new(rate)) }
    }

    /// Puts other limits and proxies in force, in all that share these, from the next stream, connection and message on.
    ///
    /// What is open stays open and counted, also where it is more than there may be now. Streams and connections that came while
    /// there was no limit per address (or subject) are not counted for their address (or subject). The rate of publishing is that of
    /// this one and its clones: [`with_publish`](Self::with_publish) made others.
    pub fn change(&self, config: LimitsConfig, proxies: Proxies) {
        self.shared.streams.set_most(config.most_streams());
        self.shared.connections.set_most(config.most_connections());
        self.publish.set_rate(config.publish);
        *self.shared.proxies.write().unwrap_or_else(PoisonError::into_inner) = proxies;
    }

    /// Puts another rate of publishing in force, in this one and its clones. Everybody begins with a full burst then.
    pub fn change_publish(&self, rate: Option<Rate>) {
        self.publish.set_rate(rate);
    }

    /// Whose word about a client's address is taken.
    pub fn proxies(&self) -> Proxies {
        self.shared.proxies.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The address of a request's client, as [`Proxies::client`] has it. `None` too where nobody has said where the request
    /// comes from, which is logged once if it matters.
    pub fn client(&self, peer: Option<&Peer>, headers: &HeaderMap) -> Option<IpAddr> {
        if let Some(peer) = peer {
            return self.proxies().client(peer, headers);
        }
        let Shared { streams, unknown, .. } = &*self.shared;
        if streams.is_per_address() || self.publish.is_limited() {
            unknown.get_or_init(|| {
                tracing::warn!(
                    "nobody says where requests come from, so limits per address are off: the server has to put http::Peer into a request's extensions"
                );
            });
        }
        None
    }

    /// A place for a stream, for as long as the permit is held: see [`EventStream::hold`].
    ///
    /// The address is the client's ([`Proxies::client`]), the subject is whom its token names. What is `None` is not counted.
    ///
    /// # Errors
    /// When there is none: what to answer then is a stream that says when to come back ([`Full`]).
    ///
    /// [`EventStream::hold`]: tidewater_hub::EventStream::hold
    pub fn stream(&self, address: Option<IpAddr>, subject: Option<&str>) -> Result<Permit, Full> {
        Room::enter(&self.shared.streams, self.believed(address), subject, Instant::now())
    }

    /// A place for a connection that was accepted, for as long as the permit is held. Behind the PROXY protocol the peer
    /// is whom that names.
    ///
    /// A trusted proxy's connections are of many clients, so they are counted in all only.
    ///
    /// # Errors
    /// When there is none. A connection that is closed before anything was answered is an error of the network, after which
    /// an `EventSource` comes back by itself; of another origin than its page's it may give up (Firefox).
    pub fn connection(&self, peer: &Peer) -> Result<Permit, Full> {
        let address = peer.address().map(|address| address.ip()).filter(|_| !self.proxies().trusts(peer));
        Room::enter(&self.shared.connections, self.believed(address), None, Instant::now())
    }

    /// Counts a message that a client publishes.
    ///
    /// # Errors
    /// When it publishes more often than it may: how long it has to wait.
    pub fn publish(&self, address: Option<IpAddr>, subject: Option<&str>) -> Result<(), Duration> {
        let publisher = match (subject, self.believed(address)) {
            (Some(subject), _) => Publisher::Subject(subject.into()),
            (None, Some(address)) => Publisher::Address(address),
            (None, None) => return Ok(()),
        };
        self.publish.take(publisher, Instant::now()).inspect_err(|_| {
            self.shared.refused_publishes.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// How much of it is taken.
    pub fn status(&self) -> LimitsStatus {
        let Shared { streams, connections, refused_publishes, .. } = &*self.shared;
        LimitsStatus {
            streams: streams.status(),
            connections: connections.status(),
            refused_publishes: refused_publishes.load(Ordering::Relaxed),
            suspicion: self.proxies().suspicion().map(str::to_owned),
        }
    }

    /// What is counted of an address: nothing, where it may be a proxy's that nobody has named.
    fn believed(&self, address: Option<IpAddr>) -> Option<IpAddr> {
        address.filter(|_| self.proxies().suspicion().is_none()).map(counted)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(LimitsConfig::default(), Proxies::default())
    }
}

impl LimitsConfig {
    fn most_streams(&self) -> Most {
        let Self { streams, streams_per_address, streams_per_subject, .. } = *self;
        Most { in_all: streams, per_address: streams_per_address, per_subject: streams_per_subject }
    }

    fn most_connections(&self) -> Most {
        let Self { connections, connections_per_address, .. } = *self;
        Most { in_all: connections, per_address: connections_per_address, per_subject: None }
    }
}
