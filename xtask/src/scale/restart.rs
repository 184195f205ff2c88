//! The restart as a simulation in steps of a millisecond: who loses a stream, when they come, and where they are let in.
//!
//! Clients of one node are all alike, so they are counted and not kept. What is told to each is drawn by the hub's own rule
//! (`retry`), and by that of the limits (`returns`).
//!
//! Left out: what a proxy does, and clients who come and go by themselves.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{
    Args, Balance, How, costs,
    node::{Lost, Node},
    retry,
};

/// What happened in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Second {
    /// Connections that came, in all, and to the node that most of them came to.
    pub(super) came: u64,
    pub(super) busiest: u64,
    pub(super) accepted: u64,
    /// Found no room in a queue, or nobody there.
    pub(super) dropped: u64,
    pub(super) refused: u64,
    /// Without a stream, at its end.
    pub(super) without: u64,
}

/// What came of a restart.
#[derive(Debug, Default)]
pub(super) struct Restart {
    pub(super) seconds: Vec<Second>,
    /// The most connections that waited at one node, and the most streams that one had.
    pub(super) longest_queue: u64,
    pub(super) most_streams: u64,
    /// The most and the fewest streams of a node, when all is over.
    pub(super) at_the_end: (u64, u64),
    /// Streams that were lost, in all.
    pub(super) moved: u64,
    /// The longest that a client was without a stream, and when the last one was back, in milliseconds.
    pub(super) longest_away: u64,
    pub(super) all_back: u64,
}

/// Something that is going to happen to a node.
#[derive(Clone, Copy, Debug)]
enum Step {
    Goes(usize),
    Returns(usize),
}

/// Connections that are going to come.
#[derive(Clone, Copy, Debug)]
struct Coming {
    lost: Lost,
    /// Where to, and how often its SYN was dropped there: unless it is a new connection.
    again: Option<(usize, u32)>,
}

struct Simulation<'a> {
    args: &'a Args,
    rng: Rng,
    origin: Instant,
    nodes: Vec<Node>,
    steps: BTreeMap<u64, Vec<Step>>,
    coming: BTreeMap<u64, Vec<Coming>>,
    /// Connections that came to each node in this second.
    came_to: Vec<u64>,
    /// Clients who are neither in a stream nor in a queue.
    on_their_way: u64,
    /// The second that it is in.
    now: Second,
    seen: Restart,
}

impl Restart {
    /// Plays it, until everybody is back and every node has been restarted.
    pub(super) fn run(args: &Args) -> Self {
        Simulation::new(args).play()
    }
}

impl<'a> Simulation<'a> {
    fn new(args: &'a Args) -> Self {
        let nodes = args.nodes as u64;
        let share = |node: u64| args.clients / nodes + u64::from(node < args.clients % nodes);
        Self {
            args,
            rng: Rng::with_seed(args.seed),
            origin: Instant::now(),
            nodes: (0..nodes).map(|node| Node::with(share(node))).collect(),
            steps: plan(args),
            coming: BTreeMap::new(),
            came_to: vec![0; args.nodes],
            on_their_way: 0,
            now: Second::default(),
            seen: Restart { most_streams: share(0), ..Restart::default() },
        }
    }

    fn play(mut self) -> Restart {
        let mut now = 0;
        while let Some(next) = self.next(now) {
            self.second(next);
            now = next;
            for step in self.steps.remove(&now).unwrap_or_default() {
                match step {
                    Step::Goes(node) => self.go(node, now),
                    Step::Returns(node) => self.nodes[node].ready = true,
                }
            }
            for coming in self.coming.remove(&now).unwrap_or_default() {
                self.come(coming, now);
            }
            for node in 0..self.nodes.len() {
                self.accept(node, now);
            }
            debug_assert_eq!(self.clients(), self.args.clients);
        }
        self.second(now + 1000);
        let streams = || self.nodes.iter().map(|node| node.streams);
        self.seen.at_the_end = (streams().max().unwrap_or(0), streams().min().unwrap_or(0));
        self.seen
    }

    /// The next millisecond in which something happens.
    fn next(&self, now: u64) -> Option<u64> {
        if self.nodes.iter().any(|node| node.queued() > 0) {
            return Some(now + 1);
        }
        [self.steps.keys().next(), self.coming.keys().next()].into_iter().flatten().min().copied()
    }

    /// Closes the seconds before this millisecond.
    fn second(&mut self, next: u64) {
        while (self.seen.seconds.len() as u64) < next / 1000 {
            let without = self.args.clients - self.nodes.iter().map(|node| node.streams).sum::<u64>();
            let busiest = self.came_to.iter().copied().max().unwrap_or(0);
            self.came_to.fill(0);
            self.seen.seconds.push(Second { without, busiest, ..self.now });
            self.now = Second::default();
        }
    }

    /// A node goes, and its clients with it.
    fn go(&mut self, node: usize, now: u64) {
        let (streams, waiting) = self.nodes[node].go();
        self.seen.moved += streams;
        self.on_their_way += streams;
        self.later(Lost { at: now, count: streams }, now);
        for lost in waiting {
            self.on_their_way += lost.count;
            self.later(lost, now);
        }
    }

