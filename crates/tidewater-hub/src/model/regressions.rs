//! What the model has found, as short as it could be made. Each is played with several seeds, because what a node sees
//! first hangs on them.

use super::{
    play::play,
    script::{
        Action::*,
        Asks,
        Back::{self, Everything},
        Id::*,
        Lag, Script, Setup,
        Wants::{All, KeyOf, Tag},
    },
};

fn setup() -> Setup {
    Setup {
        nodes: 1,
        partitions: vec![1],
        replay: true,
        log: (40, 600),
        lag: Lag::Backfill,
        choices: vec![],
        back: Everything,
        times: false,
        prewarm: Some(8192),
        linger_ms: 0,
        earliest: false,
        map: false,
        second: false,
        heartbeat_ms: 20,
        clients: vec![Asks { wants: All, lag: None }; 2],
    }
}

fn holds(setup: &Setup, actions: &[super::script::Action]) {
    for seed in 0..40 {
        plays(seed, setup, actions);
    }
}

fn plays(seed: u64, setup: &Setup, actions: &[super::script::Action]) {
    let script = Script { seed, setup: setup.clone(), actions: actions.to_vec() };
    if let Err(complaint) = play(&script) {
        panic!("{complaint}\n{script:?}");
    }
}

/// The client has both new incarnations of a topic, and is behind in another; what it reads on from has them both.
#[test]
fn who_is_ahead_in_one_topic_and_behind_in_another_is_not_taken_back() {
    let setup = Setup { nodes: 2, partitions: vec![1, 1], ..setup() };
    let actions = [
        Open { client: 0, node: 0, id: Own },
        Open { client: 1, node: 1, id: Own },
        Read { client: 0, blocks: 1, ms: 1 },
        Hold { node: 0, mask: 1 },
        Publish { to: 0, count: 2, spread: false },
        Wait { ms: 50 },
        Recreate { topic: 1, partitions: 1 },
        Wait { ms: 50 },
        Publish { to: 0, count: 2, spread: false },
        Wait { ms: 50 },
        Recreate { topic: 1, partitions: 1 },
        Wait { ms: 50 },
        Read { client: 0, blocks: 9, ms: 50 },
        Open { client: 0, node: 1, id: Own },
    ];
    holds(&setup, &actions);
}

/// The client waits for an incarnation that is over before its node sees it, and which the node never does.
#[test]
fn who_waits_for_an_incarnation_that_its_node_never_sees_is_sent_back_for_an_answer() {
    let setup = Setup { nodes: 2, ..setup() };
    let actions = [
        Open { client: 0, node: 0, id: Own },
        Open { client: 1, node: 1, id: Own },
        Read { client: 0, blocks: 1, ms: 1 },
        Hold { node: 1, mask: 1 << 15 },
        Recreate { topic: 0, partitions: 1 },
        Wait { ms: 50 },
        Read { client: 0, blocks: 9, ms: 50 },
        Open { client: 0, node: 1, id: Own },
        Read { client: 0, blocks: 1, ms: 1 },
        Recreate { topic: 0, partitions: 1 },
        Publish { to: 0, count: 1, spread: false },
        Hold { node: 1, mask: 0 },
    ];
    holds(&setup, &actions);
}

/// The client waits for an incarnation that its node has yet to see, the log goes on without it, and where the log
/// begins is of the incarnation before.
#[test]
fn who_is_in_a_later_incarnation_than_the_log_is_not_taken_back_by_lag() {
    let setup = Setup { back: Back::Log, earliest: true, log: (1, 600), ..setup() };
    let actions = [
        Open { client: 0, node: 0, id: Own },
        Recreate { topic: 0, partitions: 1 },
        Hold { node: 0, mask: 1 << 15 },
        Publish { to: 0, count: 12, spread: false },
        Open { client: 0, node: 0, id: Own },
        Recreate { topic: 0, partitions: 1 },
        Open { client: 0, node: 0, id: Own },
        Wait { ms: 5 },
        Open { client: 1, node: 0, id: Own },
    ];
    holds(&setup, &actions);
}

