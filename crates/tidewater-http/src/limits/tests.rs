//! Places and rates, without a server.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use http::{HeaderMap, HeaderValue};
use tidewater_core::sse::Decoder;
use tidewater_hub::EventStream;

use super::*;

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn limits(config: LimitsConfig) -> Limits {
    Limits::new(config, Proxies::default())
}

#[test]
fn places_are_limited_in_all_by_address_and_by_subject_and_given_back() {
    let limits = limits(LimitsConfig {
        streams: Some(4),
        streams_per_address: Some(2),
        streams_per_subject: Some(2),
        ..LimitsConfig::default()
    });
    let (a, b, c) = (address("203.0.113.1"), address("203.0.113.2"), address("203.0.113.3"));
    let which = |address, subject| limits.stream(address, subject).map_err(|full| full.which());
    let mut permits = vec![which(a, Some("ada")).unwrap(), which(a, Some("bob")).unwrap()];
    assert_eq!(which(a, Some("eve")).unwrap_err(), Which::Address);
    permits.push(which(b, Some("ada")).unwrap());
    assert_eq!(which(b, Some("ada")).unwrap_err(), Which::Subject);
    let streams = limits.status().streams;
    assert_eq!((streams.open, streams.addresses, streams.subjects), (3, 2, 2), "refusals take nothing");
    permits.push(which(None, None).unwrap());
    assert_eq!(which(c, Some("eve")).unwrap_err(), Which::All);
    assert_eq!(limits.clone().status().streams, limits.status().streams);
    let RoomStatus { refused, refused_by_address, refused_by_subject, .. } = limits.status().streams;
    assert_eq!((refused, refused_by_address, refused_by_subject), (1, 1, 1));

    drop(permits.remove(0));
    permits.push(which(a, Some("ada")).unwrap());
    drop(permits);
    let streams = limits.status().streams;
    assert_eq!((streams.open, streams.addresses, streams.subjects), (0, 0, 0));
}

#[test]
fn one_client_is_its_network_of_64_bits() {
    let limits = limits(LimitsConfig { streams_per_address: Some(1), ..LimitsConfig::default() });
    let _permit = limits.stream(address("2001:db8::1"), None).unwrap();
    assert!(limits.stream(address("2001:db8::ffff:1"), None).is_err());
    let _other = limits.stream(address("2001:db8:0:1::1"), None).unwrap();
    let _mapped = limits.stream(address("::ffff:203.0.113.9"), None).unwrap();
    assert!(limits.stream(address("203.0.113.9"), None).is_err());
}

#[test]
fn connections_of_a_trusted_proxy_are_counted_in_all_only() {
    let config =
        LimitsConfig { connections: Some(5), connections_per_address: Some(1), ..LimitsConfig::default() };
    let limits = Limits::new(config, Proxies::trust(["10.0.0.0/8", "unix"]).unwrap());
    let peer = |address: [u8; 4]| Peer::Address((address, 1).into());
    let mut permits = vec![limits.connection(&peer([203, 0, 113, 9])).unwrap()];
    assert_eq!(limits.connection(&peer([203, 0, 113, 9])).unwrap_err().which(), Which::Address);
    for proxy in [peer([10, 0, 0, 1]), peer([10, 0, 0, 1]), Peer::Unix, Peer::Unix] {
        permits.push(limits.connection(&proxy).unwrap());
    }
    let full = limits.connection(&Peer::Unix).unwrap_err();
    assert_eq!(full.which(), Which::All);
    assert!(full.to_string().contains("5 connections in all"), "{full}");
    drop(permits);
    assert_eq!((limits.status().connections.open, limits.status().connections.addresses), (0, 0));
}

