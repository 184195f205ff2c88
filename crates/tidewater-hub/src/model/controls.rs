//! Negative controls: a hub that is broken on purpose is caught, each fault by itself.
//!
//! The cases are the same in every run, so how many it took can be read off the output (`--nocapture`).

use super::{play::play, script::Scene, some};
use crate::model::broken::{self, Fault};

/// How many cases a fault may survive in each scene. It takes one to some twenty.
const MOST: usize = 600;

/// The oracle objects to a hub with this fault, and it does so for this reason.
fn is_caught(fault: Fault, scenes: &[Scene], reason: impl Fn(&str) -> bool) {
    let mut tried = 0;
    for script in scenes.iter().flat_map(|scene| some(*scene, MOST)) {
        tried += 1;
        let Err(complaint) = broken::with(fault, || play(&script)) else { continue };
        if reason(&complaint) {
            println!("{fault:?}: caught by case {tried}: {}", complaint.lines().next().unwrap_or_default());
            return;
        }
    }
    panic!("{fault:?}: nobody objected in {tried} cases");
}

fn says(what: &str) -> impl Fn(&str) -> bool {
    move |complaint| complaint.contains(what)
}

/// Something is lost by the id of a cursor block: the first one of a stream, or a later one.
fn at_a_cursor(complaint: &str, first: bool) -> bool {
    let mut blocks = complaint.lines().rev().map(str::trim_start);
    let cursor = blocks.next().is_some_and(|block| block.starts_with("tidewater.cursor"));
    let opens = blocks
        .find(|block| !block.starts_with("tidewater.gap"))
        .is_some_and(|block| block.starts_with("-- opens"));
    complaint.contains("is lost") && cursor && opens == first
}

const ALL: [Scene; 3] = [Scene::Merge, Scene::Behind, Scene::Anew];

#[test]
fn a_message_that_is_dropped_is_caught() {
    is_caught(Fault::DropOne, &ALL, says("is lost"));
}

#[test]
fn a_message_that_comes_twice_is_caught() {
    is_caught(Fault::RepeatOne, &ALL, says("came twice"));
}

#[test]
fn messages_that_are_swapped_are_caught() {
    is_caught(Fault::SwapTwo, &ALL, says("I1:"));
}

#[test]
fn an_id_that_is_shifted_is_caught() {
    is_caught(Fault::IdShifted, &ALL, says("is not the cursor after"));
}

#[test]
fn a_gap_that_is_left_out_is_caught() {
    is_caught(Fault::GapLeftOut, &[Scene::Behind, Scene::Anew], says("is lost"));
}

#[test]
fn a_merge_that_is_forgotten_is_caught() {
    is_caught(Fault::MergeForgotten, &ALL, says("I1:"));
}

#[test]
fn the_head_as_a_heartbeat_is_caught() {
    is_caught(Fault::HeadAsHeartbeat, &ALL, |complaint| at_a_cursor(complaint, false));
}

#[test]
fn the_head_as_a_first_block_is_caught() {
    is_caught(Fault::HeadAsFirstBlock, &ALL, |complaint| at_a_cursor(complaint, true));
}

#[test]
fn a_gap_for_holes_is_caught() {
    is_caught(Fault::GapForHoles, &ALL, says("a gap for what never was a message"));
}

#[test]
fn an_epoch_that_is_ignored_is_caught() {
    is_caught(Fault::EpochIgnored, &[Scene::Anew], says("became"));
}

#[test]
fn a_newest_message_that_is_left_out_is_caught() {
    is_caught(Fault::NewestLeftOut, &[Scene::Behind], says("is the newest of its key, and left out"));
}

#[test]
fn a_limit_that_is_ignored_is_caught() {
    is_caught(Fault::LimitIgnored, &ALL, says("older than"));
}

#[test]
fn a_wake_up_that_is_lost_is_caught() {
    is_caught(Fault::WakeUpLost, &ALL, says("it never gets to the end"));
}

#[test]
fn a_wake_up_for_nothing_is_caught() {
    is_caught(Fault::WakeUpForAll, &ALL, says("I8: it was woken for what it doesn't want"));
}

#[test]
fn a_client_that_jumps_over_what_it_has_given_back_is_caught() {
    is_caught(Fault::GivenBackJumped, &ALL, says("is lost"));
}

#[cfg(any(feature = "gzip", feature = "zstd"))]
#[test]
fn blocks_of_a_whole_batch_for_a_part_of_it_are_caught() {
    is_caught(Fault::RestAsWhole, &ALL, says("I1:"));
}
