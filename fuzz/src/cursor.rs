//! A cursor has one text, and reads back from it.
//!
//! The input is taken in three ways: as a text; as what a text encodes, so that what lies behind base64 is reached;
//! and as steps of a reader through topics, which make a cursor.

use arbitrary::{Arbitrary, Unstructured};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tidewater_core::{Cursor, CursorError, EpochTag, OpaqueId, Position, TopicTag};

/// A text that is longer is no cursor's.
const MOST_TEXT: usize = 64 * 1024;

/// Reads texts, and writes and reads cursors.
///
/// # Panics
/// If a cursor reads back as another, or not at all, or a text that is read is not what its cursor is written as.
pub fn check(input: &[u8]) {
    parse(&String::from_utf8_lossy(input));
    // The version, then the input.
    parse(&URL_SAFE_NO_PAD.encode([&[1], input].concat()));
    print(&steps(input));
}

fn parse(text: &str) {
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text, "another text of {cursor:?}");
        print(&cursor);
    }
}

fn print(cursor: &Cursor) {
    let text = cursor.to_string();
    match text.parse::<Cursor>() {
        Ok(read) => assert_eq!(&read, cursor),
        Err(CursorError::TooLong) => assert!(text.len() > MOST_TEXT, "{cursor:?}"),
        Err(error) => panic!("{cursor:?} is written as {text}, which is {error}"),
    }
}

/// A step of a reader. Few topics and epochs, so that steps meet.
#[derive(Arbitrary, Debug)]
enum Step {
    Raise { tag: u8, epoch: bool, partition: u8, next: u64 },
    AfterOffset { tag: u8, epoch: bool, partition: u8, offset: u64 },
    AfterId { tag: u8, epoch: bool, id: Vec<u8> },
}

fn steps(input: &[u8]) -> Cursor {
    let mut cursor = Cursor::default();
    let mut input = Unstructured::new(input);
    while !input.is_empty() {
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        match step {
            Step::Raise { tag, epoch, partition, next } => {
                let (tag, epoch) = tags(tag, epoch);
                cursor.raise(tag, epoch, partition.into(), next);
                assert!(cursor.next_offset(tag, partition.into()) >= Some(next));
            }
            Step::AfterOffset { tag, epoch, partition, offset } => {
                let (tag, epoch) = tags(tag, epoch);
                cursor.advance(tag, epoch, partition.into(), &Position::Offset(offset));
                assert!(cursor.next_offset(tag, partition.into()) >= Some(offset));
            }
            Step::AfterId { tag, epoch, id } => {
                let (tag, epoch) = tags(tag, epoch);
                let Ok(id) = OpaqueId::new(id) else { continue };
                cursor.advance(tag, epoch, 0, &Position::Opaque(id));
            }
        }
    }
    cursor
}

/// Tags from both ends of the numbers.
fn tags(tag: u8, epoch: bool) -> (TopicTag, EpochTag) {
    (TopicTag(u32::from(tag).rotate_right(4)), EpochTag(if epoch { u32::MAX } else { 7 }))
}
