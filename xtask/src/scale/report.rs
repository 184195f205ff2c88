//! What is needed and what happens, as tables in Markdown.

use std::fmt::Write as _;

use super::{
    Args, Balance, How,
    need::{self, Need},
    restart::Restart,
};

/// What a row says: its name, its value for a node, and how that is written.
type Row = (&'static str, fn(&Need) -> f64, fn(f64) -> String);

/// What a node needs, and all of them.
pub(super) fn need(args: &Args) -> String {
    let one = need::of(args, args.clients.div_ceil(args.nodes as u64));
    let mut report = format!("{}:\n\n| | a node | all |\n|---|--:|--:|\n", who(args));
    let rows: [Row; 11] = [
        ("streams, and files", |need| need.streams as f64, count),
        ("memory of the process, its log full", |need| need.process as f64, bytes),
        ("memory of the kernel, idle", |need| need.kernel as f64, bytes),
        ("the same while an event goes to all, more", |need| need.on_its_way as f64, bytes),
        ("writes of events", |need| need.events, per_second),
        ("writes of heartbeats", |need| need.heartbeats, per_second),
        ("cores, each event written by itself", |need| need.cores, |cores| format!("{cores:.2}")),
        ("cores, to read the topics", |need| need.reading, |cores| format!("{cores:.2}")),
        ("to the clients", |need| need.out, bits),
        ("from the broker", |need| need.from_broker, bits),
        ("for the broker: subscriptions of a topic", |_| 1.0, count),
    ];
    for (name, of, shown) in rows {
        let one = of(&one);
        let all = if name.starts_with("streams") { args.clients as f64 } else { one * args.nodes as f64 };
        put(&mut report, format_args!("| {name} | {} | {} |\n", shown(one), shown(all)));
    }
    report
}

/// What happens while the nodes are restarted.
pub(super) fn restart(args: &Args, restart: &Restart) -> String {
    let mut report = format!(
        "\nThe nodes go {}; seed {}:\n\n| second | come | to the busiest node | let in | dropped | told to come back | without a stream |\n\
         |--:|--:|--:|--:|--:|--:|--:|\n",
        what(args),
        args.seed
    );
    for (number, second) in restart.seconds.iter().enumerate().take(args.show) {
        let cells =
            [second.came, second.busiest, second.accepted, second.dropped, second.refused, second.without];
        put(&mut report, format_args!("| {number} | {} |\n", cells.map(thousands).join(" | ")));
    }
    let left = restart.seconds.len().saturating_sub(args.show);
    if left > 0 {
        put(
            &mut report,
            format_args!("\n{} seconds more are not shown (`--show`).\n", thousands(left as u64)),
        );
    }
    report.push_str("\n| in all | |\n|---|--:|\n");
    for (name, value) in summary(args, restart) {
        put(&mut report, format_args!("| {name} | {value} |\n"));
    }
    report
}

/// What comes of several ways to restart them, a line each.
pub(super) fn compare(args: &Args, ways: &[(Args, Restart)]) -> String {
    let mut report = format!(
        "{}; seed {}:\n\n| the nodes go | lost streams, for each client | most in a second to a node | of what it accepts \
         | longest queue | longest without a stream | most streams of a node | at the end: most, fewest |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
        who(args),
        args.seed
    );
    for (way, restart) in ways {
        let [moved, busiest, accepts, queue, away] = peaks(way, restart).map(|(_, value)| value);
        let (most, fewest) = restart.at_the_end;
        let [had, most, fewest] = [restart.most_streams, most, fewest].map(thousands);
        let what = what(way);
        let cells = [what, moved, busiest, accepts, queue, away, had, format!("{most}, {fewest}")];
        put(&mut report, format_args!("| {} |\n", cells.join(" | ")));
    }
    report
}

/// What is the most in each way.
fn peaks(args: &Args, restart: &Restart) -> [(&'static str, String); 5] {
    let busiest = restart.seconds.iter().map(|second| second.busiest).max().unwrap_or(0);
    let moved = restart.moved as f64 / args.clients as f64;
    [
        ("streams that were lost, for each client", format!("{moved:.2}")),
        ("the most that came to a node in a second", thousands(busiest)),
        ("of what it accepts", format!("{:.0} %", 100.0 * busiest as f64 / args.accept as f64)),
        ("the longest queue of a node", thousands(restart.longest_queue)),
        ("the longest that a client was without a stream", format!("{:.1} s", away(restart))),
    ]
}

/// The longest that a client was without a stream, in seconds.
fn away(restart: &Restart) -> f64 {
    restart.longest_away as f64 / 1000.0
}

fn summary(args: &Args, restart: &Restart) -> Vec<(&'static str, String)> {
    let missed = (away(restart) * args.topic_rate()).ceil();
    let (old, new) = need::reach(args);
    let fullest = need::of(args, restart.most_streams);
    let (most, fewest) = restart.at_the_end;
    let mut rows = Vec::from(peaks(args, restart));
    rows.extend([
        ("all are back after", format!("{:.1} s", restart.all_back as f64 / 1000.0)),
        ("events that a client missed meanwhile, at most", count(missed)),
        ("the log of a node that has run for long goes back", seconds(old)),
        ("that of a node that has just started", seconds(new)),
        ("the most streams that a node had", thousands(restart.most_streams)),
        ("its memory, of the process and the kernel", bytes((fullest.process + fullest.kernel) as f64)),
        ("its cores", format!("{:.2}", fullest.cores)),
        ("to its clients", bits(fullest.out)),
        (
            "streams at the end, the most and the fewest of a node",
            format!("{}, {}", thousands(most), thousands(fewest)),
        ),
    ]);
    rows
}

fn who(args: &Args) -> String {
    let (clients, nodes) = (thousands(args.clients), thousands(args.nodes as u64));
    format!("{clients} clients on {nodes} nodes, {} events/s of {} B for each", args.rate, args.size)
}

fn what(args: &Args) -> String {
    let balance = match args.balance {
        Balance::Random => "at random",
        Balance::Least => "to the fewest",
    };
    let how = match args.restart {
        How::Rolling if args.surge => format!("{} at a time, others there before", args.at_once),
        How::Rolling => format!("{} at a time", args.at_once),
        How::All => "all at once".to_owned(),
        How::Kill => "one killed".to_owned(),
        How::None => "not at all".to_owned(),
    };
    format!("{how}; clients {balance}")
}

fn put(report: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    report.write_fmt(text).ok();
}

fn count(number: f64) -> String {
    thousands(number.round() as u64)
}

fn per_second(number: f64) -> String {
    format!("{}/s", count(number))
}

fn bytes(number: f64) -> String {
    scaled(number, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

fn bits(number: f64) -> String {
    scaled(number, 1000.0, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

fn scaled(mut number: f64, by: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while number >= by && unit + 1 < units.len() {
        number /= by;
        unit += 1;
    }
    let digits = if number < 10.0 && unit > 0 { 1 } else { 0 };
    format!("{number:.digits$} {}", units[unit])
}

fn seconds(number: f64) -> String {
    match number {
        long if long.is_infinite() => "without an end".to_owned(),
        long if long >= 120.0 => format!("{:.0} min", long / 60.0),
        short => format!("{short:.1} s"),
    }
}

/// `1234567` as `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
