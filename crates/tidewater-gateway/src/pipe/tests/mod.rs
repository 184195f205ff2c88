//! A pipe between a source and a sink that fail, and a pipe that is killed at every await.

mod positions;
mod stage;

use std::time::Duration;

use tidewater::Start;
use tokio::time::timeout;

use self::stage::{Answer, Stage};
use super::{Checkpoint, CheckpointFile, Ended, From};

const MESSAGES: usize = 6;
/// What a sink may do to a batch of some messages, one after the other.
const FAULTS: [&[Answer]; 5] = [
    &[],
    &[Answer::Away, Answer::Written, Answer::Away, Answer::Away],
    &[Answer::Lost, Answer::Lost, Answer::Written, Answer::Lost],
    &[Answer::Half, Answer::Half, Answer::Away, Answer::Half],
    &[Answer::Written, Answer::Lost, Answer::Away, Answer::Half],
];

fn file(stage: &Stage) -> Checkpoint {
    CheckpointFile::open(&stage.checkpoint()).unwrap().1.unwrap()
}

/// What a sink is: whether it keeps the position, and whether it moves that only with a message.
const SINKS: [(bool, bool); 3] = [(false, false), (true, false), (true, true)];

/// A stage whose sink fails like this, and whose source does now and then.
fn faulty((exact, lazy): (bool, bool), faults: &[Answer]) -> Stage {
    let stage = Stage::new(exact, MESSAGES);
    stage.sink.state().lazy = lazy;
    stage.sink.state().answers.extend(faults);
    stage.source.ends.lock().unwrap().extend([5, 0, 1]);
    stage
}

