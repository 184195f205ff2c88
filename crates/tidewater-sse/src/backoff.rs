//! How long to wait before the next connection: pure, time and chance come in as arguments.
//!
//! WHATWG HTML §9.2.3, "reestablish the connection": wait the reconnection time, then, optionally, some more, "especially
//! if the previous attempt failed". So the reconnection time is never undercut, but for the bound of [`LONGEST`].

use std::time::Duration;

/// No server's word makes a hot loop: `retry: 0` is this.
pub(crate) const LEAST_OF_STREAM: Duration = Duration::from_millis(100);
/// Nor does a setting of the application's, who may have its reasons to be quick.
pub(crate) const LEAST_OF_SETTING: Duration = Duration::from_millis(10);
/// No server's word (`retry`, `Retry-After`) parks a client for longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Counts attempts and says how long to wait before the next one.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    initial: Duration,
    cap: Duration,
    /// Waits since a connection was good.
    waits: u32,
}

impl Backoff {
    /// `initial` is the reconnection time until the stream sets one; `cap` is what waiting grows to.
    pub(crate) fn new(initial: Duration, cap: Duration) -> Self {
        Self { initial, cap, waits: 0 }
    }

    /// The reconnection time: the stream's (in milliseconds), or the one it began with.
    pub(crate) fn reconnection_time(&self, of_stream: Option<u64>) -> Duration {
        match of_stream {
            Some(millis) => Duration::from_millis(millis).clamp(LEAST_OF_STREAM, LONGEST),
            None => self.initial.max(LEAST_OF_SETTING),
        }
    }

    /// The connection delivers: the next wait is the reconnection time again.
    pub(crate) fn reset(&mut self) {
        self.waits = 0;
    }

    /// The wait before the next attempt. `random` is evenly spread over `0.0..1.0`.
    ///
    /// The first is the reconnection time and up to a quarter of it, so that the clients of a server that went do not
    /// come back in one moment. From then on it doubles up to the cap, and anything from half of that is as good.
    pub(crate) fn next(&mut self, of_stream: Option<u64>, random: f64) -> Duration {
        let base = self.reconnection_time(of_stream);
        let doublings = self.waits.min(31);
        self.waits = self.waits.saturating_add(1);
        if doublings == 0 {
            return base + (base / 4).mul_f64(random);
        }
        let most = base.saturating_mul(1 << doublings).min(self.cap);
        let half = most / 2;
        (half + half.mul_f64(random)).max(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(initial: u64, cap: u64, of_stream: Option<u64>, random: f64) -> Vec<u128> {
        let mut backoff = Backoff::new(Duration::from_millis(initial), Duration::from_millis(cap));
        (0..7).map(|_| backoff.next(of_stream, random).as_millis()).collect()
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        assert_eq!(waits(1_000, 10_000, None, 1.0), [1_250, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
        assert_eq!(waits(1_000, 10_000, None, 0.0), [1_000, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
    }

    #[test]
    fn the_streams_time_counts_and_is_never_undercut() {
        for random in [0.0, 0.5, 0.999] {
            let of_stream = waits(1_000, 10_000, Some(60_000), random);
            assert!(of_stream.iter().all(|wait| (60_000..=75_000).contains(wait)), "{of_stream:?}");
            assert!(waits(20, 10_000, None, random).iter().all(|wait| *wait >= 20));
        }
        assert_eq!(waits(1_000, 10_000, Some(200), 0.0)[..3], [200, 200, 400]);
    }

    #[test]
    fn neither_a_hot_loop_nor_for_ever() {
        assert_eq!(waits(1_000, 10_000, Some(0), 0.0)[0], LEAST_OF_STREAM.as_millis());
        assert_eq!(waits(0, 10_000, None, 0.0)[0], LEAST_OF_SETTING.as_millis());
        assert_eq!(waits(0, 0, None, 1.0)[6], LEAST_OF_SETTING.as_millis());
        assert_eq!(waits(1_000, 10_000, Some(u64::MAX), 0.0)[0], LONGEST.as_millis());
    }

    #[test]
    fn a_good_connection_begins_anew_and_counting_never_overflows() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::MAX);
        for _ in 0..100 {
            assert!(backoff.next(Some(u64::MAX), 0.999) >= LONGEST);
        }
        backoff.waits = u32::MAX;
        assert!(backoff.next(None, 0.999) > Duration::from_secs(1_000_000));
        backoff.reset();
        assert_eq!(backoff.next(None, 0.0), Duration::from_secs(1));
    }
}
