//! Where a pipe begins, of all that is known about it. Pure.

use tidewater::{Cursor, SourceUrl, Start, TopicTag};

use super::{
    checkpoint::{Checkpoint, Promise},
    loops::folder,
};
use crate::{failure::Failure, since};

/// What `--from` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// Earliest, latest, or a time.
    Start(Start),
    /// Onwards from an id.
    After(Cursor),
}

impl From {
    /// Reads it. No time is a cursor's text, and no cursor's text is a time: those begin with their version.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text.parse::<Cursor>() {
            Ok(cursor) => Ok(Self::After(cursor)),
            Err(_) => since::start("--from", text).map(Self::Start).map_err(|failure| {
                Failure::usage(format_args!(
                    "{failure}; or the id of an event, which says the whole position"
                ))
            }),
        }
    }
}

/// Where the source is read from first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// A pipe that begins.
    Begin(Start),
    /// From here; topics that it doesn't name from their beginning.
    GoOn(Cursor),
}

/// What is known of a pipe.
pub(super) struct Known<'a> {
    pub(super) from: Option<&'a From>,
    pub(super) promise: Promise,
    /// What the file says, if it is there.
    pub(super) file: Option<&'a Checkpoint>,
    /// What the sink says, if it keeps a position.
    pub(super) sink: Option<&'a Cursor>,
}

impl Known<'_> {
    /// Decides it.
    ///
    /// # Errors
    /// [`Failure::usage`] for a `--from` that is too late, and where the sink has lost its position.
    pub(super) fn first(&self) -> Result<First, Failure> {
        if self.promise == Promise::AtMostOnce {
            return self.without_replay();
        }
        let Some(position) = self.position()? else {
            return Ok(match self.from {
                None => First::Begin(Start::Earliest),
                Some(From::Start(start)) => First::Begin(*start),
                Some(From::After(cursor)) => First::GoOn(cursor.clone()),
            });
        };
        if self.from.is_some() {
            let known = if self.file.is_some() { "its checkpoint" } else { "its sink, which knows this id," };
            return Err(Failure::usage(format_args!(
                "--from is for a pipe that begins, and this one stands at {position}, as {known} says. Leave --from out \
                 to go on there. To begin anew: another --id{}",
                if self.file.is_some() {
                    " with another --checkpoint, or remove the checkpoint where the sink keeps no position"
                } else {
                    ""
                }
            )));
        }
        Ok(First::GoOn(position))
    }

    /// The sink has everything before this.
    fn position(&self) -> Result<Option<Cursor>, Failure> {
        match (self.file, self.sink) {
            (None, None) => Ok(None),
            (None, Some(sink)) => Ok(Some(sink.clone())),
            (Some(file), None) => {
                // What was written before, with the position, is no longer there; or this is another sink of that name.
                if self.promise == Promise::ExactlyOnce && file.written.is_some() {
                    return Err(Failure::runtime(format_args!(
                        "the checkpoint says that {} messages were written, and {} knows no position of the pipe {:?}: it was \
                         emptied or made anew, has forgotten it, or is another one of that name. To write everything anew, \
                         give another --id and --checkpoint. To go on from the checkpoint, where after a crash the last \
                         messages may be written again: --at-least-once",
                        file.counts.messages, file.sink, file.id
                    )));
                }
                Ok(Some(file.cursor.clone()))
            }
            (Some(file), Some(sink)) => Ok(Some(of_both(file, sink))),
        }
    }

    fn without_replay(&self) -> Result<First, Failure> {
        match self.from {
            None | Some(From::Start(Start::Latest)) => Ok(First::Begin(Start::Latest)),
            Some(_) => Err(Failure::usage(
                "--from: the source keeps no messages, so there is nothing to go back to; leave --from out",
            )),
        }
    }
}

/// Where the file and the sink both say something. The file says too where the sink stood: which of them is newer.
fn of_both(file: &Checkpoint, sink: &Cursor) -> Cursor {
    match &file.written {
        // The pipe has moved since without the sink's knowing: over gaps, or at least once.
        Some(written) if written == sink => file.cursor.clone(),
        Some(written) if sink.is_behind(written) => {
            tracing::warn!(
                "{} has lost messages that it had: it stands at {sink}, and stood at {written}. The pipe goes on where it stands",
                file.sink
            );
            sink.clone()
        }
        // Written without a position, or before the sink was asked for it.
        None if file.promise != Promise::ExactlyOnce => merged(sink, &file.cursor),
        _ => merged(&file.cursor, sink),
    }
}

