//! The suite of writers that write once over the memory log, with positions beside it; and over writers that are
//! broken on purpose, which it has to catch.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tidewater_core::{
    Cursor, Error, ErrorKind, ExactlyOnce, Headers, Message, Receipt, Result, Sink, Source, Transfer,
    check_writer_id, memory::MemoryLog,
};
use tidewater_testkit::exactly_once::{self, CHECKS, Failure, Harness, Target};

/// What is wrong with a sink's writers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    HasNoWriters,
    OnePositionForAll,
    ForgetsWithTheSink,
    TellsTheLastMessage,
    MovesBeforeItWrites,
    WritesBeforeItMoves,
    MovesWithoutMessagesOnly,
    WritesSomethingForNothing,
    ChecksNoIds,
    CutsPositions,
    IsNotFenced,
    FencesAllIds,
    SwapsTwo,
    StopsAtAThousand,
    AltersPayloads,
    LosesKeys,
    HasNoTombstones,
    HasTextOnly,
    TripsOverItsOwnHeader,
    ReadsWhatIsSpoilt,
    SendsBackwards,
}

/// What a writer puts on its messages.
const OWN: &str = "own-position";

struct Memory(Fault);

/// The log, and the positions beside it.
#[derive(Debug)]
struct Table {
    log: MemoryLog,
    positions: Mutex<HashMap<String, Entry>>,
    fault: Fault,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    position: Option<String>,
    /// Counts the writers that have taken over.
    owner: u64,
}

struct At(Arc<Table>);

#[derive(Debug)]
struct TableSink {
    table: Arc<Table>,
    /// Tells this object from others.
    number: usize,
}

#[derive(Debug)]
struct Writer {
    table: Arc<Table>,
    id: String,
    owner: u64,
}

#[async_trait]
impl Harness for Memory {
    async fn target(&self) -> Result<Box<dyn Target>, Failure> {
        let table = Table { log: MemoryLog::new("m"), positions: Mutex::default(), fault: self.0 };
        Ok(Box::new(At(Arc::new(table))))
    }

    fn patience(&self) -> Duration {
        // Broken ones are waited for in vain.
        Duration::from_secs(if self.0 == Fault::None { 60 } else { 3 })
    }

    fn adds(&self) -> &'static [&'static str] {
        &[OWN]
    }
}

#[async_trait]
impl Target for At {
    fn sink(&self) -> Result<Arc<dyn Sink>, Failure> {
        static NUMBERS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Arc::new(TableSink { table: self.0.clone(), number }))
    }

    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        Ok(Arc::new(self.0.log.source()))
    }

    async fn spoil(&self, id: &str) -> Result<(), Failure> {
        let mut positions = self.0.positions.lock().unwrap();
        positions.get_mut(id).unwrap().position = Some("no cursor".into());
        Ok(())
    }
}

#[async_trait]
impl Sink for TableSink {
    async fn send(&self, message: Message) -> Result<Receipt> {
        self.table.log.sink().send(message).await
    }

    async fn send_all(&self, mut messages: Vec<Message>) -> Result<()> {
        if self.table.fault == Fault::SendsBackwards {
            messages.reverse();
        }
        for message in messages {
            self.send(message).await?;
        }
        Ok(())
    }