/// The client knew the new incarnation before the node did, and what was first in it was gone by then.
#[test]
fn what_a_new_incarnation_has_lost_before_a_node_sees_it_is_told_to_who_waits_there() {
    let actions = [
        Publish { to: 0, count: 1, spread: false },
        Open { client: 0, node: 0, id: Own },
        Read { client: 0, blocks: 1, ms: 1 },
        Hold { node: 0, mask: 1 << 15 },
        Recreate { topic: 0, partitions: 1 },
        Open { client: 0, node: 0, id: Own },
        Read { client: 0, blocks: 2, ms: 1 },
        Publish { to: 0, count: 2, spread: false },
        Retain { to: 0, by: 1 },
        Hold { node: 0, mask: 0 },
    ];
    holds(&setup(), &actions);
    let setup = Setup { nodes: 2, replay: false, ..setup() };
    let actions = [
        Open { client: 1, node: 1, id: Own },
        Read { client: 1, blocks: 1, ms: 1 },
        Cut { node: 0 },
        Recreate { topic: 0, partitions: 1 },
        Open { client: 1, node: 0, id: Own },
        Publish { to: 0, count: 1, spread: false },
    ];
    holds(&setup, &actions);
}

/// Nothing is kept but in the log, which holds all of the incarnation that began in it.
#[test]
fn who_comes_from_elsewhere_gets_what_the_log_has_of_an_incarnation_that_begins_in_it() {
    let setup = Setup { nodes: 2, replay: false, ..setup() };
    let actions = [
        Open { client: 0, node: 0, id: Own },
        Recreate { topic: 0, partitions: 1 },
        Open { client: 1, node: 1, id: Own },
        Read { client: 1, blocks: 1, ms: 1 },
        Publish { to: 0, count: 10, spread: false },
        Wait { ms: 200 },
        Open { client: 1, node: 0, id: Own },
    ];
    holds(&setup, &actions);
}

/// What a reader had read of the past was given out although the broker had lost it, and had other messages there.
#[test]
fn what_was_read_before_the_broker_lost_its_end_is_not_given_out_after() {
    let setup = Setup { partitions: vec![1, 3], log: (2, 600), earliest: true, ..setup() };
    let actions = [
        Publish { to: 0, count: 3, spread: true },
        Open { client: 0, node: 0, id: Own },
        Read { client: 0, blocks: 2, ms: 1 },
        Publish { to: 0, count: 1, spread: false },
        Lose { to: 0, by: 2 },
        Publish { to: 0, count: 1, spread: false },
    ];
    holds(&setup, &actions);
}

/// The limit never goes back; so it stayed past the end, and clients were told a gap up to there.
#[test]
fn a_limit_in_time_goes_back_when_the_broker_has_lost_its_end() {
    let setup = Setup { log: (2, 600), back: Back::Age(500), times: true, ..setup() };
    let actions = [
        Open { client: 0, node: 0, id: Ahead { to: 0, by: 1 } },
        Storm { to: 0, count: 9, every_ms: 0 },
        Lose { to: 0, by: 1 },
        Open { client: 0, node: 0, id: Own },
        Lose { to: 0, by: 1 },
    ];
    holds(&setup, &actions);
}

/// A reader that said nothing more was kept warm for the next turn, each time again.
#[test]
fn a_reader_that_has_stalled_is_not_used_again() {
    let setup = Setup { log: (1, 600), ..setup() };
    let actions = [
        Publish { to: 0, count: 2, spread: false },
        Storm { to: 0, count: 11, every_ms: 5 },
        Publish { to: 0, count: 1, spread: false },
        Open { client: 0, node: 0, id: Ahead { to: 0, by: 1 } },
        Publish { to: 0, count: 2, spread: false },
        Cut { node: 0 },
        Storm { to: 0, count: 1, every_ms: 0 },
        Publish { to: 0, count: 1, spread: false },
        Wait { ms: 85 },
        Open { client: 1, node: 0, id: Other(0) },
        Wait { ms: 6 },
        Stall { node: 0 },
    ];
    holds(&setup, &actions);
}

