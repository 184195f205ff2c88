//! Whose address a client has: its peer's, or what proxies that are trusted say of it.
//!
//! | file | holds |
//! |---|---|
//! | `proxies` | which peers are trusted, and how far back their word goes |
//! | `list` | the hops of `X-Forwarded-For`: pure |
//! | `forwarded` | the hops of `Forwarded` (RFC 7239): pure |
//! | `node` | one hop's address: pure |

mod forwarded;
mod list;
mod node;
mod proxies;

use std::net::{IpAddr, Ipv6Addr};

pub use proxies::{ForwardingHeader, Proxies};

/// How many hops are looked at: longer chains of proxies are nobody's.
const MOST_HOPS: usize = 32;

/// What a limit counts an address as: IPv4 whole, and IPv6 by its network of 64 bits, which is what one client gets and
/// within which it changes its address as it likes (RFC 6177, RFC 8981).
pub(crate) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests;
