//! Plays a script: real hubs on the simulated broker, in one thread, with a clock that jumps.

use std::time::Duration;

use tidewater_core::{Cursor, EpochTag, Next, TopicCursor, TopicTag};
use tokio::time::{Instant, sleep};

use super::{
    broker::{Broker, Truth, place},
    client::{Client, Forged, Heard, PATIENCE},
    node::{Node, has_map, lag_of, request},
    oracle::{Complaint, Opening, Oracle},
    script::{Action, Back, Id, NEVER_MS, Script, Setup},
};
use crate::{Channel, log::Log};

/// What a case that went well was like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Played {
    /// By client.
    pub(crate) heard: Vec<Heard>,
    /// Streams that went on from the log or behind a gap, and from the broker; clients that fell behind.
    pub(crate) places: [u64; 3],
}

/// Plays a script to its end, or to what is wrong.
pub(crate) fn play(script: &Script) -> Result<Played, Complaint> {
    fastrand::seed(script.seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut stage = Stage::new(script);
        for (number, action) in script.actions.iter().enumerate() {
            stage
                .act(action)
                .await
                .map_err(|complaint| format!("action {number}, {action:?}: {complaint}"))?;
        }
        stage.finish().await.map_err(|complaint| format!("at the end: {complaint}"))?;
        Ok(stage.played())
    })
}

struct Stage<'a> {
    setup: &'a Setup,
    broker: Broker,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    seeds: fastrand::Rng,
    storms: Vec<tokio::task::JoinHandle<()>>,
}

impl<'a> Stage<'a> {
    fn new(script: &'a Script) -> Self {
        let setup = &script.setup;
        let worlds = if setup.replay { 1 } else { setup.nodes };
        let mut stage = Self {
            setup,
            broker: Broker::new(worlds, setup.nodes, &setup.partitions),
            nodes: Vec::new(),
            clients: (script.seed..)
                .zip(&setup.clients)
                .map(|(seed, asks)| Client::new(*asks, seed))
                .collect(),
            seeds: fastrand::Rng::with_seed(script.seed),
            storms: Vec::new(),
        };
        stage.nodes = (0..setup.nodes).map(|node| stage.start(node)).collect();
        stage
    }

    /// A node's process.
    fn start(&mut self, node: usize) -> Node {
        Node::start(&self.broker, node, self.setup, &mut self.seeds)
    }

    /// The channel of a client's last stream.
    fn channel(&self, client: usize) -> &Channel {
        let client = &self.clients[client];
        &self.nodes[client.node].channels[client.channel]
    }

    async fn act(&mut self, action: &Action) -> Result<(), Complaint> {
        match *action {
            Action::Publish { to, count, spread } => self.broker.change(|truth| {
                for n in 0..usize::from(count) {
                    truth.publish(usize::from(to) + if spread { n } else { 0 });
                }
            }),
            Action::Storm { to, count, every_ms } => {
                let broker = self.broker.clone();
                self.storms.push(tokio::spawn(async move {
                    for n in 0..usize::from(count) {
                        sleep(Duration::from_millis(every_ms.into())).await;
                        broker.change(|truth| truth.publish(usize::from(to) + n));
                    }
                }));
            }
            Action::Hole { to, count } if self.setup.replay => self.broker.change(|truth| {
                for _ in 0..count {
                    truth.hole(to.into());
                }
            }),
            Action::Hold { node, mask } => {
                let node = usize::from(node) % self.nodes.len();
                self.broker.change(|truth| truth.hold(node, mask));
            }
            Action::Cut { node } => {
                let node = usize::from(node) % self.nodes.len();
                self.broker.change(|truth| truth.nodes[node].cuts += 1);
            }
            Action::Away(away) => self.broker.change(|truth| truth.away = away),
            Action::Compact { to, back } if self.setup.replay => {
                self.broker.change(|truth| truth.compact(to.into(), back.into()));
            }
            Action::Retain { to, by } if self.setup.replay => {
                self.broker.change(|truth| truth.retain(to.into(), by.into()));
            }
            Action::Grow { topic } if self.setup.replay => {
                self.broker.change(|truth| truth.grow(topic.into()));
            }
            Action::Recreate { topic, partitions } => self.broker.change(|truth| {
                let (topic, worlds) = (usize::from(topic), truth.worlds.len());
                let partitions = if self.setup.replay { usize::from(partitions) } else { 1 };
                truth.recreate(topic % worlds, topic / worlds, partitions);
            }),
            Action::Stall { node } if self.setup.replay => {
                let node = usize::from(node) % self.nodes.len();
                self.broker.change(|truth| truth.nodes[node].stalls += 1);
            }
            Action::Rejoin { node } => return self.rejoin(usize::from(node) % self.nodes.len()).await,
            Action::Lose { to, by } if self.setup.replay => return self.lose(to.into(), by.into()).await,
            // What counts by itself has no such thing, and nobody would notice.
            Action::Stall { .. } | Action::Lose { .. } => {}
            Action::Hole { .. } | Action::Compact { .. } | Action::Retain { .. } | Action::Grow { .. } => {}
            Action::Restart { node } => self.restart(usize::from(node) % self.nodes.len()),
            Action::Open { client, node, id } => {
                let (client, node) = (usize::from(client), usize::from(node));
                let (channel, node) = (node / self.nodes.len(), node % self.nodes.len());
                let channel = channel % self.nodes[node].channels.len();
                return self.open(client % self.clients.len(), node, channel, id).await;
            }
            Action::Read { client, blocks, ms } => {
                let client = usize::from(client) % self.clients.len();
                let until = Instant::now() + Duration::from_millis(ms.into());
                for _ in 0..blocks {
                    if !self.read(client, until).await? {
                        break;
                    }
                }
            }
            Action::Drop { client } => {
                let client = usize::from(client) % self.clients.len();
                self.clients[client].disconnect();
            }
            Action::Wait { ms } => sleep(Duration::from_millis(ms.into())).await,
        }
        Ok(())
    }

