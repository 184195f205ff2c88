//! When those who are turned away are to come back. Pure.
//!
//! They come one behind the other, at a rate that turning them away again costs little: each is told the next turn. So the more
//! are turned away, the later they come; however many there are, as many come in a second as before; and one who comes
//! when a place is free gets it. A turn is spread over half of itself, so that those who were turned away in one moment
//! do not stay together.

use std::time::{Duration, Instant};

/// Between two who return, where all places are taken: a hundred in a second.
pub(super) const OF_ALL: Duration = Duration::from_millis(10);
/// Where one address or one subject has all that it may have: these are few, or one who asks for more than it gets.
pub(super) const OF_ONE: Duration = Duration::from_millis(500);
/// The last turn there is: who waits longer is taken for gone by those who look at the page.
const LONGEST: Duration = Duration::from_secs(300);
/// No browser is told to come back sooner: some then come at once, and again (I9).
const SHORTEST: Duration = Duration::from_millis(500);
/// Over how much even the first turn is spread.
const SPREAD: Duration = Duration::from_millis(1500);

/// Up to when turns are given out.
#[derive(Debug, Default)]
pub(super) struct Returns(Option<Instant>);

impl Returns {
    /// The next turn, from now.
    pub(super) fn next(&mut self, now: Instant, between: Duration) -> Duration {
        let given = self.0.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let turn = (given + between).min(LONGEST);
        self.0 = now.checked_add(turn);
        turn
    }
}

/// The time that is told for a turn: between half of it and all, and a moment more. `random` is in `0..1`.
pub(super) fn spread(turn: Duration, random: f64) -> Duration {
    SHORTEST + SPREAD.mul_f64(random) + turn.mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_are_turned_away_the_later_they_come() {
        let (mut returns, now) = (Returns::default(), Instant::now());
        let turns: Vec<_> = (0..900).map(|_| returns.next(now, OF_ALL)).collect();
        assert_eq!((turns[0], turns[899]), (OF_ALL, OF_ALL * 900));
        // Their turns pass, and nobody comes any more.
        let later = now + Duration::from_secs(4);
        assert_eq!(returns.next(later, OF_ALL), Duration::from_millis(5010));
        assert_eq!(returns.next(now + Duration::from_secs(60), OF_ALL), OF_ALL);
    }

    #[test]
    fn a_turn_is_never_later_than_the_longest() {
        let (mut returns, now) = (Returns::default(), Instant::now());
        let last = (0..100_000).map(|_| returns.next(now, OF_ALL)).last();
        assert_eq!(last, Some(LONGEST));
        assert!(spread(LONGEST, 1.0) <= LONGEST + SHORTEST + SPREAD);
    }

    #[test]
    fn turns_are_spread_and_never_too_soon() {
        assert_eq!(spread(Duration::ZERO, 0.0), SHORTEST);
        let turn = Duration::from_secs(10);
        assert_eq!(spread(turn, 0.0), Duration::from_millis(5_500));
        assert_eq!(spread(turn, 1.0), Duration::from_secs(12));
    }
}
