//! A client behind a proxy that tells the truth is nobody but itself, whatever it writes into forwarding headers.
//!
//! The input is a byte that says how the proxies write, and the lines that the client sent.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};
use tidewater_http::{ForwardingHeader, Peer, Proxies};

/// The client's own address, as the first proxy sees it, and the chain of trusted proxies behind that.
const CLIENT: &str = "203.0.113.9";
const CHAIN: [&str; 3] = ["192.0.2.7", "2001:db8:aa::1", "10.1.2.3"];

/// Sends the lines through the proxies, and asks who the client is.
///
/// # Panics
/// If it is taken for anybody but itself, or (where its own line can't be read) the proxy that appended to it; or if a
/// client that no proxy stands before is.
pub fn check(input: &[u8]) {
    let Some((how, written)) = input.split_first() else { return };
    let lines: Vec<HeaderValue> =
        written.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let header = [ForwardingHeader::XForwardedFor, ForwardingHeader::Forwarded][usize::from(how & 1)];
    let (joins, quotes) = (how & 2 != 0, how & 4 != 0);
    let proxies = proxies().header(header);

    let headers = headers(header, &lines);
    let alone = Peer::Address((address(CLIENT), 50_000).into());
    assert_eq!(proxies.client(&alone, &headers), Some(address(CLIENT)));

    let mut lines = lines;
    let hops: Vec<&str> = [CLIENT].into_iter().chain(CHAIN).collect();
    let length = 1 + usize::from(how >> 3) % CHAIN.len();
    for hop in &hops[..length] {
        append(&mut lines, &element(header, hop, quotes), joins);
    }
    let peer = Peer::Address((address(hops[length]), 50_000).into());
    let seen = proxies.client(&peer, &self::headers(header, &lines));
    // One line is one thing to read: where the client has opened a quote, all of it is lost.
    let lost = header == ForwardingHeader::Forwarded && joins && !written.is_empty();
    let may_be = |hop: &str| seen == Some(address(hop));
    assert!(may_be(CLIENT) || lost && may_be(hops[length]), "{header}: {seen:?} of {lines:?}");
}

fn proxies() -> Proxies {
    Proxies::trust(["192.0.2.7", "2001:db8:aa::/48", "10.0.0.0/8"]).unwrap_or_default()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]))
}

/// What a proxy appends for whom it was spoken to by.
fn element(header: ForwardingHeader, hop: &str, quotes: bool) -> String {
    match (header, hop.contains(':')) {
        (ForwardingHeader::XForwardedFor, _) => hop.to_owned(),
        (ForwardingHeader::Forwarded, true) => format!("for=\"[{hop}]:4711\";proto=https"),
        (ForwardingHeader::Forwarded, false) if quotes => format!("proto=http;for=\"{hop}\""),
        (ForwardingHeader::Forwarded, false) => format!("for={hop}"),
    }
}

/// Appends to the last line, or as a line of its own.
fn append(lines: &mut Vec<HeaderValue>, element: &str, joins: bool) {
    let joined = lines.last().filter(|_| joins).and_then(|last| {
        HeaderValue::from_bytes(&[last.as_bytes(), b", ", element.as_bytes()].concat()).ok()
    });
    match (joined, lines.last_mut()) {
        (Some(joined), Some(last)) => *last = joined,
        _ => lines.extend(HeaderValue::from_str(element)),
    }
}

fn headers(header: ForwardingHeader, lines: &[HeaderValue]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(header.name(), line.clone());
    }
    headers
}
