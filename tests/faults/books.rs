//! The books of one client: what it was given, to be compared with what the broker holds (I1, I2, I6).
//!
//! A client writes down what comes, and nothing more is known while it comes. Afterwards the [`Truth`], read from the
//! broker by another client, says what should have come. The place of a message is told by its event's id, which is the
//! client's cursor behind it; that the id tells the right place is seen by the bytes that the broker has there.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidewater_core::{Cursor, EpochTag, TopicCursor};
use tidewater_tests::Event;

use crate::truth::{Log, Truth};

/// Instead of an event's name and data.
pub(crate) type Print = u64;

/// The print of an event.
pub(crate) fn print(name: &str, data: &str) -> Print {
    let mut hasher = DefaultHasher::new();
    (name, data).hash(&mut hasher);
    hasher.finish()
}

/// The last message of each partition that has one: its offset, and its print.
pub(crate) type Goal = Vec<Option<(u64, Print)>>;

/// What a client was given, over all its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    cursor: Option<TopicCursor>,
    chapters: Vec<Chapter>,
    reasons: BTreeMap<String, u64>,
}

/// What it was given of one incarnation of the topic.
#[derive(Clone, Debug)]
struct Chapter {
    epoch: EpochTag,
    /// The next offset of each partition when it began.
    start: Vec<u64>,
    /// By partition, in the order in which it came.
    received: BTreeMap<u32, Vec<(u64, Print)>>,
    gaps: Vec<(u32, Range<u64>)>,
}

impl Books {
    /// Writes down what came.
    ///
    /// # Errors
    /// If it breaks a promise that can be judged by itself: an id that can't be read, is of another topic, or goes down.
    pub(crate) fn take(&mut self, event: &Event) -> Result<()> {
        self.enter(event).with_context(|| format!("at {:?}: {:.300?}", self.cursor, event))
    }

    fn enter(&mut self, event: &Event) -> Result<()> {
        let id: Cursor = event.last_event_id.parse().context("the id can't be read")?;
        ensure!(id.topics().len() == 1, "the id has {} topics", id.topics().len());
        let id = id.topics()[0].clone();
        match &*event.event_type {
            "tidewater.cursor" => {
                ensure!(event.data.is_empty(), "a cursor block with data");
                if self.cursor.is_none() {
                    self.begin(&id);
                }
                ensure!(self.moved(&id)?.is_some(), "another incarnation, without a gap");
            }
            "tidewater.gap" => self.enter_gap(event, &id)?,
            name => {
                let moved = self.moved(&id)?.context("a message of another incarnation, without a gap")?;
                let partition = match moved[..] {
                    [one] => one,
                    [] => anyhow::bail!("twice: its id was there before"),
                    // A marker moved another partition too; what is produced here begins with its partition.
                    _ => partition_in(&event.data).context("whose id moves several partitions")?,
                };
                let offset = id.offset(partition).checked_sub(1).context("an id before the first message")?;
                let print = print(name, &event.data);
                let chapter = self.chapters.last_mut().context("a message before the first cursor")?;
                chapter.received.entry(partition).or_default().push((offset, print));
            }
        }
        self.cursor = Some(id);
        Ok(())
    }

    fn enter_gap(&mut self, event: &Event, id: &TopicCursor) -> Result<()> {
        let told: Value = serde_json::from_str(&event.data).context("a gap that is no JSON")?;
        let reason = told["reason"].as_str().context("a gap without a reason")?;
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
        if let (Some(from), Some(to)) = (told["from"].as_u64(), told["to"].as_u64()) {
            let partition = told["partition"].as_u64().context("a range of no partition")?;
            self.moved(id)?.context("a range of another incarnation")?;
            let chapter = self.chapters.last_mut().context("a gap before the first cursor")?;
            chapter.gaps.push((u32::try_from(partition)?, from..to));
        } else {
            // Of unknown extent, or a new incarnation: it starts afresh.
            self.begin(id);
        }
        Ok(())
    }

    fn begin(&mut self, id: &TopicCursor) {
        let (epoch, start) = (id.epoch, id.offsets().to_vec());
        self.chapters.push(Chapter { epoch, start, received: BTreeMap::new(), gaps: Vec::new() });
    }

