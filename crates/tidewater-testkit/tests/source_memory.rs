//! The source suite over the memory log; and over sources that are broken on purpose, which it has to catch.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tidewater_core::{
    Bounds, Capabilities, Cursor, Delivery, Error, ErrorKind, Message, Next, Result, ShareKey, Source,
    Subscribed, Subscription, TopicCursor, memory::MemoryLog,
};
use tidewater_testkit::source::{self, CHECKS, Failure, Harness, Record, Topic};

/// What is wrong with a source.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    DropsOne,
    RepeatsOne,
    SwapsTwo,
    StartsLate,
    SaysAnotherStart,
    HidesEpochs,
    HidesGaps,
    Blocks,
    TellsNoPosition,
    Stalls,
    Ends,
    AltersPayloads,
    LosesKeys,
    ClaimsNothing,
    SharesWithAll,
    ChangesItsKey,
}

struct Memory(Fault);

struct Log(MemoryLog, Fault);

#[async_trait]
impl Harness for Memory {
    async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
        Ok(Box::new(Log(MemoryLog::new("m"), self.0)))
    }

    fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
        let reason = "a memory log holds nothing that its source leaves out";
        vec![("1e", reason), ("1f", reason)]
    }

    fn patience(&self) -> std::time::Duration {
        // A broken source is waited for in vain.
        std::time::Duration::from_secs(if self.0 == Fault::None { 45 } else { 2 })
    }
}

#[async_trait]
impl Topic for Log {
    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        Ok(Arc::new(Faulty { inner: Arc::new(self.0.source()), fault: self.1 }))
    }

    async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
        for record in records {
            let message = Message::new("", record.payload).with_headers(record.headers);
            self.0.publish(Message { key: record.key, ..message });
        }
        Ok(())
    }

    fn published_to(&self) -> Option<String> {
        Some("m".into())
    }

    async fn remove_before(&self, _partition: u32, offset: u64) -> Result<(), Failure> {
        self.0.truncate_before(offset);
        Ok(())
    }

    async fn recreate(&self) -> Result<(), Failure> {
        self.0.recreate();
        Ok(())
    }
}

#[tokio::test]
async fn the_memory_log_keeps_the_contract() {
    source::run(&Memory(Fault::None)).await;
}

/// A check that no fault turns red would prove nothing.
#[tokio::test]
async fn every_fault_is_caught_by_the_checks_that_are_about_it() {
    for (fault, caught_by) in [
        (Fault::DropsOne, &["1a", "1b", "1c"][..]),
        (Fault::RepeatsOne, &["1a", "1b", "1c"]),
        (Fault::SwapsTwo, &["1a", "1b"]),
        (Fault::StartsLate, &["1c", "2c", "3b"]),
        (Fault::SaysAnotherStart, &["1c", "2a", "2b", "2c", "3a", "3b", "3c", "3d", "3e", "3f"]),
        (Fault::HidesEpochs, &["6a", "6b"]),
        (Fault::HidesGaps, &["1d"]),
        (Fault::Blocks, &["4a"]),
        (Fault::TellsNoPosition, &["2a"]),
        (Fault::Stalls, &["1a", "1b", "2b", "5a"]),
        (Fault::Ends, &["1a"]),
        (Fault::AltersPayloads, &["8a"]),
        (Fault::LosesKeys, &["8c", "8d"]),
        (Fault::ClaimsNothing, &["1b", "2c", "2d", "9a"]),
        (Fault::ChangesItsKey, &["9b"]),
    ] {
        let report = source::check_only(&Memory(fault), caught_by).await;
        assert_eq!(report.failed(), caught_by, "{fault:?} has to be caught:\n{report}");
    }
}

/// Each check has a topic of its own, so any two can tell.
#[tokio::test]
async fn a_share_key_of_two_topics_is_caught() {
    let report = source::check_only(&Memory(Fault::SharesWithAll), &["2a", "9b"]).await;
    assert!(report.failed() == ["9b"] && report.to_string().contains("another topic's"), "{report}");
}

#[tokio::test]
async fn nothing_passes_in_silence() {
    struct Declares(&'static str, &'static str);

    #[async_trait]
    impl Harness for Declares {
        async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
            Memory(Fault::None).topic().await
        }
        fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
            vec![(self.0, self.1)]
        }
    }

    let claimed = source::check_only(&Declares("1b", "no time"), &["1b"]).await;
    assert!(claimed.to_string().contains("the source claims Replay"), "{claimed}");
    let unknown = source::check_only(&Declares("9z", "no such check"), &["2a"]).await;
    assert_eq!(unknown.failed(), ["9z"]);
    let without_a_reason = source::check_only(&Declares("1e", ""), &["1e"]).await;
    assert_eq!(without_a_reason.failed(), ["1e"]);
    let no_hook = source::check_only(&Declares("1f", "it hides nothing"), &["1e"]).await;
    assert!(no_hook.to_string().contains("this harness has no hide()"), "{no_hook}");
    let nothing_ran = source::check_only(&Declares("1e", "it hides nothing"), &["1e"]).await;
    assert!(!nothing_ran.passed(), "a run of nothing is no success");
}

#[test]
fn names_of_checks_are_sorted_and_once() {
    assert!(CHECKS.windows(2).all(|pair| pair[0].name < pair[1].name));
}