    fn restart(&mut self, node: usize) {
        for client in self.clients.iter_mut().filter(|client| client.node == node) {
            client.disconnect();
        }
        if !self.setup.replay {
            // What it counted is gone with it.
            self.broker.change(|truth| {
                for topic in 0..truth.worlds[node].len() {
                    truth.recreate(node, topic, 1);
                }
            });
        }
        self.nodes[node] = self.start(node);
    }

    /// A node's second channel ends, with its streams, and begins anew where the upstream is.
    async fn rejoin(&mut self, node: usize) -> Result<(), Complaint> {
        if !self.setup.second {
            return Ok(());
        }
        self.nodes[node].close();
        for (number, client) in self.clients.iter_mut().enumerate() {
            if (client.node, client.channel) == (node, 1) {
                client.runs_out().await.map_err(|complaint| tell(number, client, &complaint))?;
            }
        }
        self.nodes[node].open(1, &self.broker, node, self.setup, &mut self.seeds);
        Ok(())
    }

    async fn open(&mut self, number: usize, node: usize, channel: usize, id: Id) -> Result<(), Complaint> {
        self.clients[number].disconnect();
        self.take_id(number, id);
        // By the time that it comes back, the broker may have got there.
        if let Some(forged) = self.clients[number].forged.as_mut().filter(|_| !matches!(id, Id::Ahead { .. }))
        {
            forged.told = forged.told.filter(|told| *told != "ahead");
        }
        self.connect(number, node, channel).await
    }

    /// A client connects with what it has.
    async fn connect(&mut self, number: usize, node: usize, channel: usize) -> Result<(), Complaint> {
        let client = &mut self.clients[number];
        let (resume, select) = request(client.asks, client.last_id.clone());
        let channel_of = &self.nodes[node].channels[channel];
        let before = Instant::now();
        let floor = channel_of.shared.lock().log.as_ref().and_then(|log| self.floor(log));
        let stream = channel_of.stream(resume, select).await;
        let mut opening = channel_of.shared.lock().log.as_ref().map(opening).unwrap_or_default();
        if let Some(floor) = floor {
            opening.floor = floor;
        }
        opening.oldest = self.oldest(before);
        let client = &mut self.clients[number];
        client.connect(stream, node, channel, &self.nodes[node].given[channel]);
        client.opening = opening;
        // How a forged id is answered is judged as a whole, so the answer is read to its end.
        let until = Instant::now() + PATIENCE;
        while self.clients[number].forged.is_some() && self.clients[number].stream.is_some() {
            self.read(number, until).await?;
        }
        Ok(())
    }

    /// Before what nobody who comes now may get anything, where the node's own times decide.
    fn floor(&self, log: &Log) -> Option<Cursor> {
        let Back::Age(ms) = self.setup.back else { return None };
        let known = self.setup.times && self.setup.replay;
        let oldest = Instant::now().checked_sub(Duration::from_millis(ms));
        (!known).then(|| (**log.since(oldest).1).clone())
    }

    /// The same where the broker's times decide; not if it may have been asked in vain. The answer may be a second old.
    fn oldest(&self, came: Instant) -> Option<Instant> {
        const FRESH: Duration = Duration::from_secs(1);
        let Back::Age(ms) = self.setup.back else { return None };
        let known = self.setup.times && self.setup.replay;
        let in_vain = self.broker.truth().missed.is_some_and(|at| at + FRESH >= came)
            || came.elapsed() > Duration::from_secs(4);
        let oldest = came.checked_sub(Duration::from_millis(ms) + FRESH);
        oldest.filter(|_| known && !in_vain)
    }

