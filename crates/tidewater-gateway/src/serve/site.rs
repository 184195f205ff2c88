//! What is served now: the channels and their settings, which a reload changes while streams go on.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::join_all;
use tidewater::{
    Channel, Error, Hub,
    http::{Authorizer, Cors, Endpoint, Limits, Observer, Propagator, Tally},
    plugin::open_source,
};

use super::{
    console::{self, Feed},
    gate::Gate,
    reload::Reloads,
    routes::{CHANNELS, Viewer},
};
use crate::{
    access::AccessLog,
    config::{self, Authorization, ChannelConfig, Config, CorsConfig, ProxiesConfig, ServerConfig},
    failure::Failure,
    trace::Traces,
};

/// Everything that the gateway answers. Each request looks at what holds then.
#[derive(Debug)]
pub(super) struct Site {
    hub: Hub,
    /// How the channels are, for the console.
    feed: Feed,
    /// Of all channels and listeners, and of all reloads: what is open stays counted.
    limits: Limits,
    access: AccessLog,
    traces: Traces,
    /// How many connections there may be.
    connections: usize,
    configuration: Reloads,
    certificates: Reloads,
    now: RwLock<Arc<Now>>,
}

/// What holds until the next reload.
#[derive(Debug)]
pub(super) struct Now {
    pub(super) channels: Vec<Served>,
    server: ServerConfig,
    cors_config: CorsConfig,
    /// For what is no channel.
    pub(super) cors: Cors,
    limits_config: config::Limits,
    proxies_config: ProxiesConfig,
    authorization: Authorization,
}

/// What all channels are served with.
struct Around<'a> {
    limits: &'a Limits,
    authorization: &'a Authorization,
    observers: Vec<Arc<dyn Observer>>,
    propagator: Option<Arc<dyn Propagator>>,
}

/// One channel that is served.
#[derive(Debug)]
pub(super) struct Served {
    endpoint: Endpoint,
    /// Where somebody says who may do what.
    gate: Option<Gate>,
    limits: Limits,
    /// Through all reloads.
    tally: Tally,
    config: ChannelConfig,
}