/// The limit was in a topic's new incarnation, and the client in the one before: it was told the new one, and not that
/// the beginning of that was too old.
#[test]
fn what_is_too_old_of_a_new_incarnation_is_told() {
    let setup = Setup { log: (1, 600), back: Back::Age(500), linger_ms: 1, ..setup() };
    let actions = [
        Open { client: 0, node: 0, id: Own },
        Read { client: 0, blocks: 1, ms: 1 },
        Recreate { topic: 0, partitions: 0 },
        Publish { to: 0, count: 1, spread: false },
        Wait { ms: 1000 },
        Open { client: 0, node: 0, id: Own },
        Open { client: 0, node: 0, id: Own },
        Publish { to: 0, count: 1, spread: false },
    ];
    holds(&setup, &actions);
}

/// The source's answer was of the incarnation before, so the log decided: what it had let go counted as too old.
#[test]
fn what_the_log_has_let_go_is_not_too_old_for_that() {
    let setup = Setup { log: (2, 600), back: Back::Age(500), times: true, ..setup() };
    let actions = [
        Open { client: 0, node: 0, id: Ahead { to: 0, by: 1 } },
        Recreate { topic: 0, partitions: 0 },
        Cut { node: 0 },
        Publish { to: 0, count: 4, spread: false },
        Read { client: 0, blocks: 4, ms: 56 },
        Publish { to: 0, count: 1, spread: false },
    ];
    holds(&setup, &actions);
}

/// The source's answer was of an incarnation before the client's, and the client was taken there.
#[test]
fn a_limit_in_time_takes_nobody_back_to_an_incarnation_that_is_over() {
    let setup = Setup { log: (2, 600), back: Back::Age(500), times: true, ..setup() };
    let actions = [
        Open { client: 1, node: 0, id: Own },
        Publish { to: 0, count: 4, spread: false },
        Grow { topic: 0 },
        Lose { to: 89, by: 1 },
        Open { client: 0, node: 0, id: Ahead { to: 0, by: 1 } },
        Recreate { topic: 0, partitions: 0 },
        Open { client: 0, node: 0, id: Own },
        Open { client: 0, node: 0, id: Own },
        Storm { to: 0, count: 1, every_ms: 0 },
        Read { client: 0, blocks: 2, ms: 1 },
        Recreate { topic: 0, partitions: 0 },
        Drop { client: 0 },
        Read { client: 1, blocks: 4, ms: 1 },
    ];
    holds(&setup, &actions);
}

/// A gap of unknown extent moves no cursor: a client behind it was told nothing when the log had let it go.
#[test]
fn what_was_lost_without_a_number_is_told_to_who_falls_behind() {
    let setup = Setup {
        replay: false,
        log: (2, 600),
        heartbeat_ms: 300,
        clients: vec![Asks { wants: Tag(false), lag: None }],
        ..setup()
    };
    let actions = [
        Wait { ms: 2 },
        Publish { to: 0, count: 2, spread: false },
        Open { client: 0, node: 0, id: Own },
        Wait { ms: 1 },
        Cut { node: 0 },
        Wait { ms: 84 },
        Read { client: 0, blocks: 2, ms: 1 },
        Cut { node: 0 },
        Wait { ms: 1 },
        Publish { to: 0, count: 2, spread: false },
        Wait { ms: 1 },
    ];
    holds(&setup, &actions);
}

/// The client waits for an incarnation that its node has never seen, and falls behind the log: what it walked over on the
/// way from what is kept into the log would have said so.
#[test]
fn who_conflates_and_waits_for_an_incarnation_that_its_node_never_sees_is_sent_back() {
    let asks = |wants| Asks { wants, lag: None };
    let setup = Setup {
        nodes: 3,
        partitions: vec![2, 1],
        log: (10, 600),
        lag: Lag::Conflate,
        back: Back::Age(5000),
        map: true,
        second: true,
        clients: vec![asks(All), asks(All), asks(KeyOf(0, 0))],
        ..setup()
    };
    let actions = [
        Hold { node: 67, mask: 34208 },
        Storm { to: 0, count: 10, every_ms: 1 },
        Storm { to: 0, count: 2, every_ms: 11 },
        Wait { ms: 22 },
        Grow { topic: 68 },
        Open { client: 0, node: 0, id: Own },
        Publish { to: 0, count: 3, spread: false },
        Recreate { topic: 125, partitions: 0 },
        Publish { to: 192, count: 1, spread: false },
        Storm { to: 6, count: 12, every_ms: 2 },
        Wait { ms: 21 },
        Open { client: 54, node: 5, id: Own },
        Publish { to: 121, count: 2, spread: false },
        Open { client: 92, node: 181, id: Epoch { topic: 30, offset: 0 } },
        Publish { to: 104, count: 4, spread: false },
        Read { client: 24, blocks: 4, ms: 1 },
        Read { client: 17, blocks: 1, ms: 1 },
        Recreate { topic: 89, partitions: 3 },
        Publish { to: 48, count: 11, spread: false },
    ];
    for seed in (0..200).chain([10_039_964_399_569_838_875]) {
        plays(seed, &setup, &actions);
    }
}

