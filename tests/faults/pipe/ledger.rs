//! A source and a sink, compared. Pure.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};

use crate::readback::Record;

/// What a pipe says that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    ExactlyOnce,
    AtLeastOnce,
}

/// What is wrong with a sink.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    /// What the source has.
    pub(super) messages: u64,
    /// That the sink has not.
    pub(super) lost: u64,
    /// That it has once more.
    pub(super) twice: u64,
    /// That stand behind a later one of their partition, or whose key is in another partition too.
    pub(super) disordered: u64,
    /// That the source has otherwise, or not at all.
    pub(super) wrong: u64,
    /// The first few, in words.
    examples: Vec<String>,
}

/// Compares them, partition by partition. A payload is in the source once, so it tells which message it is.
///
/// # Errors
/// If a payload is in the source twice.
pub(super) fn compare(source: &[Vec<Record>], sink: &[Vec<Record>]) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut places = HashMap::new();
    for (partition, records) in source.iter().enumerate() {
        for (index, record) in records.iter().enumerate() {
            let payload = record.payload.as_deref().context("a message without a payload in the source")?;
            let is_new = places.insert(payload, (partition, index)).is_none();
            ensure!(is_new, "twice in the source: {}", shown(record));
        }
    }
    verdict.messages = places.len() as u64;
    let mut seen: Vec<_> = source.iter().map(|records| vec![false; records.len()]).collect();
    let mut homes = HashMap::new();
    for (home, records) in sink.iter().enumerate() {
        let mut last = vec![None; source.len()];
        for record in records {
            let place = record.payload.as_deref().and_then(|payload| places.get(payload));
            let Some((partition, index)) = place.copied() else {
                verdict
                    .note(|verdict| &mut verdict.wrong, || format!("not in the source: {}", shown(record)));
                continue;
            };
            let original = &source[partition][index];
            let at = || format!("message {index} of partition {partition}, {}", shown(original));
            if !is_same(original, record) {
                verdict
                    .note(|verdict| &mut verdict.wrong, || format!("changed: {} is {}", at(), shown(record)));
            }
            if std::mem::replace(&mut seen[partition][index], true) {
                verdict.note(|verdict| &mut verdict.twice, || format!("twice: {}", at()));
                continue;
            }
            let elsewhere = record.key.as_ref().is_some_and(|key| *homes.entry(key).or_insert(home) != home);
            if elsewhere || last[partition] > Some(index) {
                verdict.note(|verdict| &mut verdict.disordered, || format!("out of order: {}", at()));
            }
            last[partition] = last[partition].max(Some(index));
        }
    }
    for (partition, seen) in seen.iter().enumerate() {
        for (index, _) in seen.iter().enumerate().filter(|(_, seen)| !**seen) {
            let at = || format!("lost: message {index} of partition {partition}, of {}", seen.len());
            verdict.note(|verdict| &mut verdict.lost, at);
        }
    }
    Ok(verdict)
}

/// In words, as far as it is text.
fn shown(record: &Record) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = record.headers.iter().map(|(name, value)| format!("{name}: {}", text(value)));
    let (headers, key) = (headers.collect::<Vec<_>>(), record.key.as_deref().map(text));
    let payload = record.payload.as_deref().map(text);
    format!("{payload:.60?} of the key {key:?} with {headers:?}")
}

/// Headers stand in any order: NATS keeps none.
fn is_same(original: &Record, copy: &Record) -> bool {
    let sorted = |record: &Record| {
        let mut headers = record.headers.clone();
        headers.sort_unstable();
        headers
    };
    original.key == copy.key && sorted(original) == sorted(copy)
}

impl Verdict {
    fn note(&mut self, kind: impl Fn(&mut Self) -> &mut u64, at: impl Fn() -> String) {
        const SHOWN: usize = 10;
        *kind(self) += 1;
        if self.examples.len() < SHOWN {
            self.examples.push(at());
        }
    }

    /// # Errors
    /// What breaks the promise.
    pub(super) fn keeps(&self, promise: Promise) -> Result<()> {
        // What was under way when a connection broke may stand before what failed, and comes again behind it.
        let more = if promise == Promise::ExactlyOnce { self.twice + self.disordered } else { 0 };
        ensure!(self.lost + self.wrong + more == 0, "the sink has not what the source has: {self:#?}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: &str) -> Record {
        let headers = vec![("b".to_owned(), b"2".to_vec()), ("a".to_owned(), payload.as_bytes().to_vec())];
        Record { key: Some(payload[..1].into()), headers, payload: Some(payload.into()) }
    }

    fn all(payloads: &[&str]) -> Vec<Record> {
        payloads.iter().map(|payload| record(payload)).collect()
    }

    fn of(sink: &[&[&str]]) -> Verdict {
        let source = [all(&["a1", "a2", "b3"]), all(&["c1", "c2"])];
        compare(&source, &sink.iter().map(|one| all(one)).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_is_whole_keeps_every_promise() {
        for sink in [&[&["a1", "c1", "a2", "c2", "b3"][..]][..], &[&["b3"], &["c1", "a1", "a2", "c2"]]] {
            let verdict = of(sink);
            assert_eq!(verdict.messages, 5);
            verdict.keeps(Promise::ExactlyOnce).unwrap();
        }
    }

    #[test]
    fn what_is_lost_comes_twice_or_out_of_order_is_seen() {
        let counts = |sink: &[&[&str]]| {
            let verdict = of(sink);
            verdict.keeps(Promise::ExactlyOnce).unwrap_err();
            (verdict.lost, verdict.twice, verdict.disordered, verdict.wrong)
        };
        assert_eq!(counts(&[&["a1", "b3", "c1", "c2"]]), (1, 0, 0, 0));
        assert_eq!(counts(&[&["a1", "a2", "a1", "a2", "b3", "c1", "c2"]]), (0, 2, 0, 0));
        assert_eq!(counts(&[&["a2", "a1", "b3", "c1", "c2"]]), (0, 0, 1, 0));
        assert_eq!(counts(&[&["a1", "b3", "c1", "c2"], &["a2"]]), (0, 0, 1, 0), "one key in two places");
        assert_eq!(counts(&[&["a1", "a2", "b3", "c1", "c2", "d9"]]), (0, 0, 0, 1));
    }

    #[test]
    fn a_run_that_comes_again_is_at_least_once() {
        let verdict = of(&[&["a1", "c1", "a2", "c1", "a2", "b3", "c2"]]);
        assert_eq!((verdict.twice, verdict.disordered), (2, 0));
        verdict.keeps(Promise::AtLeastOnce).unwrap();
        of(&[&["a1", "c1"]]).keeps(Promise::AtLeastOnce).unwrap_err();
    }

    #[test]
    fn what_was_changed_on_the_way_is_seen() {
        let source = [all(&["a1"])];
        for change in [
            |record: &mut Record| record.key = None,
            |record: &mut Record| record.headers[0].1 = b"3".to_vec(),
            |record: &mut Record| record.headers.truncate(1),
            |record: &mut Record| record.headers.push(("more".to_owned(), Vec::new())),
        ] {
            let mut copy = record("a1");
            change(&mut copy);
            assert_eq!(compare(&source, &[vec![copy]]).unwrap().wrong, 1);
        }
        let mut turned = record("a1");
        turned.headers.reverse();
        assert_eq!(compare(&source, &[vec![turned]]).unwrap().wrong, 0);
        compare(&[all(&["a1"]), all(&["a1"])], &[]).unwrap_err();
    }
}
