//! What a case is: a set-up and a short list of actions, from which everything else follows.

use std::fmt;

use proptest::{collection::vec, prelude::*};

/// One case. Printed as the Rust that makes it, so that a counter-example can be pasted into `regressions.rs`.
#[derive(Clone)]
pub(crate) struct Script {
    /// Of every choice that is not an action: what a node reads first, how long it takes, the hub's own jitter.
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    pub(crate) actions: Vec<Action>,
}

/// What stays as it is for a whole case.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) nodes: usize,
    /// The partitions that each topic begins with.
    pub(crate) partitions: Vec<usize>,
    /// Whether the broker keeps messages. Else each node counts what it hears.
    pub(crate) replay: bool,
    /// The bounds of every node's log: events, and seconds.
    pub(crate) log: (usize, u64),
    pub(crate) lag: Lag,
    /// What a client may choose instead.
    pub(crate) choices: Vec<Lag>,
    pub(crate) back: Back,
    /// Whether the broker knows when messages were written.
    pub(crate) times: bool,
    /// The most events that a node reads of the past when it starts; `None`: it doesn't.
    pub(crate) prewarm: Option<usize>,
    pub(crate) linger_ms: u64,
    /// Whether clients without an id start at the first message; else at the latest.
    pub(crate) earliest: bool,
    /// Whether the application's step leaves some messages out and fails on others.
    pub(crate) map: bool,
    /// Whether each node has a second channel on the same upstream, with that step if the first has none.
    pub(crate) second: bool,
    pub(crate) heartbeat_ms: u64,
    pub(crate) clients: Vec<Asks>,
}

/// So long that nothing is ever due.
pub(crate) const NEVER_MS: u64 = 100_000_000;

/// The lag policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lag {
    Backfill,
    Disconnect,
    Skip,
    Conflate,
}

/// How far back clients may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    Everything,
    Log,
    /// So many milliseconds.
    Age(u64),
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asks {
    pub(crate) wants: Wants,
    pub(crate) lag: Option<Lag>,
}

/// What a client selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    All,
    Key(u8),
    Topic(u8),
    /// One of [`PATTERNS`].
    Pattern(u8),
    /// Both of them.
    KeyOf(u8, u8),
    /// What the application's step tags so.
    Tag(bool),
    /// What it names so.
    Event(bool),
}

/// Patterns, and the topics that they are for.
pub(crate) const PATTERNS: [(&str, [bool; 2]); 5] = [
    ("t.*", [true, true]),
    ("t.>", [true, true]),
    ("*.0", [true, false]),
    ("t.1", [false, true]),
    ("t.*.>", [false, false]),
];

/// One step. Numbers are taken modulo what there is, so every list of actions is a script.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Messages, into one partition or one after the other.
    Publish { to: u8, count: u8, spread: bool },
    /// Messages every few milliseconds, behind what comes next.
    Storm { to: u8, count: u8, every_ms: u8 },
    /// Offsets that never were messages.
    Hole { to: u8, count: u8 },
    /// A message is compacted away.
    Compact { to: u8, back: u8 },
    /// Retention moves a partition's first offset.
    Retain { to: u8, by: u8 },
    /// A topic is removed and made again.
    Recreate { topic: u8, partitions: u8 },
    /// A topic gets another partition.
    Grow { topic: u8 },
    /// What a node's open subscriptions don't see for now: a bit for each partition, the highest for recreations.
    Hold { node: u8, mask: u16 },
    /// A node's subscriptions end with an error.
    Cut { node: u8 },
    /// Nobody reaches the broker, or everybody again.
    Away(bool),
    /// A node's open subscriptions say nothing more, without an error.
    Stall { node: u8 },
    /// A node's process starts anew.
    Restart { node: u8 },
    /// A node's second channel is closed, and made anew.
    Rejoin { node: u8 },
    /// The broker loses the end of a partition. What comes next has the same numbers.
    Lose { to: u8, by: u8 },
    /// A client connects, with the id that it has or another one; it leaves the stream that it had. The number of the
    /// node, beyond the nodes there are, chooses one of its channels.
    Open { client: u8, node: u8, id: Id },
    /// A client reads some blocks, as long as any come within the time.
    Read { client: u8, blocks: u8, ms: u16 },
    /// A client's connection is gone, with all that it has not read.
    Drop { client: u8 },
    /// Nothing happens for a while.
    Wait { ms: u16 },
}

