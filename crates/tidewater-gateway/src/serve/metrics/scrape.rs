//! The gateway's metrics. docs/metrics.md lists them; a test compares the two.

use std::{fmt, iter, time::SystemTime};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use tidewater::{
    Status, UpstreamState,
    http::{LimitsStatus, RoomStatus, SinkTime, TallyStatus},
};

use super::{
    families::{Families, Histogram, Labels, NONE},
    process::seconds,
};
use crate::serve::{
    reload::LastReload,
    site::{Now, Served, Site},
};

/// All that is counted, at one moment.
#[derive(Debug)]
pub(super) struct Scrape {
    at: SystemTime,
    channels: Vec<Channel>,
    limits: LimitsStatus,
    draining: bool,
    configuration: LastReload,
    certificates: Option<LastReload>,
}

/// A metric of each channel: its name, what it is, and where it is.
type Told<T> = (&'static str, &'static str, fn(&Status) -> T);

#[derive(Debug)]
struct Channel {
    name: String,
    status: Status,
    tally: TallyStatus,
}

impl Scrape {
    pub(super) fn of(site: &Site, now: &Now) -> Self {
        let channel = |served: &Served| Channel {
            name: served.name().to_owned(),
            status: served.channel().status(),
            tally: served.tally().status(),
        };
        Self {
            at: SystemTime::now(),
            channels: now.channels.iter().map(channel).collect(),
            limits: site.limits().status(),
            draining: site.hub().is_draining(),
            configuration: site.configuration().last(),
            certificates: now.has_certificates().then(|| site.certificates().last()),
        }
    }

    /// A sample for each channel.
    fn each<T>(&self, value: impl Fn(&Channel) -> T) -> impl Iterator<Item = (Labels<'_, 1>, T)> {
        self.channels.iter().map(move |channel| (channel.label(), value(channel)))
    }

    /// A sample for each channel that has one.
    fn some<T>(&self, value: impl Fn(&Channel) -> Option<T>) -> impl Iterator<Item = (Labels<'_, 1>, T)> {
        self.channels.iter().filter_map(move |channel| Some((channel.label(), value(channel)?)))
    }

