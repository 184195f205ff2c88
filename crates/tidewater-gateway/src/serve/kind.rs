//! Which web server answers.

use std::{fmt, str::FromStr};

/// A web server that can be chosen by `--server`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerKind {
    /// Streams straight to their sockets, the rest by hyper: always built in, the leanest.
    #[default]
    Direct,
    /// Plain hyper: always built in.
    Hyper,
    /// warp
    Warp,
    /// rocket
    Rocket,
    /// salvo
    Salvo,
}

impl ServerKind {
    /// All of them, built in or not.
    pub(crate) const ALL: [Self; 5] = [Self::Direct, Self::Hyper, Self::Warp, Self::Rocket, Self::Salvo];

    /// The feature that builds all of them in.
    pub(crate) const FEATURE: &str = "all-servers";

    /// Its name, which is the name of its own feature, too.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Hyper => "hyper",
            Self::Warp => "warp",
            Self::Rocket => "rocket",
            Self::Salvo => "salvo",
        }
    }

    /// Whether it counts and bounds connections, and listens on several addresses.
    pub(crate) const fn counts_connections(self) -> bool {
        matches!(self, Self::Direct | Self::Hyper)
    }

    /// Whether this binary has it.
    pub(crate) const fn is_built_in(self) -> bool {
        match self {
            Self::Direct | Self::Hyper => true,
            Self::Warp => cfg!(feature = "warp"),
            Self::Rocket => cfg!(feature = "rocket"),
            Self::Salvo => cfg!(feature = "salvo"),
        }
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ServerKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join(", ");
        let Some(kind) = Self::ALL.into_iter().find(|kind| kind.name() == text) else {
            return Err(format!("there is no such web server (there are: {known})"));
        };
        if kind.is_built_in() {
            return Ok(kind);
        }
        let built_in: Vec<_> =
            Self::ALL.into_iter().filter(|kind| kind.is_built_in()).map(Self::name).collect();
        Err(format!(
            "this binary was built without it (it has: {}); to have it, build tidewater-gateway with the feature \
             {feature:?}: cargo build -p tidewater-gateway --features {feature}",
            built_in.join(", "),
            feature = Self::FEATURE
        ))
    }
}