    /// Gives a client another id than the one that it had.
    fn take_id(&mut self, number: usize, id: Id) {
        let storms = self.storms.iter().any(|storm| !storm.is_finished());
        let truth = self.broker.truth();
        let end = truth.end(0);
        let tags: Vec<TopicTag> = truth.worlds[0].iter().map(|topic| topic.tag).collect();
        let forge = |tag, epoch, offsets| TopicCursor { tag, epoch, next: Next::Offsets(offsets) };
        let (id, told) = match id {
            Id::Own => return,
            Id::Former(n) => {
                let former = &self.clients[number].former;
                let Some(id) = former.get(usize::from(n) % former.len().max(1)).cloned() else { return };
                self.clients[number].at = id.parse().ok();
                (self.clients[number].forged, self.clients[number].last_id) = (None, Some(id));
                return;
            }
            Id::Other(n) => {
                let other = &self.clients[usize::from(n) % self.clients.len()];
                let (at, id, forged) = (other.at.clone(), other.last_id.clone(), other.forged.clone());
                let client = &mut self.clients[number];
                (client.at, client.last_id, client.forged) = (at, id, forged);
                return;
            }
            Id::Ahead { to, by } if self.setup.replay => {
                let mut forged = end;
                let (topic, partition) = place(&truth.worlds[0], to.into());
                let tag = tags[topic];
                let epoch = forged.topic(tag).map(|topic| topic.epoch).unwrap_or_default();
                let past = forged.next_offset(tag, partition as u32).unwrap_or(0) + u64::from(by.max(1));
                forged.raise(tag, epoch, partition as u32, past);
                // What is being published may get there first.
                (forged.to_string(), (!storms).then_some("ahead"))
            }
            Id::Epoch { topic, offset } => {
                let tag = tags[usize::from(topic) % tags.len()];
                let mut forged = end;
                forged.set(forge(tag, EpochTag(7), vec![offset.into()]));
                (forged.to_string(), Some("epoch"))
            }
            Id::Ahead { .. } | Id::Topic => {
                let elsewhere = forge(TopicTag(7), EpochTag(7), vec![1 << 40]);
                (Cursor::from_iter([elsewhere]).to_string(), None)
            }
            Id::Garbage(n) => (["", "!", "nonsense", "A"][usize::from(n) % 4].to_owned(), Some("unreadable")),
        };
        let client = &mut self.clients[number];
        (client.at, client.last_id, client.forged) = (None, Some(id), Some(Forged::new(told)));
    }

    /// One block, if one comes in time.
    async fn read(&mut self, number: usize, until: Instant) -> Result<bool, Complaint> {
        let client = &mut self.clients[number];
        let Some(event) = client.next(until).await.map_err(|complaint| tell(number, client, &complaint))?
        else {
            return Ok(false);
        };
        let channel = self.nodes[client.node].channels[client.channel].clone();
        let (state, truth) = (channel.shared.lock(), self.broker.truth());
        let log = state.log.as_ref().ok_or("a block of a channel that has not begun")?;
        let opening = client.opening.clone();
        let oracle = oracle(self.setup, &truth, log, client, &opening);
        let judged = client.take(&event, &oracle);
        judged.map_err(|complaint| tell(number, client, &complaint))?;
        Ok(true)
    }

    /// The quiet end: everybody gets everything, and then is on the shared bytes.
    async fn finish(&mut self) -> Result<(), Complaint> {
        for storm in std::mem::take(&mut self.storms) {
            drop(storm.await);
        }
        self.quiet();
        for number in 0..self.clients.len() {
            self.catch_up(number).await?;
        }
        self.broker.change(|truth| (0..3).for_each(|n| truth.publish(n)));
        for number in 0..self.clients.len() {
            self.catch_up(number).await?;
            let until = Instant::now() + PATIENCE;
            // Where the node catches up with it without a message, a heartbeat finds out.
            while self.setup.heartbeat_ms < NEVER_MS && !self.clients[number].is_shared() {
                if Instant::now() >= until {
                    let complaint = "I4, I5: it stays on a path of its own";
                    return Err(tell(number, &self.clients[number], complaint));
                }
                self.read(number, Instant::now() + Duration::from_secs(1)).await?;
                self.catch_up(number).await?;
            }
        }
        self.nodes.iter().try_for_each(Node::check_counts)
    }