/// The sink has what is before either. Of two incarnations of a topic that of the newer one counts.
fn merged(older: &Cursor, newer: &Cursor) -> Cursor {
    let mut position = older.clone();
    position.merge(newer);
    position
}

/// What a source or sink is in an id: a folder is the whole way to it, because the same few letters are another one
/// elsewhere.
pub(super) fn named(url: &SourceUrl, shown: &str) -> String {
    match folder(url) {
        Some(folder) => format!("{}:{}", url.scheme(), folder.display()),
        None => shown.to_owned(),
    }
}

/// The id of a pipe that was given none: the same for the same source and sink, so that a pipe whose checkpoint is
/// lost is known to its sink.
pub(super) fn derived_id(source: &str, sink: &str) -> String {
    format!("pipe-{}-{}", TopicTag::of("pipe from", source), TopicTag::of("pipe to", sink))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use tidewater::{EpochTag, check_writer_id};

    use super::*;

    fn at(offset: u64) -> Cursor {
        in_epoch(1, &[offset])
    }

    fn in_epoch(epoch: u32, offsets: &[u64]) -> Cursor {
        let mut cursor = Cursor::default();
        for (partition, offset) in (0..).zip(offsets) {
            cursor.raise(TopicTag(1), EpochTag(epoch), partition, *offset);
        }
        cursor
    }

    fn file(promise: Promise, cursor: Cursor, messages: u64, complete: bool) -> Checkpoint {
        let mut file = Checkpoint::new("a".to_owned(), &"s", &"t");
        (file.promise, file.cursor, file.complete, file.counts.messages) =
            (promise, cursor, complete, messages);
        file
    }

    /// One that says too where the sink stood.
    fn stood(written: Cursor, file: Checkpoint) -> Checkpoint {
        let mut file = file;
        file.written = Some(written);
        file
    }

    fn known<'a>(file: Option<&'a Checkpoint>, sink: Option<&'a Cursor>) -> Known<'a> {
        Known { from: None, promise: Promise::ExactlyOnce, file, sink }
    }

    #[test]
    fn from_is_a_time_or_an_id() {
        let parse = |text: &str| From::parse(text);
        assert_eq!(parse("earliest").unwrap(), From::Start(Start::Earliest));
        assert_eq!(parse("latest").unwrap(), From::Start(Start::Latest));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_860_800);
        assert_eq!(parse("2026-01-31T12:00:00Z").unwrap(), From::Start(Start::Time(time)));
        assert_eq!(parse(&at(42).to_string()).unwrap(), From::After(at(42)));
        let error = parse("soon").unwrap_err().to_string();
        assert!(error.contains("--from") && error.contains("RFC 3339") && error.contains("id"), "{error}");
    }

    #[test]
    fn a_pipe_that_begins_begins_where_it_is_told() {
        let mut new = known(None, None);
        assert_eq!(new.first().unwrap(), First::Begin(Start::Earliest));
        let (latest, id) = (From::Start(Start::Latest), From::After(at(3)));
        new.from = Some(&latest);
        assert_eq!(new.first().unwrap(), First::Begin(Start::Latest));
        new.from = Some(&id);
        assert_eq!(new.first().unwrap(), First::GoOn(at(3)));
    }

    #[test]
    fn a_pipe_that_goes_on_is_told_nothing_else() {
        let (there, sink, latest) =
            (file(Promise::AtLeastOnce, at(5), 5, false), at(7), From::Start(Start::Latest));
        for (file, sink, says) in [(Some(&there), None, "checkpoint"), (None, Some(&sink), "sink")] {
            let error = Known { from: Some(&latest), ..known(file, sink) }.first().unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("--id"), "{error}");
        }
    }

    #[test]
    fn the_sink_is_right_where_both_know() {
        let (behind, ahead) = (at(5), at(7));
        let go_on = |file: &Checkpoint, sink: &Cursor| known(Some(file), Some(sink)).first().unwrap();
        assert_eq!(go_on(&file(Promise::ExactlyOnce, behind.clone(), 5, false), &ahead), First::GoOn(at(7)));
        // What moved without a message, or was written without the position.
        assert_eq!(go_on(&file(Promise::ExactlyOnce, ahead.clone(), 5, true), &behind), First::GoOn(at(7)));
        assert_eq!(go_on(&file(Promise::AtLeastOnce, ahead, 5, true), &behind), First::GoOn(at(7)));
        let (older, newer) = (in_epoch(1, &[9, 2]), in_epoch(2, &[1, 3]));
        assert_eq!(
            go_on(&file(Promise::ExactlyOnce, older.clone(), 5, false), &newer),
            First::GoOn(newer.clone())
        );
        assert_eq!(go_on(&file(Promise::AtLeastOnce, newer.clone(), 5, false), &older), First::GoOn(newer));
        let (one, other) = (in_epoch(1, &[9, 2]), in_epoch(1, &[1, 3]));
        assert_eq!(
            go_on(&file(Promise::ExactlyOnce, one, 5, false), &other),
            First::GoOn(in_epoch(1, &[9, 3]))
        );
    }

    #[test]
    fn a_sink_that_forgot_is_not_written_to_again_unasked() {
        let first = |file: &Checkpoint| known(Some(file), None).first();
        for complete in [false, true] {
            let there = stood(at(5), file(Promise::ExactlyOnce, at(5), 5, complete));
            let error = first(&there).unwrap_err().to_string();
            assert!(error.contains("5 messages") && error.contains("--at-least-once"), "{error}");
            let asked = Known { promise: Promise::AtLeastOnce, ..known(Some(&there), None) };
            assert_eq!(asked.first().unwrap(), First::GoOn(at(5)));
        }
        for known in [file(Promise::ExactlyOnce, at(5), 5, true), file(Promise::AtLeastOnce, at(5), 5, false)]
        {
            assert_eq!(first(&known).unwrap(), First::GoOn(at(5)));
        }
    }

    #[test]
    fn where_the_sink_stood_says_who_is_newer() {
        let go_on = |file: &Checkpoint, sink: &Cursor| known(Some(file), Some(sink)).first().unwrap();
        for promise in [Promise::ExactlyOnce, Promise::AtLeastOnce] {
            let moved = stood(at(5), file(promise, in_epoch(2, &[1]), 5, false));
            assert_eq!(go_on(&moved, &at(5)), First::GoOn(in_epoch(2, &[1])), "the file");
            assert_eq!(go_on(&moved, &at(3)), First::GoOn(at(3)), "a sink that lost its end");
            assert_eq!(go_on(&moved, &in_epoch(2, &[4])), First::GoOn(in_epoch(2, &[4])), "the sink");
            assert_eq!(go_on(&moved, &in_epoch(3, &[1])), First::GoOn(in_epoch(3, &[1])), "the sink");
        }
    }

    #[test]
    fn a_source_that_keeps_nothing_is_never_gone_back_in() {
        let there = file(Promise::AtMostOnce, at(5), 5, true);
        let mut pipe = Known { promise: Promise::AtMostOnce, ..known(Some(&there), None) };
        assert_eq!(pipe.first().unwrap(), First::Begin(Start::Latest));
        let earliest = From::Start(Start::Earliest);
        pipe.from = Some(&earliest);
        assert!(pipe.first().is_err());
    }

    #[test]
    fn an_id_is_always_the_same_and_always_an_id() {
        let id = derived_id("kafka://a/b", "kafka://a/c");
        check_writer_id(&id).unwrap();
        assert_eq!(id, derived_id("kafka://a/b", "kafka://a/c"));
        assert_ne!(id, derived_id("kafka://a/c", "kafka://a/b"));
        let named = |url: &str| named(&url.parse().unwrap(), url);
        assert_eq!(named("kafka://a/b"), "kafka://a/b");
        assert_eq!(named("embedded:/a?sync=os"), "embedded:/a");
        assert_eq!(named("embedded:./a"), named("embedded:a"));
        assert!(named("embedded:a").len() > "embedded:/a".len(), "{}", named("embedded:a"));
    }
}
