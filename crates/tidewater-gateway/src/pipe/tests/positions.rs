//! What the file and the sink say of where a pipe is, when one of them is lost, stale or another's.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    super::Ended,
    MESSAGES, SINKS, file,
    stage::{Answer, Stage, State},
};

/// Passed over before anything came behind it, and remembered by the file alone where the sink is lazy.
#[tokio::test(start_paused = true)]
async fn what_was_passed_over_at_the_end_is_not_told_again() {
    for (exact, lazy) in SINKS {
        let mut stage = Stage::new(exact, MESSAGES);
        stage.sink.state().lazy = lazy;
        stage.run().await.unwrap();
        stage.logs[1].recreate();
        stage.options.skip_gaps = true;
        stage.run().await.unwrap();
        stage.options.skip_gaps = false;
        assert_eq!(stage.run().await.unwrap(), Ended::CaughtUp);
        assert_eq!(file(&stage).counts.gaps, 1);
    }
}

/// The same position in a sink may be that of another source with the same name.
#[tokio::test(start_paused = true)]
async fn a_position_of_another_source_is_not_taken_for_its_own() {
    let mut stage = Stage::new(true, MESSAGES);
    stage.run().await.unwrap();
    std::fs::remove_file(stage.checkpoint()).unwrap();
    stage.logs.iter().for_each(tidewater::memory::MemoryLog::recreate);
    stage.publish(0..MESSAGES);
    for skip_gaps in [false, true] {
        stage.options.skip_gaps = skip_gaps;
        let error = stage.run().await.unwrap_err().to_string();
        assert!(error.contains("another source") && error.contains("--id"), "{error}");
        assert!(!stage.checkpoint().exists(), "it remembers nothing of it");
    }
    stage.has_exactly(MESSAGES);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_lost_its_end_is_filled_from_there() {
    let stage = Stage::new(true, MESSAGES);
    stage.run().await.unwrap();
    let before = stage.sink.state().clone();
    stage.publish(MESSAGES..MESSAGES + 3);
    stage.run().await.unwrap();
    *stage.sink.state() = before;
    stage.run().await.unwrap();
    stage.has_exactly(MESSAGES + 3);
}

/// A sink of the same name that knows nothing is another one, or was emptied: it is not filled from the middle.
#[tokio::test(start_paused = true)]
async fn a_sink_that_was_emptied_between_two_orderly_runs_ends_it() {
    let mut stage = Stage::new(true, MESSAGES);
    stage.run().await.unwrap();
    assert!(file(&stage).complete);
    *stage.sink.state() = State::default();
    stage.publish(MESSAGES..MESSAGES + 2);
    let error = stage.run().await.unwrap_err().to_string();
    assert!(error.contains("knows no position") && error.contains("--at-least-once"), "{error}");
    assert!(stage.sink.state().messages.is_empty());
    // Unless that is wanted; and then it goes on exactly once too.
    for exact in [false, true] {
        stage.exact = exact;
        stage.run().await.unwrap();
        assert_eq!(stage.written(), [[6, 7], [6, 7]]);
    }
}

/// Whatever the promise was before, and wherever the first run of another one is killed.
#[tokio::test(start_paused = true)]
async fn a_pipe_that_changes_its_promise_goes_on() {
    for lazy in [false, true] {
        for recreated in [false, true] {
            for awaits in 1..60 {
                let mut stage = Stage::new(true, MESSAGES);
                stage.sink.state().lazy = lazy;
                stage.run().await.unwrap();
                stage.publish(MESSAGES..MESSAGES + 2);
                // Killed somewhere while it writes exactly once, then at least once: no message is there twice.
                stage.run_and_kill(awaits).await;
                (stage.exact, stage.options.skip_gaps) = (false, true);
                if recreated {
                    stage.logs[0].recreate();
                    stage.logs[0].publish(tidewater::Message::new("", "100"));
                }
                stage.run().await.unwrap();
                (stage.exact, stage.options.skip_gaps) = (true, false);
                stage.publish(8..10);
                stage.run_and_kill(awaits).await;
                stage.run().await.unwrap();
                let [a, b] = stage.written();
                assert_eq!(b, (0..10).collect::<Vec<_>>(), "{awaits}");
                let mut once = a.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), a.len(), "{awaits}: {a:?}");
                assert!(a.ends_with(&[8, 9]) && a.contains(&100) == recreated, "{awaits}: {a:?}");
            }
        }
    }
}

/// That the sink can say where it stands is not yet to say that it can be written to.
#[tokio::test(start_paused = true)]
async fn a_place_that_never_was_is_not_waited_for() {
    for exact in [false, true] {
        let stage = Stage::new(exact, MESSAGES);
        stage.sink.state().answers.extend([Answer::Absent; 100]);
        let ended = timeout(Duration::from_secs(60), stage.run()).await.expect("it waits");
        assert!(ended.unwrap_err().to_string().contains("no such place"));
        stage.sink.state().answers.clear();
        stage.sink.state().answers.extend([Answer::Written, Answer::Absent]);
        assert_eq!(stage.run().await.unwrap(), Ended::CaughtUp);
        stage.has_exactly(MESSAGES);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_is_of_this_run() {
    let stage = Stage::new(true, MESSAGES);
    stage.run().await.unwrap();
    stage.publish(MESSAGES..MESSAGES + 1);
    let (mut engine, _asked, stop) = stage.stopping();
    engine.run(&stop).await.unwrap();
    assert_eq!(engine.progress.seen().counts.messages, 2);
}

#[tokio::test(start_paused = true)]
async fn headers_that_speak_to_a_nats_server_stay_behind_where_nats_is() {
    for nats in [false, true] {
        let mut stage = Stage::new(true, 0);
        stage.options.without_server_headers = nats;
        let headers = [("Nats-Msg-Id", "7"), ("x", "1")].into_iter().collect();
        stage.logs[0].publish(tidewater::Message::new("", "0").with_headers(headers));
        stage.run().await.unwrap();
        let headers = stage.sink.state().messages[0].headers.clone();
        assert_eq!(headers.get("Nats-Msg-Id").is_none(), nats);
        assert!(headers.get("x").is_some());
    }
}
