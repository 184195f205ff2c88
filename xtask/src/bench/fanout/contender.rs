//! Who is measured.

use clap::ValueEnum;

/// A server of event streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(super) enum Contender {
    Direct,
    /// With authorization: each client has a token.
    DirectTokens,
    Hyper,
    Warp,
    Rocket,
    Salvo,
    HandHyper,
    HandWarp,
    HandRocket,
    HandSalvo,
    HandAxum,
    Nchan,
    Floor,
}

use Contender::{
    Direct, DirectTokens, Floor, HandAxum, HandHyper, HandRocket, HandSalvo, HandWarp, Hyper, Nchan, Rocket,
    Salvo, Warp,
};

impl Contender {
    pub(super) const ALL: &[Self] = &[
        Direct,
        DirectTokens,
        Hyper,
        Warp,
        Rocket,
        Salvo,
        HandHyper,
        HandWarp,
        HandRocket,
        HandSalvo,
        HandAxum,
        Nchan,
        Floor,
    ];
    pub(super) const OURS: &[Self] = &[Direct, Hyper, Warp, Rocket, Salvo];
    pub(super) const HAND: &[Self] = &[HandHyper, HandWarp, HandRocket, HandSalvo, HandAxum];

    /// What `serve` knows it by.
    pub(super) fn argument(self) -> &'static str {
        match self {
            Direct => "direct",
            DirectTokens => "direct-tokens",
            Hyper => "hyper",
            Warp => "warp",
            Rocket => "rocket",
            Salvo => "salvo",
            HandHyper => "hand-hyper",
            HandWarp => "hand-warp",
            HandRocket => "hand-rocket",
            HandSalvo => "hand-salvo",
            HandAxum => "hand-axum",
            Nchan => "nchan",
            Floor => "floor",
        }
    }

    /// As tables and the plot name it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Direct => "ours, direct",
            DirectTokens => "ours, direct, with tokens",
            Hyper => "ours behind hyper",
            Warp => "ours behind warp",
            Rocket => "ours behind rocket",
            Salvo => "ours behind salvo",
            HandHyper => "hyper by hand",
            HandWarp => "warp by hand",
            HandRocket => "rocket by hand",
            HandSalvo => "salvo by hand",
            HandAxum => "axum by hand",
            Nchan => "nchan",
            Floor => "floor",
        }
    }

    /// What the same framework is without us.
    pub(super) fn by_hand(self) -> Option<Self> {
        match self {
            Hyper => Some(HandHyper),
            Warp => Some(HandWarp),
            Rocket => Some(HandRocket),
            Salvo => Some(HandSalvo),
            _ => None,
        }
    }

    pub(super) fn is_ours(self) -> bool {
        Self::OURS.contains(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_what_the_command_line_takes() {
        for contender in Contender::ALL {
            assert_eq!(Contender::from_str(contender.argument(), false), Ok(*contender));
        }
    }
}