    fn played(&self) -> Played {
        let mut places = [0; 3];
        for channel in self.nodes.iter().flat_map(|node| &node.channels) {
            let status = channel.status();
            let from_log = status.resumes_from_log + status.resumes_with_gap;
            let counts = [from_log, status.resumes_from_broker, status.lagged];
            places.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        Played { heard: self.clients.iter().map(|client| client.heard.clone()).collect(), places }
    }

    /// The broker is there, and holds nothing back.
    fn quiet(&self) {
        self.broker.change(|truth| {
            truth.away = false;
            truth.release_all();
        });
    }

    /// A client reads until it has everything, and comes back when it is sent away.
    async fn catch_up(&mut self, number: usize) -> Result<(), Complaint> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (node, channel) = (self.clients[number].node, self.clients[number].channel);
            let end = self.broker.truth().end(node);
            if self.has(number, &end) {
                return Ok(());
            }
            if Instant::now() >= until {
                let complaint = format!("I1: it never gets to the end, {end:?}");
                return Err(tell(number, &self.clients[number], &complaint));
            }
            if self.clients[number].stream.is_none() {
                sleep(Duration::from_millis(500)).await;
                self.open(number, node, channel, Id::Own).await?;
            }
            self.read(number, until).await?;
        }
    }

    /// Whether a client has everything. Its id says so, but where no heartbeat takes it past what it doesn't want.
    fn has(&self, number: usize, end: &Cursor) -> bool {
        let client = &self.clients[number];
        if self.setup.heartbeat_ms < NEVER_MS || client.has(end) {
            return client.has(end);
        }
        let (state, truth) = (self.channel(number).shared.lock(), self.broker.truth());
        let (Some(log), Some(at)) = (&state.log, client.at.as_ref().filter(|_| client.begun)) else {
            return false;
        };
        oracle(self.setup, &truth, log, client, &client.opening).has_all(at, end)
    }

    /// The end of a partition is lost. Whoever has got past it is sent away, and told when they come back; the others go
    /// on. While the nodes find out, nothing else happens: what was there once can't be told from what is there now.
    async fn lose(&mut self, to: usize, by: u64) -> Result<(), Complaint> {
        for storm in std::mem::take(&mut self.storms) {
            drop(storm.await);
        }
        self.quiet();
        let channels = |stage: &Self| -> Vec<Channel> {
            stage.nodes.iter().flat_map(|node| node.channels.clone()).collect()
        };
        let channels = channels(self);
        let before: Vec<u64> = channels.iter().map(|channel| channel.shared.lock().generation).collect();
        let (tag, epoch, partition, end) = self.broker.change(|truth| truth.lose(to, by));
        let is_past = |cursor: &Cursor| {
            cursor.topic(tag).is_some_and(|own| own.epoch == epoch && own.offset(partition) > end)
        };
        sleep(Duration::from_secs(60)).await;
        for (number, channel) in channels.iter().enumerate() {
            let head = channel.shared.lock().log.as_ref().map(|log| (**log.head()).clone());
            if head.as_ref().is_none_or(is_past) {
                return Err(format!("channel {number} of all doesn't find out: {head:?}"));
            }
        }
        for number in 0..self.clients.len() {
            let (node, channel) = (self.clients[number].node, self.clients[number].channel);
            let own = self.channel(number).shared.clone();
            let anew = channels.iter().zip(&before).any(|(channel, before)| {
                std::sync::Arc::ptr_eq(&channel.shared, &own) && own.lock().generation != *before
            });
            let client = &mut self.clients[number];
            let was_there = client.stream.is_some();
            if anew && was_there {
                client.runs_out().await.map_err(|complaint| tell(number, client, &complaint))?;
            }
            client.former.clear();
            if client.forged.is_none() && client.at.as_ref().is_some_and(is_past) {
                (client.at, client.forged) = (None, Some(Forged::new(Some("ahead"))));
                client.disconnect();
                if was_there {
                    self.connect(number, node, channel).await?;
                }
            } else if anew || !client.is_shared() {
                // What it has not read may be lost by now.
                client.disconnect();
            }
        }
        Ok(())
    }
}

/// What a client's blocks are judged by.
fn oracle<'a>(
    setup: &'a Setup,
    truth: &'a Truth,
    log: &'a Log,
    client: &Client,
    opening: &'a Opening,
) -> Oracle<'a> {
    let (wants, lag) = (client.asks.wants, lag_of(setup, client.asks));
    Oracle { setup, truth, log, opening, wants, map: has_map(setup, client.channel), lag }
}

/// What a log has of the incarnations that it is in.
fn opening(log: &Log) -> Opening {
    let begins = log.head().topics().iter().filter_map(|head| {
        let tail = log.tail_cursor().topic(head.tag).filter(|tail| tail.epoch == head.epoch);
        tail.or_else(|| log.begin_of(head.tag, head.epoch)).cloned()
    });
    Opening { begins: begins.collect(), head: (**log.head()).clone(), ..Opening::default() }
}

fn tell(number: usize, client: &Client, complaint: &str) -> Complaint {
    format!("client {number}: {complaint}\n  its last blocks:\n{}", client.story())
}