/// A source with a fault.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn Source>,
    fault: Fault,
}

#[async_trait]
impl Source for Faulty {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn capabilities(&self) -> Capabilities {
        let honest = self.inner.capabilities();
        match self.fault {
            Fault::ClaimsNothing => {
                Capabilities { replay: false, from_time: false, partitioned: false, mergeable: false }
            }
            _ => honest,
        }
    }

    async fn bounds(&self) -> Result<Bounds> {
        self.inner.bounds().await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let mut subscribed = self.inner.subscribe(subscription).await?;
        let fault = self.fault;
        match fault {
            Fault::SaysAnotherStart => subscribed.start = moved(&subscribed.start),
            Fault::TellsNoPosition => subscribed.start = Cursor::default(),
            _ => {}
        }
        let guard = Drops(fault == Fault::Blocks);
        let seen = Mutex::new((0_u32, None));
        let deliveries = subscribed.deliveries.flat_map(move |delivery| {
            let _guard = &guard;
            let mut seen = seen.lock().unwrap();
            if matches!(delivery, Ok(Delivery::Message(_))) {
                seen.0 += 1;
            }
            stream::iter(spoil(fault, seen.0, &mut seen.1, delivery.unwrap()))
        });
        let deliveries = match fault {
            Fault::Ends => deliveries.take(3).boxed(),
            Fault::Stalls => deliveries.take(3).chain(stream::pending()).boxed(),
            _ => deliveries.boxed(),
        };
        Ok(Subscribed { start: subscribed.start, deliveries })
    }

    fn share_key(&self) -> Option<ShareKey> {
        match self.fault {
            Fault::SharesWithAll => Some(ShareKey::new("memory", ["all"])),
            Fault::ChangesItsKey => {
                static CALLS: AtomicU64 = AtomicU64::new(0);
                Some(ShareKey::new("memory", [CALLS.fetch_add(1, Ordering::Relaxed).to_be_bytes()]))
            }
            _ => self.inner.share_key(),
        }
    }
}

/// What a faulty source makes of its `count`-th delivery.
fn spoil(fault: Fault, count: u32, held: &mut Option<Message>, delivery: Delivery) -> Vec<Result<Delivery>> {
    let message = match (fault, delivery) {
        (Fault::HidesEpochs, Delivery::Epoch(_)) | (Fault::HidesGaps, Delivery::Gap(_)) => return Vec::new(),
        (_, Delivery::Message(message)) => message,
        (_, other) => return vec![Ok(other)],
    };
    let out = match (fault, count) {
        (Fault::DropsOne, 2) | (Fault::StartsLate, 1) => vec![],
        (Fault::RepeatsOne, 2) => vec![message.clone(), message],
        (Fault::SwapsTwo, 2) => {
            *held = Some(message);
            vec![]
        }
        (Fault::SwapsTwo, 3) => [message].into_iter().chain(held.take()).collect(),
        (Fault::AltersPayloads, _) => {
            let text = String::from_utf8_lossy(message.payload.as_deref().unwrap_or_default()).into_owned();
            vec![Message { payload: Some(text.into()), ..message }]
        }
        (Fault::LosesKeys, _) => vec![Message { key: None, ..message }],
        _ => vec![message],
    };
    out.into_iter().map(|message| Ok(Delivery::Message(message))).collect()
}

fn moved(start: &Cursor) -> Cursor {
    start
        .topics()
        .iter()
        .map(|topic| TopicCursor {
            next: Next::Offsets(topic.offsets().iter().map(|offset| offset + 1).collect()),
            ..topic.clone()
        })
        .collect()
}

/// Blocks its thread when it goes, as some clients do.
struct Drops(bool);

impl Drop for Drops {
    fn drop(&mut self) {
        if self.0 {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Rule 7 has no check of its own: every error that a check meets is looked at.
#[tokio::test]
async fn an_error_has_to_end_the_stream() {
    #[derive(Debug)]
    struct GoesOn(Arc<dyn Source>);

    #[async_trait]
    impl Source for GoesOn {
        fn kind(&self) -> &'static str {
            self.0.kind()
        }
        fn capabilities(&self) -> Capabilities {
            self.0.capabilities()
        }
        async fn bounds(&self) -> Result<Bounds> {
            self.0.bounds().await
        }
        async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
            let subscribed = self.0.subscribe(subscription).await?;
            let error = stream::iter([Err(Error::new(ErrorKind::Unavailable, "a blip"))]);
            Ok(Subscribed { deliveries: error.chain(subscribed.deliveries).boxed(), ..subscribed })
        }
    }

    impl fmt::Display for GoesOn {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    struct Wrapped;
    struct WrappedLog(Box<dyn Topic>);

    #[async_trait]
    impl Harness for Wrapped {
        async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
            Ok(Box::new(WrappedLog(Memory(Fault::None).topic().await?)))
        }
    }

    #[async_trait]
    impl Topic for WrappedLog {
        fn source(&self) -> Result<Arc<dyn Source>, Failure> {
            Ok(Arc::new(GoesOn(self.0.source()?)))
        }
        async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
            self.0.publish(records).await
        }
    }

    let report = source::check_only(&Wrapped, &["1a"]).await;
    assert!(report.to_string().contains("went on after an error (rule 7)"), "{report}");
}
