//! What the model has found, as short as it could be made. Each is played with several seeds, because what a node sees
//! first hangs on them.

use super::{
    play::play,
    script::{Action::*, Id::*, Lag, Script, Setup, Wants::All},
};

fn setup() -> Setup {
    Setup {
        nodes: 1,
        partitions: vec![1],
        replay: true,
        log: (40, 600),
        lag: Lag::Backfill,
        behind_log: true,
        earliest: false,
        map: false,
        heartbeat_ms: 20,
        clients: vec![All, All],
    }
}

fn holds(setup: &Setup, actions: &[super::script::Action]) {
    for seed in 0..40 {
        let script = Script { seed, setup: setup.clone(), actions: actions.to_vec() };
        if let Err(complaint) = play(&script) {
            panic!("{complaint}\n{script:?}");
        }
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
    let setup = Setup { behind_log: false, earliest: true, log: (1, 600), ..setup() };
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
