//! Small cases by hand, what always holds, and that the documentation has what the commands print.

use clap::Parser;

use super::{restart::Second, *};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn args(text: &str) -> Args {
    Cli::try_parse_from(["scale"].into_iter().chain(text.split_whitespace())).unwrap().args
}

fn run(text: &str) -> Restart {
    Restart::run(&args(text))
}

fn sum(restart: &Restart, of: fn(&Second) -> u64) -> u64 {
    restart.seconds.iter().map(of).sum()
}

#[test]
fn nobody_is_lost_and_nobody_is_counted_twice() {
    for text in [
        "--clients 10000 --nodes 4",
        "--clients 10000 --nodes 4 --surge --balance least",
        "--clients 10000 --nodes 4 --at-once 2 --retry 500ms",
        "--clients 9999 --nodes 1",
        "--clients 10000 --nodes 4 --restart all --accept 900 --backlog 50",
        "--clients 10000 --nodes 4 --restart kill --accept 900 --backlog 50",
        "--clients 10000 --nodes 4 --most 2500",
    ] {
        let restart = run(text);
        assert!(sum(&restart, |second| second.accepted) >= restart.moved, "{text}: all come back");
        assert_eq!(
            sum(&restart, |second| second.accepted),
            restart.moved,
            "{text}: and once for each stream"
        );
        assert_eq!(restart.seconds.last().unwrap().without, 0, "{text}");
        let (most, fewest) = restart.at_the_end;
        assert!(fewest <= 10_000 && most >= 10_000 / 4, "{text}");
    }
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    let text = "--clients 5000 --nodes 5";
    assert_eq!(run(text).seconds, run(text).seconds);
    assert_ne!(run(text).seconds, run(&format!("{text} --seed 2")).seconds);
}

/// Two nodes of 1,000, one of them away: by the hub's rule its clients come to the other from 0.5 s to 4 s, evenly.
#[test]
fn a_drain_spreads_its_clients_over_its_window() {
    let restart = run("--clients 2000 --nodes 2 --pause 1m --network 0ms");
    let came: Vec<u64> = restart.seconds.iter().map(|second| second.came).collect();
    assert_eq!(came[..5].iter().sum::<u64>(), 1000);
    assert_eq!(came[4..15].iter().sum::<u64>(), 0);
    // Half a second of the first, and three whole ones: 143 and 286 of them, but for chance.
    for (second, expected) in [(0, 143), (1, 286), (2, 286), (3, 286)] {
        assert!(came[second].abs_diff(expected) < 60, "{came:?}");
    }
    assert_eq!(restart.seconds[3].without, 0);
    assert!((3_900..=4_001).contains(&restart.longest_away), "{}", restart.longest_away);
    // The second one takes all of them along, to the first, which was empty.
    assert_eq!((restart.moved, restart.most_streams, restart.at_the_end), (3000, 2000, (2000, 0)));
}

#[test]
fn the_peak_of_a_drain_is_below_its_bound() {
    for (text, retry) in [("--retry 2s", 2.0), ("--retry 10s", 10.0), ("--retry 500ms", 0.5_f64)] {
        let restart = run(&format!("--clients 100000 --nodes 10 {text}"));
        // A tenth of the clients, and who was moved to a node before; over twice the channel's time, but for half a second.
        let window = (2.0 * retry).max(2.0) - 0.5;
        let most = restart.most_streams as f64 / window.max(1.0);
        let peak = restart.seconds.iter().map(|second| second.came).max().unwrap() as f64;
        assert!(peak < most * 1.1 && peak > 10_000.0 / window.max(1.0) * 0.9, "{text}: {peak}, {most}");
    }
}

/// Nobody who was killed has said anything: all of its 1,000 come in one moment, two seconds later, 100 find a place in
/// the queue of the other, and the rest comes again one second later, two, four …
#[test]
fn a_node_that_is_killed_sends_all_at_once() {
    let restart =
        run("--clients 2000 --nodes 2 --restart kill --boot 1m --network 0ms --backlog 100 --accept 50");
    let [before, then, later] = [1, 2, 3].map(|second| restart.seconds[second]);
    assert_eq!((before.came, before.without), (0, 1000));
    assert_eq!((then.came, then.dropped), (1000, 900));
    // Of the hundred 50 are let in within a second; 50 of those who come again have their places.
    assert_eq!((then.accepted, later.came, later.dropped), (50, 900, 850));
    assert_eq!(restart.longest_queue, 100);
}

