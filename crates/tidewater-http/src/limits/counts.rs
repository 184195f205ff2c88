//! How many places each key has. One that has none is not kept, so memory is bounded by the places that are taken.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::returns::{OF_ONE, Returns};

/// How many locks there are: thousands may come at once.
const SHARDS: usize = 16;

#[derive(Debug)]
pub(super) struct Counts<K> {
    most: AtomicUsize,
    hasher: RandomState,
    shards: [Mutex<HashMap<K, Count>>; SHARDS],
}

#[derive(Debug, Default)]
struct Count {
    taken: usize,
    returns: Returns,
}

impl<K: Clone + Eq + Hash> Counts<K> {
    /// So many places for each, at most.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.into(), hasher: RandomState::new(), shards: Default::default() }
    }

    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// From now on it is so many for each. Who has more keeps them.
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Takes one for this key, and gives the key that is kept; or the turn in which to come back, if it has as many as there
    /// may be.
    pub(super) fn take(&self, key: K, now: Instant) -> Result<K, Duration> {
        let most = self.most();
        if most == 0 {
            // Nothing is kept of who has nothing.
            return Err(OF_ONE);
        }
        match self.shard(&key).entry(key) {
            Entry::Vacant(vacant) => {
                let key = vacant.key().clone();
                vacant.insert(Count { taken: 1, returns: Returns::default() });
                Ok(key)
            }
            Entry::Occupied(mut occupied) => {
                let count = occupied.get_mut();
                if count.taken >= most {
                    return Err(count.returns.next(now, OF_ONE));
                }
                count.taken += 1;
                Ok(occupied.key().clone())
            }
        }
    }

    /// Gives one back.
    pub(super) fn give(&self, key: &K) {
        let mut shard = self.shard(key);
        if let Some(count) = shard.get_mut(key) {
            count.taken -= 1;
            if count.taken == 0 {
                shard.remove(key);
                // What a crowd has taken is not kept for ever.
                if shard.len() < shard.capacity() / 8 {
                    shard.shrink_to_fit();
                }
            }
        }
    }

    /// How many keys have any.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, HashMap<K, Count>> {
        // A map takes the low bits of its own hash, which is another.
        lock(&self.shards[self.hasher.hash_one(key) as usize % SHARDS])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_of_who_has_nothing() {
        let (counts, now) = (Counts::new(2), Instant::now());
        for key in 0..1000 {
            assert_eq!(counts.take(key, now), Ok(key));
            assert_eq!(counts.take(key, now), Ok(key));
            assert!(counts.take(key, now).is_err());
        }
        assert_eq!(counts.len(), 1000);
        for key in 0..1000 {
            counts.give(&key);
            assert_eq!(counts.take(key, now), Ok(key), "a place that was given back is free");
            counts.give(&key);
            counts.give(&key);
        }
        assert_eq!(counts.len(), 0);
        assert!(counts.shards.iter().all(|shard| lock(shard).capacity() < 16), "no room is kept either");
        assert!(Counts::new(0).take(1, now).is_err());
    }
}