/// It was told the incarnation again that it is in.
#[test]
fn who_conflates_and_waits_for_an_incarnation_is_told_what_that_has_lost() {
    let setup = Setup {
        nodes: 3,
        partitions: vec![1, 1],
        replay: false,
        log: (2, 600),
        lag: Lag::Conflate,
        ..setup()
    };
    let setup = Setup { linger_ms: 257, ..setup };
    let actions = [
        Open { client: 0, node: 1, id: Own },
        Publish { to: 0, count: 7, spread: false },
        Storm { to: 0, count: 2, every_ms: 15 },
        Publish { to: 0, count: 4, spread: false },
        Wait { ms: 16 },
        Cut { node: 0 },
        Recreate { topic: 3, partitions: 0 },
        Read { client: 0, blocks: 1, ms: 1 },
        Open { client: 0, node: 0, id: Own },
        Wait { ms: 335 },
    ];
    holds(&setup, &actions);
}

/// What the source had said was of an incarnation before; and the log's own times are those of whole batches.
#[test]
fn a_limit_in_time_is_asked_for_anew_when_a_topic_is_made_anew() {
    let wants = Asks { wants: Tag(true), lag: None };
    let base = Setup { replay: true, times: true, prewarm: Some(8192), ..setup() };
    let behind = Setup {
        nodes: 4,
        partitions: vec![1],
        log: (10, 600),
        back: Back::Age(500),
        second: true,
        clients: vec![wants],
        ..base.clone()
    };
    let actions = [
        Publish { to: 0, count: 1, spread: false },
        Hole { to: 0, count: 1 },
        Publish { to: 0, count: 3, spread: false },
        Open { client: 0, node: 20, id: Own },
        Storm { to: 0, count: 4, every_ms: 4 },
        Recreate { topic: 0, partitions: 0 },
        Publish { to: 0, count: 7, spread: false },
        Read { client: 0, blocks: 6, ms: 3 },
        Wait { ms: 14 },
        Hole { to: 0, count: 1 },
        Storm { to: 0, count: 13, every_ms: 4 },
        Publish { to: 0, count: 1, spread: false },
        Open { client: 0, node: 105, id: Own },
        Publish { to: 0, count: 1, spread: false },
        Recreate { topic: 0, partitions: 0 },
        Read { client: 0, blocks: 3, ms: 1 },
        Drop { client: 0 },
        Publish { to: 0, count: 1, spread: false },
    ];
    plays(2_072_245_681_733_867_666, &behind, &actions);
    let merged = Setup { nodes: 3, partitions: vec![2], log: (40, 600), back: Back::Age(5000), ..base };
    let actions = [
        Open { client: 223, node: 0, id: Own },
        Open { client: 141, node: 169, id: Own },
        Storm { to: 0, count: 2, every_ms: 1 },
        Open { client: 69, node: 151, id: Ahead { to: 0, by: 1 } },
        Read { client: 178, blocks: 1, ms: 1 },
        Lose { to: 0, by: 1 },
        Recreate { topic: 0, partitions: 0 },
        Wait { ms: 4498 },
        Publish { to: 0, count: 1, spread: false },
        Open { client: 109, node: 28, id: Own },
        Recreate { topic: 0, partitions: 0 },
        Publish { to: 0, count: 4, spread: false },
    ];
    plays(5_467_518_824_696_906_303, &merged, &actions);
}
