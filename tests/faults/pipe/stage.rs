//! A source, a pipe and a sink, and rounds of a fault: messages are written, something is killed in the middle, and when
//! all is over the sink is compared with the source.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tidewater_tests::{Feed, PATIENCE, Pipe, PipeBuilder};
use tokio::time::{sleep, timeout};

use super::{
    PARTITIONS,
    ledger::{Promise, Verdict, compare},
    report::Report,
    shelf::{Shelf, append, held},
    watch::Watch,
};
use crate::{
    load::{Load, Rate, payload},
    readback::Record,
    report::rounds,
};

/// What is written in a second while something is killed.
const RATE: Rate = Rate { keys: 5, headers: true, ..Rate::of(1_000) };
/// What an embedded log is given for a round: more than a pipe moves until it is killed.
const BACKLOG: usize = 40_000;
/// How long messages are written before a fault, and after it.
const AROUND: Duration = Duration::from_millis(400);
/// The longest time until the kill, once the pipe has moved something.
const BEFORE_KILL: Duration = Duration::from_millis(400);
/// How long it may take until the sink has everything. It takes seconds, but for the slowest of machines.
const SETTLES: Duration = Duration::from_secs(90);

/// What is played.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The name in the table.
    name: String,
    promise: Promise,
}

impl Plan {
    pub(super) fn new(way: &str, victim: &str, promise: Promise) -> Self {
        Self { name: format!("{way}: {victim} killed (-9)"), promise }
    }
}

/// Where messages come from.
#[derive(Debug)]
enum Origin {
    /// A broker, which is written to all the while.
    Feed { shelf: Shelf, partitions: u32, load: Option<Load> },
    /// An embedded log, and what its writer knows of it.
    Folder { home: TempDir, written: Vec<Vec<Record>> },
}

/// Where the rounds are played.
#[derive(Debug)]
pub(super) struct Stage {
    plan: Plan,
    origin: Origin,
    sink: Shelf,
    watch: Watch,
    builder: PipeBuilder,
    pipe: Option<Pipe>,
    /// What all pipes that have ended wrote.
    output: String,
    /// Of the pipe that runs: what the sink had when it was started.
    had: u64,
    report: Report,
}

impl Stage {
    /// Between brokers. Nothing runs yet.
    ///
    /// # Errors
    /// If the sink can't be looked at.
    pub(super) fn new(plan: Plan, source: Feed, sink: Feed) -> Result<Self> {
        let partitions = partitions(&source);
        let url = source.url();
        let origin = Origin::Feed { shelf: Shelf::new(source, partitions), partitions, load: None };
        Self::from(plan, origin, &url, sink)
    }

