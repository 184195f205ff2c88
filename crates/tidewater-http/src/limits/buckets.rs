//! A bucket of tokens for each key, as the time at which it is full again (the "virtual scheduling" of ITU-T I.371): a key
//! whose bucket is full is one that nothing is known of.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::rate::Rate;

/// How many keys are known at a time. Whoever has more addresses than that is not held by any one of them.
const MOST_KEYS: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Buckets<K> {
    /// What times are counted from.
    start: Instant,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    /// `None`: as often as one likes.
    rate: Option<Rate>,
    full_at: HashMap<K, Duration>,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        let state = State { rate, full_at: HashMap::new() };
        Self { start: Instant::now(), state: Mutex::new(state) }
    }

    /// From now on it is this rate. Every bucket is full again: what one rate counts is nothing to another.
    pub(super) fn set_rate(&self, rate: Option<Rate>) {
        let mut state = self.lock();
        if state.rate != rate {
            *state = State { rate, full_at: HashMap::new() };
        }
    }

    /// Whether there is a rate.
    pub(super) fn is_limited(&self) -> bool {
        self.lock().rate.is_some()
    }

    /// Takes a token; or how long it takes until there is one.
    pub(super) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let now = now.saturating_duration_since(self.start);
        let mut state = self.lock();
        let State { rate, full_at } = &mut *state;
        let Some(rate) = rate else { return Ok(()) };
        let known = full_at.get(&key).copied();
        let then = known.unwrap_or(now).max(now).saturating_add(rate.interval);
        let latest = now.saturating_add(rate.interval.saturating_mul(rate.burst));
        if then > latest {
            return Err(then - latest);
        }
        if known.is_none() && full_at.len() >= MOST_KEYS {
            make_room(full_at, now);
        }
        full_at.insert(key, then);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets who has a full bucket; and if that is not half of them, the half with the fullest.
fn make_room<K: Eq + Hash>(full_at: &mut HashMap<K, Duration>, now: Duration) {
    full_at.retain(|_, at| *at > now);
    let half = MOST_KEYS / 2;
    if full_at.len() > half {
        let mut times: Vec<Duration> = full_at.values().copied().collect();
        let middle = times.len() - half;
        let (_, &mut from, _) = times.select_nth_unstable(middle);
        // Of those at the very middle there may be many.
        let mut room = half - times.iter().filter(|at| **at > from).count();
        full_at.retain(|_, at| {
            let stays = *at > from || (*at == from && room > 0);
            room -= usize::from(stays && *at == from);
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let buckets = Buckets::new(Some(Rate::per_second(10).burst(3)));
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", at(0)), Ok(()));
        }
        assert_eq!(buckets.take("a", at(0)), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take("a", at(60)), Err(Duration::from_millis(40)), "a refusal costs nothing");
        assert_eq!(buckets.take("b", at(60)), Ok(()), "another's is another");
        assert_eq!(buckets.take("a", at(100)), Ok(()));
        assert!(buckets.take("a", at(100)).is_err());
        for _ in 0..3 {
            assert_eq!(buckets.take("a", at(10_000)), Ok(()));
        }
        assert!(buckets.take("a", at(10_000)).is_err(), "no more than a burst is saved");
    }

    #[test]
    fn no_more_are_known_than_there_is_room_for() {
        let buckets = Buckets::new(Some(Rate::per_minute(1)));
        let now = Instant::now();
        assert_eq!(buckets.take(u32::MAX, now + Duration::from_secs(30)), Ok(()));
        for key in 0..200_000 {
            assert_eq!(buckets.take(key, now), Ok(()));
        }
        let known = buckets.lock().full_at.len();
        assert!(known <= MOST_KEYS, "{known}");
        assert!(
            buckets.take(u32::MAX, now + Duration::from_secs(30)).is_err(),
            "the emptiest is the last to be forgotten"
        );
        assert_eq!(buckets.take(7, now + Duration::from_secs(100)), Ok(()));
    }
}
