//! Whose address a request has, in tables and by hostile clients.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::Peer;

/// What a client is taken for whose request comes from `peer` with these lines of the header.
fn client(proxies: &Proxies, header: ForwardingHeader, peer: &str, lines: &[&[u8]]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(header.name(), HeaderValue::from_bytes(line).unwrap());
    }
    let peer = match peer {
        "unix" => Peer::Unix,
        address => Peer::Address((address.parse::<IpAddr>().unwrap(), 50_000).into()),
    };
    proxies.clone().header(header).client(&peer, &headers).map(|address| address.to_string())
}

fn proxies() -> Proxies {
    Proxies::trust(["10.0.0.0/8", "192.0.2.7", "2001:db8:aa::/48", "unix"]).unwrap()
}

#[test]
fn addresses_are_counted_by_what_one_client_gets() {
    for (address, as_) in [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ("2001:db8:1:3::6", "2001:db8:1:3::"),
    ] {
        assert_eq!(counted(address.parse().unwrap()).to_string(), as_, "{address}");
    }
}

#[test]
fn x_forwarded_for_is_read_from_the_right_while_hops_are_trusted() {
    for (peer, lines, expected) in [
        ("10.0.0.1", &["203.0.113.9"][..], "203.0.113.9"),
        ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
        ("192.0.2.7", &["203.0.113.9"], "203.0.113.9"),
        ("2001:db8:aa::1", &["[2001:db8:bb::9]:4711"], "2001:db8:bb::9"),
        ("10.0.0.1", &["2001:db8:bb::9"], "2001:db8:bb::9"),
        ("10.0.0.1", &["203.0.113.9:1234"], "203.0.113.9"),
        ("unix", &["203.0.113.9"], "203.0.113.9"),
        // What a client sent is to the left of what its proxy saw.
        ("10.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1, 203.0.113.9,10.0.0.3", "10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1, 10.0.0.9, 203.0.113.9, 192.0.2.7"], "203.0.113.9"),
        // All of them are proxies: the last one that is known.
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", &[], "10.0.0.1"),
        // What is no address ends it.
        ("10.0.0.1", &["1.1.1.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["1.1.1.1,"], "10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1", ""], "10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1,,10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["1.1.1.1, <script>"], "10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1 203.0.113.9"], "10.0.0.1"),
        // Who is not trusted may write what it likes.
        ("203.0.113.9", &["1.1.1.1"], "203.0.113.9"),
        ("192.0.2.8", &["10.0.0.1"], "192.0.2.8"),
        ("2001:db8:ab::1", &["1.1.1.1"], "2001:db8:ab::1"),
    ] {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        let seen = client(&proxies(), ForwardingHeader::XForwardedFor, peer, &lines);
        assert_eq!(seen.as_deref(), Some(expected), "{peer} {lines:?}");
    }
    let binary = client(&proxies(), ForwardingHeader::XForwardedFor, "10.0.0.1", &[b"1.1.1.1, \xff\xfe"]);
    assert_eq!(binary.as_deref(), Some("10.0.0.1"));
    assert_eq!(client(&proxies(), ForwardingHeader::XForwardedFor, "unix", &[b"unknown"]), None);
    let nobody = Proxies::default();
    assert_eq!(client(&nobody, ForwardingHeader::XForwardedFor, "unix", &[b"1.1.1.1"]), None);
}

