//! Plays a script: real hubs on the simulated broker, in one thread, with a clock that jumps.

use std::{sync::Arc, time::Duration};

use tidewater_core::{
    Cursor, EpochTag, Error, ErrorKind, Next, Outgoing, PayloadMode, Start, TopicCursor, TopicTag,
};
use tokio::time::{Instant, sleep};

use super::{
    broker::{Broker, place},
    client::{Client, Forged, Heard, PATIENCE},
    oracle::{Complaint, Oracle},
    script::{Action, Id, Lag, Script, Setup, Wants},
    source::View,
};
use crate::{Channel, Hub, LagPolicy, LogBounds, Resume, Select, log::Log, settings::AllowedReplay};

/// What a case that went well was like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Played {
    /// By client.
    pub(crate) heard: Vec<Heard>,
    /// Streams that went on from the log, and from the broker; clients that fell behind.
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
    nodes: Vec<Channel>,
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
            clients: setup.clients.iter().map(|wants| Client::new(*wants)).collect(),
            seeds: fastrand::Rng::with_seed(script.seed),
            storms: Vec::new(),
        };
        stage.nodes = (0..setup.nodes).map(|node| stage.start(node)).collect();
        stage
    }

    /// A node's process.
    fn start(&mut self, node: usize) -> Channel {
        let setup = self.setup;
        let (events, seconds) = setup.log;
        let view = View::new(&self.broker, node, setup.replay, self.seeds.u64(..));
        let channel = Hub::new()
            .channel("c")
            .source(Arc::new(view))
            .log(LogBounds { events, bytes: 1 << 20, age: Duration::from_secs(seconds) })
            .lag(match setup.lag {
                Lag::Backfill => LagPolicy::Backfill,
                Lag::Disconnect => LagPolicy::Disconnect,
                Lag::Skip => LagPolicy::Skip,
            })
            .replay(if setup.behind_log { AllowedReplay::Everything } else { AllowedReplay::Log })
            .heartbeat(Duration::from_millis(setup.heartbeat_ms))
            .start(if setup.earliest { Start::Earliest } else { Start::Latest });
        let channel = if setup.map {
            channel.map(|message| {
                if message.payload.as_ref().is_some_and(|payload| payload.ends_with(b"7")) {
                    return Err(Error::new(ErrorKind::Internal, "a seven"));
                }
                let left_out = message.key.as_deref() == Some(b"k1");
                Ok((!left_out).then(|| Outgoing { event: None, ..PayloadMode::Text.render(message) }))
            })
        } else {
            channel
        };
        channel.open().unwrap()
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
            // What counts by itself has no such thing.
            Action::Hole { .. } | Action::Compact { .. } | Action::Retain { .. } | Action::Grow { .. } => {}
            Action::Restart { node } => self.restart(usize::from(node) % self.nodes.len()),
            Action::Open { client, node, id } => {
                let (client, node) = (usize::from(client), usize::from(node));
                return self.open(client % self.clients.len(), node % self.nodes.len(), id).await;
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

    async fn open(&mut self, number: usize, node: usize, id: Id) -> Result<(), Complaint> {
        self.clients[number].disconnect();
        self.take_id(number, id);
        // By the time that it comes back, the broker may have got there.
        if let Some(forged) = self.clients[number].forged.as_mut().filter(|_| !matches!(id, Id::Ahead { .. }))
        {
            forged.told = forged.told.filter(|told| *told != "ahead");
        }
        let client = &mut self.clients[number];
        let select = match client.wants {
            Wants::All => Select::all(),
            Wants::Key(key) => Select::key(format!("k{key}")),
            Wants::Topic(topic) => Select::topic(format!("t{topic}")),
        };
        let resume = Resume { last_event_id: client.last_id.clone(), ..Resume::default() };
        let stream = self.nodes[node].stream(resume, select).await;
        client.connect(stream, node);
        client.opened = self.nodes[node].shared.lock().log.as_ref().map(what_it_has).unwrap_or_default();
        // How a forged id is answered is judged as a whole, so the answer is read to its end.
        let until = Instant::now() + PATIENCE;
        while self.clients[number].forged.is_some() && self.clients[number].stream.is_some() {
            self.read(number, until).await?;
        }
        Ok(())
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
        let tail =
            self.nodes[client.node].shared.lock().log.as_ref().map(|log| (**log.tail_cursor()).clone());
        let truth = self.broker.truth();
        let oracle = Oracle {
            setup: self.setup,
            truth: &truth,
            tail: &tail.unwrap_or_default(),
            opened: &client.opened.clone(),
            wants: client.wants,
        };
        let judged = client.take(&event, &oracle);
        judged.map_err(|complaint| tell(number, client, &complaint))?;
        Ok(true)
    }

    /// The quiet end: everybody gets everything, and then is on the shared bytes.
    async fn finish(&mut self) -> Result<(), Complaint> {
        for storm in std::mem::take(&mut self.storms) {
            drop(storm.await);
        }
        self.broker.change(|truth| {
            truth.away = false;
            truth.release_all();
        });
        for number in 0..self.clients.len() {
            self.catch_up(number).await?;
        }
        self.broker.change(|truth| (0..3).for_each(|n| truth.publish(n)));
        for number in 0..self.clients.len() {
            self.catch_up(number).await?;
            let until = Instant::now() + PATIENCE;
            while !self.clients[number].is_shared() {
                self.read(number, until).await?;
                self.catch_up(number).await?;
                if Instant::now() >= until {
                    let complaint = "I4, I5: it stays on a path of its own";
                    return Err(tell(number, &self.clients[number], complaint));
                }
            }
        }
        Ok(())
    }

    fn played(&self) -> Played {
        let mut places = [0; 3];
        for node in &self.nodes {
            let status = node.status();
            let counts = [status.resumes_from_log, status.resumes_from_broker, status.lagged];
            places.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        Played { heard: self.clients.iter().map(|client| client.heard.clone()).collect(), places }
    }

    /// A client reads until it has everything, and comes back when it is sent away.
    async fn catch_up(&mut self, number: usize) -> Result<(), Complaint> {
        let until = Instant::now() + PATIENCE;
        loop {
            let node = self.clients[number].node;
            let end = self.broker.truth().end(node);
            if self.clients[number].has(&end) {
                return Ok(());
            }
            if Instant::now() >= until {
                let complaint = format!("I1: it never gets to the end, {end:?}");
                return Err(tell(number, &self.clients[number], &complaint));
            }
            if self.clients[number].stream.is_none() {
                sleep(Duration::from_millis(500)).await;
                self.open(number, node, Id::Own).await?;
            }
            self.read(number, until).await?;
        }
    }
}

/// Where what a log has of the incarnations that it is in begins.
fn what_it_has(log: &Log) -> Cursor {
    let begins = log.head().topics().iter().filter_map(|head| {
        let tail = log.tail_cursor().topic(head.tag).filter(|tail| tail.epoch == head.epoch);
        tail.or_else(|| log.begin_of(head.tag, head.epoch)).cloned()
    });
    begins.collect()
}

fn tell(number: usize, client: &Client, complaint: &str) -> Complaint {
    format!("client {number}: {complaint}\n  its last blocks:\n{}", client.story())
}