    /// Out of an embedded log.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn of_folder(plan: Plan, sink: Feed) -> Result<Self> {
        let home = TempDir::new()?;
        let url = format!("embedded:{}", folder(&home).display());
        Self::from(plan, Origin::Folder { home, written: vec![Vec::new()] }, &url, sink)
    }

    fn from(plan: Plan, origin: Origin, source: &str, sink: Feed) -> Result<Self> {
        let mut builder = Pipe::new(source, &sink.url())?;
        if plan.promise == Promise::AtLeastOnce {
            builder = builder.args(["--at-least-once"]);
        }
        let partitions = partitions(&sink);
        Ok(Self {
            report: Report::new(plan.name.clone()),
            watch: Watch::start(&sink, partitions)?,
            sink: Shelf::new(sink, partitions),
            plan,
            origin,
            builder,
            pipe: None,
            output: String::new(),
            had: 0,
        })
    }

    /// Plays all rounds, and writes the line.
    ///
    /// # Errors
    /// If the sink has not what the pipe promises; if the fault itself fails.
    pub(super) async fn play(mut self, mut fault: impl AsyncFnMut(&mut Self) -> Result<()>) -> Result<()> {
        let (mut verdict, rounds) = (Verdict::default(), rounds()?);
        for round in 1..=rounds {
            let played = self.round(&mut fault, round == rounds).await;
            verdict = played.with_context(|| {
                let running = self.pipe.as_ref().map(Pipe::output).unwrap_or_default();
                let output = format!("{}{running}", self.output);
                let lines: Vec<_> = output.lines().rev().take(60).collect();
                let end: String = lines.into_iter().rev().map(|line| format!("{line}\n")).collect();
                format!("{}, round {round}; the pipe wrote:\n{end}", self.plan.name)
            })?;
            self.report.round(&verdict);
        }
        self.report.finish(&verdict)
    }

    async fn round(
        &mut self,
        fault: &mut impl AsyncFnMut(&mut Self) -> Result<()>,
        is_last: bool,
    ) -> Result<Verdict> {
        self.write().await?;
        if self.pipe.is_none() {
            self.start_pipe().await?;
        }
        sleep(AROUND).await;
        fault(self).await.context("the fault")?;
        sleep(AROUND).await;
        self.hold_back().await?;
        self.settle().await?;
        // A folder is read, and written to, when the pipe has left it.
        if is_last || self.is_folder() {
            self.end_pipe().await?;
        }
        // What comes twice may come late.
        sleep(Duration::from_millis(200)).await;
        self.sink.read().await?;
        let verdict = self.compare()?;
        verdict.keeps(self.plan.promise)?;
        if let Origin::Folder { home, written } = &self.origin {
            let held = held(&folder(home)).await?;
            ensure!(held == written[0], "the log holds {} of {} messages", held.len(), written[0].len());
        }
        Ok(verdict)
    }

    /// Waits until the pipe that runs has moved something, and a moment: what is killed then is killed in the middle.
    ///
    /// # Errors
    /// If it moves nothing.
    pub(super) async fn amid(&mut self) -> Result<()> {
        self.until_more_than(self.had).await?;
        let kill = Instant::now() + BEFORE_KILL.mul_f64(fastrand::f64());
        // A folder is not written to any more: before there is nothing left.
        let (all, is_folder) = (self.source().iter().map(Vec::len).sum::<usize>() as u64, self.is_folder());
        let enough = self.had + all.saturating_sub(self.had) / 4;
        while Instant::now() < kill && !(is_folder && self.watch.count() > enough) {
            sleep(Duration::from_millis(2)).await;
        }
        let there = self.watch.count();
        ensure!(!is_folder || there < all, "all of {all} messages were there before the kill");
        Ok(())
    }

    /// What was killed is back: waits until the sink has the next message, and writes down how long that took.
    ///
    /// # Errors
    /// If it doesn't get it.
    pub(super) async fn goes_on(&mut self) -> Result<()> {
        let (back, before) = (Instant::now(), self.watch.fresh().await?);
        self.until_more_than(before).await?;
        self.report.killed(back.elapsed());
        Ok(())
    }

    /// Starts the pipe, or another one in its place.
    ///
    /// # Errors
    /// If it can't be started.
    pub(super) async fn start_pipe(&mut self) -> Result<()> {
        self.had = self.watch.fresh().await?;
        self.pipe = Some(self.builder.start()?);
        Ok(())
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// If it had ended.
    pub(super) async fn kill_pipe(&mut self) -> Result<()> {
        self.output += &self.pipe.take().context("no pipe")?.kill().await?;
        Ok(())
    }

    /// Asks it to end. It said what it promises.
    async fn end_pipe(&mut self) -> Result<()> {
        let pipe = self.pipe.take().context("no pipe")?;
        pipe.terminate()?;
        let (status, output) = pipe.wait().await?;
        self.output += &output;
        ensure!(status.success(), "the pipe ended with {status}");
        let said = match self.plan.promise {
            Promise::ExactlyOnce => "exactly once: ",
            Promise::AtLeastOnce => "at least once: ",
        };
        ensure!(output.contains(said), "the pipe did not say {said:?}");
        Ok(())
    }

    async fn until_more_than(&self, count: u64) -> Result<()> {
        let moved = async {
            while self.watch.count() <= count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let within = timeout(PATIENCE, moved).await;
        within.with_context(|| format!("the sink has {count} messages, and no more come"))
    }

    /// Begins to write, or fills a folder.
    async fn write(&mut self) -> Result<()> {
        match &mut self.origin {
            Origin::Feed { shelf, partitions, load } => {
                *load = Some(Load::start(shelf.feed(), *partitions, RATE));
            }
            Origin::Folder { home, written } => {
                let more: Vec<_> = std::iter::repeat_with(record).take(BACKLOG).collect();
                append(&folder(home), &more).await?;
                written[0].extend(more);
            }
        }
        Ok(())
    }

    /// Ends it, when all that was written is there, and reads it back.
    async fn hold_back(&mut self) -> Result<()> {
        if let Origin::Feed { shelf, load, .. } = &mut self.origin {
            if let Some(load) = load.take() {
                load.stop().await?;
            }
            shelf.read().await?;
        }
        Ok(())
    }

    /// Until the sink has everything.
    async fn settle(&mut self) -> Result<()> {
        let deadline = Instant::now() + SETTLES;
        loop {
            self.sink.read().await?;
            let count = |records: &[Vec<Record>]| records.iter().map(Vec::len).sum::<usize>();
            let is_late = Instant::now() > deadline;
            // Whether it is the right ones takes a while to find out.
            if is_late || count(&self.sink.records) >= count(self.source()) {
                let verdict = self.compare()?;
                if verdict.lost == 0 {
                    return Ok(());
                }
                ensure!(!is_late, "the sink has not everything after {SETTLES:?}: {verdict:#?}");
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn compare(&self) -> Result<Verdict> {
        compare(self.source(), &self.sink.records)
    }

    fn is_folder(&self) -> bool {
        matches!(self.origin, Origin::Folder { .. })
    }

    fn source(&self) -> &[Vec<Record>] {
        match &self.origin {
            Origin::Feed { shelf, .. } => &shelf.records,
            Origin::Folder { written, .. } => written,
        }
    }
}

fn partitions(feed: &Feed) -> u32 {
    if matches!(feed, Feed::Kafka(_)) { PARTITIONS } else { 1 }
}

fn folder(home: &TempDir) -> PathBuf {
    home.path().join("log")
}

/// One that no other is like.
fn record() -> Record {
    Record {
        key: Some(format!("k{}", fastrand::u32(0..20)).into_bytes()),
        headers: vec![("trace".to_owned(), format!("{:016x}", fastrand::u64(..)).into_bytes())],
        payload: Some(payload(0, 120).into_bytes()),
    }
}
