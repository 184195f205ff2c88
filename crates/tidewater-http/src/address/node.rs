//! One hop: an address, with or without a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// No address with a port is longer.
const LONGEST: usize = 64;

/// The address of a hop as proxies write it: `203.0.113.9`, `203.0.113.9:4711`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:4711`. What is mapped into IPv6 is IPv4.
///
/// `None` for what is no address: nothing, `unknown`, an obfuscated `_hidden` (RFC 7239, §6), or anything else.
pub(super) fn address(node: &[u8]) -> Option<IpAddr> {
    if node.len() > LONGEST {
        return None;
    }
    let node = std::str::from_utf8(node).ok()?.trim_matches([' ', '\t']);
    let address = match node.strip_prefix('[') {
        Some(bracketed) => {
            let (address, port) = bracketed.split_once(']')?;
            let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            address.parse::<Ipv6Addr>().ok().filter(|_| is_port)?.into()
        }
        None => match node.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => {
                let (address, port) = node.split_once(':')?;
                address.parse::<Ipv4Addr>().ok().filter(|_| is_port(port))?.into()
            }
        },
    };
    Some(address.to_canonical())
}

/// RFC 7239, §6.2 and §6.3: five digits, or an obfuscated one.
fn is_port(port: &str) -> bool {
    match port.strip_prefix('_') {
        Some(hidden) => !hidden.is_empty() && hidden.bytes().all(is_obfuscated),
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn is_obfuscated(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_a_port() {
        for (node, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            (" \t203.0.113.9\t ", "203.0.113.9"),
            ("203.0.113.9:1", "203.0.113.9"),
            ("203.0.113.9:65535", "203.0.113.9"),
            ("203.0.113.9:_p-1.x", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:DB8::1]:_x", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
            ("::1", "::1"),
        ] {
            let address = address(node.as_bytes()).map(|address| address.to_string());
            assert_eq!(address.as_deref(), Some(expected), "{node}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        let long = format!("203.0.113.9:{}", "0".repeat(100));
        for node in [
            "",
            " ",
            "unknown",
            "Unknown",
            "_hidden",
            "_",
            "localhost",
            "1",
            "203.0.113",
            "203.0.113.256",
            "203.0.113.09",
            "0x7f.0.0.1",
            "203.0.113.9:",
            "203.0.113.9:x",
            "203.0.113.9:123456",
            "203.0.113.9:-1",
            "203.0.113.9:_",
            "203.0.113.9:_é",
            "203.0.113.9 1.2.3.4",
            "203.0.113.9\n",
            "203.0.113.9/32",
            "[203.0.113.9]",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]:",
            "[::1]80",
            "[::1]::1",
            "[[::1]]",
            "[]",
            "[]:1",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            "::ffff:203.0.113.9:80",
            "\"::1\"",
            "٢.0.0.1",
            &long,
        ] {
            assert_eq!(address(node.as_bytes()), None, "{node}");
        }
        assert_eq!(address(b"203.0.113.9\xff"), None);
        assert_eq!(address(b"\0"), None);
    }
}
