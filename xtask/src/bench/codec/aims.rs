//! What the codec is meant to reach, and whether it does.

use super::{
    estimates::{Estimates, name},
    verdicts::Verdict,
};

/// Which of our ways counts, the one that fits: single bytes are not worth a `Bytes` each.
fn ours(cell: &str) -> &'static str {
    match cell.split(' ').collect::<Vec<_>>()[..] {
        ["encode", ..] => "ours: encode_into",
        [.., "1", "B"] => "ours: feed",
        _ => "ours: feed_bytes",
    }
}

/// Who writes or reads events for others.
const OTHERS: [&str; 2] = ["peer", "framework"];

/// The least share of our own plain scan's speed.
const OF_PLAIN: f64 = 0.9;
/// The least share of the floor's speed when JSON is encoded.
const OF_FLOOR: f64 = 0.7;

/// How many times as fast as the fastest peer.
fn of_peers(cell: &str) -> f64 {
    match cell.split(' ').collect::<Vec<_>>()[..] {
        ["decode", _, "1", "B"] => 2.0,
        ["decode", "json", ..] => 1.7,
        ["decode", "tokens", ..] => 2.5,
        ["decode", ..] => 1.3,
        ["encode", "multi-line"] => 1.2,
        _ => 1.5,
    }
}

/// A line for each aim: ours against others, as measured.
pub(super) fn table(estimates: &Estimates) -> String {
    let mut table = String::from(
        "| | ours | against | times as fast | aim | |\n\
         |---|---|---|--:|--:|---|\n",
    );
    for half in ["decode", "encode"] {
        for cell in estimates.cells(half) {
            let ours = ours(cell);
            let way = ours.trim_start_matches("ours: ");
            let mut line = |other: &str, ratio: f64, aim: f64| {
                let met = if ratio >= aim { "met" } else { "not met" };
                table +=
                    &format!("| {half} {} | {way} | {other} | {ratio:.2} | {aim:.1} | {met} |\n", name(cell));
            };
            if let Some((peer, ratio)) = fastest(estimates, cell, ours) {
                line(&format!("{peer}, the fastest"), ratio, of_peers(cell));
            }
            let others = estimates.of_kinds(cell, &["plain", "floor: memchr2 and copy"]);
            for other in others.filter(|other| half == "decode" || other.starts_with("floor")) {
                let aim = if half == "decode" { OF_PLAIN } else { OF_FLOOR };
                let counts = half == "decode" || cell.ends_with("json");
                if let Some(ratio) = estimates.ratio(cell, ours, other).filter(|_| counts) {
                    line(other, ratio, aim);
                }
            }
        }
    }
    table
}

/// The other that comes nearest to ours, or ahead of it, and how many times as fast as it ours is.
fn fastest<'a>(estimates: &'a Estimates, cell: &str, ours: &str) -> Option<(&'a str, f64)> {
    let others = estimates.of_kinds(cell, &OTHERS);
    let ratios = others.filter_map(|other| Some((other, estimates.ratio(cell, ours, other)?)));
    ratios.min_by(|(_, one), (_, other)| one.total_cmp(other))
}

/// Whether a peer that reads every vector as the standard says is faster than ours anywhere.
pub(super) fn conforming(estimates: &Estimates, verdicts: &[Verdict]) -> String {
    let passes = |peer: &str| verdicts.iter().filter(|v| v.decoder == peer).all(|v| v.failed.is_empty());
    let mut faster = Vec::new();
    for cell in estimates.cells("decode") {
        for peer in estimates.of_kinds(cell, &OTHERS).filter(|peer| passes(peer)) {
            if let Some(ratio) = estimates.ratio(cell, ours(cell), peer).filter(|ratio| *ratio < 1.0) {
                faster.push(format!("{peer} at {} ({ratio:.2})", name(cell)));
            }
        }
    }
    if faster.is_empty() {
        "No peer that passes all vectors is faster than ours anywhere.\n".into()
    } else {
        format!("Peers that pass all vectors and are faster than ours: {}.\n", faster.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimates() -> Estimates {
        let cell =
            |speeds: &[(&str, f64)]| speeds.iter().map(|(id, mb)| ((*id).to_owned(), vec![*mb])).collect();
        let decode = [("ours: feed", 20.0), ("peer: a", 5.0), ("peer: b", 25.0), ("plain: lines", 20.0)];
        let encode = [
            ("ours: encode_into", 30.0),
            ("framework: c", 10.0),
            ("plain: d", 20.0),
            ("floor: memchr2 and copy", 60.0),
        ];
        Estimates(
            [("decode json 1 B".to_owned(), cell(&decode)), ("encode json".to_owned(), cell(&encode))].into(),
        )
    }

    #[test]
    fn an_aim_is_met_or_not() {
        let table = table(&estimates());
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| decode json, 1 B | feed | peer: b, the fastest | 0.80 | 2.0 | not met |",
                "| decode json, 1 B | feed | plain: lines | 1.00 | 0.9 | met |",
                "| encode json | encode_into | framework: c, the fastest | 3.00 | 1.5 | met |",
                "| encode json | encode_into | floor: memchr2 and copy | 0.50 | 0.7 | not met |",
            ]
        );
    }

    #[test]
    fn only_a_peer_that_passes_counts() {
        let verdict = |failed| Verdict { decoder: "peer: b".into(), file: "f".into(), passed: 1, failed };
        let failure = super::super::verdicts::Failure { name: "x".into(), how: vec!["1 byte".into()] };
        assert!(conforming(&estimates(), &[verdict(vec![])]).contains("peer: b at json, 1 B (0.80)"));
        assert!(conforming(&estimates(), &[verdict(vec![failure])]).starts_with("No peer"));
    }
}
