//! How long ids are, by partitions and offsets: a table in Markdown, for `cargo xtask bench ids`.

use tidewater_core::{Cursor, Epoch, Next, TopicCursor, TopicTag};

/// Offsets that every partition is at.
const OFFSETS: [(u64, &str); 5] = [
    (100, "100"),
    (10_000, "10,000"),
    (1_000_000, "1,000,000"),
    ((1 << 35) - 1, "2^35 - 1"),
    ((1 << 63) - 1, "2^63 - 1"),
];
const PARTITIONS: [usize; 8] = [1, 4, 16, 64, 100, 200, 400, 1000];

fn main() {
    let heads = OFFSETS.map(|(_, name)| format!(" offset {name} |"));
    println!("| partitions |{}\n|--:|{}", heads.concat(), "--:|".repeat(OFFSETS.len()));
    for partitions in PARTITIONS {
        let cells = OFFSETS.map(|(offset, _)| {
            let topic = TopicCursor {
                tag: TopicTag::of("kafka", "orders"),
                epoch: Epoch(1).tag(),
                next: Next::Offsets(vec![offset; partitions]),
            };
            format!(" {} |", [topic].into_iter().collect::<Cursor>().to_string().len())
        });
        println!("| {partitions} |{}", cells.concat());
    }
}