    /// The partitions whose next offset another cursor raises; `None` if that is of another incarnation.
    fn moved(&self, id: &TopicCursor) -> Result<Option<Vec<u32>>> {
        let Some(cursor) = &self.cursor else { return Ok(Some(Vec::new())) };
        if cursor.epoch != id.epoch {
            return Ok(None);
        }
        let partitions = cursor.offsets().len().max(id.offsets().len());
        let mut raised = Vec::new();
        for partition in 0..u32::try_from(partitions)? {
            let (from, to) = (cursor.offset(partition), id.offset(partition));
            ensure!(from <= to, "the id goes down in partition {partition}, from {from} to {to} (I6)");
            raised.extend((from < to).then_some(partition));
        }
        Ok(Some(raised))
    }

    /// Whether the client has had its first cursor.
    pub(crate) fn has_begun(&self) -> bool {
        self.cursor.is_some()
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> Vec<u64> {
        self.cursor.as_ref().map(|cursor| cursor.offsets().to_vec()).unwrap_or_default()
    }

    /// Whether it has had everything up to these messages.
    pub(crate) fn has_reached(&self, goal: &Goal) -> bool {
        let (Some(cursor), Some(chapter)) = (&self.cursor, self.chapters.last()) else { return false };
        (0..).zip(goal).all(|(partition, last)| {
            let Some(last) = last else { return true };
            let received = chapter.received.get(&partition).and_then(|received| received.last());
            cursor.offset(partition) > last.0 && received.is_none_or(|received| received == last)
        })
    }

    /// How many gaps were told, by their reasons.
    pub(crate) fn reasons(&self) -> &BTreeMap<String, u64> {
        &self.reasons
    }

    /// Compares with what the broker holds.
    pub(crate) fn judge(&self, truth: &Truth) -> Verdict {
        let mut verdict = Verdict::default();
        // The client may have come after the first incarnation; the last is the same for both.
        let mut incarnation = truth.incarnations().len();
        let mut later: Option<EpochTag> = None;
        for chapter in self.chapters.iter().rev() {
            if later != Some(chapter.epoch) {
                incarnation = incarnation.saturating_sub(1);
            }
            let closed = later.is_some();
            for (partition, log) in (0..).zip(&truth.incarnations()[incarnation]) {
                chapter.judge(partition, log, closed, &mut verdict);
            }
            later = Some(chapter.epoch);
        }
        verdict.gaps = self.reasons.values().sum();
        verdict
    }
}

impl Chapter {
    /// `closed`: a gap without a range says that no more of it comes.
    fn judge(&self, partition: u32, log: &Log, closed: bool, verdict: &mut Verdict) {
        let start = self.start.get(partition as usize).copied().unwrap_or(0);
        let received = self.received.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let mut seen = HashSet::with_capacity(received.len());
        let mut last = None;
        for (offset, print) in received {
            let at = || format!("partition {partition}, offset {offset}");
            if !seen.insert(*offset) || *offset < start {
                verdict.note(|verdict| &mut verdict.twice, at);
            } else if last > Some(*offset) {
                verdict.note(|verdict| &mut verdict.disordered, at);
            }
            last = last.max(Some(*offset));
            if log.print(*offset) != Some(*print) {
                verdict.note(|verdict| &mut verdict.wrong, at);
            }
        }
        verdict.deliveries += received.len() as u64;

        let mut missing = BTreeSet::new();
        for (_, gap) in self.gaps.iter().filter(|(of, _)| *of == partition) {
            let at = || format!("partition {partition}, the gap {gap:?} (the broker has {:?})", log.kept());
            if gap.clone().any(|offset| seen.contains(&offset) || !missing.insert(offset)) {
                verdict.note(|verdict| &mut verdict.overlaps, at);
            }
            if gap.end > log.kept().start && !closed {
                verdict.note(|verdict| &mut verdict.false_gaps, at);
            }
        }
        if !closed {
            let wanted =
                log.wanted(start).filter(|offset| !seen.contains(offset) && !missing.contains(offset));
            for offset in wanted {
                verdict
                    .note(|verdict| &mut verdict.lost, || format!("partition {partition}, offset {offset}"));
            }
        }
    }
}

/// What is wrong with the books of any number of clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// Messages that came.
    pub(crate) deliveries: u64,
    /// Gaps that were told.
    pub(crate) gaps: u64,
    /// Messages that neither came nor were told as missing.
    pub(crate) lost: u64,
    /// Messages that came again.
    pub(crate) twice: u64,
    /// Messages that came behind a later one of their partition.
    pub(crate) disordered: u64,
    /// Messages that the broker has otherwise, or not at all.
    pub(crate) wrong: u64,
    /// Gaps over what had come, or over another gap.
    pub(crate) overlaps: u64,
    /// Gaps over what the broker still has.
    pub(crate) false_gaps: u64,
    /// The first few, in words.
    examples: Vec<String>,
}