#[tokio::test(start_paused = true)]
async fn everything_arrives_in_order_and_the_checkpoint_says_so() {
    for exact in [false, true] {
        let stage = Stage::new(exact, MESSAGES);
        assert_eq!(stage.run().await.unwrap(), Ended::CaughtUp);
        stage.has_exactly(MESSAGES);
        let there = file(&stage);
        assert!(there.complete);
        assert_eq!(there.counts.messages, 2 * MESSAGES as u64);
        assert_eq!(stage.sink.state().position.is_some(), exact);
        // The next one goes on.
        stage.publish(MESSAGES..MESSAGES + 2);
        assert_eq!(stage.run().await.unwrap(), Ended::CaughtUp);
        stage.has_exactly(MESSAGES + 2);
        assert_eq!(file(&stage).counts.messages, 2 * (MESSAGES + 2) as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_a_while_is_waited_for() {
    for sink @ (exact, _) in SINKS {
        for faults in FAULTS {
            let stage = faulty(sink, faults);
            assert_eq!(stage.run().await.unwrap(), Ended::CaughtUp, "{faults:?}");
            if exact {
                stage.has_exactly(MESSAGES);
                assert_eq!(file(&stage).counts.messages, 2 * MESSAGES as u64, "{faults:?}");
            } else {
                stage.has_at_least(MESSAGES);
            }
        }
    }
}

/// The pipe is killed at its first await, at its second one, and so on until it comes to its end; each time another one
/// goes on.
#[tokio::test(start_paused = true)]
async fn killed_at_any_await_it_goes_on_without_a_loss_and_exactly_where_the_sink_can() {
    for sink @ (exact, _) in SINKS {
        for faults in FAULTS {
            let mut awaits = 1;
            loop {
                let stage = faulty(sink, faults);
                let ended = stage.run_and_kill(awaits).await;
                if ended.is_none() {
                    stage.run().await.unwrap();
                }
                if exact {
                    stage.has_exactly(MESSAGES)
                } else {
                    stage.has_at_least(MESSAGES)
                }
                if ended.is_some() {
                    break;
                }
                awaits += 1;
            }
            assert!(awaits > 25, "it is hardly killed anywhere: {awaits}");
        }
    }
}

/// Killed again and again, and sometimes without its checkpoint: the sink's position is enough.
#[tokio::test(start_paused = true)]
async fn killed_often_and_robbed_of_its_checkpoint_it_is_exact() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..60 {
        let stage = faulty((true, random.bool()), FAULTS[round % FAULTS.len()]);
        for kill in 0.. {
            let ended = stage.run_and_kill(random.usize(1..60)).await;
            if ended.is_some_and(|ended| ended.unwrap() == Ended::CaughtUp) {
                break;
            }
            assert!(kill < 1_000, "it gets nowhere");
            if random.bool() {
                std::fs::remove_file(stage.checkpoint()).ok();
            }
        }
        stage.has_exactly(MESSAGES);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipe_from_the_latest_misses_nothing_that_comes_before_its_first_message() {
    for exact in [false, true] {
        let mut stage = Stage::new(exact, MESSAGES);
        stage.options.from = Some(From::Start(Start::Latest));
        stage.options.until_caught_up = false;
        assert!(timeout(Duration::from_secs(5), stage.run()).await.is_err(), "it is killed while it waits");
        assert!(stage.sink.state().messages.is_empty());
        stage.options.until_caught_up = true;
        stage.publish(MESSAGES..MESSAGES + 2);
        assert!(stage.run().await.unwrap_err().to_string().contains("--from"));
        stage.options.from = None;
        stage.run().await.unwrap();
        assert_eq!(stage.written(), [[6, 7], [6, 7]]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_ends_it_and_is_passed_over_if_that_is_wanted() {
    for (exact, lazy) in SINKS {
        for recreated in [false, true] {
            let mut stage = Stage::new(exact, MESSAGES);
            stage.sink.state().lazy = lazy;
            stage.run().await.unwrap();
            stage.publish(MESSAGES..MESSAGES + 4);
            if recreated {
                stage.logs[0].recreate();
                stage.logs[0].publish(tidewater::Message::new("", "0"));
            } else {
                stage.logs[0].truncate_before(8);
            }
            for _ in 0..2 {
                let error = stage.run().await.unwrap_err().to_string();
                let says = if recreated { "made again" } else { "the offsets 6 to 7 (2)" };
                assert!(
                    error.contains(says) && error.contains("--skip-gaps") && error.contains("\"a\""),
                    "{error}"
                );
            }
            stage.options.skip_gaps = true;
            assert_eq!(stage.run().await.unwrap(), Ended::CaughtUp);
            let [a, _] = stage.written();
            assert_eq!(&a[MESSAGES..], if recreated { [0].as_slice() } else { &[8, 9] });
            assert_eq!(file(&stage).counts.gaps, 1);
            // It is told once.
            stage.options.skip_gaps = false;
            assert_eq!(stage.run().await.unwrap(), Ended::CaughtUp);
        }
    }
}

/// The end of nothing is reached at once, and yet it is another nothing.
#[tokio::test(start_paused = true)]
async fn a_topic_made_anew_that_is_empty_is_told() {
    let stage = Stage::new(true, MESSAGES);
    stage.run().await.unwrap();
    stage.logs[1].recreate();
    let error = stage.run().await.unwrap_err().to_string();
    assert!(error.contains("made again") && error.contains("\"b\""), "{error}");
}

/// The end of an incarnation that goes while it is read is never reached.
#[tokio::test(start_paused = true)]
async fn a_topic_made_anew_meanwhile_has_no_end_to_wait_for() {
    let mut stage = Stage::new(true, MESSAGES);
    stage.options.skip_gaps = true;
    stage.source.ends.lock().unwrap().push_back(5);
    let (mut engine, _asked, stop) = stage.stopping();
    let run = engine.run(&stop);
    tokio::pin!(run);
    // It waits for the source.
    assert!(timeout(Duration::from_millis(1), &mut run).await.is_err());
    assert!(stage.sink.state().writes > 0);
    stage.logs.iter().for_each(tidewater::memory::MemoryLog::recreate);
    assert_eq!(timeout(Duration::from_secs(9), run).await.unwrap().unwrap(), Ended::CaughtUp);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_lost_its_end_is_not_read_again() {
    let stage = Stage::new(true, MESSAGES);
    stage.run().await.unwrap();
    let other = Stage::new(true, 2);
    let mut ahead = file(&stage);
    let mut short = Checkpoint::new("a".to_owned(), &other.source, &other.sink);
    let cursor = other.engine().source.bounds().await.unwrap().end();
    for topic in cursor.topics() {
        short.cursor.raise(topic.tag, topic.epoch, 0, 9);
    }
    ahead.cursor = short.cursor;
    ahead.written = Some(ahead.cursor.clone());
    other.sink.state().position = ahead.written.clone();
    CheckpointFile::open(&other.checkpoint()).unwrap().0.save(&mut ahead).unwrap();
    let error = other.run().await.unwrap_err().to_string();
    assert!(error.contains("reason: ahead") && error.contains("--id"), "{error}");
    let foreign = Stage::new(false, 2);
    ahead.cursor = [tidewater::TopicCursor {
        tag: tidewater::TopicTag(1),
        epoch: tidewater::EpochTag(1),
        next: tidewater::Next::Offsets(vec![3]),
    }]
    .into_iter()
    .collect();
    CheckpointFile::open(&foreign.checkpoint()).unwrap().0.save(&mut ahead).unwrap();
    let error = foreign.run().await.unwrap_err().to_string();
    assert!(error.contains("other topics") && error.contains("tidewater cursor"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_the_sink_refuses_is_named_or_left_out() {
    for exact in [false, true] {
        let mut stage = Stage::new(exact, MESSAGES);
        stage.sink.state().refused = vec!["3"];
        // While it waits, everything is read: most of it is one batch.
        stage.sink.state().answers.push_back(Answer::Away);
        let error = stage.run().await.unwrap_err().to_string();
        assert!(error.contains("partition 0, offset 3") && error.contains("too large"), "{error}");
        assert!(error.contains("--skip-rejected"), "{error}");
        // It stands before the first that is refused; what comes behind it in its topic waits.
        let stands_before = |written: &Vec<usize>| !written.contains(&3) && !written.contains(&4);
        assert!(stage.written().iter().all(stands_before), "{:?}", stage.written());
        // Of what stands behind it in its batch, a sink without positions may have some.
        assert_eq!(file(&stage).complete, exact);
        stage.options.skip_rejected = true;
        stage.run().await.unwrap();
        for mut written in stage.written() {
            if !exact {
                written.dedup();
                written.sort_unstable();
                written.dedup();
            }
            assert_eq!(written, [0, 1, 2, 4, 5]);
        }
        assert!(file(&stage).complete);
        assert_eq!(file(&stage).counts.rejected, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_time_mends_ends_it() {
    for exact in [false, true] {
        let stage = Stage::new(exact, MESSAGES);
        stage.sink.state().answers.extend([Answer::Written, Answer::Denied]);
        let error = stage.run().await.unwrap_err().to_string();
        assert!(error.contains("not you"), "{error}");
        assert_eq!(error.contains("--at-least-once"), exact, "{error}");
        stage.run().await.unwrap();
        stage.has_exactly(MESSAGES);
    }
}

/// A sink that was emptied is not filled again from the middle.
#[tokio::test(start_paused = true)]
async fn a_sink_that_lost_its_position_ends_it() {
    let stage = Stage::new(true, MESSAGES);
    stage.sink.state().answers.extend([Answer::Written, Answer::Written, Answer::Written, Answer::Away]);
    {
        let (mut engine, _asked, stop) = stage.stopping();
        let run = engine.run(&stop);
        tokio::pin!(run);
        while stage.sink.state().writes < 4 {
            assert!(timeout(Duration::from_millis(1), &mut run).await.is_err());
        }
        *stage.sink.state() = stage::State::default();
        let error = run.await.unwrap_err().to_string();
        assert!(error.contains("has lost the position"), "{error}");
    }
    let error = stage.run().await.unwrap_err().to_string();
    assert!(error.contains("knows no position") && error.contains("--at-least-once"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_it_is_asked_and_goes_on_exactly_there() {
    for exact in [false, true] {
        let mut stage = Stage::new(exact, MESSAGES);
        stage.options.until_caught_up = false;
        let (mut engine, asked, stop) = stage.stopping();
        {
            let run = engine.run(&stop);
            tokio::pin!(run);
            while stage.sink.state().writes < 2 {
                assert!(timeout(Duration::from_millis(1), &mut run).await.is_err());
            }
            asked.now();
            assert_eq!(run.await.unwrap(), Ended::Stopped);
        }
        drop(engine);
        assert!(file(&stage).complete);
        stage.options.until_caught_up = true;
        stage.run().await.unwrap();
        stage.has_exactly(MESSAGES);
    }
}

/// A sink that is away keeps nobody from ending it.
#[tokio::test(start_paused = true)]
async fn it_ends_while_the_sink_is_away() {
    for exact in [false, true] {
        let stage = Stage::new(exact, MESSAGES);
        stage.sink.state().answers.extend([Answer::Away; 1_000]);
        let (mut engine, asked, stop) = stage.stopping();
        let run = async {
            let run = engine.run(&stop);
            tokio::pin!(run);
            assert!(timeout(Duration::from_secs(60), &mut run).await.is_err());
            asked.now();
            timeout(Duration::from_secs(1), run).await.unwrap().unwrap()
        };
        assert_eq!(run.await, Ended::Stopped);
        drop(engine);
        stage.sink.state().answers.clear();
        stage.run().await.unwrap();
        stage.has_exactly(MESSAGES);
    }
}

/// The checkpoint follows also when nothing more comes.
#[tokio::test(start_paused = true)]
async fn the_checkpoint_is_never_long_behind() {
    let mut stage = Stage::new(false, MESSAGES);
    stage.options.until_caught_up = false;
    let (mut engine, _asked, stop) = stage.stopping();
    let run = engine.run(&stop);
    tokio::pin!(run);
    assert!(timeout(Duration::from_secs(3), &mut run).await.is_err());
    let text = std::fs::read_to_string(stage.checkpoint()).unwrap();
    assert!(text.contains("\"messages\": 12"), "{text}");
}

/// A source that keeps nothing: what it gave is written before the end, and what it loses is told and no end.
#[tokio::test(start_paused = true)]
async fn what_a_source_without_replay_gave_is_written_when_it_is_asked_to_end() {
    let mut stage = Stage::new(false, 0);
    stage.options.until_caught_up = false;
    std::sync::Arc::get_mut(&mut stage.source).unwrap().replay = false;
    let (mut engine, asked, stop) = stage.stopping();
    let ended = {
        let run = engine.run(&stop);
        tokio::pin!(run);
        assert!(timeout(Duration::from_secs(1), &mut run).await.is_err());
        stage.sink.state().answers.extend([Answer::Away; 3]);
        stage.publish(0..MESSAGES);
        // It reads ahead while it waits for the sink.
        while stage.sink.state().writes < 2 {
            assert!(timeout(Duration::from_millis(1), &mut run).await.is_err());
        }
        asked.now();
        run.await.unwrap()
    };
    assert_eq!(ended, Ended::Stopped);
    stage.has_exactly(MESSAGES);
}