#[test]
fn forwarded_is_read_from_the_right_while_hops_are_trusted() {
    for (lines, expected) in [
        (&["for=203.0.113.9"][..], "203.0.113.9"),
        (&["For=\"203.0.113.9\""], "203.0.113.9"),
        (&["for=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
        (&["FOR=\"[2001:DB8:cafe::17]\""], "2001:db8:cafe::17"),
        (&["for=203.0.113.9;proto=http;by=203.0.113.43"], "203.0.113.9"),
        (&["by=1.1.1.1;host=\"a;b,c\";for=203.0.113.9 ; proto=https"], "203.0.113.9"),
        (&["for=1.1.1.1, for=203.0.113.9"], "203.0.113.9"),
        (&["for=1.1.1.1", "for=203.0.113.9"], "203.0.113.9"),
        (&["for=203.0.113.9, for=10.0.0.2,for=\"10.0.0.3:80\""], "203.0.113.9"),
        (&["for=\"203.0.113.\\9\""], "203.0.113.9"),
        (&["for=203.0.113.9:80"], "203.0.113.9"),
        (&["for=\"203.0.113.9:_port\""], "203.0.113.9"),
        // What names no address ends it.
        (&["for=1.1.1.1, for=unknown"], "10.0.0.1"),
        (&["for=1.1.1.1, for=_hidden"], "10.0.0.1"),
        (&["for=1.1.1.1, for=\"_hidden:1\", for=10.0.0.2"], "10.0.0.2"),
        (&["for=1.1.1.1, by=10.0.0.5"], "10.0.0.1"),
        (&["for=1.1.1.1;for=203.0.113.9"], "10.0.0.1"),
        (&["for=1.1.1.1,"], "10.0.0.1"),
        (&["for=1.1.1.1, for=\"\""], "10.0.0.1"),
        (&["for=1.1.1.1, for"], "10.0.0.1"),
        (&["203.0.113.9"], "10.0.0.1"),
        (&["for=\"203.0.113.9\"x"], "10.0.0.1"),
        (&["for=\"a\"b\"203.0.113.9\""], "10.0.0.1"),
        (&[""], "10.0.0.1"),
        // A client that opens a quote swallows nothing of what its proxy appends.
        (&["for=1.1.1.1;x=\", for=203.0.113.9"], "10.0.0.1"),
        (&["for=1.1.1.1, for=\", for=\"[2001:db8::9]\""], "10.0.0.1"),
        (&["for=\"1.1.1.1\\, for=\"203.0.113.9\""], "10.0.0.1"),
        (&["for=1.1.1.1;x=\"", "for=203.0.113.9"], "203.0.113.9"),
        (&["for=\"\\", "for=203.0.113.9, for=10.0.0.2"], "203.0.113.9"),
    ] {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        let seen = client(&proxies(), ForwardingHeader::Forwarded, "10.0.0.1", &lines);
        assert_eq!(seen.as_deref(), Some(expected), "{lines:?}");
    }
}

#[test]
fn only_the_header_that_is_chosen_is_read() {
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
    headers.insert("forwarded", HeaderValue::from_static("for=2.2.2.2"));
    let peer = Peer::Address(([10, 0, 0, 1], 1).into());
    let seen = |header| proxies().header(header).client(&peer, &headers).unwrap().to_string();
    assert_eq!(seen(ForwardingHeader::XForwardedFor), "1.1.1.1");
    assert_eq!(seen(ForwardingHeader::Forwarded), "2.2.2.2");
    assert_eq!("Forwarded".parse::<ForwardingHeader>().unwrap(), ForwardingHeader::Forwarded);
    let error = "x-real-ip".parse::<ForwardingHeader>().unwrap_err().to_string();
    assert!(error.contains("x-real-ip") && error.contains("x-forwarded-for, forwarded"), "{error}");
}

#[test]
fn a_chain_of_proxies_has_an_end() {
    let line = vec!["10.0.0.2"; 10_000].join(",");
    let seen =
        client(&proxies(), ForwardingHeader::XForwardedFor, "10.0.0.1", &[b"1.1.1.1", line.as_bytes()]);
    assert_eq!(seen.as_deref(), Some("10.0.0.2"));
    let line = vec!["for=10.0.0.2"; 10_000].join(",");
    let seen =
        client(&proxies(), ForwardingHeader::Forwarded, "10.0.0.1", &[b"for=1.1.1.1", line.as_bytes()]);
    assert_eq!(seen.as_deref(), Some("10.0.0.2"));
}

#[test]
fn networks_are_read_or_refused() {
    let is_trusted =
        |proxy: &str, address: &str| Proxies::trust([proxy]).unwrap().is_trusted(address.parse().unwrap());
    for (proxy, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("10.1.2.3/8", "10.255.0.1", "11.0.0.1"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("192.0.2.7/32", "::ffff:192.0.2.7", "192.0.2.8"),
        ("::ffff:10.0.0.0/104", "10.1.1.1", "11.0.0.1"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
        ("::1", "::1", "127.0.0.1"),
        ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
        ("::/0", "2001:db8::1", "203.0.113.9"),
    ] {
        assert!(is_trusted(proxy, inside), "{proxy} {inside}");
        assert!(!is_trusted(proxy, outside), "{proxy} {outside}");
    }
    for proxy in ["", "10.0.0.0/33", "10.0.0/8", "localhost", "unix:/run/x", "10.0.0.1:80", "*", "::/129"] {
        let error = Proxies::trust(["10.0.0.1", proxy]).unwrap_err().to_string();
        assert!(error.contains(&format!("{proxy:?}")) && error.contains("10.0.0.0/8"), "{error}");
    }
}

/// A proxy that was forgotten is noticed by the header that it writes; a client from outside can make nobody think so.
#[test]
fn a_private_peer_that_forwards_is_suspected_while_nobody_is_trusted() {
    for (peer, header, suspected) in [
        ("10.1.2.3", "x-forwarded-for", true),
        ("172.16.0.1", "forwarded", true),
        ("192.168.0.1", "x-forwarded-for", true),
        ("127.0.0.1", "x-forwarded-for", true),
        ("::ffff:127.0.0.1", "x-forwarded-for", true),
        ("169.254.1.1", "x-forwarded-for", true),
        ("100.64.0.1", "x-forwarded-for", true),
        ("100.127.0.1", "x-forwarded-for", true),
        ("::1", "forwarded", true),
        ("fd00::1", "x-forwarded-for", true),
        ("fe80::1", "x-forwarded-for", true),
        ("unix", "x-forwarded-for", true),
        ("10.1.2.3", "x-real-ip", false),
        ("203.0.113.9", "x-forwarded-for", false),
        ("100.128.0.1", "x-forwarded-for", false),
        ("2001:db8::1", "forwarded", false),
    ] {
        let nobody = Proxies::trust([""; 0]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(http::HeaderName::from_static(header), HeaderValue::from_static("203.0.113.9"));
        let peer = match peer {
            "unix" => Peer::Unix,
            address => Peer::Address((address.parse::<IpAddr>().unwrap(), 1).into()),
        };
        let seen = nobody.client(&peer, &HeaderMap::new());
        assert_eq!(nobody.suspicion(), None);
        assert_eq!(nobody.client(&peer, &headers), seen, "it is believed no more for that");
        assert_eq!(nobody.clone().suspicion().is_some(), suspected, "{peer} {header}");
        if let Some(text) = nobody.suspicion() {
            assert!(text.contains(header) && text.contains("[proxies] trusted = ["), "{text}");
        }
        let somebody = Proxies::trust(["192.0.2.7"]).unwrap();
        somebody.client(&peer, &headers);
        assert_eq!(somebody.suspicion(), None, "whoever names proxies has thought of them");
    }
}

/// Bytes of a header's value, mostly of what these headers are made of.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        4 => prop::sample::select(vec![
            "for=", "\"", ",", ";", "=", "\\", " ", "[", "]", ":", "1.1.1.1", "10.0.0.2", "::1", "unknown", "_x", "\t",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(prop_oneof![0x20..=0x7e_u8, 0x80..=0xff_u8], 0..4),
    ];
    prop::collection::vec(pieces, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Whatever a client writes, behind a proxy that tells the truth it is itself, or (where its line can't be read)
    /// the proxy.
    #[test]
    fn a_client_is_never_taken_for_another(written in prop::collection::vec(hostile(), 0..4), joined: bool, quoted: bool) {
        for header in [ForwardingHeader::XForwardedFor, ForwardingHeader::Forwarded] {
            let own = match (header, quoted) {
                (ForwardingHeader::XForwardedFor, _) => "203.0.113.9",
                (ForwardingHeader::Forwarded, true) => "for=\"203.0.113.9:4711\";proto=https",
                (ForwardingHeader::Forwarded, false) => "for=203.0.113.9",
            };
            let mut lines = written.clone();
            match lines.last_mut() {
                Some(last) if joined => last.extend_from_slice(format!(", {own}").as_bytes()),
                _ => lines.push(own.into()),
            }
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let seen = client(&proxies(), header, "10.0.0.1", &lines);
            let unreadable = header == ForwardingHeader::Forwarded && joined && seen.as_deref() == Some("10.0.0.1");
            prop_assert!(unreadable || seen.as_deref() == Some("203.0.113.9"), "{header}: {seen:?} of {lines:?}");
        }
    }
}