    /// These come when they were told to: the hub's rule. One that died has told nobody, and they come when they always do.
    fn later(&mut self, lost: Lost, now: u64) {
        let mut moments: BTreeMap<u64, u64> = BTreeMap::new();
        for _ in 0..lost.count {
            let told = match self.args.restart {
                How::Kill => self.args.retry.max(retry::SHORTEST),
                _ => retry::spread(self.args.retry, self.rng.f64()),
            };
            let wait = told + self.args.network.mul_f64(self.rng.f64());
            *moments.entry(now + wait.as_millis() as u64).or_default() += 1;
        }
        for (at, count) in moments {
            let lost = Lost { count, ..lost };
            self.coming.entry(at).or_default().push(Coming { lost, again: None });
        }
    }

    fn come(&mut self, coming: Coming, now: u64) {
        let Coming { lost, again } = coming;
        match again {
            Some((node, tries)) => self.connect(node, lost, tries, now),
            None => {
                for _ in 0..lost.count {
                    match self.choose() {
                        Some(node) => self.connect(node, Lost { count: 1, ..lost }, 0, now),
                        None => self.nobody_there(Lost { count: 1, ..lost }, now),
                    }
                }
            }
        }
    }

    /// Whom the balancer gives a connection.
    fn choose(&mut self) -> Option<usize> {
        let ready = || (0..self.nodes.len()).filter(|node| self.nodes[*node].ready);
        match self.args.balance {
            Balance::Random => {
                let nodes = self.nodes.len();
                // Nearly all are ready nearly always, so nobody has to be counted.
                let tries = (0..16).map(|_| self.rng.usize(..nodes)).find(|node| self.nodes[*node].ready);
                tries.or_else(|| ready().next())
            }
            Balance::Least => {
                ready().min_by_key(|node| self.nodes[*node].streams + self.nodes[*node].queued())
            }
        }
    }

    fn connect(&mut self, node: usize, lost: Lost, tries: u32, now: u64) {
        if !self.nodes[node].ready {
            return self.nobody_there(lost, now);
        }
        self.now.came += lost.count;
        self.came_to[node] += lost.count;
        let fits = self.nodes[node].come(lost, self.args.backlog);
        self.on_their_way -= fits;
        self.seen.longest_queue = self.seen.longest_queue.max(self.nodes[node].queued());
        let dropped = Lost { count: lost.count - fits, ..lost };
        if dropped.count == 0 {
            return;
        }
        self.now.dropped += dropped.count;
        let at = now + (costs::SYN_AGAIN_MS << tries);
        // After the last one, too, an answer is waited for.
        if tries == costs::SYN_RETRIES {
            return self.later(dropped, at);
        }
        self.coming.entry(at).or_default().push(Coming { lost: dropped, again: Some((node, tries + 1)) });
    }

    /// A connection that nobody takes is an error of the network, and an `EventSource` waits once more.
    fn nobody_there(&mut self, lost: Lost, now: u64) {
        self.now.dropped += lost.count;
        self.later(lost, now);
    }

    fn accept(&mut self, node: usize, now: u64) {
        if self.nodes[node].queued() == 0 {
            return;
        }
        let most = self.args.most.unwrap_or(u64::MAX);
        for lost in self.nodes[node].accept(self.args.accept) {
            let lets = lost.count.min(most.saturating_sub(self.nodes[node].streams));
            if lets > 0 {
                self.nodes[node].streams += lets;
                self.now.accepted += lets;
                self.seen.most_streams = self.seen.most_streams.max(self.nodes[node].streams);
                self.seen.longest_away = self.seen.longest_away.max(now - lost.at);
                self.seen.all_back = now;
            }
            self.now.refused += lost.count - lets;
            for _ in lets..lost.count {
                let wait =
                    self.nodes[node].turn_away(self.origin + Duration::from_millis(now), self.rng.f64());
                let at = now + wait.as_millis() as u64;
                self.on_their_way += 1;
                let coming = Coming { lost: Lost { count: 1, ..lost }, again: None };
                self.coming.entry(at).or_default().push(coming);
            }
        }
    }

    /// Clients, wherever they are: nobody is lost.
    fn clients(&self) -> u64 {
        self.nodes.iter().map(|node| node.streams + node.queued()).sum::<u64>() + self.on_their_way
    }
}

/// When each node goes, and when it is there again.
fn plan(args: &Args) -> BTreeMap<u64, Vec<Step>> {
    let mut steps: BTreeMap<u64, Vec<Step>> = BTreeMap::new();
    let ms = |time: Duration| time.as_millis() as u64;
    let mut restart = |nodes: std::ops::Range<usize>, at: u64, away: u64| {
        for node in nodes {
            steps.entry(at).or_default().push(Step::Goes(node));
            steps.entry(at + away).or_default().push(Step::Returns(node));
        }
    };
    match args.restart {
        How::None => {}
        How::Kill => restart(0..1, 0, ms(args.boot)),
        How::All => restart(0..args.nodes, 0, ms(args.drain + args.boot)),
        How::Rolling => {
            // With one that is ready before, the time of its start is spent before the old one goes.
            let away = if args.surge { 0 } else { ms(args.drain + args.boot) };
            let between = ms(args.drain + args.boot + args.pause).max(1);
            for (turn, first) in (0..args.nodes).step_by(args.at_once).enumerate() {
                restart(first..(first + args.at_once).min(args.nodes), turn as u64 * between, away);
            }
        }
    }
    steps
}
