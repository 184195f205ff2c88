//! What is done to them.

use clap::ValueEnum;

use super::{
    contender::Contender::{self, Direct, Floor, Hyper, Nchan},
    results::Key,
};

/// A workload; its name is that of the aims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(super) enum Workload {
    /// One event at a time.
    W1,
    /// Eight events on their way.
    W1w8,
    /// One event at a time, of 64 partitions.
    W1p,
    /// Idle clients.
    W2,
    /// A few events a second.
    W3,
    /// Clients that stop reading.
    W5,
    /// More than can be written one by one.
    W6,
    /// Clients that want one key each.
    W7,
    /// From a broker to the clients.
    W8,
}

/// One run within a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) contender: Contender,
    /// What tells it from the contender's other run in the same workload, for those that have two.
    pub(super) part: &'static str,
    pub(super) load: Load,
}

/// What the load is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) clients: u64,
    pub(super) events: u64,
    /// How many events are on their way, if there is no rate.
    pub(super) window: u64,
    pub(super) rate: Option<u64>,
    pub(super) keys: u64,
    /// Whether each client wants one key alone.
    pub(super) select: bool,
    /// Whether the keys are the server's partitions.
    pub(super) partitions: bool,
    pub(super) stalled: u64,
}

impl Run {
    /// What its results are found by.
    pub(super) fn key(&self, workload: Workload) -> Key {
        (workload, self.contender, self.part)
    }

    /// As tables name it.
    pub(super) fn title(&self) -> String {
        let contender = self.contender.title();
        if self.part.is_empty() { contender.into() } else { format!("{contender}: {}", self.part) }
    }
}

const PLAIN: Load = Load {
    clients: 1000,
    events: 0,
    window: 1,
    rate: None,
    keys: 0,
    select: false,
    partitions: false,
    stalled: 0,
};

impl Workload {
    /// Its heading on the page.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::W1 => "W1: one event at a time, 1,000 clients, 256 B",
            Self::W1w8 => "W1w8: the same with 8 events outstanding",
            Self::W1p => "W1p: W1 with the ids of 64 partitions",
            Self::W2 => "W2: idle clients",
            Self::W3 => "W3: 20 events/s, 1,000 clients, latency from when each was due",
            Self::W5 => "W5: 10 of 30 clients stop reading",
            Self::W6 => "W6: 2,000 events/s offered to 1,000 clients",
            Self::W7 => "W7: one key for each subscriber, 5,000 messages/s",
            Self::W8 => "W8: from a broker to 1,000 clients",
        }
    }

    /// Its runs, in the order of tables.
    pub(super) fn runs(self, quick: bool) -> Vec<Run> {
        let pick = |whole, rough| if quick { rough } else { whole };
        let all = |of: &[&[Contender]], load| {
            of.concat().into_iter().map(|contender| Run { contender, part: "", load }).collect()
        };
        let two = |one: (&'static str, Load), other: (&'static str, Load)| {
            let both = |contender| [one, other].map(|(part, load)| Run { contender, part, load });
            [both(Direct), both(Hyper)].concat()
        };
        match self {
            Self::W1 => all(&[Contender::ALL], Load { events: pick(300, 100), ..PLAIN }),
            Self::W1w8 => all(&[Contender::ALL], Load { events: pick(800, 200), window: 8, ..PLAIN }),
            Self::W1p => {
                let one = Load { events: pick(300, 100), ..PLAIN };
                two(("1 partition", one), ("64 partitions", Load { keys: 64, partitions: true, ..one }))
            }
            Self::W2 => all(&[Contender::ALL], Load { clients: pick(10_000, 2_000), ..PLAIN }),
            Self::W3 => all(
                &[Contender::OURS, Contender::HAND, &[Nchan, Floor]],
                Load { events: pick(120, 40), rate: Some(20), ..PLAIN },
            ),
            Self::W5 => {
                let with = Load { clients: 30, events: pick(200_000, 20_000), rate: Some(10_000), ..PLAIN };
                two(
                    ("20 clients, all read", Load { clients: 20, ..with }),
                    ("30 clients, 10 don't read", Load { stalled: 10, ..with }),
                )
            }
            Self::W6 => {
                let load = Load { events: pick(4_000, 1_000), rate: Some(2_000), ..PLAIN };
                let mut runs: Vec<Run> = all(&[Contender::OURS, Contender::HAND], load);
                // One write for each, however long that takes: a quarter of it says as much.
                runs.extend(all(&[&[Floor]], Load { events: load.events / 4, ..load }));
                runs
            }
            Self::W7 => {
                let load = |clients| Load {
                    clients,
                    events: pick(15_000, 5_000),
                    rate: Some(5_000),
                    keys: clients,
                    select: true,
                    ..PLAIN
                };
                two(("1,000 subscribers", load(1000)), ("15,000 subscribers", load(15_000)))
            }
            Self::W8 => {
                let clients = Load { events: pick(120, 40), rate: Some(20), ..PLAIN };
                let bare = Load { clients: 1, ..clients };
                let parts = [
                    ("Kafka, bare consumer", bare),
                    ("Kafka, clients of a gateway", clients),
                    ("JetStream, bare consumer", bare),
                    ("JetStream, clients of a gateway", clients),
                ];
                parts.map(|(part, load)| Run { contender: Direct, part, load }).to_vec()
            }
        }
    }

    pub(super) const ALL: &[Self] =
        &[Self::W1, Self::W1w8, Self::W1p, Self::W2, Self::W3, Self::W5, Self::W6, Self::W7, Self::W8];
}