/// All clients of a proxy that nobody has named would be one.
#[test]
fn limits_per_address_are_off_once_a_proxy_is_suspected() {
    let limits = limits(LimitsConfig {
        streams_per_address: Some(1),
        connections_per_address: Some(1),
        publish: Some(Rate::per_hour(1)),
        ..LimitsConfig::default()
    });
    let proxy = Peer::Address(([10, 0, 0, 1], 1).into());
    let seen = limits.proxies().client(&proxy, &HeaderMap::new());
    let before = (limits.stream(seen, None).unwrap(), limits.connection(&proxy).unwrap());
    assert_eq!(limits.publish(seen, None), Ok(()));
    assert!(limits.stream(seen, None).is_err() && limits.connection(&proxy).is_err());
    assert!(limits.publish(seen, None).is_err());

    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
    let seen = limits.proxies().client(&proxy, &headers);
    let after = (limits.stream(seen, None).unwrap(), limits.connection(&proxy).unwrap());
    assert_eq!(limits.publish(seen, None), Ok(()));
    assert!(limits.publish(None, Some("ada")).is_ok() && limits.publish(seen, Some("ada")).is_err());
    assert!(limits.status().suspicion.unwrap().contains("10.0.0.1"));
    drop((before, after));
    let LimitsStatus { streams, connections, .. } = limits.status();
    assert_eq!((streams.open, streams.addresses, connections.open, connections.addresses), (0, 0, 0, 0));
}

#[test]
fn who_publishes_too_often_is_told_how_long_to_wait() {
    let limits = limits(LimitsConfig { publish: Some(Rate::per_minute(2)), ..LimitsConfig::default() });
    let (a, b) = (address("203.0.113.1"), address("203.0.113.2"));
    assert_eq!((limits.publish(a, None), limits.publish(a, None)), (Ok(()), Ok(())));
    let wait = limits.publish(a, None).unwrap_err();
    assert!(wait > Duration::from_secs(20) && wait <= Duration::from_secs(30), "{wait:?}");
    assert_eq!(limits.publish(b, None), Ok(()));
    assert_eq!(limits.publish(a, Some("ada")), Ok(()), "a subject is counted wherever it comes from");
    assert_eq!(limits.publish(b, Some("ada")), Ok(()));
    assert!(limits.publish(None, Some("ada")).is_err());
    assert_eq!(limits.status().refused_publishes, 2);
}

/// I10: another time for each, and later the more there are.
#[tokio::test]
async fn i10_who_is_turned_away_is_told_when_to_come_back() {
    let limits = limits(LimitsConfig { streams: Some(0), ..LimitsConfig::default() });
    let mut retries = Vec::new();
    for _ in 0..1000 {
        let full = limits.stream(None, None).unwrap_err();
        let mut stream = EventStream::from(full);
        let (mut decoder, mut text) = (Decoder::new(), Vec::new());
        while let Some(bytes) = futures_util::StreamExt::next(&mut stream).await {
            text.extend_from_slice(&bytes);
        }
        decoder.feed(&text);
        assert_eq!(decoder.next_event().unwrap(), None);
        assert_eq!(decoder.retry(), Some(full.retry().as_millis() as u64));
        retries.push(full.retry());
    }
    let (first, last) = (&retries[..100], &retries[900..]);
    assert!(first.iter().all(|retry| (500..=3100).contains(&retry.as_millis())), "{first:?}");
    assert!(last.iter().all(|retry| (5000..=12_000).contains(&retry.as_millis())), "{last:?}");
    let different: HashSet<_> = last.iter().collect();
    assert!(different.len() > 90, "{different:?}");
}

