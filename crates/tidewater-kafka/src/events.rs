//! What librdkafka tells about a client: errors, its log, and what only its log says.

use std::{
    borrow::Cow,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, UNIX_EPOCH},
};

use rdkafka::{
    ClientContext, client::OAuthToken, config::RDKafkaLogLevel as Level, consumer::ConsumerContext,
    error::KafkaError, types::RDKafkaErrorCode as Code,
};
use tidewater_core::ErrorKind;

use crate::{KafkaConfig, error, token::Tokens};

/// How long an error that says what is wrong isn't replaced by one that doesn't. librdkafka writes the same error
/// again after 30 seconds; and of two addresses of one name (`localhost`) the other may answer something else.
const TELLING: Duration = Duration::from_secs(60);

/// The shortest value that is blotted out: shorter ones would be found in every word.
const SECRET_MIN: usize = 4;

/// What one client has told. Clones are of the same client.
#[derive(Clone)]
pub(crate) struct Events(Arc<Shared>);

struct Shared {
    /// Whether the user wants librdkafka's debug log.
    debug: bool,
    /// Never written anywhere.
    secrets: Arc<[String]>,
    tokens: Option<Arc<Tokens>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whom the log is about.
    name: String,
    last: Option<Seen>,
    down: Option<Instant>,
    said: Vec<Code>,
    moved: Vec<(String, String)>,
    truncated: Vec<Truncation>,
}

/// Why something failed.
struct Seen {
    code: Code,
    reason: String,
    at: Instant,
    /// It came as an error, not only in the log.
    told: bool,
}

/// A partition's log was cut below what was read of it, and has grown on with other messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Truncation {
    pub(crate) topic: String,
    pub(crate) partition: usize,
    /// The first offset whose message is another one now.
    pub(crate) from: u64,
}

impl Events {
    /// Those of a client that is called so in the log.
    pub(crate) fn new(config: &KafkaConfig, name: String) -> Self {
        Self(Arc::new(Shared {
            debug: config.wants_debug(),
            secrets: config.secrets(),
            tokens: config.tokens().cloned(),
            state: Mutex::new(State { name, ..State::default() }),
        }))
    }

    /// Another subscription has the client.
    pub(crate) fn rename(&self, name: String) {
        self.state().name = name;
    }

    /// Whether all that the log has told has been taken.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.state();
        state.moved.is_empty() && state.truncated.is_empty()
    }

    /// The last error, as a person may read it.
    pub(crate) fn last(&self) -> Option<(Code, String)> {
        self.state().last.as_ref().map(|seen| (seen.code, seen.reason.clone()))
    }

    /// It works again: what is said once may be said once more.
    pub(crate) fn works(&self) {
        let mut state = self.state();
        state.down = None;
        if state.last.take().is_some_and(|seen| seen.told) {
            state.said.retain(|code| *code == Code::GroupAuthorizationFailed);
            tracing::info!(source = state.name, "Kafka answers again");
        }
    }

    /// Topics of which librdkafka has seen another id, with that id as its log writes it.
    pub(crate) fn take_moved(&self) -> Vec<(String, String)> {
        mem::take(&mut self.state().moved)
    }

    /// Partitions of which librdkafka has found that they were truncated.
    pub(crate) fn take_truncated(&self) -> Vec<Truncation> {
        mem::take(&mut self.state().truncated)
    }

    pub(crate) fn forget_down(&self) {
        let mut state = self.state();
        // A token that can't be had is told once, and nobody is asked anything without one.
        if !state.last.as_ref().is_some_and(|seen| error::no_token(&seen.reason)) {
            state.down = None;
        }
    }

    pub(crate) fn down_for(&self) -> Option<Duration> {
        self.state().down.map(|since| since.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text without what must not be shown.
    fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let without = |text: Cow<'a, str>, secret: &str| {
            if text.contains(secret) { text.replace(secret, "***").into() } else { text }
        };
        let secrets = self.0.secrets.iter().filter(|secret| secret.len() >= SECRET_MIN);
        let text = secrets.fold(Cow::Borrowed(text), |text, secret| without(text, secret));
        let token = self.0.tokens.as_ref().and_then(|tokens| tokens.with_current(str::to_owned));
        match token {
            Some(token) => without(text, &token),
            None => text,
        }
    }
}

impl State {
    /// Keeps what says most.
    fn see(&mut self, code: Code, reason: Cow<'_, str>, told: bool) {
        let (at, rank) = (Instant::now(), error::telling(code, &reason));
        let keep = self.last.as_ref().is_some_and(|seen| {
            rank < error::telling(seen.code, &seen.reason) && at.duration_since(seen.at) < TELLING
        });
        if !keep {
            self.last = Some(Seen { code, reason: reason.into_owned(), at, told });
        } else if let Some(seen) = &mut self.last {
            seen.told |= told;
        }
    }
}

