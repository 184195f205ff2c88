//! A model of brokers, nodes and clients that holds the hub to I1 to I8.
//!
//! A case ([`script`]) is a set-up and a short list of actions. It is played ([`play`]) with real hubs, sources that see
//! one simulated broker ([`broker`], [`source`]) each in an order of its own and late, and clients ([`client`]) that
//! are cut off anywhere and come back anywhere. Every block that a client gets is judged ([`oracle`]), and its streams are
//! polled only when they were woken ([`alarm`]). All of it runs in one thread with a clock that jumps, and every choice follows from the case: a counter-example shrinks to a few
//! actions, is printed as the Rust that makes it, and belongs into [`regressions`] with its fix.
//!
//! That the oracle would notice is shown by hubs that are broken on purpose ([`controls`], [`broken`]).
//!
//! ```console
//! $ cargo test -p tidewater-hub model                                     # 2,400 cases
//! $ PROPTEST_CASES=100000 cargo test --release -p tidewater-hub model     # 100,000 in all
//! ```

mod alarm;
pub(crate) mod broken;
mod broker;
mod client;
mod controls;
mod node;
mod oracle;
mod play;
mod regressions;
mod script;
mod source;
mod unpack;

use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

use self::{
    play::{Played, play},
    script::{Scene, Script, script},
};

/// How many suites share the cases.
const SCENES: u32 = 4;
/// All cases of a run that says nothing else.
const CASES: u32 = 2400;

fn holds(scene: Scene) {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = asked.unwrap_or(CASES).div_ceil(SCENES);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let judged = TestRunner::new(config)
        .run(&script(scene), |script| play(&script).map(drop).map_err(TestCaseError::fail));
    match judged {
        Ok(()) => {}
        Err(TestError::Fail(complaint, script)) => panic!("{complaint}\n{script:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[test]
fn i1_to_i6_hold_where_orders_are_merged() {
    holds(Scene::Merge);
}

#[test]
fn i1_to_i6_hold_for_clients_that_are_far_behind() {
    holds(Scene::Behind);
}

#[test]
fn i1_to_i6_hold_while_topics_are_made_anew() {
    holds(Scene::Anew);
}

#[test]
fn i1_to_i6_hold_where_the_broker_keeps_nothing() {
    holds(Scene::Live);
}

/// So that no scene comes to look away from what it is for.
#[test]
fn the_scenes_reach_what_they_are_for() {
    let kept = ["retention", "epoch", "ahead", "unreadable", "replay", "lag", "map", "conflated"];
    let live = ["retention", "epoch", "unreadable", "lag", "map", "lost", "conflated"];
    let scenes = [
        (Scene::Merge, &kept[..], [150, 40, 5]),
        (Scene::Behind, &kept[..], [100, 100, 80]),
        (Scene::Anew, &kept[..], [100, 60, 60]),
        (Scene::Live, &live[..], [150, 0, 80]),
    ];
    for (scene, reasons, least) in scenes {
        let all: Vec<Played> = some(scene, 100).map(|script| play(&script).unwrap()).collect();
        let heard = || all.iter().flat_map(|played| &played.heard);
        for reason in reasons {
            assert!(
                heard().any(|heard| heard.gaps.contains_key(*reason)),
                "{scene:?}: no gap of reason {reason}"
            );
        }
        assert!(heard().map(|heard| heard.messages).sum::<u64>() > 1500, "{scene:?}: few messages");
        let sum = |place: usize| all.iter().map(|played| played.places[place]).sum::<u64>();
        let places = [sum(0), sum(1), sum(2)];
        let enough = places.iter().zip(&least).all(|(place, least)| place >= least);
        assert!(enough, "{scene:?}: from the log or behind a gap, from the broker, behind: {places:?}");
    }
}

/// So that a counter-example is one.
#[test]
fn a_case_plays_the_same_again() {
    for scene in [Scene::Merge, Scene::Behind, Scene::Anew, Scene::Live] {
        for script in some(scene, 50) {
            assert_eq!(play(&script), play(&script), "{script:?}");
        }
    }
}

/// Cases that are the same in every run.
fn some(scene: Scene, cases: usize) -> impl Iterator<Item = Script> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = script(scene);
    (0..cases).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}