/// The id that a client comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// The last one that it got, as browsers do.
    Own,
    /// One that it got before.
    Former(u8),
    /// What another client has.
    Other(u8),
    /// Past the broker's end.
    Ahead { to: u8, by: u32 },
    /// Of an incarnation that never was.
    Epoch { topic: u8, offset: u8 },
    /// Of another topic only.
    Topic,
    /// Not an id.
    Garbage(u8),
}

/// Which part of the world a suite looks at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Logs that are long enough for most: merging.
    Merge,
    /// Logs that are much too short: backfill and lag.
    Behind,
    /// Topics that are made anew and grow, nodes that see it late.
    Anew,
    /// A broker that keeps nothing.
    Live,
}

pub(crate) fn script(scene: Scene) -> impl Strategy<Value = Script> {
    (any::<u64>(), setup(scene), vec(action(scene), 8..48)).prop_map(|(seed, setup, actions)| Script {
        seed,
        setup,
        actions,
    })
}

fn setup(scene: Scene) -> impl Strategy<Value = Setup> {
    let partitions = match scene {
        Scene::Live => prop_oneof![Just(vec![1]), Just(vec![1, 1])].boxed(),
        _ => prop_oneof![
            5 => vec(1_usize..=3, 1..=2),
            2 => vec(1_usize..=8, 1..=2),
            1 => vec(16_usize..=16, 1..=1),
        ]
        .boxed(),
    };
    let events = match scene {
        Scene::Merge => prop_oneof![Just(40_usize), Just(1000)].boxed(),
        Scene::Behind => prop_oneof![Just(1_usize), Just(3), Just(8)].boxed(),
        _ => prop_oneof![Just(2_usize), Just(10), Just(1000)].boxed(),
    };
    let log = (events, prop_oneof![4 => Just(600_u64), 1 => Just(1)]);
    let wants = prop_oneof![
        8 => Just(Wants::All),
        2 => (0_u8..3).prop_map(Wants::Key),
        2 => (0_u8..2).prop_map(Wants::Topic),
        1 => (0_u8..5).prop_map(Wants::Pattern),
        1 => (0_u8..3, 0_u8..2).prop_map(|(key, topic)| Wants::KeyOf(key, topic)),
        1 => any::<bool>().prop_map(Wants::Tag),
        1 => any::<bool>().prop_map(Wants::Event),
    ];
    let asks = (wants, prop::option::weighted(0.3, lag())).prop_map(|(wants, lag)| Asks { wants, lag });
    let choices = prop_oneof![2 => vec(lag(), 0..=0), 1 => vec(lag(), 1..=3)];
    let back = prop_oneof![
        8 => Just(Back::Everything),
        2 => Just(Back::Log),
        1 => Just(Back::Age(500)),
        1 => Just(Back::Age(5000)),
        1 => Just(Back::Age(60_000)),
    ];
    let prewarm = prop_oneof![3 => Just(Some(8192)), 1 => (1_usize..12).prop_map(Some), 2 => Just(None)];
    let linger_ms = prop_oneof![5 => Just(0), 1 => 1_u64..20, 1 => 20_u64..400];
    let heartbeat_ms = prop_oneof![2 => Just(20), 2 => Just(300), 2 => Just(3000), 1 => Just(NEVER_MS)];
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.3), prop::bool::weighted(0.3));
    let timing = (prewarm, linger_ms, heartbeat_ms);
    (1_usize..=4, partitions, log, (lag(), choices), back, timing, flags, vec(asks, 1..=4)).prop_map(
        move |(nodes, partitions, log, (lag, choices), back, timing, flags, clients)| {
            let (prewarm, linger_ms, heartbeat_ms) = timing;
            let (times, earliest, map, second) = flags;
            Setup {
                nodes,
                partitions,
                replay: scene != Scene::Live,
                log,
                lag,
                choices,
                back,
                times: times && scene != Scene::Live,
                prewarm,
                linger_ms,
                earliest,
                map,
                second,
                heartbeat_ms,
                clients,
            }
        },
    )
}

