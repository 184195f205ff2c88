//! A topic, a gateway that serves it, and rounds of a fault: clients come, messages are written, the fault happens, and
//! when it is over each client's books are compared with what the broker holds.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use tidewater_tests::{Feed, Gateway};
use tokio::time::sleep;

use crate::{
    books::{Books, Verdict},
    crowd::Crowd,
    leaks::Held,
    load::{Load, Rate},
    report::{Report, rounds},
    truth::Truth,
};

/// Where the channel is.
pub(crate) const PATH: &str = "/channels/feed";
/// How long it may take until every client has everything. It takes seconds, but for the slowest of machines.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long messages are written before a fault, and after it.
const AROUND: Duration = Duration::from_millis(600);

/// glibc otherwise keeps what was freed of large messages, in more places each time: growth that is none of the gateway's
/// own, and that would hide it.
const GIVES_BACK: [&str; 2] = ["MALLOC_MMAP_THRESHOLD_", "131072"];
/// All of a crowd comes from one address.
const LIMITS: [[&str; 2]; 2] =
    [["TIDEWATER_LIMITS__STREAMS_PER_ADDRESS", "off"], ["TIDEWATER_LIMITS__CONNECTIONS_PER_ADDRESS", "off"]];

/// What a scenario is played with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The name in the table.
    pub(crate) name: &'static str,
    pub(crate) clients: usize,
    pub(crate) rate: Rate,
    /// Whether some of them begin at messages of before they came.
    pub(crate) some_earlier: bool,
    /// Whether the topic is compacted: what was removed after it was read back may have come, and need not.
    pub(crate) compacts: bool,
    /// The longest that clients wait before they come back, whatever `retry:` says.
    pub(crate) retry: Duration,
    /// The web server.
    pub(crate) server: &'static str,
    /// Reasons of gaps that the fault is a reason for. All others are false.
    pub(crate) gaps: &'static [&'static str],
}

impl Plan {
    /// Thirty clients of direct streams, which come back sooner than a page does, and some hundred messages a second;
    /// no gap.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            clients: 30,
            rate: Rate::of(400),
            some_earlier: true,
            compacts: false,
            retry: Duration::from_millis(400),
            server: "direct",
            gaps: &[],
        }
    }
}

/// Where the rounds are played.
#[derive(Debug)]
pub(crate) struct Stage {
    plan: Plan,
    pub(crate) feed: Feed,
    partitions: u32,
    pub(crate) truth: Truth,
    pub(crate) gateway: Gateway,
    /// Where clients connect: the gateway, or what stands before it.
    pub(crate) front: SocketAddr,
    crowd: Option<Crowd>,
    load: Option<Load>,
}

impl Stage {
    /// A gateway that serves the topic, and nobody yet.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn new(plan: Plan, feed: Feed, partitions: u32) -> Result<Self> {
        let environment = LIMITS.into_iter().chain([GIVES_BACK]).map(|one| one.map(str::to_owned).into());
        let gateway =
            Gateway::new(plan.server).channel("feed", &feed.url()).envs(environment).start().await?;
        gateway.until_live().await?;
        let (front, truth) = (gateway.address(), Truth::new(partitions as usize));
        Ok(Self { plan, feed, partitions, truth, gateway, front, crowd: None, load: None })
    }

    /// Plays all rounds, and writes the scenario's line.
    ///
    /// # Errors
    /// If anything was lost, came twice or out of order, or was told as a gap without reason; if something is left
    /// behind; if the fault itself fails.
    pub(crate) async fn play(mut self, mut fault: impl AsyncFnMut(&mut Self) -> Result<()>) -> Result<()> {
        let mut report = Report::new(self.plan.name, self.plan.clients);
        let rounds = rounds()?;
        for round in 1..=rounds {
            let played = self.round(&mut fault, &mut report).await;
            played.with_context(|| {
                let output = self.gateway.output();
                let end = output.len().saturating_sub(8_000);
                let end = (end..output.len()).find(|at| output.is_char_boundary(*at)).unwrap_or(0);
                format!("{}, round {round}; the gateway wrote:\n{}", self.plan.name, &output[end..])
            })?;
        }
        report.messages = self.truth.messages();
        report.finish()
    }

    async fn round(
        &mut self,
        fault: &mut impl AsyncFnMut(&mut Self) -> Result<()>,
        report: &mut Report,
    ) -> Result<()> {
        let Plan { clients, some_earlier, retry, .. } = self.plan;
        let mut crowd = Crowd::open(self.front, PATH, clients, some_earlier, retry);
        crowd.begun(PATIENCE).await?;
        self.crowd = Some(crowd);
        self.write();
        sleep(AROUND).await;
        fault(self).await.context("the fault")?;
        self.crowd()?.over_at_last();
        if self.load.is_none() {
            self.write();
        }
        sleep(AROUND).await;
        self.hold_back().await?;
        self.settle().await?;

        let crowd = self.crowd.take().context("no clients")?;
        let (books, connections, recoveries) = crowd.close().await?;
        let held = Held::after_clients(&self.gateway).await?;
        let verdict = self.judge(&books)?;
        report.round(&verdict, connections, recoveries, held);
        Ok(())
    }

    /// Nothing more is written, and everybody has everything.
    ///
    /// # Errors
    /// If somebody hasn't.
    pub(crate) async fn settle_midway(&mut self) -> Result<()> {
        self.hold_back().await?;
        self.settle().await
    }

    /// Everybody has everything that the broker holds.
    ///
    /// # Errors
    /// If somebody hasn't.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        self.truth.read(&self.feed).await?;
        let goal = self.truth.goal();
        self.crowd()?.reach(&goal, PATIENCE).await?;
        // What comes twice may come late.
        sleep(Duration::from_millis(100)).await;
        if self.plan.compacts {
            self.truth.reread(&self.feed).await?;
        }
        self.crowd()?.check()
    }

    /// Begins to write.
    pub(crate) fn write(&mut self) {
        if self.plan.rate.per_second == 0 {
            return;
        }
        self.load = Some(Load::start(&self.feed, self.partitions, self.plan.rate));
    }

    /// Ends it, when all that was written is there.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) async fn hold_back(&mut self) -> Result<()> {
        match self.load.take() {
            Some(load) => load.stop().await.map(drop),
            None => Ok(()),
        }
    }

    /// The clients.
    ///
    /// # Errors
    /// If there are none now.
    pub(crate) fn crowd(&mut self) -> Result<&mut Crowd> {
        self.crowd.as_mut().context("no clients")
    }

    fn judge(&self, books: &[Books]) -> Result<Verdict> {
        let mut verdict = Verdict::default();
        for books in books {
            let told = books.judge(&self.truth);
            verdict.add(&told);
            for reason in books.reasons().keys() {
                let known = self.plan.gaps.contains(&reason.as_str());
                ensure!(known, "a gap of reason {reason}, for which there is none: {books:.2000?}");
            }
        }
        verdict.clean()?;
        ensure!(self.plan.gaps.is_empty() == (verdict.gaps == 0), "{} gaps were told", verdict.gaps);
        ensure!(verdict.deliveries > 0, "nobody was given anything");
        Ok(verdict)
    }
}