/// A storm in simulated time: a thousand clients for a hundred places, of which each stays for some seconds and goes. All get in,
/// and those who wait do not come all at once.
#[test]
fn i10_a_storm_gets_in_sooner_or_later() {
    const CLIENTS: usize = 1000;
    let room = Arc::new(Room::new("streams", Most { in_all: Some(100), ..Most::default() }));
    let start = Instant::now();
    // What happens next, and to which client: it comes, or it goes.
    let mut next: BTreeSet<(Duration, usize, bool)> =
        (0..CLIENTS).map(|client| (Duration::from_millis(client as u64 / 10), client, true)).collect();
    let mut permits = HashMap::new();
    let (mut served, mut came) = (HashSet::new(), BTreeMap::<u64, usize>::new());
    while let Some((now, client, comes)) = next.pop_first() {
        assert!(now < Duration::from_secs(600), "{} are still waiting", CLIENTS - served.len());
        if !comes {
            permits.remove(&client);
            continue;
        }
        *came.entry(now.as_secs()).or_default() += 1;
        match Room::enter(&room, None, None, start + now) {
            Ok(permit) => {
                assert!(permits.len() < 100 && served.insert(client));
                permits.insert(client, permit);
                next.insert((now + Duration::from_secs(1).mul_f64(1.0 + fastrand::f64()), client, false));
            }
            Err(full) => {
                next.insert((now + full.retry(), client, true));
            }
        }
    }
    assert_eq!((served.len(), room.status().open), (CLIENTS, 0));
    let later: Vec<_> = came.iter().filter(|(second, _)| **second > 2).collect();
    assert!(later.iter().all(|(_, count)| **count < 300), "so many came in each second: {came:?}");
    assert!(came.len() > 8, "{came:?}");
}

#[test]
fn nothing_is_limited_unless_it_is_said() {
    let limits = Limits::default();
    let permits: Vec<_> =
        (0..1000).map(|_| limits.stream(address("203.0.113.1"), Some("ada")).unwrap()).collect();
    assert_eq!((limits.status().streams.open, limits.status().streams.addresses), (1000, 0));
    assert!((0..1000).all(|_| limits.publish(address("203.0.113.1"), None).is_ok()));
    drop(permits);
    assert_eq!(limits.status().streams.open, 0);
}

#[test]
fn limits_change_and_what_is_open_stays_counted() {
    let config = |most| LimitsConfig {
        streams: Some(2 * most),
        streams_per_address: Some(most),
        publish: Some(Rate::per_hour(most as u32)),
        ..LimitsConfig::default()
    };
    let limits = Limits::new(config(2), Proxies::default());
    let endpoint = limits.clone();
    let own = limits.with_publish(None);
    let a = address("203.0.113.1");
    let mut permits = vec![endpoint.stream(a, None).unwrap(), own.stream(a, None).unwrap()];
    assert_eq!(endpoint.stream(a, None).unwrap_err().which(), Which::Address);
    assert_eq!((endpoint.publish(a, None), endpoint.publish(a, None)), (Ok(()), Ok(())));
    assert!(endpoint.publish(a, None).is_err() && (0..9).all(|_| own.publish(a, None).is_ok()));

    // More, then fewer than there are, then none.
    limits.change(config(3), Proxies::trust(["10.0.0.0/8"]).unwrap());
    permits.push(endpoint.stream(a, None).unwrap());
    assert!(endpoint.stream(a, None).is_err() && endpoint.publish(a, None).is_ok());
    assert!(endpoint.proxies().is_trusted([10, 0, 0, 1].into()));
    limits.change(config(1), Proxies::default());
    assert_eq!(endpoint.stream(address("203.0.113.2"), None).unwrap_err().which(), Which::All);
    assert_eq!((limits.status().streams.open, limits.status().streams.most), (3, Some(2)));
    drop(permits.split_off(1));
    assert_eq!(endpoint.stream(a, None).unwrap_err().which(), Which::Address, "one is one still");
    limits.change(LimitsConfig::default(), Proxies::default());
    permits.push(endpoint.stream(a, None).unwrap());
    assert!(limits.status().streams.most.is_none() && (0..9).all(|_| endpoint.publish(a, None).is_ok()));
    limits.change(config(2), Proxies::default());
    assert!(endpoint.stream(a, None).is_err(), "it was counted while there was no limit");
    own.change_publish(Some(Rate::per_hour(1)));
    assert!(own.publish(a, None).is_ok() && own.publish(a, None).is_err());
    assert!(endpoint.publish(a, None).is_ok(), "another's rate is another");
    drop(permits);
    assert_eq!((limits.status().streams.open, limits.status().streams.addresses), (0, 0));
}

/// What docs/limits.md says of memory.
#[test]
fn a_permit_is_small() {
    assert_eq!(size_of::<Permit>(), 48);
}