impl Verdict {
    fn note(&mut self, kind: impl Fn(&mut Self) -> &mut u64, at: impl Fn() -> String) {
        const SHOWN: usize = 5;
        let before = [self.lost, self.twice, self.disordered, self.wrong, self.overlaps, self.false_gaps];
        *kind(self) += 1;
        let after = [self.lost, self.twice, self.disordered, self.wrong, self.overlaps, self.false_gaps];
        let names = ["lost", "twice", "out of order", "not what the broker has", "overlap", "false gap"];
        if let Some(at_name) = (0..names.len()).find(|index| before[*index] != after[*index])
            && self.examples.len() < SHOWN
        {
            self.examples.push(format!("{}: {}", names[at_name], at()));
        }
    }

    /// Adds another client's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.deliveries += other.deliveries;
        self.gaps += other.gaps;
        self.lost += other.lost;
        self.twice += other.twice;
        self.disordered += other.disordered;
        self.wrong += other.wrong;
        self.overlaps += other.overlaps;
        self.false_gaps += other.false_gaps;
        self.examples.extend(other.examples.iter().cloned());
        self.examples.truncate(10);
    }

    /// # Errors
    /// What is wrong.
    pub(crate) fn clean(&self) -> Result<()> {
        let wrong = [self.lost, self.twice, self.disordered, self.wrong, self.overlaps, self.false_gaps];
        ensure!(wrong.iter().all(|count| *count == 0), "the books are wrong: {self:#?}");
        Ok(())
    }
}

