//! `X-Forwarded-For`, which no standard describes: each proxy appends the address that it was spoken to from.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use super::node;

/// The name of the header.
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The hops from the last one backwards, over all lines; `None` for one that is no address.
///
/// An element that is empty is one of those, though lists of HTTP skip empty elements (RFC 9110, §5.6.1): it may be a
/// proxy's that did not know, and what stands before it then is the client's own invention.
pub(super) fn hops(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(node::address)
}
