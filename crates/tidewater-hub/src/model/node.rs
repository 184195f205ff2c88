//! A node: a hub with one channel, or with two that share an upstream and differ by the application's step.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tidewater_core::{Error, ErrorKind, Outgoing, PayloadMode, Start};

use super::{
    broker::{Broker, Record},
    oracle::Complaint,
    script::{Asks, Back, Lag, PATTERNS, Setup, Wants},
    source::View,
};
use crate::{AllowedReplay, Channel, ChannelBuilder, Hub, LagPolicy, LogBounds, Prewarm, Resume, Select};

pub(crate) struct Node {
    hub: Hub,
    pub(crate) channels: Vec<Channel>,
    /// What the clients of each were given.
    pub(crate) given: Vec<Given>,
}

/// Events and bytes.
pub(crate) type Given = Arc<Mutex<(u64, u64)>>;

impl Node {
    pub(crate) fn start(broker: &Broker, number: usize, setup: &Setup, seeds: &mut fastrand::Rng) -> Self {
        let mut node = Self { hub: Hub::new(), channels: Vec::new(), given: Vec::new() };
        for channel in 0..=usize::from(setup.second) {
            node.open(channel, broker, number, setup, seeds);
        }
        node
    }

    /// What was given is what the channels have counted.
    pub(crate) fn check_counts(&self) -> Result<(), Complaint> {
        for (channel, given) in self.channels.iter().zip(&self.given) {
            let (status, given) = (channel.status(), *given.lock().unwrap());
            if (status.events_out, status.bytes_out) != given {
                return Err(format!("events and bytes: given {given:?}, counted {status:?}"));
            }
        }
        Ok(())
    }

    /// Closes the second channel.
    pub(crate) fn close(&mut self) {
        self.channels.pop();
        self.given.pop();
        assert!(self.hub.close(&name(1)));
    }

    /// Opens a channel, the next one.
    pub(crate) fn open(
        &mut self,
        channel: usize,
        broker: &Broker,
        number: usize,
        setup: &Setup,
        seeds: &mut fastrand::Rng,
    ) {
        let view = View::new(broker, number, setup, seeds.u64(..));
        let (events, seconds) = setup.log;
        let prewarm = setup.prewarm.map(|events| Prewarm { events, ..Prewarm::default() });
        let builder = self
            .hub
            .channel(name(channel))
            .source(Arc::new(view))
            .log(LogBounds { events, bytes: 1 << 20, age: Duration::from_secs(seconds) })
            .lag(policy(setup.lag))
            .lag_choices(setup.choices.iter().copied().map(policy))
            .replay(match setup.back {
                Back::Everything => AllowedReplay::Everything,
                Back::Log => AllowedReplay::Log,
                Back::Age(ms) => AllowedReplay::Age(Duration::from_millis(ms)),
            })
            .prewarm(prewarm)
            .linger(Duration::from_millis(setup.linger_ms))
            .heartbeat(Duration::from_millis(setup.heartbeat_ms))
            .start(if setup.earliest { Start::Earliest } else { Start::Latest });
        let builder = if has_map(setup, channel) { with_map(builder) } else { builder };
        self.channels.push(builder.open().unwrap());
        self.given.push(Given::default());
    }
}

/// Whether a channel has the application's step.
pub(crate) fn has_map(setup: &Setup, channel: usize) -> bool {
    setup.map != (channel == 1)
}

/// Leaves some messages out, fails on others, and gives names and tags.
fn with_map(builder: ChannelBuilder) -> ChannelBuilder {
    builder.map(|message| {
        let payload = message.payload.as_deref().unwrap_or_default();
        if payload.ends_with(b"7") {
            return Err(Error::new(ErrorKind::Internal, "a seven"));
        }
        if message.key.as_deref() == Some(b"k1") {
            return Ok(None);
        }
        let outgoing = Outgoing { event: None, ..PayloadMode::Text.render(message) };
        let outgoing = outgoing.tag(Record::tag(payload));
        Ok(Some(match Record::event(payload) {
            Some(name) => outgoing.event(name),
            None => outgoing,
        }))
    })
}

/// What a client comes with.
pub(crate) fn request(asks: Asks, last_event_id: Option<String>) -> (Resume, Select) {
    let key = |key: u8| Select::key(format!("k{key}"));
    let topic = |topic: u8| Select::topic(format!("t.{topic}"));
    let select = match asks.wants {
        Wants::All => Select::all(),
        Wants::Key(wanted) => key(wanted),
        Wants::Topic(wanted) => topic(wanted),
        Wants::Pattern(pattern) => Select::topic(PATTERNS[usize::from(pattern)].0),
        Wants::KeyOf(own, of) => key(own).and(topic(of)),
        Wants::Tag(even) => Select::tag(if even { "even" } else { "odd" }),
        Wants::Event(named) => Select::event(if named { "long" } else { "message" }),
    };
    (Resume { last_event_id, lag: asks.lag.map(policy), ..Resume::default() }, select)
}

/// What happens to a client that falls behind.
pub(crate) fn lag_of(setup: &Setup, asks: Asks) -> Lag {
    let allowed = |lag: &Lag| *lag == setup.lag || setup.choices.contains(lag);
    asks.lag.filter(allowed).unwrap_or(setup.lag)
}

fn policy(lag: Lag) -> LagPolicy {
    match lag {
        Lag::Backfill => LagPolicy::Backfill,
        Lag::Disconnect => LagPolicy::Disconnect,
        Lag::Skip => LagPolicy::Skip,
        Lag::Conflate => LagPolicy::Conflate,
    }
}

fn name(channel: usize) -> String {
    format!("c{channel}")
}
