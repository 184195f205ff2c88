//! `[limits]`: how much clients may take, together and each; and what a channel has otherwise in a table of the same name.

use std::{num::NonZeroUsize, time::Duration};

use tidewater::http::{LimitsConfig, Rate};

use super::{
    given::{Given, Wrong},
    reader::Reader,
    setting::{Setting, Size, quoted},
};
use crate::serve::ServerKind;

/// How much there may be of all channels together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    streams: Streams,
    streams_per_address: Most,
    streams_per_subject: Most,
    connections_per_address: Most,
    publish: PublishRate,
    /// What a channel has, unless it says otherwise.
    pub(super) bodies: Bodies,
}

/// How much there may be on one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChannelLimits {
    /// Where it has one of its own, it counts for itself.
    pub(crate) publish: Option<PublishRate>,
    pub(crate) bodies: Bodies,
}

/// What a published body may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bodies {
    /// The most bytes that it may have.
    pub(crate) size: usize,
    /// How long it may take to arrive.
    pub(crate) time: Duration,
}

impl Limits {
    pub(super) fn read(table: &mut Reader<'_>, kind: ServerKind) -> Self {
        let limits = Self {
            streams: table.get("streams", Streams::Auto),
            // A company, a school or a mobile network behind one address is many people.
            streams_per_address: table.get("streams_per_address", Most::some(1000)),
            // One person's tabs and devices; a browser shares six connections among its tabs without HTTP/2.
            streams_per_subject: table.get("streams_per_subject", Most::some(100)),
            // Twice the streams: pages have other requests, too.
            connections_per_address: table.get("connections_per_address", Most::some(2000)),
            // More than a person does, and as much as an application's server behind one address may.
            publish: table.get("publish", PublishRate::default()),
            bodies: Bodies::read(table, Bodies { size: 1 << 20, time: Duration::from_secs(30) }),
        };
        let is_said = table.has("connections_per_address") && limits.connections_per_address != Most(None);
        if is_said && !kind.counts_connections() {
            table.refuse(
                "connections_per_address",
                format_args!("{kind} does not count connections: direct and hyper do"),
            );
        }
        limits
    }

    /// As the library has it, where there may be so many connections in all.
    pub(crate) fn config(&self, connections: usize) -> LimitsConfig {
        LimitsConfig {
            streams: match self.streams {
                // Below the connections, so that who finds no place is told so by what counts streams.
                Streams::Auto => (connections < usize::MAX).then(|| connections - connections / 10),
                Streams::Most(Most(most)) => most,
            },
            streams_per_address: self.streams_per_address.0,
            streams_per_subject: self.streams_per_subject.0,
            connections: None,
            connections_per_address: self.connections_per_address.0,
            publish: self.publish.rate,
        }
    }

    /// The keys that have changed, and hold for all channels.
    pub(crate) fn changes(&self, new: &Self) -> impl Iterator<Item = &'static str> {
        [
            ("streams", self.streams != new.streams),
            ("streams_per_address", self.streams_per_address != new.streams_per_address),
            ("streams_per_subject", self.streams_per_subject != new.streams_per_subject),
            ("connections_per_address", self.connections_per_address != new.connections_per_address),
            ("publish", self.publish != new.publish),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
    }
}

impl ChannelLimits {
    /// Reads it; what is not said is as all channels have it.
    pub(super) fn read(table: &mut Reader<'_>, all: &Limits) -> Self {
        Self { publish: table.find("publish"), bodies: Bodies::read(table, all.bodies) }
    }
}

impl Bodies {
    fn read(table: &mut Reader<'_>, default: Self) -> Self {
        Self {
            size: table.get("max_body", Size(default.size)).0,
            time: table.within("body_timeout", default.time, Duration::from_secs(1), Duration::MAX),
        }
    }
}

/// A number from 1 on, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Most(Option<usize>);

impl Most {
    const fn some(most: usize) -> Self {
        Self(Some(most))
    }
}

impl Setting for Most {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        const WANTED: &str = "a number from 1 on, or \"off\"";
        match given.expanded(WANTED)?.as_str() {
            "off" => Ok(Self(None)),
            _ => NonZeroUsize::read(given).map(|most| Self(Some(most.get()))).map_err(|mut wrongs| {
                wrongs.iter_mut().for_each(|wrong| wrong.what.push_str("; or \"off\""));
                wrongs
            }),
        }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| quoted("off"), |most| most.to_string())
    }
}

/// How many streams there may be in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Streams {
    /// Nine tenths of the connections.
    Auto,
    Most(Most),
}

impl Setting for Streams {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        match given.expanded("a number, \"auto\", or \"off\"")?.as_str() {
            "auto" => Ok(Self::Auto),
            _ => Most::read(given).map(Self::Most),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => quoted("auto"),
            Self::Most(most) => most.show(),
        }
    }
}

/// How often one client may publish, or `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishRate {
    pub(crate) rate: Option<Rate>,
    /// As it was written.
    text: String,
}

impl Default for PublishRate {
    fn default() -> Self {
        Self { rate: Some(Rate::per_second(1000)), text: "1000/s".to_owned() }
    }
}

impl Setting for PublishRate {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let parse = |text: &str| {
            let rate = match text {
                "off" => None,
                text => Some(text.parse().map_err(|_| {
                    "it is no rate: write how often in a second, a minute or an hour (10/s, 600/m, 1000/h), or off"
                        .to_owned()
                })?),
            };
            Ok(Self { rate, text: text.to_owned() })
        };
        Ok(given.parsed("a rate such as \"10/s\", or \"off\"", parse)?)
    }

    fn show(&self) -> String {
        quoted(&self.text)
    }
}