/// tcp(7), tcp_syn_retries: six times more, and the last one waits 64 s for its answer: 127 s in all. Then the client waits
/// as after any lost connection.
#[test]
fn who_hears_nothing_gives_up_after_the_kernel_does() {
    let restart = run(
        "--clients 20 --nodes 2 --restart kill --boot 10m --network 0ms --retry 2s --backlog 1 --accept 1000",
    );
    let came: Vec<usize> = (0..restart.seconds.len()).filter(|at| restart.seconds[*at].came > 0).collect();
    assert_eq!(came, [2, 3, 5, 9, 17, 33, 65, 131, 132, 134], "ten of them, one place at a time");
}

#[test]
fn who_finds_no_place_is_told_to_come_back_later() {
    let restart = run("--clients 1000 --nodes 2 --most 500 --pause 1m");
    assert!(sum(&restart, |second| second.refused) > 500, "each at least once while a node is away");
    assert_eq!(restart.most_streams, 500);
    assert_eq!(restart.at_the_end, (500, 500));
}

#[test]
fn a_node_that_is_there_before_keeps_the_others_from_filling_up() {
    let (away, before) = (run("--clients 20000 --nodes 4"), run("--clients 20000 --nodes 4 --surge"));
    assert!(before.most_streams < away.most_streams, "{} {}", before.most_streams, away.most_streams);
    let least = run("--clients 20000 --nodes 4 --balance least");
    assert_eq!(least.at_the_end.0, 20_000_u64.div_ceil(3), "the last one comes up empty");
}

#[test]
fn what_a_node_needs_is_a_product() {
    let need = need::of(&args("--clients 1000 --nodes 1 --rate 2 --size 200"), 1000);
    assert_eq!((need.streams, need.events), (1000, 2000.0));
    assert_eq!(need.kernel, 4_600_000);
    assert!((need.cores - 2066.67 * 5.43e-6).abs() < 1e-5, "{}", need.cores);
    assert_eq!(need.from_broker, 3200.0);
    // 299 bytes an event, 123 a heartbeat.
    assert_eq!(need.out.round(), 8.0_f64.mul_add(2000.0 * 299.0, 8.0 * 123.0 * 1000.0 / 15.0).round());
}

#[test]
fn memory_goes_back_as_far_as_its_smallest_bound() {
    let reach = |text: &str| need::reach(&args(text));
    assert_eq!(reach("--rate 1"), (600.0, 600.0), "by time");
    assert_eq!(reach("--rate 1000"), (65.536, 8.192), "by events");
    let (old, new) = reach("--rate 100 --size 100000");
    assert!((6.7..6.8).contains(&old) && (0.8..0.9).contains(&new), "by bytes: {old} {new}");
    assert_eq!(reach("--rate 0").0, f64::INFINITY);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for text in [
        "--nodes 0",
        "--clients 0",
        "--nodes 2 --at-once 3",
        "--accept 0",
        "--rate=-1",
        "--clients 100 --nodes 2 --most 40",
    ] {
        assert!(args(text).check().is_err(), "{text}");
    }
    for text in ["--drain 10", "--drain s", "--drain 1.5s", "--boot 1h"] {
        assert!(Cli::try_parse_from(["scale"].into_iter().chain(text.split(' '))).is_err(), "{text}");
    }
}

/// The tables in docs/scaling.md are these commands' own.
#[test]
fn the_documentation_has_what_the_commands_print() {
    let text = std::fs::read_to_string(crate::workspace::root().join("docs/scaling.md")).unwrap();
    let mut seen = 0;
    for block in text.split("<!-- scale -->").skip(1) {
        let (block, _) = block.split_once("<!-- end scale -->").unwrap();
        let (command, printed) =
            block.trim().strip_prefix("`cargo xtask scale").unwrap().split_once('`').unwrap();
        let args = args(command.trim());
        assert_eq!(printed.trim(), report(&args).unwrap().trim(), "cargo xtask scale {command}");
        seen += 1;
    }
    assert!(seen > 0);
}
