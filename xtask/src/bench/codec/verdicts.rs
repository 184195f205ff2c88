//! What decoders make of the vectors in `tests/vectors`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What a decoder made of a file.
#[derive(Debug, Deserialize)]
pub(super) struct Verdict {
    pub(super) decoder: String,
    pub(super) file: String,
    pub(super) passed: usize,
    pub(super) failed: Vec<Failure>,
}

/// A vector that came out wrong in some chunking.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) name: String,
    /// The chunkings: `all in one`, `1 byte`, `7 bytes: error`, `7 bytes: panic`.
    pub(super) how: Vec<String>,
}

/// Chunkings of each vector.
const CHUNKINGS: usize = 3;

/// What the package's program printed.
pub(super) fn read(json: &str) -> Result<Vec<Verdict>> {
    serde_json::from_str(json).context("what `vectors` printed")
}

/// How many vectors each passes, and what the others are.
pub(super) fn table(verdicts: &[Verdict]) -> String {
    let mut files: Vec<&str> = Vec::new();
    let mut decoders: Vec<&str> = Vec::new();
    for verdict in verdicts {
        if !files.contains(&verdict.file.as_str()) {
            files.push(&verdict.file);
        }
        if !decoders.contains(&verdict.decoder.as_str()) {
            decoders.push(&verdict.decoder);
        }
    }
    let (mut table, mut lists) = (format!("| vectors passed | {} |\n", files.join(" | ")), String::new());
    table += &format!("|---|{}\n", "--:|".repeat(files.len()));
    for decoder in decoders {
        let own: Vec<&Verdict> = verdicts.iter().filter(|verdict| verdict.decoder == decoder).collect();
        table += &format!("| {decoder} |");
        for verdict in &own {
            table += &format!(" {} of {} |", verdict.passed, verdict.passed + verdict.failed.len());
        }
        table.push('\n');
        let failed = failures(own.iter().flat_map(|verdict| &verdict.failed));
        if !failed.is_empty() {
            lists += &format!("- {decoder}: {failed}.\n");
        }
    }
    format!("{table}\nWhat fails:\n\n{lists}")
}

/// The failures by what came of them, as a sentence.
fn failures<'a>(of: impl Iterator<Item = &'a Failure>) -> String {
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for failure in of {
        let has = |what| failure.how.iter().any(|how| how.ends_with(what));
        let kind = match (has("panic"), has("error")) {
            (true, _) => "panics",
            (_, true) => "ends with an error",
            _ => "gives other events",
        };
        let name = if failure.how.len() == CHUNKINGS {
            format!("“{}”", failure.name)
        } else {
            let how: Vec<&str> = failure.how.iter().map(|how| how.split(':').next().unwrap_or(how)).collect();
            format!("“{}” (chunks: {})", failure.name, how.join(", "))
        };
        kinds.entry(kind).or_default().push(name);
    }
    kinds
        .into_iter()
        .map(|(kind, names)| format!("{kind} at {}", shortened(names).join(", ")))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Names that begin alike, up to a colon, become one.
fn shortened(names: Vec<String>) -> Vec<String> {
    let family = |name: &String| name.split_once(": ").map(|(family, _)| family.to_owned());
    let mut families: BTreeMap<String, usize> = BTreeMap::new();
    for family in names.iter().filter_map(family) {
        *families.entry(family).or_default() += 1;
    }
    let mut short: Vec<String> = Vec::new();
    for name in names {
        let name = match family(&name).and_then(|family| families.get_key_value(&family)) {
            Some((family, count)) if *count > 1 => format!("{family}: …” ({count})"),
            _ => name,
        };
        if !short.contains(&name) {
            short.push(name);
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_by_what_came_of_them() {
        let json = r#"[
            {"decoder": "peer: a", "file": "f", "passed": 3, "failed": []},
            {"decoder": "peer: b", "file": "f", "passed": 0, "failed": [
                {"name": "BOM", "how": ["all in one: panic", "1 byte", "7 bytes"]},
                {"name": "bad: x", "how": ["all in one", "1 byte", "7 bytes"]},
                {"name": "bad: y", "how": ["all in one", "1 byte", "7 bytes"]},
                {"name": "CR", "how": ["1 byte"]}
            ]}
        ]"#;
        let table = table(&read(json).unwrap());
        assert_eq!(
            table,
            "| vectors passed | f |\n|---|--:|\n| peer: a | 3 of 3 |\n| peer: b | 0 of 4 |\n\nWhat fails:\n\n\
             - peer: b: gives other events at “bad: …” (2), “CR” (chunks: 1 byte); panics at “BOM”.\n"
        );
    }
}
