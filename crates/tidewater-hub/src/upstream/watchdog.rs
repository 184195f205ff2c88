//! Whether an upstream that is there gets on.
//!
//! A consumer can stall and say nothing: it is connected, the broker answers, and messages stay away. So where the broker
//! has what was not delivered, at two looks and with nothing moved in between, the subscription is made anew; it goes on
//! where it was. Pure: positions and bounds come in.

use std::fmt;

use tidewater_core::{Bounds, Cursor, TopicName, TopicTag};

/// How often in a row a subscription that is made anew to no avail doubles the looks before the next time.
const DOUBLINGS: u32 = 7;

#[derive(Debug, Default)]
pub(super) struct Watchdog {
    /// What was behind the broker at the last look.
    behind: Vec<Place>,
    /// Whether there was nothing at hand at some moment since: what is merely queued here has not stalled.
    idle: bool,
    /// Looks since the last move, and how many of them it takes.
    looks: u32,
    doublings: u32,
}

/// A partition and where the upstream was in it; or a topic, and of which incarnation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    tag: TopicTag,
    partition: Option<u32>,
    at: u64,
}

/// What does not get on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stall {
    topic: TopicName,
    partition: Option<u32>,
}

impl Watchdog {
    /// There was nothing at hand just now.
    pub(super) fn idle(&mut self) {
        self.idle = true;
    }

    /// Looks at where the upstream is, and at what the broker has.
    pub(super) fn look(&mut self, position: &Cursor, bounds: &Bounds) -> Option<Stall> {
        let behind = behind(position, bounds);
        let idle = std::mem::take(&mut self.idle);
        let stuck = behind.iter().find(|place| self.behind.contains(place)).cloned();
        self.behind = behind;
        let Some(stuck) = stuck else {
            (self.looks, self.doublings) = (0, 0);
            return None;
        };
        if !idle {
            return None;
        }
        self.looks += 1;
        if self.looks < 1 << self.doublings {
            return None;
        }
        self.looks = 0;
        self.doublings = (self.doublings + 1).min(DOUBLINGS);
        let topic = bounds.topic(stuck.tag)?.name.clone();
        Some(Stall { topic, partition: stuck.partition })
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            Some(partition) => {
                write!(
                    f,
                    "the broker has messages in partition {partition} of {:?} that do not come",
                    self.topic
                )
            }
            None => write!(f, "the broker has {:?} anew, and the subscription does not notice", self.topic),
        }
    }
}

fn behind(position: &Cursor, bounds: &Bounds) -> Vec<Place> {
    let mut all = Vec::new();
    for now in &bounds.topics {
        let tag = now.tag;
        let Some(own) = position.topic(tag) else { continue };
        if own.epoch != now.epoch.tag() {
            all.push(Place { tag, partition: None, at: own.epoch.0.into() });
            continue;
        }
        for (partition, range) in (0..).zip(&now.partitions) {
            let at = own.offset(partition);
            if at < range.end {
                all.push(Place { tag, partition: Some(partition), at });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use tidewater_core::{Epoch, Next, TopicBounds, TopicCursor};

    use super::*;

    fn bounds(epoch: u128, ends: &[u64]) -> Bounds {
        let partitions = ends.iter().map(|end| 0..*end).collect();
        Bounds {
            topics: vec![TopicBounds { name: "t".into(), tag: TopicTag(1), epoch: Epoch(epoch), partitions }],
        }
    }

    fn at(next: &[u64]) -> Cursor {
        let next = Next::Offsets(next.to_vec());
        [TopicCursor { tag: TopicTag(1), epoch: Epoch(1).tag(), next }].into_iter().collect()
    }

    #[test]
    fn what_stays_behind_at_two_looks_has_stalled() {
        let mut dog = Watchdog::default();
        let mut look = |next: [u64; 2], ends: [u64; 2]| {
            dog.idle();
            dog.look(&at(&next), &bounds(1, &ends)).map(|stall| stall.partition)
        };
        assert_eq!(look([5, 5], [5, 5]), None, "at the end");
        assert_eq!(look([5, 5], [5, 9]), None, "behind, for the first time");
        assert_eq!(look([5, 6], [5, 9]), None, "it moves");
        assert_eq!(look([8, 6], [8, 9]), Some(Some(1)), "others move, it doesn't");
    }

    #[test]
    fn what_is_queued_here_has_not_stalled() {
        let mut dog = Watchdog::default();
        for _ in 0..10 {
            assert_eq!(dog.look(&at(&[5]), &bounds(1, &[9])), None);
        }
    }

    #[test]
    fn a_topic_made_anew_in_silence_is_a_stall() {
        let mut dog = Watchdog::default();
        assert_eq!(dog.look(&at(&[5]), &bounds(2, &[0])), None);
        dog.idle();
        let stall = dog.look(&at(&[5]), &bounds(2, &[0])).unwrap();
        assert!(stall.to_string().contains("anew"), "{stall}");
    }

    /// What can't be helped is tried less and less often; what has moved is watched as before.
    #[test]
    fn a_rebuild_to_no_avail_is_repeated_with_patience() {
        let mut dog = Watchdog::default();
        let mut look = |next| {
            dog.idle();
            dog.look(&at(&[next]), &bounds(1, &[9])).is_some()
        };
        let rebuilt: Vec<usize> = (0..40).filter(|_| look(5)).map(|_| 1).collect();
        assert_eq!(rebuilt.len(), 5, "after 1, 2, 4, 8 and 16 looks");
        assert!(!look(6));
        assert!(look(6));
    }
}
