//! `Forwarded` (RFC 7239): each proxy appends an element, whose `for` is whom it was spoken to by.

use std::{collections::VecDeque, net::IpAddr};

use http::{HeaderMap, header};

use super::{MOST_HOPS, node};

/// The hops from the last one backwards, over all lines; `None` for one that names no address.
///
/// A line in which a quote stays open is one such hop as a whole: a client that opens one would swallow what its proxy
/// appends.
pub(super) fn hops(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = headers.get_all(header::FORWARDED).iter().rev();
    lines.flat_map(|line| last_elements(line.as_bytes()).into_iter().rev().map(|element| named(element?)))
}

/// The last elements of a line, as many as are looked at; or one that is none.
fn last_elements(line: &[u8]) -> VecDeque<Option<&[u8]>> {
    let mut last = VecDeque::new();
    let mut parts = Parts { rest: Some(line), by: b',' };
    for element in &mut parts {
        let Some(element) = element else { return VecDeque::from([None]) };
        if last.len() == MOST_HOPS {
            last.pop_front();
        }
        last.push_back(Some(element));
    }
    last
}

/// The address that an element names: of its one `for`.
fn named(element: &[u8]) -> Option<IpAddr> {
    let mut named = None;
    for pair in (Parts { rest: Some(element), by: b';' }) {
        let pair = pair?;
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"for") && named.replace(value).is_some() {
            return None;
        }
    }
    match named? {
        [b'"', quoted @ .., b'"'] => node::address(&unescaped(quoted)?),
        // Some write addresses with a port, or of IPv6, without the quotes that they need: they can be read in one way only.
        plain => node::address(plain),
    }
}

/// What stands in a quoted string (RFC 9110, §5.6.4).
fn unescaped(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => out.push(*bytes.next()?),
            byte => out.push(byte),
        }
    }
    Some(out)
}

/// What stands between separators that are outside quotes; a `None` at the end where a quote stays open.
struct Parts<'a> {
    rest: Option<&'a [u8]>,
    by: u8,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let (mut quoted, mut escaped) = (false, false);
        for (at, &byte) in rest.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                byte if byte == self.by && !quoted => {
                    self.rest = Some(&rest[at + 1..]);
                    return Some(Some(&rest[..at]));
                }
                _ => {}
            }
        }
        Some((!quoted).then_some(rest))
    }
}