    fn exactly_once(&self, id: &str) -> Result<Option<Box<dyn ExactlyOnce>>> {
        let id = match self.table.fault {
            Fault::HasNoWriters => return Ok(None),
            Fault::ChecksNoIds => id.to_owned(),
            Fault::OnePositionForAll => "one".into(),
            Fault::ForgetsWithTheSink => format!("{id} {}", self.number),
            _ => {
                check_writer_id(id)?;
                id.to_owned()
            }
        };
        Ok(Some(Box::new(Writer { table: self.table.clone(), id, owner: 0 })))
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl ExactlyOnce for Writer {
    async fn resume(&mut self) -> Result<Option<Cursor>> {
        let mut positions = self.table.positions.lock().unwrap();
        if self.table.fault == Fault::FencesAllIds {
            positions.values_mut().for_each(|entry| entry.owner += 1);
        }
        let entry = positions.entry(self.id.clone()).or_default();
        entry.owner += 1;
        self.owner = entry.owner;
        let position = entry.position.as_deref().map(str::parse).transpose();
        match position {
            Ok(position) => Ok(position),
            Err(_) if self.table.fault == Fault::ReadsWhatIsSpoilt => Ok(None),
            Err(error) => {
                Err(Error::new(ErrorKind::Internal, "the position can't be read").with_source(error))
            }
        }
    }

    async fn write(&mut self, batch: Vec<Transfer>, next: &Cursor) -> Result<()> {
        let fault = self.table.fault;
        // Something to be dropped in.
        tokio::task::yield_now().await;
        let mut out = Vec::new();
        for transfer in &batch {
            out.push(self.prepared(transfer)?);
        }
        match fault {
            Fault::SwapsTwo if out.len() > 4 => out.swap(1, 3),
            Fault::StopsAtAThousand => out.truncate(1000),
            Fault::WritesSomethingForNothing if out.is_empty() => out.push(Message::new("m", "nothing")),
            _ => {}
        }
        let next = match (fault, batch.last()) {
            (Fault::TellsTheLastMessage, Some(last)) => Some(last.next.to_string()),
            (Fault::MovesWithoutMessagesOnly, Some(_)) => None,
            (Fault::CutsPositions, _) => Some(cut(next).to_string()),
            _ => Some(next.to_string()),
        };
        if matches!(fault, Fault::MovesBeforeItWrites | Fault::WritesBeforeItMoves) {
            return self.in_two_steps(out, next).await;
        }
        let mut positions = self.table.positions.lock().unwrap();
        let entry = positions.entry(self.id.clone()).or_default();
        if entry.owner != self.owner && fault != Fault::IsNotFenced {
            return Err(Error::new(ErrorKind::Closed, "another writer of this id took over"));
        }
        if let Some(next) = next {
            entry.position = Some(next);
        }
        out.into_iter().for_each(|message| drop(self.table.log.publish(message)));
        Ok(())
    }
}

impl Writer {
    fn prepared(&self, transfer: &Transfer) -> Result<Message> {
        let mut message = transfer.message.clone();
        let own = message.headers.get(OWN).is_some();
        let headers = message.headers.iter().filter(|header| &*header.name != OWN);
        let mut headers: Vec<_> = headers.map(|header| (header.name.clone(), header.value.clone())).collect();
        headers.push((OWN.into(), transfer.next.to_string().into()));
        match self.table.fault {
            Fault::AltersPayloads => message.payload = message.payload.map(|_| "x".into()),
            Fault::LosesKeys => message.key = None,
            Fault::HasNoTombstones => message.payload = Some(message.payload.unwrap_or_default()),
            Fault::HasTextOnly => {
                message.key = message.key.map(|key| String::from_utf8_lossy(&key).into_owned().into());
            }
            Fault::TripsOverItsOwnHeader if own => {
                return Err(Error::new(ErrorKind::Rejected, "it has a position already"));
            }
            _ => {}
        }
        message.headers = headers.into_iter().collect::<Headers>();
        Ok(message)
    }

    async fn in_two_steps(&self, out: Vec<Message>, next: Option<String>) -> Result<()> {
        let moves = || {
            let mut positions = self.table.positions.lock().unwrap();
            positions.entry(self.id.clone()).or_default().position = next.clone();
        };
        if self.table.fault == Fault::MovesBeforeItWrites {
            moves();
        }
        for message in out {
            self.table.log.publish(message);
            tokio::task::yield_now().await;
        }
        moves();
        Ok(())
    }
}

/// Without what stands behind the sixteenth partition.
fn cut(cursor: &Cursor) -> Cursor {
    let cut = |topic: &tidewater_core::TopicCursor| tidewater_core::TopicCursor {
        next: tidewater_core::Next::Offsets(topic.offsets().iter().take(16).copied().collect()),
        ..topic.clone()
    };
    cursor.topics().iter().map(cut).collect()
}

impl fmt::Display for TableSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.log.fmt(f)
    }
}

#[tokio::test]
async fn a_log_with_positions_keeps_the_contract() {
    exactly_once::run(&Memory(Fault::None)).await;
}

/// A check that no fault turns red would prove nothing.
#[tokio::test]
async fn every_fault_is_caught_by_the_checks_that_are_about_it() {
    let faults = [
        (Fault::OnePositionForAll, &["1a", "1e", "2f"][..]),
        (Fault::ForgetsWithTheSink, &["1b", "1g", "2b", "2c"]),
        (Fault::TellsTheLastMessage, &["1c"]),
        (Fault::MovesBeforeItWrites, &["2c"]),
        (Fault::WritesBeforeItMoves, &["2c"]),
        (Fault::MovesWithoutMessagesOnly, &["1b", "1d", "2b"]),
        (Fault::WritesSomethingForNothing, &["1d"]),
        (Fault::ChecksNoIds, &["1e"]),
        (Fault::CutsPositions, &["1f"]),
        (Fault::IsNotFenced, &["2d", "2e"]),
        (Fault::FencesAllIds, &["2f"]),
        (Fault::SwapsTwo, &["2a", "2f"]),
        (Fault::StopsAtAThousand, &["2g"]),
        (Fault::AltersPayloads, &["2a", "3a", "3b"]),
        (Fault::LosesKeys, &["3b", "3c", "3d"]),
        (Fault::HasNoTombstones, &["3c"]),
        (Fault::HasTextOnly, &["3d"]),
        (Fault::TripsOverItsOwnHeader, &["3e"]),
        (Fault::ReadsWhatIsSpoilt, &["4a"]),
        (Fault::SendsBackwards, &["5a"]),
    ];
    for (fault, caught_by) in faults {
        let report = exactly_once::check_only(&Memory(fault), caught_by).await;
        assert_eq!(report.failed(), caught_by, "{fault:?} has to be caught:\n{report}");
    }
    for check in CHECKS {
        assert!(faults.iter().any(|(_, by)| by.contains(&check.name)), "nothing turns {check:?} red");
    }
}

#[tokio::test]
async fn nothing_passes_in_silence() {
    struct Declares(&'static str, &'static str);

    #[async_trait]
    impl Harness for Declares {
        async fn target(&self) -> Result<Box<dyn Target>, Failure> {
            Memory(Fault::HasNoWriters).target().await
        }
        fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
            vec![(self.0, self.1)]
        }
    }

    let without = exactly_once::check_only(&Declares("3d", "text"), &["2a", "3d"]).await;
    assert!(
        without.failed() == ["2a"] && without.to_string().contains("no writers that write once"),
        "{without}"
    );
    assert!(!exactly_once::check_only(&Declares("3d", "text"), &["3d"]).await.passed(), "nothing ran");
    assert_eq!(exactly_once::check_only(&Declares("9z", "none"), &["5a"]).await.failed(), ["9z"]);
    assert_eq!(exactly_once::check_only(&Declares("3d", ""), &["3d"]).await.failed(), ["3d"]);
}

#[test]
fn names_of_checks_are_sorted_and_once() {
    assert!(CHECKS.windows(2).all(|pair| pair[0].name < pair[1].name));
}