impl ClientContext for Events {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let tokens = self.0.tokens.as_ref().ok_or("there is no token provider")?;
        let token = tokens.token()?;
        let lifetime_ms = token.expires().duration_since(UNIX_EPOCH)?.as_millis().try_into()?;
        let mut state = self.state();
        if state.last.as_ref().is_some_and(|seen| error::no_token(&seen.reason)) {
            (state.last, state.down) = (None, None);
            state.said.retain(|code| *code != Code::Authentication);
            tracing::info!(source = state.name, "there is a token again");
        }
        Ok(OAuthToken {
            token: token.value().to_owned(),
            principal_name: token.principal().to_owned(),
            lifetime_ms,
        })
    }

    fn log(&self, level: Level, facility: &str, message: &str) {
        let (source, message) = (self.state().name.clone(), self.clean(message));
        match level {
            // Said once, as an error: librdkafka writes these at every attempt. A connection that the other side
            // closes comes in the log alone.
            _ if matches!(facility, "FAIL" | "ERROR") => {
                tracing::debug!(source, facility, "{message}");
                if matches!(level, Level::Warning | Level::Notice | Level::Info) {
                    let reason = without_thread(&message);
                    self.state().see(Code::BrokerTransportFailure, reason.into(), false);
                }
            }
            // The steps to an error that is told as a whole.
            _ if facility == "SSL" && !matches!(level, Level::Debug) => {
                tracing::debug!(source, facility, "{message}")
            }
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(source, facility, "{message}");
            }
            Level::Warning => tracing::warn!(source, facility, "{message}"),
            Level::Notice | Level::Info => tracing::debug!(source, facility, "{message}"),
            Level::Debug => {
                if let Some((topic, id)) = moved(&message) {
                    self.state().moved.push((topic.to_owned(), id.to_owned()));
                } else if let Some(truncation) = truncated(&message) {
                    self.state().truncated.push(truncation);
                }
                if self.0.debug {
                    tracing::debug!(source, facility, "{message}");
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        // The end of a partition and a position outside of the log come as errors, and are none.
        if matches!(code, Code::PartitionEOF | Code::AutoOffsetReset) {
            return;
        }
        let reason = self.clean(reason);
        let no_token = error::no_token(&reason);
        let unavailable =
            self.0.tokens.as_ref().and_then(|tokens| tokens.failure()) == Some(ErrorKind::Unavailable);
        let code = if no_token && unavailable { Code::BrokerTransportFailure } else { code };
        let mut state = self.state();
        if code == Code::AllBrokersDown || no_token {
            state.down.get_or_insert_with(Instant::now);
        }
        if !state.said.contains(&code) {
            state.said.push(code);
            tracing::warn!(source = state.name, %code, "{reason}");
        }
        // Of the group that is never joined: it does no harm.
        if code != Code::GroupAuthorizationFailed {
            state.see(code, reason, true);
        }
    }
}

impl ConsumerContext for Events {}

/// The message of a log line, without "[thrd:…]: ".
fn without_thread(message: &str) -> &str {
    match message.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
        Some((_, message)) => message,
        None => message,
    }
}

/// Reads "Topic orders changed id from A to B". librdkafka writes it before it fetches from the new incarnation
/// (`rd_kafka_topic_metadata_update` in rdkafka_topic.c), and the consumer's queue keeps that order: whoever polls a
/// message of the new incarnation has been told before. A test on a real broker holds this.
fn moved(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("Topic ")?;
    let (topic, ids) = rest.split_once(" changed id from ")?;
    let (_, id) = ids.split_once(" to ")?;
    Some((topic, id.trim()))
}

