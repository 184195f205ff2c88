//! When a client that is sent away is to come back (I9). Pure, and of the standard library alone: `cargo xtask scale` counts with
//! this very file.

use std::time::Duration;

/// The shortest reconnection time that is ever sent: Chromium reconnects in a hot loop below it.
pub(crate) const SHORTEST: Duration = Duration::from_millis(500);
/// Over how much clients are spread at least.
const LEAST: Duration = Duration::from_secs(2);

/// A time between the shortest and twice the channel's own, so that those who are sent away in one moment do not stay
/// together. `random` is in `0..1`.
pub(crate) fn spread(retry: Duration, random: f64) -> Duration {
    let most = retry.saturating_mul(2).max(LEAST);
    SHORTEST + most.saturating_sub(SHORTEST).mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_comes_between_the_shortest_and_twice_its_channels_time() {
        let retry = Duration::from_secs(2);
        assert_eq!(spread(retry, 0.0), SHORTEST);
        assert_eq!(spread(retry, 0.5), Duration::from_millis(2250));
        assert_eq!(spread(retry, 1.0), Duration::from_secs(4));
        assert_eq!(spread(SHORTEST, 1.0), LEAST);
    }
}
