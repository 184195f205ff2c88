//! Every enabled feature's plugins are linked and registered; a feature that is not enabled is named by the error.

#![allow(clippy::unwrap_used, missing_docs)]

use tidewater::{ErrorKind, plugin};

const SCHEMES: [(&str, &str, bool); 7] = [
    ("memory", "", true),
    ("kafka", "kafka", cfg!(feature = "kafka")),
    ("nats", "nats", cfg!(feature = "nats")),
    ("jetstream", "nats", cfg!(feature = "nats")),
    ("embedded", "embedded", cfg!(feature = "embedded")),
    // Without TLS it is there too, and says what is missing.
    ("sse+http", "sse", cfg!(feature = "sse")),
    ("sse+https", "sse-tls", cfg!(feature = "sse")),
];

#[test]
fn every_enabled_feature_is_registered() {
    let mut registered: Vec<_> =
        plugin::plugins().unwrap().iter().flat_map(|plugin| plugin.schemes).copied().collect();
    let mut expected: Vec<_> =
        SCHEMES.iter().filter(|(.., enabled)| *enabled).map(|(scheme, ..)| *scheme).collect();
    registered.sort_unstable();
    expected.sort_unstable();
    assert_eq!(registered, expected);
}

#[test]
fn the_error_names_the_feature_that_is_missing() {
    for (scheme, feature, _) in SCHEMES.iter().filter(|(.., enabled)| !enabled) {
        let error = plugin::open_source(&format!("{scheme}://localhost/x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownScheme);
        assert!(error.to_string().contains(&format!("enable the feature {feature:?}")), "{error}");
    }
}