/// Reads "orders [0]: offset reset (…) to …: Partition log truncation detected at offset 20 (leader epoch 1): broker
/// end offset is 10 (…)" (`rd_kafka_offset_reset` in rdkafka_offset.c). The error that comes with it names neither the
/// partition nor the offset.
fn truncated(message: &str) -> Option<Truncation> {
    let (place, rest) = message.split_once("]: offset reset (")?;
    let (topic, partition) = place.rsplit_once(" [")?;
    let (_, reason) = rest.split_once(": Partition log truncation detected at ")?;
    let (_, end) = reason.split_once("broker end offset is ")?;
    let end = end.split(' ').next()?.parse().ok()?;
    let topic = topic.rsplit(' ').next()?;
    Some(Truncation { topic: topic.to_owned(), partition: partition.parse().ok()?, from: end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_line_of_another_id_is_read() {
        let line =
            "[thrd:main]: Topic or.ders-1 changed id from AAAAAAAAAAAAAAAAAAAAAA to 3x_Kz-aBQZ2FQxJtTw0uHg";
        assert_eq!(moved(line), Some(("or.ders-1", "3x_Kz-aBQZ2FQxJtTw0uHg")));
        assert_eq!(moved("[thrd:main]: Topic orders partition 0 Leader 1 Epoch 0"), None);
    }

    #[test]
    fn the_log_line_of_a_truncation_is_read() {
        let line = "[thrd:main]: or.ders-1 [3]: offset reset (at offset INVALID (leader epoch 0), broker 2) to offset \
                    INVALID (leader epoch -1): Partition log truncation detected at offset 20 (leader epoch 0): \
                    broker end offset is 10 (offset leader epoch 0). Reset to INVALID.: Local: Partition log \
                    truncation detected";
        let wanted = Truncation { topic: "or.ders-1".to_owned(), partition: 3, from: 10 };
        assert_eq!(truncated(line), Some(wanted));
        let other =
            "[thrd:main]: orders [0]: offset reset (at offset 5, broker 1) to offset INVALID: fetch failed";
        assert_eq!(truncated(other), None);
    }

    fn events() -> Events {
        let config = KafkaConfig::new("a:9092", ["t"]).unwrap();
        Events::new(&config.with_property("sasl.password", "hunter2").unwrap(), "a".to_owned())
    }

    #[test]
    fn what_says_more_stays_until_it_works() {
        let events = events();
        let error = |code, reason| events.error(KafkaError::Global(code), reason);
        error(Code::AllBrokersDown, "1/1 brokers are down");
        assert!(events.down_for().is_some());
        events.log(
            Level::Info,
            "FAIL",
            "[thrd:localhost:1/bootstrap]: localhost:1/bootstrap: Disconnected: connection closed by peer: receive 0 \
             after POLLIN (after 3ms in state APIVERSION_QUERY)",
        );
        let (_, reason) = events.last().unwrap();
        assert!(reason.starts_with("localhost:1/bootstrap: Disconnected"), "{reason}");
        error(
            Code::Authentication,
            "SASL authentication error: Authentication failed: Invalid username or password",
        );
        error(Code::BrokerTransportFailure, "Connect to ipv6#[::1]:1 failed: Connection refused");
        error(Code::AllBrokersDown, "1/1 brokers are down");
        assert_eq!(events.last().unwrap().0, Code::Authentication);
        events.works();
        assert!(events.last().is_none() && events.down_for().is_none());
    }

    #[test]
    fn secrets_are_blotted_out() {
        let events = events();
        events.error(KafkaError::Global(Code::Authentication), "refused: hunter2, hunter2!");
        assert_eq!(events.last().unwrap().1, "refused: ***, ***!");
    }

    /// Keeps all that is logged.
    struct Log(Arc<Mutex<String>>);

    impl tracing::Subscriber for Log {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut log = self.0.lock().unwrap();
            event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                log.push_str(&format!("{field}={value:?} "));
            });
            log.push('\n');
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn librdkafkas_whole_debug_log_holds_no_secret() {
        let mut config = KafkaConfig::new("127.0.0.1:1", ["t"]).unwrap();
        for (name, value) in [
            ("debug", "all"),
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.username", "web"),
            ("sasl.password", "hunter2-password"),
            ("ssl.key.password", "hunter2-key"),
            ("sasl.oauthbearer.config", "hunter2-config"),
        ] {
            config = config.with_property(name, value).unwrap();
        }
        let log = Arc::new(Mutex::new(String::new()));
        tracing::subscriber::with_default(Log(log.clone()), || {
            for client in [config.metadata(), config.consumer()] {
                use rdkafka::consumer::{BaseConsumer, Consumer as _};
                let events = Events::new(&config, config.to_string());
                let client: BaseConsumer<Events> = client.create_with_context(events.clone()).unwrap();
                let deadline = Instant::now() + Duration::from_secs(20);
                while events.last().is_none() && Instant::now() < deadline {
                    client.poll(Duration::from_millis(50));
                    client.fetch_metadata(Some("t"), Duration::from_millis(50)).err();
                }
                assert!(events.last().is_some(), "nobody is there");
            }
        });
        let log = log.lock().unwrap();
        assert!(log.contains("sasl.mechanisms"), "the configuration is in the log: {log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
}
