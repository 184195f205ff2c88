//! `tidewater cursor`: what an id holds, in words.

use std::fmt;

use tidewater::{Cursor, Next, TopicCursor, TopicTag};

use crate::{failure::Failure, output::Output};

/// Say in words what an event's id holds.
///
/// An id is a cursor: for each topic of the channel the next position wanted in every partition, so that any node can
/// resume from it. It holds short hashes instead of names; give the names that you expect to see them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidewater cursor AZWmjTgAAAAHBAAq
  tidewater cursor AZWmjTgAAAAHBAAq --topic kafka:orders --topic kafka:returns

Exit code 1: the id is not a cursor. A channel would start such a client afresh, behind a gap event.")]
pub(crate) struct Args {
    /// An event's id, as in `id:`, `Last-Event-ID` or `?last_event_id=`.
    #[arg(value_name = "ID")]
    id: String,
    /// A topic to recognize, as kind and name: `kafka:orders`, `jetstream:STREAM`, `nats:orders.>`, `memory:demo`.
    #[arg(long = "topic", value_name = "KIND:NAME", value_parser = named)]
    topics: Vec<Named>,
}

/// Runs `tidewater cursor`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let cursor: Cursor = args.id.parse().map_err(|why| {
        Failure::runtime(format_args!(
            "{:?} is not a cursor: {why}. Give the id of an event as it came, without quotes or the field's name",
            shortened(&args.id)
        ))
    })?;
    let mut output = Output::new();
    let described = Described { cursor: &cursor, length: args.id.len(), names: &args.topics };
    output.bytes(described.to_string().as_bytes())?;
    output.flush()
}

/// A topic's name and what stands for it in a cursor.
#[derive(Clone, Debug)]
struct Named {
    tag: TopicTag,
    text: String,
}

fn named(text: &str) -> Result<Named, String> {
    match text.split_once(':') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => {
            Ok(Named { tag: TopicTag::of(kind, name), text: text.to_owned() })
        }
        _ => Err("a topic is given as kind and name: kafka:orders".into()),
    }
}

/// A cursor in words.
struct Described<'a> {
    cursor: &'a Cursor,
    /// Of its text.
    length: usize,
    names: &'a [Named],
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.cursor.topics().len();
        let topics = if count == 1 { "topic" } else { "topics" };
        writeln!(f, "A cursor of {count} {topics}, {} characters.", self.length)?;
        if self.cursor.is_empty() {
            f.write_str("It names no position: every topic starts where the channel starts.\n")?;
        }
        self.cursor.topics().iter().try_for_each(|topic| self.topic(f, topic))
    }
}

impl Described<'_> {
    fn topic(&self, f: &mut fmt::Formatter<'_>, topic: &TopicCursor) -> fmt::Result {
        let name = self.names.iter().find(|name| name.tag == topic.tag);
        let name = name.map_or("name not known", |name| &name.text);
        writeln!(f, "\nTopic {} ({name}), epoch {}", topic.tag, topic.epoch)?;
        match &topic.next {
            Next::After(id) => writeln!(f, "  onwards after the id \"{}\"", id.escape_ascii()),
            Next::Offsets(offsets) if offsets.is_empty() => {
                f.write_str("  every partition: from offset 0, nothing delivered yet\n")
            }
            Next::Offsets(offsets) => {
                for (partition, next) in offsets.iter().enumerate() {
                    write!(f, "  partition {partition}: next is offset {next}, ")?;
                    match next.checked_sub(1) {
                        None => f.write_str("nothing delivered yet\n")?,
                        Some(last) => writeln!(f, "all up to {last} is delivered")?,
                    }
                }
                f.write_str("  any other partition: from offset 0\n")
            }
        }
    }
}

/// An error is no place for 64 KiB.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    if text.chars().count() <= SHOWN {
        text.to_owned()
    } else {
        text.chars().take(SHOWN).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use tidewater::EpochTag;

    use super::*;

    #[test]
    fn every_form_is_told() {
        let orders = TopicTag::of("kafka", "orders");
        let topic = |tag, next| TopicCursor { tag, epoch: EpochTag(0xabc), next };
        let cursor: Cursor = [
            topic(orders, Next::Offsets(vec![0, 42])),
            topic(TopicTag(1), Next::After("x\n".into())),
            topic(TopicTag(2), Next::Offsets(vec![])),
        ]
        .into_iter()
        .collect();
        let names = [named("kafka:orders").unwrap()];
        let text = Described { cursor: &cursor, length: 9, names: &names }.to_string();
        for line in [
            "A cursor of 3 topics, 9 characters.",
            "Topic 95a68d38 (kafka:orders), epoch 00000abc",
            "  partition 0: next is offset 0, nothing delivered yet",
            "  partition 1: next is offset 42, all up to 41 is delivered",
            "  onwards after the id \"x\\n\"",
            "Topic 00000002 (name not known), epoch 00000abc",
        ] {
            assert!(text.lines().any(|told| told == line), "{line:?} is not in:\n{text}");
        }
    }
}
