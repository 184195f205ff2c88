//! What `--version` tells: the version, and how this binary was built.

use std::{fmt::Write, sync::LazyLock};

/// The lines of `--version`; `-V` has the first one alone.
pub(crate) static LONG: LazyLock<String> = LazyLock::new(|| {
    let built_in: Vec<_> = FEATURES.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect();
    let mut text = format!(
        "{}\nfeatures: {}\ntarget:   {}\ncompiler: {}",
        env!("CARGO_PKG_VERSION"),
        if built_in.is_empty() { "none".to_owned() } else { built_in.join(", ") },
        env!("TIDEWATER_TARGET"),
        env!("TIDEWATER_RUSTC"),
    );
    if let Some(commit) = COMMIT.filter(|commit| !commit.is_empty()) {
        _ = write!(text, "\ncommit:   {commit}");
    }
    text
});

/// Releases are built with it (`cargo xtask release`). Who builds a clone knows it, and a build script that asked git would
/// run at every commit.
const COMMIT: Option<&str> = option_env!("TIDEWATER_COMMIT");

macro_rules! features {
    ($($name:literal),* $(,)?) => {
        /// All features, as the manifest has them, and whether they are on.
        const FEATURES: &[(&str, bool)] = &[$(($name, cfg!(feature = $name))),*];
    };
}

features!(
    "kafka",
    "kafka-gssapi",
    "kafka-vendored",
    "nats",
    "embedded",
    "sse-tls",
    "tls",
    "gzip",
    "zstd",
    "authorization",
    "otel",
    "otel-tls",
    "mimalloc",
    "all-servers",
    "warp",
    "rocket",
    "salvo",
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_feature_of_the_manifest_is_told() {
        let manifest = toml::de::DeTable::parse(include_str!("../Cargo.toml")).unwrap();
        let features = manifest.get_ref()["features"].get_ref().as_table().unwrap();
        let expected: BTreeSet<_> =
            features.keys().map(|name| name.get_ref().as_ref()).filter(|name| *name != "default").collect();
        let told: BTreeSet<_> = FEATURES.iter().map(|(name, _)| *name).collect();
        assert_eq!(told, expected);
    }
}
