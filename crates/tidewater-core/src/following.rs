//! Where a cursor is after what a source delivers: what everybody who follows a source has to do alike. Pure.

use crate::{
    Bounds, Cursor, Delivery, EpochTag, Error, ErrorKind, Gap, GapReason, NewEpoch, Next, Result,
    TopicCursor, TopicTag,
};

impl Delivery {
    /// Moves a cursor to after this.
    pub fn advance(&self, cursor: &mut Cursor) {
        match self {
            Self::Message(message) => {
                let epoch = cursor.epoch(message.tag);
                cursor.advance(message.tag, epoch, message.partition, &message.position);
            }
            Self::Gap(gap) => {
                let epoch = cursor.epoch(gap.tag);
                if let Some(missing) = &gap.missing {
                    cursor.raise(gap.tag, epoch, gap.partition, missing.end);
                }
            }
            Self::Epoch(new) => cursor.set(new.cursor()),
            Self::Progress(to) => cursor.progress(to),
        }
    }
}

impl NewEpoch {
    /// The start of the new incarnation, as a cursor has it.
    pub fn cursor(&self) -> TopicCursor {
        TopicCursor { tag: self.tag, epoch: self.epoch.tag(), next: Next::Offsets(self.start.clone()) }
    }
}

impl Cursor {
    /// The epoch of a topic; that of nothing if it isn't named.
    pub fn epoch(&self, tag: TopicTag) -> EpochTag {
        self.topic(tag).map(|topic| topic.epoch).unwrap_or_default()
    }

    /// Moves to where a source's [`Delivery::Progress`] says. An incarnation begins with [`Delivery::Epoch`] alone:
    /// progress of another one than a topic's own says nothing.
    pub fn progress(&mut self, to: &Cursor) {
        for topic in to.topics() {
            if self.topic(topic.tag).is_none_or(|own| own.epoch == topic.epoch) {
                self.merge(&[topic.clone()].into_iter().collect());
            }
        }
    }

    /// Whether a source's start goes back behind what was wanted: the log there is shorter than it was.
    pub fn is_behind(&self, wanted: &Cursor) -> bool {
        let behind = |topic: &TopicCursor| {
            wanted.topic(topic.tag).is_some_and(|own| {
                own.epoch == topic.epoch
                    && (0..).zip(own.offsets()).any(|(partition, next)| topic.offset(partition) < *next)
            })
        };
        self.topics().iter().any(behind)
    }
}

impl Bounds {
    /// The deliveries that tell how far a subscription's start is from what was wanted (a source's contract, rule 3).
    /// These bounds were read just before it. A start that [is behind](Cursor::is_behind) is not for this.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if these don't know an incarnation that the start names: the topic was made anew in
    /// between, and reading both again settles it.
    pub fn told_by_start(&self, wanted: &Cursor, start: &Cursor) -> Result<Vec<Delivery>> {
        let mut told = Vec::new();
        for topic in start.topics() {
            let known = self.topic(topic.tag).filter(|known| known.epoch.tag() == topic.epoch);
            let known = known.ok_or_else(|| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("the topic with the tag {} was made anew just now", topic.tag),
                )
            })?;
            let gap = |partition, missing, reason| {
                let (topic, tag) = (known.name.clone(), known.tag);
                Delivery::Gap(Gap { topic, tag, partition, missing, reason })
            };
            match wanted.topic(topic.tag) {
                Some(own) if own.epoch == topic.epoch && own.is_elsewhere(topic) => {
                    // How much lies between positions without an order, nobody can say.
                    told.push(gap(0, None, GapReason::Lost));
                    told.push(Delivery::Progress([topic.clone()].into_iter().collect()));
                }
                Some(own) if own.epoch == topic.epoch => {
                    for (partition, next) in (0..).zip(topic.offsets()) {
                        let missing = own.offset(partition)..*next;
                        if !missing.is_empty() {
                            told.push(gap(partition, Some(missing), GapReason::Retention));
                        }
                    }
                }
                Some(_) => told.push(Delivery::Epoch(NewEpoch {
                    topic: known.name.clone(),
                    tag: known.tag,
                    epoch: known.epoch,
                    start: topic.offsets().to_vec(),
                })),
                None => told.push(Delivery::Progress([topic.clone()].into_iter().collect())),
            }
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoch, TopicBounds};

    const TAG: TopicTag = TopicTag(1);

    fn at(epoch: u128, offsets: &[u64]) -> Cursor {
        let next = Next::Offsets(offsets.to_vec());
        [TopicCursor { tag: TAG, epoch: Epoch(epoch).tag(), next }].into_iter().collect()
    }

    fn bounds(epoch: u128) -> Bounds {
        let topic =
            TopicBounds { name: "a".into(), tag: TAG, epoch: Epoch(epoch), partitions: vec![3..9, 0..9] };
        Bounds { topics: vec![topic] }
    }

    /// Whoever applies what is told is where the subscription starts.
    #[test]
    fn what_is_told_leads_to_the_start() {
        for (wanted, start, count) in [
            (at(1, &[5, 5]), at(1, &[5, 5]), 0),
            (at(1, &[1, 5]), at(1, &[3, 5]), 1),
            (at(1, &[1]), at(1, &[3, 2]), 2),
            (at(2, &[8, 8]), at(1, &[3, 0]), 1),
            (Cursor::default(), at(1, &[3, 0]), 1),
        ] {
            let told = bounds(1).told_by_start(&wanted, &start).unwrap();
            assert_eq!(told.len(), count, "{told:?}");
            let mut cursor = wanted;
            told.iter().for_each(|delivery| delivery.advance(&mut cursor));
            assert_eq!(cursor, start);
        }
        let error = bounds(2).told_by_start(&at(1, &[1]), &at(1, &[3])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn a_start_is_behind_in_its_own_epoch_only() {
        assert!(at(1, &[5, 4]).is_behind(&at(1, &[5, 5])));
        assert!(!at(1, &[5, 6]).is_behind(&at(1, &[5, 5])));
        assert!(!at(1, &[1]).is_behind(&at(2, &[5])));
    }

    #[test]
    fn progress_of_another_incarnation_says_nothing() {
        let mut cursor = at(1, &[5]);
        cursor.progress(&at(2, &[9]));
        assert_eq!(cursor, at(1, &[5]));
        cursor.progress(&at(1, &[4, 7]));
        assert_eq!(cursor, at(1, &[5, 7]));
        assert_eq!(cursor.epoch(TopicTag(9)), EpochTag::default());
    }
}
