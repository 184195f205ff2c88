//! What differs between a configuration that is in force and a new one.

use super::ChannelConfig;

impl ChannelConfig {
    /// The keys that belong to the channel itself, and have changed: it would have to be made anew.
    pub(crate) fn fixed_changes(&self, new: &Self) -> Vec<&'static str> {
        changed([
            ("source", self.source != new.source),
            ("sink", self.sink != new.sink),
            ("replay", self.replay != new.replay),
            ("lag", self.lag != new.lag),
            ("prewarm", self.prewarm != new.prewarm),
            ("linger", self.linger != new.linger),
            ("heartbeat", self.heartbeat != new.heartbeat),
            ("retry", self.retry != new.retry),
            ("start", self.start != new.start),
            ("payload", self.payload != new.payload),
            ("event", self.event != new.event),
            ("log", self.log != new.log),
            ("large_ids", self.large_ids != new.large_ids),
            ("backfill_readers", self.backfill_readers != new.backfill_readers),
            ("share_upstream", self.share_upstream != new.share_upstream),
        ])
    }

    /// The keys that belong to its endpoint, and have changed: they hold from the next request on.
    pub(crate) fn endpoint_changes(&self, new: &Self) -> Vec<&'static str> {
        changed([
            ("publish", self.publish != new.publish),
            ("public", self.public != new.public),
            ("select", self.select != new.select),
            ("compress", self.compress != new.compress),
            ("cors.origins", self.cors != new.cors),
            ("limits.publish", self.limits.publish != new.limits.publish),
            ("limits.max_body", self.limits.bodies.size != new.limits.bodies.size),
            ("limits.body_timeout", self.limits.bodies.time != new.limits.bodies.time),
        ])
    }

    /// This channel with the endpoint of another.
    pub(crate) fn with_endpoint_of(&self, new: Self) -> Self {
        Self {
            publish: new.publish,
            public: new.public,
            select: new.select,
            compress: new.compress,
            cors: new.cors,
            limits: new.limits,
            ..self.clone()
        }
    }
}

fn changed<const N: usize>(keys: [(&'static str, bool); N]) -> Vec<&'static str> {
    keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}