impl Site {
    /// Opens every channel, where there may be so many connections. A broker that can't be reached is no
    /// error: its channel is retried behind it.
    pub(super) fn open(
        config: Config,
        connections: usize,
        access: AccessLog,
        traces: Traces,
    ) -> Result<Self, Failure> {
        let hub = Hub::new();
        let limits = Limits::new(config.limits.config(connections), config.proxies.proxies()?);
        let around = Around {
            limits: &limits,
            authorization: &config.authorization,
            observers: observers(&access, &traces, &config.server),
            propagator: traces.propagator(),
        };
        let channels = config
            .channels
            .into_iter()
            .map(|channel| Served::open(&hub, &around, channel))
            .collect::<Result<_, _>>()?;
        let now = Now {
            channels,
            server: config.server,
            cors: config.cors.cors()?,
            cors_config: config.cors,
            limits_config: config.limits,
            proxies_config: config.proxies,
            authorization: config.authorization,
        };
        Ok(Self {
            hub,
            feed: Feed::open()?,
            limits,
            access,
            traces,
            connections,
            configuration: Reloads::default(),
            certificates: Reloads::default(),
            now: RwLock::new(Arc::new(now)),
        })
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Ends every stream, within that time.
    pub(super) async fn drain(&self) {
        let deadline = self.now().drain_timeout();
        tokio::join!(self.hub.drain(deadline), self.feed.hub().drain(deadline));
    }

    /// Waits until the sinks have all that was published, and as safe as they can keep it.
    pub(super) async fn flush(&self, limit: Duration) {
        let now = self.now();
        let flushes = now.channels.iter().filter_map(|served| {
            let sink = served.channel().sink()?;
            Some(async move {
                match tokio::time::timeout(limit, sink.flush()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(channel = served.name(), %error, "could not flush"),
                    Err(_) => tracing::warn!(channel = served.name(), "it took too long to flush"),
                }
            })
        });
        join_all(flushes).await;
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How reading the configuration went.
    pub(super) fn configuration(&self) -> &Reloads {
        &self.configuration
    }

    /// How reading the certificates went.
    pub(super) fn certificates(&self) -> &Reloads {
        &self.certificates
    }

    /// What holds now.
    pub(super) fn now(&self) -> Arc<Now> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The channel that this path is of, for whom it is asked.
    pub(super) fn endpoint(&self, viewer: Viewer, path: &str) -> Option<Endpoint> {
        if path == console::STATUS {
            return self.status(viewer);
        }
        let name = path.strip_prefix(CHANNELS)?.strip_prefix('/')?;
        // As all the frameworks have it.
        let name = name.strip_suffix('/').unwrap_or(name);
        self.now().channels.iter().find(|served| served.name() == name).map(|served| served.endpoint.clone())
    }

    /// The feed of the console, where there is a console.
    fn status(&self, viewer: Viewer) -> Option<Endpoint> {
        let now = self.now();
        if !now.has_console() {
            return None;
        }
        match viewer {
            Viewer::ChannelsOnly => None,
            // It answers when there is no room for clients any more.
            Viewer::Operator => Some(self.feed.for_operator()),
            Viewer::Anybody if now.authorizer().is_none() => {
                Some(self.feed.for_operator().limits(self.limits.clone()))
            }
            Viewer::Anybody => Some(self.feed.for_anybody(|| self.now()).limits(self.limits.clone())),
        }
    }

    /// Puts a new configuration in force, as far as that goes without ending streams of channels that stay. Those of
    /// channels that are gone are told to come back, and learn then that there is nothing.
    ///
    /// # Errors
    /// If a channel can't be opened: then everything is as it was.
    pub(super) fn reload(&self, new: Config) -> Result<Changes, Failure> {
        let old = self.now();
        let mut changes = Changes::default();
        changes.server(&old, &new);
        // What one that stays has found out (an issuer's keys, verdicts) stays known.
        let authorization = match old.authorization.is_same(&new.authorization) {
            true => old.authorization.clone(),
            false => new.authorization,
        };
        let around = Around {
            limits: &self.limits,
            authorization: &authorization,
            observers: observers(&self.access, &self.traces, &new.server),
            propagator: self.traces.propagator(),
        };
        let mut channels = Vec::new();
        for config in new.channels {
            let own = old.channels.iter().find(|served| served.name() == config.name);
            let opened = match own {
                Some(own) => own.reloaded(&around, config, &mut changes),
                None => {
                    changes.added.push(config.name.clone());
                    Served::open(&self.hub, &around, config)
                }
            };
            match opened {
                Ok(served) => channels.push(served),
                Err(failure) => {
                    for name in &changes.added {
                        self.hub.close(name);
                    }
                    return Err(failure);
                }
            }
        }
        let is_gone = |served: &&Served| !channels.iter().any(|other| other.name() == served.name());
        changes.removed =
            old.channels.iter().filter(is_gone).map(|served| served.name().to_owned()).collect();
        // The sockets stay as they are.
        let server = ServerConfig {
            listening: old.server.listening.clone(),
            drain_timeout: new.server.drain_timeout,
            console: new.server.console,
            access_log: new.server.access_log,
            metrics: new.server.metrics,
        };
        let cors = new.cors.cors()?;
        // What proxies were taken for stays known while they are the same.
        let proxies = match old.proxies_config == new.proxies {
            true => self.limits.proxies(),
            false => new.proxies.proxies()?,
        };
        self.limits.change(new.limits.config(self.connections), proxies);
        for served in &channels {
            if let Some(own) = &served.config.limits.publish {
                served.limits.change_publish(own.rate);
            }
        }
        let now = Now {
            channels,
            server,
            cors,
            cors_config: new.cors,
            limits_config: new.limits,
            proxies_config: new.proxies,
            authorization,
        };
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(now);
        // Nobody finds them any more.
        for name in &changes.removed {
            self.hub.close(name);
        }
        self.feed.grants_changed();
        let now = self.now();
        if !old.authorization.is_same(&now.authorization) || old.has_console() != now.has_console() {
            self.feed.operators_changed();
        }
        Ok(changes)
    }
}

impl Now {
    /// Who decides who may do what, if anybody does.
    pub(super) fn authorizer(&self) -> Option<&Arc<dyn Authorizer>> {
        self.authorization.authorizer()
    }

    /// Whether there is a console at `/`.
    pub(super) fn has_console(&self) -> bool {
        self.server.console
    }

    /// Whether there are metrics.
    pub(super) fn has_metrics(&self) -> bool {
        self.server.metrics
    }

    /// Whether it serves with certificates.
    #[cfg(feature = "tls")]
    pub(super) fn has_certificates(&self) -> bool {
        self.server.listening.tls.is_some()
    }

    /// It has no TLS.
    #[cfg(not(feature = "tls"))]
    pub(super) fn has_certificates(&self) -> bool {
        false
    }

    /// Where it listens.
    #[cfg(feature = "tls")]
    pub(super) fn listening(&self) -> &crate::config::Listening {
        &self.server.listening
    }

    /// How long streams may take to end at a shutdown.
    pub(super) fn drain_timeout(&self) -> Duration {
        self.server.drain_timeout
    }
}

impl Served {
    fn open(hub: &Hub, around: &Around<'_>, config: ChannelConfig) -> Result<Self, Failure> {
        let at = |error: Error| error.context(format!("channel {:?}", config.name));
        let mut builder = hub
            .channel(&config.name)
            .replay(config.replay)
            .lag(config.lag.own)
            .lag_choices(config.lag.choices.iter().copied())
            .prewarm(config.prewarm)
            .linger(config.linger)
            .heartbeat(config.heartbeat)
            .retry(config.retry)
            .start(config.start)
            .payload(config.payload)
            .event(config.event.clone())
            .log(config.log)
            .large_ids(config.large_ids)
            .backfill_readers(config.backfill_readers.get())
            .share_upstream(config.share_upstream);
        for source in &config.source {
            builder = builder.source(open_source(source.secret()).map_err(at)?);
        }
        // Also where nobody may publish now: a reload can allow it.
        if let Some(sink) = config.open_sink().map_err(at)? {
            builder = builder.sink(sink);
        }
        let limits = match &config.limits.publish {
            Some(own) => around.limits.with_publish(own.rate),
            None => around.limits.clone(),
        };
        Self::of(builder.open()?, limits, Tally::default(), around, config)
    }

    /// The same channel behind an endpoint of a new configuration.
    fn reloaded(
        &self,
        around: &Around<'_>,
        mut new: ChannelConfig,
        changes: &mut Changes,
    ) -> Result<Self, Failure> {
        let key = |key: &str| format!("channels.{}.{key}", new.name);
        changes.restart.extend(self.config.fixed_changes(&new).into_iter().map(key));
        let cannot_publish = new.publish && self.channel().sink().is_none();
        if cannot_publish {
            changes.restart.push(key("publish"));
        }
        new.publish &= !cannot_publish;
        let key = |key: &str| format!("channels.{}.{key}", new.name);
        changes.changed.extend(self.config.endpoint_changes(&new).into_iter().map(key));
        let limits = match (&self.config.limits.publish, &new.limits.publish) {
            (_, None) => around.limits.clone(),
            (None, Some(own)) => around.limits.with_publish(own.rate),
            // Whoever has used up a rate that stays has used it up. One that changes does so when all is well.
            (Some(_), Some(_)) => self.limits.clone(),
        };
        let (channel, tally) = (self.channel().clone(), self.tally.clone());
        Self::of(channel, limits, tally, around, self.config.with_endpoint_of(new))
    }

    fn of(
        channel: Channel,
        limits: Limits,
        tally: Tally,
        around: &Around<'_>,
        config: ChannelConfig,
    ) -> Result<Self, Failure> {
        let gate = around
            .authorization
            .authorizer()
            .map(|authorizer| Gate { public: config.public, authorizer: authorizer.clone() });
        if gate.is_none() && !config.public {
            // The configuration has been refused for it; never is it served open.
            return Err(Failure::usage(format_args!(
                "nobody says who may read the channel {:?}",
                config.name
            )));
        }
        let mut endpoint = Endpoint::new(channel)
            .cors(config.cors.cors()?)
            .publish(config.publish)
            .select_by(config.select.iter().copied())
            .compress(config.compress.0.iter().copied())
            .max_body(config.limits.bodies.size)
            .body_timeout(config.limits.bodies.time)
            .limits(limits.clone())
            .tally(tally.clone());
        if let Some(gate) = &gate {
            endpoint = endpoint.authorize(gate.clone());
        }
        for observer in &around.observers {
            endpoint = endpoint.observe(observer.clone());
        }
        if let Some(propagator) = &around.propagator {
            endpoint = endpoint.propagate(propagator.clone());
        }
        Ok(Self { endpoint, gate, limits, tally, config })
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// Who says who may do what, if anybody does.
    pub(super) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// Whether clients can publish at all.
    pub(super) fn publishes(&self) -> bool {
        self.config.publish
    }

    pub(super) fn channel(&self) -> &Channel {
        self.endpoint.channel()
    }

    /// What its endpoint counts.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// Who writes the access log, if there is to be one, and who makes traces.
fn observers(access: &AccessLog, traces: &Traces, server: &ServerConfig) -> Vec<Arc<dyn Observer>> {
    let access = server.access_log.0.map(|format| access.observer(format));
    access.into_iter().chain(traces.observer()).collect()
}

/// What a reload did, by channel and by key.
#[derive(Debug, Default)]
pub(super) struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
    /// What has to wait for a restart.
    pub(super) restart: Vec<String>,
}

impl Changes {
    fn server(&mut self, old: &Now, new: &Config) {
        let limits = old.limits_config.changes(&new.limits);
        self.changed.extend(limits.map(|key| format!("limits.{key}")));
        let fixed = old.server.listening.changes(&new.server.listening);
        self.restart.extend(fixed.map(|key| format!("server.{key}")));
        for (key, changed) in [
            ("server.drain_timeout", old.server.drain_timeout != new.server.drain_timeout),
            ("server.console", old.server.console != new.server.console),
            ("server.access_log", old.server.access_log != new.server.access_log),
            ("server.metrics", old.server.metrics != new.server.metrics),
            ("cors.origins", old.cors_config != new.cors),
            ("proxies", old.proxies_config != new.proxies),
            ("authorization", !old.authorization.is_same(&new.authorization)),
        ] {
            if changed {
                self.changed.push(key.to_owned());
            }
        }
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("channels added: ", &self.added),
            ("channels removed: ", &self.removed),
            ("changed: ", &self.changed),
            ("a restart is needed for: ", &self.restart),
        ];
        let told: Vec<_> = all
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what}{}", names.join(", ")))
            .collect();
        f.write_str(&if told.is_empty() { "nothing has changed".to_owned() } else { told.join("; ") })
    }
}