/// What is produced here begins with its partition: `pN …`, and `N:OFFSET` in transactions.
fn partition_in(payload: &str) -> Option<u32> {
    payload.trim_start_matches('p').split([' ', ':']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tidewater_core::{Next, TopicTag};

    use super::*;

    fn event(kind: &'static str, data: &str, epoch: u32, offsets: &[u64]) -> Event {
        let next = Next::Offsets(offsets.to_vec());
        let id: Cursor =
            [TopicCursor { tag: TopicTag(1), epoch: EpochTag(epoch), next }].into_iter().collect();
        Event { event_type: kind.into(), data: data.into(), last_event_id: id.to_string().into() }
    }

    fn start(offsets: &[u64]) -> Event {
        event("tidewater.cursor", "", 1, offsets)
    }

    fn message(data: &str, offsets: &[u64]) -> Event {
        event("message", data, 1, offsets)
    }

    fn gap(from: u64, to: u64) -> Event {
        let data = format!("{{\"reason\":\"retention\",\"partition\":0,\"from\":{from},\"to\":{to}}}");
        event("tidewater.gap", &data, 1, &[to])
    }

    fn books(events: &[Event]) -> Books {
        let mut books = Books::default();
        events.iter().for_each(|event| books.take(event).unwrap());
        books
    }

    /// A partition whose messages are their own offsets as text.
    fn log(offsets: impl IntoIterator<Item = u64>, kept: Range<u64>) -> Log {
        Log::new(offsets.into_iter().map(|at| (at, print("message", &at.to_string()))), kept)
    }

    fn truth(offsets: impl IntoIterator<Item = u64>, kept: Range<u64>) -> Truth {
        Truth::of(vec![vec![log(offsets, kept)]])
    }

    #[test]
    fn what_is_exact_is_clean() {
        let events = [start(&[3]), message("3", &[4]), message("5", &[6]), start(&[7])];
        let verdict = books(&events).judge(&truth([0, 3, 5], 0..7));
        verdict.clean().unwrap();
        assert_eq!((verdict.deliveries, verdict.gaps), (2, 0));
    }

    #[test]
    fn what_was_lost_is_seen() {
        let verdict = books(&[start(&[3]), message("3", &[4]), message("5", &[6])]).judge(&truth(3..7, 0..7));
        assert_eq!(verdict.lost, 2, "4 on the way, 6 at the end: {verdict:?}");
        verdict.clean().unwrap_err();
        // A cursor that passes over a message hides nothing.
        let verdict = books(&[start(&[3]), start(&[5]), message("5", &[6])]).judge(&truth(3..6, 0..6));
        assert_eq!(verdict.lost, 2, "{verdict:?}");
    }

    #[test]
    fn what_came_twice_is_seen() {
        let mut twice = books(&[start(&[3]), message("3", &[4])]);
        let error = twice.take(&message("3", &[4])).unwrap_err();
        assert!(format!("{error:#}").contains("twice"), "{error:#}");
        // With a new id, it stands where another message is.
        let verdict = books(&[start(&[3]), message("3", &[4]), message("3", &[5])]).judge(&truth(3..5, 0..5));
        assert_eq!(verdict.wrong, 1, "{verdict:?}");
        // With an id of its own that an id of its partition alone had not told.
        let mut again = books(&[start(&[3]), message("3", &[4])]);
        let received = again.chapters[0].received.get_mut(&0).unwrap();
        received.push(received[0]);
        let verdict = again.judge(&truth(3..4, 0..4));
        assert_eq!(verdict.twice, 1, "{verdict:?}");
    }

    #[test]
    fn what_was_swapped_is_seen() {
        let mut down = books(&[start(&[3]), message("4", &[5])]);
        let error = down.take(&message("3", &[4])).unwrap_err();
        assert!(format!("{error:#}").contains("goes down"), "{error:#}");
        // Under the ids of the right order.
        let verdict = books(&[start(&[3]), message("4", &[4]), message("3", &[5])]).judge(&truth(3..5, 0..5));
        assert_eq!(verdict.wrong, 2, "{verdict:?}");
        let mut swapped = books(&[start(&[3]), message("3", &[4]), message("4", &[5])]);
        swapped.chapters[0].received.get_mut(&0).unwrap().swap(0, 1);
        assert_eq!(swapped.judge(&truth(3..5, 0..5)).disordered, 1);
    }

    #[test]
    fn what_the_broker_has_otherwise_or_not_at_all_is_seen() {
        let events = [start(&[3]), message("three", &[4]), message("4", &[5])];
        let verdict = books(&events).judge(&truth([3], 0..5));
        assert_eq!(verdict.wrong, 2, "3 is another, 4 was aborted: {verdict:?}");
    }

    #[test]
    fn a_gap_over_what_is_gone_is_clean_and_any_other_is_not() {
        let events = |gap: Event| books(&[start(&[3]), message("3", &[4]), gap, message("7", &[8])]);
        events(gap(4, 7)).judge(&truth(3..8, 7..8)).clean().unwrap();
        let verdict = events(gap(4, 7)).judge(&truth(3..8, 6..8));
        assert_eq!(verdict.false_gaps, 1, "the broker has 6: {verdict:?}");
        let verdict = events(gap(3, 7)).judge(&truth(3..8, 7..8));
        assert_eq!(verdict.overlaps, 1, "3 had come: {verdict:?}");
        let verdict = events(gap(5, 7)).judge(&truth(3..8, 7..8));
        assert_eq!(verdict.lost, 1, "4 is neither here nor there: {verdict:?}");
        let twice = [start(&[3]), gap(3, 6), gap(5, 7), message("7", &[8])];
        assert_eq!(books(&twice).judge(&truth(3..8, 7..8)).overlaps, 1);
    }

    #[test]
    fn a_new_incarnation_comes_behind_a_gap_and_from_its_start() {
        let epoch = |next: &[u64]| event("tidewater.gap", "{\"reason\":\"epoch\"}", 2, next);
        let old = [start(&[3]), message("3", &[4])];
        let after = |events: &[Event]| books(&[&old[..], events].concat());
        let truth = || Truth::of(vec![vec![log(3..9, 0..9)], vec![log(0..2, 0..2)]]);
        let new = |data: &str, next: u64| event("message", data, 2, &[next]);
        let whole = after(&[epoch(&[]), new("0", 1), new("1", 2)]);
        whole.judge(&truth()).clean().unwrap();
        assert!(whole.has_reached(&vec![Some((1, print("message", "1")))]));
        assert_eq!(after(&[epoch(&[]), new("0", 1)]).judge(&truth()).lost, 1);
        assert_eq!(after(&[epoch(&[]), new("4", 1), new("1", 2)]).judge(&truth()).wrong, 1);
        after(&[]).take(&new("0", 1)).unwrap_err();
    }

    #[test]
    fn the_goal_is_the_last_message_itself() {
        let goal = vec![Some((4, print("message", "4"))), None];
        assert!(!books(&[start(&[3]), message("3", &[4])]).has_reached(&goal));
        assert!(books(&[start(&[3]), message("3", &[4]), message("4", &[5])]).has_reached(&goal));
        assert!(books(&[start(&[5])]).has_reached(&goal), "it began behind it");
        assert!(!books(&[start(&[3]), message("other", &[5])]).has_reached(&goal));
    }
}