    /// Samples for each channel, by another label.
    fn by<'a, T>(
        &'a self,
        label: &'static str,
        values: impl Fn(&'a Channel) -> Vec<(&'a str, T)>,
    ) -> impl Iterator<Item = (Labels<'a, 2>, T)> {
        self.channels.iter().flat_map(move |channel| {
            values(channel).into_iter().map(move |(name, value)| {
                let [own] = channel.label();
                ([own, (label, name)], value)
            })
        })
    }

    fn upstreams(&self, families: &mut Families<'_>) -> fmt::Result {
        families.gauges(
            "upstream_state",
            "1 for the state of the upstream subscription, 0 for the others",
            self.by("state", |channel| {
                let states = [UpstreamState::Starting, UpstreamState::Live, UpstreamState::Degraded];
                states.map(|state| (state.as_str(), usize::from(channel.status.upstream == state))).into()
            }),
        )?;
        families.gauges(
            "upstream_lag_messages",
            "Messages that the broker had and this node had not read, at the last look",
            self.some(|channel| channel.status.lag.map(|lag| lag.offsets)),
        )?;
        families.gauges(
            "upstream_lag_timestamp_seconds",
            "When upstream_lag_messages was looked at, in seconds since 1970",
            self.some(|channel| channel.status.lag.map(|lag| seconds(self.at - lag.age))),
        )?;
        families.counters(
            "upstream_resubscriptions",
            "How often the upstream subscription was made again after it was lost",
            self.each(|channel| channel.status.resubscriptions),
        )?;
        families.counters(
            "upstream_stalls",
            "How often the upstream subscription had stalled and was made anew",
            self.each(|channel| channel.status.stalls),
        )
    }

    fn events(&self, families: &mut Families<'_>) -> fmt::Result {
        let counters: [Told<u64>; 7] = [
            ("events_in", "Events that came from the broker, into the log", |status| status.events_in),
            ("bytes_in", "Bytes of these events, as they are sent", |status| status.bytes_in),
            ("events_out", "Events given to clients, counted for each", |status| status.events_out),
            ("bytes_out", "Bytes given to clients, compressed where streams are", |status| status.bytes_out),
            ("map_failures", "Messages on which the channel's map failed", |status| status.map_failures),
            ("event_names_replaced", "Events whose name was illegal or reserved", |status| {
                status.names_replaced
            }),
            ("binary_payloads", "Payloads that were not text and went out in base64", |status| {
                status.binary_payloads
            }),
        ];
        for (name, help, count) in counters {
            families.counters(name, help, self.each(|channel| count(&channel.status)))?;
        }
        families.gauges(
            "last_event_timestamp_seconds",
            "When the last event came from the broker, in seconds since 1970",
            self.some(|channel| channel.status.last_event.map(|ago| seconds(self.at - ago))),
        )?;
        families.gauges("log_events", "Events in the log", self.each(|channel| channel.status.log_events))?;
        families.gauges("log_bytes", "Bytes of the log", self.each(|channel| channel.status.log_bytes))
    }

    fn streams(&self, families: &mut Families<'_>) -> fmt::Result {
        families.gauges("streams", "Open streams", self.each(|channel| channel.status.clients))?;
        let counters: [Told<u64>; 4] = [
            ("streams_opened", "Streams that were opened", |status| status.opened),
            ("streams_sent_away", "Clients that were told when to come back", |status| status.sent_away),
            ("streams_lagged", "Clients that fell behind the log", |status| status.lagged),
            ("streams_lag_disconnects", "Streams that the lag policy ended", |status| status.lag_disconnects),
        ];
        for (name, help, count) in counters {
            families.counters(name, help, self.each(|channel| count(&channel.status)))?;
        }
        families.counters(
            "resumes",
            "Streams that went on from an id, or from a start in the past",
            self.by("from", |channel| {
                let status = &channel.status;
                vec![
                    ("log", status.resumes_from_log),
                    ("broker", status.resumes_from_broker),
                    ("gap", status.resumes_with_gap),
                ]
            }),
        )?;
        let gaps = self.channels.iter().flat_map(|channel| {
            let [own] = channel.label();
            let all = [("channel", channel.status.channel_gaps), ("client", channel.status.gaps)];
            all.into_iter().flat_map(move |(whose, gaps)| {
                let labels = move |reason| [own, ("reason", reason), ("scope", whose)];
                gaps.by_reason().map(move |(reason, gaps)| (labels(reason.as_str()), gaps))
            })
        });
        families.counters("gaps", "Gap events, for all clients of the channel or for one", gaps)
    }

    fn backfills(&self, families: &mut Families<'_>) -> fmt::Result {
        let gauges: [Told<usize>; 3] = [
            ("backfill_readers", "Readers of the past that read now", |status| status.backfill_readers),
            ("backfill_readers_limit", "How many may read for the channel's source", |status| {
                status.backfill_readers_most
            }),
            ("backfill_waiting", "Pieces of the past that wait for a reader", |status| {
                status.backfill_waiting
            }),
        ];
        for (name, help, value) in gauges {
            families.gauges(name, help, self.each(|channel| value(&channel.status)))?;
        }
        families.counters(
            "backfill_segments",
            "Pieces of the past that were read",
            self.each(|channel| channel.status.backfill_segments),
        )
    }

    fn requests(&self, families: &mut Families<'_>) -> fmt::Result {
        const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        families.counters(
            "http_requests",
            "Requests to channels that were answered",
            self.by("code", |channel| iter::zip(CLASSES, channel.tally.answers).collect()),
        )?;
        families.counters(
            "published_messages",
            "Messages that clients published and the broker has",
            self.each(|channel| channel.tally.published),
        )?;
        families.counters(
            "publish_refusals",
            "Messages that clients were not let publish, or that the broker does not take",
            self.by("reason", |channel| {
                channel.tally.refused.iter().map(|(reason, count)| (reason.as_str(), *count)).collect()
            }),
        )?;
        families.counters(
            "publish_failures",
            "Messages that could not be published because of the broker",
            self.each(|channel| channel.tally.failed),
        )?;
        families.histograms(
            "publish_duration_seconds",
            "How long the broker took for published messages",
            self.each(|channel| histogram(&channel.tally.sink_time)),
        )
    }

    fn limits(&self, families: &mut Families<'_>) -> fmt::Result {
        let LimitsStatus { streams, connections, suspicion, .. } = &self.limits;
        let most = |room: &RoomStatus| room.most.map(|most| (NONE, most));
        families.gauges("streams_limit", "How many streams there may be, of all channels", most(streams))?;
        families.counters("streams_refused", "Streams that were over a limit", refused(streams))?;
        families.gauges("connections", "Open connections", [(NONE, connections.open)])?;
        families.gauges("connections_limit", "How many connections there may be", most(connections))?;
        families.counters(
            "connections_refused",
            "Connections that were over a limit",
            refused(connections),
        )?;
        families.gauges(
            "address_limits_off",
            "1 while limits per address are off, because a proxy that nobody has named forwards",
            [(NONE, usize::from(suspicion.is_some()))],
        )
    }

    fn process(&self, families: &mut Families<'_>) -> fmt::Result {
        families.gauges(
            "draining",
            "1 while it ends every stream to shut down",
            [(NONE, usize::from(self.draining))],
        )?;
        for (what, help, last) in [
            ("config", "configuration", Some(&self.configuration)),
            ("certificates", "certificates", self.certificates.as_ref()),
        ] {
            families.gauges(
                &format!("{what}_last_reload_successful"),
                &format!("Whether the {help} could be used when it was last read"),
                last.map(|last| (NONE, usize::from(last.succeeded))),
            )?;
            families.gauges(
                &format!("{what}_last_reload_success_timestamp_seconds"),
                &format!("When the {help} in use was read, in seconds since 1970"),
                last.map(|last| (NONE, seconds(last.in_use_since))),
            )?;
        }
        families.gauges(
            "build_info",
            "The version of the gateway, and 1",
            [([("version", env!("CARGO_PKG_VERSION"))], 1_usize)],
        )
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        self.upstreams(&mut families)?;
        self.events(&mut families)?;
        self.streams(&mut families)?;
        self.backfills(&mut families)?;
        self.requests(&mut families)?;
        self.limits(&mut families)?;
        self.process(&mut families)
    }
}

impl Channel {
    fn label(&self) -> Labels<'_, 1> {
        [("channel", &self.name)]
    }
}

fn refused(room: &RoomStatus) -> [(Labels<'static, 1>, u64); 3] {
    [
        ([("limit", "all")], room.refused),
        ([("limit", "address")], room.refused_by_address),
        ([("limit", "subject")], room.refused_by_subject),
    ]
}

fn histogram(times: &SinkTime) -> Histogram {
    let bounds = SinkTime::BOUNDS.iter().map(|bound| bound.as_secs_f64());
    let longer = times.count.saturating_sub(times.up_to.iter().sum());
    let buckets = bounds.zip(times.up_to).chain([(f64::INFINITY, longer)]).collect();
    Histogram { sum: times.sum.as_secs_f64(), count: times.count, buckets }
}