fn lag() -> impl Strategy<Value = Lag> {
    prop_oneof![
        4 => Just(Lag::Backfill),
        1 => Just(Lag::Disconnect),
        1 => Just(Lag::Skip),
        2 => Just(Lag::Conflate),
    ]
}

fn action(scene: Scene) -> impl Strategy<Value = Action> {
    let anew = if scene == Scene::Anew { 6 } else { 1 };
    prop_oneof![
        16 => (any::<u8>(), 1_u8..12, any::<bool>())
            .prop_map(|(to, count, spread)| Action::Publish { to, count, spread }),
        3 => (any::<u8>(), 1_u8..30, 0_u8..20)
            .prop_map(|(to, count, every_ms)| Action::Storm { to, count, every_ms }),
        4 => (any::<u8>(), 1_u8..5).prop_map(|(to, count)| Action::Hole { to, count }),
        2 => (any::<u8>(), 0_u8..10).prop_map(|(to, back)| Action::Compact { to, back }),
        4 => (any::<u8>(), 1_u8..20).prop_map(|(to, by)| Action::Retain { to, by }),
        anew => (any::<u8>(), 0_u8..4).prop_map(|(topic, partitions)| Action::Recreate { topic, partitions }),
        anew => any::<u8>().prop_map(|topic| Action::Grow { topic }),
        6 => (any::<u8>(), prop_oneof![Just(0_u16), any::<u16>()])
            .prop_map(|(node, mask)| Action::Hold { node, mask }),
        2 => any::<u8>().prop_map(|node| Action::Cut { node }),
        1 => any::<bool>().prop_map(Action::Away),
        1 => any::<u8>().prop_map(|node| Action::Stall { node }),
        1 => any::<u8>().prop_map(|node| Action::Restart { node }),
        1 => any::<u8>().prop_map(|node| Action::Rejoin { node }),
        1 => (any::<u8>(), 1_u8..8).prop_map(|(to, by)| Action::Lose { to, by }),
        18 => (any::<u8>(), any::<u8>(), id()).prop_map(|(client, node, id)| Action::Open { client, node, id }),
        24 => (any::<u8>(), 1_u8..20, prop_oneof![Just(1_u16), 1_u16..400])
            .prop_map(|(client, blocks, ms)| Action::Read { client, blocks, ms }),
        3 => any::<u8>().prop_map(|client| Action::Drop { client }),
        8 => prop_oneof![4 => 0_u16..30, 2 => 0_u16..1000, 1 => 1000_u16..8000]
            .prop_map(|ms| Action::Wait { ms }),
    ]
}

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![
        20 => Just(Id::Own),
        3 => any::<u8>().prop_map(Id::Former),
        2 => any::<u8>().prop_map(Id::Other),
        1 => (any::<u8>(), prop_oneof![Just(1_u32), any::<u32>()]).prop_map(|(to, by)| Id::Ahead { to, by }),
        1 => (any::<u8>(), 0_u8..20).prop_map(|(topic, offset)| Id::Epoch { topic, offset }),
        1 => Just(Id::Topic),
        1 => any::<u8>().prop_map(Id::Garbage),
    ]
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setup = format!("{:?}", self.setup).replace(": [", ": vec![");
        writeln!(f, "Script {{\n    seed: {},\n    setup: {setup},\n    actions: vec![", self.seed)?;
        for action in &self.actions {
            writeln!(f, "        {action:?},")?;
        }
        write!(f, "    ],\n}}")
    }
}
