//! What librdkafka is given for each kind of client, and what tells one configuration from another.

use std::{path::Path, sync::Arc, time::Duration};

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};
use tidewater_core::{Error, ErrorKind, Result, ShareKey};

use crate::{KIND, KafkaConfig, properties, token::Tokens};

/// The most bytes of a response, as they come from the broker.
const FETCH_BYTES: u64 = 1 << 20;

impl KafkaConfig {
    /// The brokers as librdkafka wants them.
    pub(crate) fn brokers(&self) -> String {
        self.brokers.join(",")
    }

    /// For the consumer of one subscription.
    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut client = self.base(&[
            ("group.id", "tidewater"),
            ("isolation.level", "read_committed"),
            // The bound on memory; the default is 64 MiB. With it the pause that librdkafka makes when the queue is
            // full has to shrink too, or a second goes by for every 8 MiB.
            ("queued.max.messages.kbytes", "8192"),
            ("fetch.queue.backoff.ms", "20"),
            ("topic.metadata.refresh.interval.ms", "10000"),
        ]);
        if !self.properties.contains_key("fetch.max.bytes") {
            // What is compressed unfolds beyond the bound: a response is queued whole. librdkafka wants it to be no
            // smaller than the largest message.
            let largest = self.properties.get("message.max.bytes").and_then(|bytes| bytes.parse().ok());
            client.set("fetch.max.bytes", largest.unwrap_or(0).max(FETCH_BYTES).to_string());
        }
        for (name, value) in [
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
        ] {
            client.set(name, value);
        }
        // librdkafka says in its debug log only that it has seen another topic id, and which partition was truncated
        // where (client::Events listens).
        let debug = match self.properties.get("debug") {
            Some(contexts) => format!("{contexts},metadata,topic"),
            None => "metadata,topic".to_owned(),
        };
        client.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
        client
    }

    /// For questions about topics and offsets. Without a group, it never looks for a coordinator.
    pub(crate) fn metadata(&self) -> ClientConfig {
        let mut client = self.base(&[("isolation.level", "read_committed")]);
        client.remove("group.id");
        client
    }

    /// For a producer.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut client = self.base(&[("enable.idempotence", "true")]);
        if !self.properties.contains_key("message.timeout.ms") {
            // The default of five minutes is longer than anybody waits for an answer.
            client.set("message.timeout.ms", "10000");
        }
        client
    }

    /// For a producer that writes in transactions. All with this id are one: the newest is the one that may write.
    pub(crate) fn transactional(&self, id: &str) -> ClientConfig {
        let mut client = self.producer();
        client.set("enable.idempotence", "true").set("transactional.id", id);
        client
    }

    /// How long a transaction may be open before the broker ends it.
    pub(crate) fn transaction_timeout(&self) -> Duration {
        let given = self.properties.get("transaction.timeout.ms").and_then(|ms| ms.parse().ok());
        // librdkafka's default.
        Duration::from_millis(given.unwrap_or(60_000))
    }

    /// Whether the user wants librdkafka's debug log.
    pub(crate) fn wants_debug(&self) -> bool {
        self.properties.contains_key("debug")
    }

    /// Whether tokens are wanted where they are given.
    ///
    /// # Errors
    /// [`ErrorKind::Config`].
    pub(crate) fn check(&self) -> Result<()> {
        let mechanism = self.properties.get("sasl.mechanisms").map(String::as_str);
        match (&self.tokens, mechanism) {
            (None, Some("OAUTHBEARER")) => Err(config(
                "sasl.mechanism is OAUTHBEARER, and there is no token provider: give one by \
                 KafkaConfig::with_token_provider; a URL can't"
                    .to_owned(),
            )),
            (Some(_), Some(other)) if other != "OAUTHBEARER" => Err(config(format!(
                "there is a token provider, and sasl.mechanism is {other:?}: leave it out, or make it OAUTHBEARER"
            ))),
            (Some(_), _)
                if !self
                    .properties
                    .get("security.protocol")
                    .is_some_and(|protocol| protocol.to_ascii_lowercase().starts_with("sasl")) =>
            {
                Err(config(
                    "there is a token provider, and security.protocol logs nobody in: make it sasl_ssl"
                        .to_owned(),
                ))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn tokens(&self) -> Option<&Arc<Tokens>> {
        self.tokens.as_ref()
    }

    /// Whether the other one differs in nothing but the topics.
    pub(crate) fn same_cluster(&self, other: &Self) -> bool {
        let provider = |this: &Self| this.tokens.as_ref().map(|tokens| tokens.id());
        (&self.brokers, &self.properties, provider(self))
            == (&other.brokers, &other.properties, provider(other))
    }

    /// The cluster, as its URL would be without topics.
    pub(crate) fn cluster_name(&self) -> String {
        format!("{KIND}://{}", self.brokers())
    }

    /// Everything that makes a source of this what it is.
    pub(crate) fn share_key(&self) -> ShareKey {
        let sorted = |names: &mut Vec<String>| {
            names.sort_unstable();
            names.join(",")
        };
        let mut topics = self.topics.iter().map(|topic| topic.to_string()).collect();
        let provider = self.tokens.as_ref().map_or_else(String::new, |tokens| tokens.id().to_string());
        let head = [sorted(&mut self.brokers.clone()), sorted(&mut topics), provider];
        let properties = self.properties.iter().flat_map(|(name, value)| [name.clone(), value.clone()]);
        ShareKey::new(KIND, head.into_iter().chain(properties))
    }

    /// The values of properties that must not be shown.
    pub(crate) fn secrets(&self) -> Arc<[String]> {
        let secret = |(name, _): &(&String, &String)| properties::may_be_secret(name);
        self.properties.iter().filter(secret).map(|(_, value)| value.clone()).collect()
    }

    /// The properties that name a file.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &Path)> {
        let files = self.properties.iter().filter(|(name, _)| name.ends_with(".location"));
        files.map(|(name, path)| (name.as_str(), Path::new(path)))
    }

    fn base(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut client = ClientConfig::new();
        if cfg!(feature = "vendored") && !self.properties.contains_key("ssl.ca.pem") {
            // The OpenSSL that is linked in has no certificates of its own: the system's are looked for.
            client.set("ssl.ca.location", "probe");
        }
        client
            .set("client.id", "tidewater")
            // A broker that is back is seen within two seconds, not ten.
            .set("reconnect.backoff.max.ms", "2000");
        if self.tokens.is_some() {
            client.set("sasl.mechanisms", "OAUTHBEARER");
        }
        for (name, value) in defaults {
            client.set(*name, *value);
        }
        for (name, value) in &self.properties {
            client.set(name, value);
        }
        client.set("bootstrap.servers", self.brokers());
        // Why a connection was lost is told no louder than this.
        client.set_log_level(if self.wants_debug() { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        client
    }
}

fn config(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenProvider;

    fn parse(url: &str) -> Result<KafkaConfig> {
        KafkaConfig::from_url(&url.parse()?)
    }

    #[test]
    fn what_is_reserved_is_set_whatever_the_properties_say() {
        let config = parse("kafka://a/t?group.id=mine&isolation.level=read_uncommitted&debug=fetch").unwrap();
        let consumer = config.consumer();
        for (name, value) in [
            ("group.id", "mine"),
            ("isolation.level", "read_uncommitted"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            ("queued.max.messages.kbytes", "8192"),
            ("debug", "fetch,metadata,topic"),
        ] {
            assert_eq!(consumer.get(name), Some(value), "{name}");
        }
        assert!(consumer.create_native_config().is_ok() && config.producer().create_native_config().is_ok());
    }

    #[test]
    fn a_response_is_small_but_no_smaller_than_a_message() {
        for (query, bytes) in [
            ("", "1048576"),
            ("?message.max.bytes=4000000", "4000000"),
            ("?message.max.bytes=1000", "1048576"),
            ("?fetch.max.bytes=2000000", "2000000"),
        ] {
            let client = parse(&format!("kafka://127.0.0.1:1/t{query}")).unwrap().consumer();
            assert_eq!(client.get("fetch.max.bytes"), Some(bytes), "{query}");
            assert!(client.create::<rdkafka::consumer::BaseConsumer>().is_ok(), "{query}");
        }
    }

    #[test]
    fn what_reads_the_same_is_shared_and_nothing_else() {
        let key = |url: &str| parse(url).unwrap().share_key();
        let one = key("kafka://a,b/t,u?sasl.password=x&client.id=web");
        assert_eq!(one, key("kafka://b,a/u,t?client.id=web&sasl.password=x"), "in any order");
        for other in [
            "kafka://a/t,u?sasl.password=x&client.id=web",
            "kafka://a,b/t?sasl.password=x&client.id=web",
            "kafka://a,b/t,u?sasl.password=y&client.id=web",
            "kafka://a,b/t,u?sasl.password=x",
        ] {
            assert_ne!(one, key(other), "{other}");
        }
        let provider = || -> Arc<dyn TokenProvider> { Arc::new(|| Err(config(String::new()))) };
        let with = |provider: &Arc<dyn TokenProvider>| {
            parse("kafka://a/t").unwrap().with_token_provider(provider.clone())
        };
        let (a, b) = (provider(), provider());
        let (one, same, other) = (with(&a), with(&a), with(&b));
        assert_eq!(one.share_key(), same.share_key());
        assert!(one.share_key() != other.share_key() && one.share_key() != key("kafka://a/t"));
    }

    #[test]
    fn tokens_are_wanted_where_they_are_given() {
        let error = tidewater_core::plugin::open_source(
            "kafka://a/t?sasl.mechanism=OAUTHBEARER&security.protocol=sasl_ssl",
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("with_token_provider"), "{error}");
        let provider: Arc<dyn TokenProvider> = Arc::new(|| Err(config(String::new())));
        let with = |url: &str| parse(url).unwrap().with_token_provider(provider.clone());
        let good = with("kafka://a/t?security.protocol=SASL_SSL");
        assert!(good.check().is_ok());
        assert_eq!(good.consumer().get("sasl.mechanisms"), Some("OAUTHBEARER"));
        assert_eq!(good, with("kafka://a/t?security.protocol=SASL_SSL"));
        assert_ne!(good, parse("kafka://a/t?security.protocol=SASL_SSL").unwrap());
        for (url, what) in [
            ("kafka://a/t", "security.protocol"),
            ("kafka://a/t?security.protocol=ssl", "security.protocol"),
            ("kafka://a/t?security.protocol=sasl_ssl&sasl.mechanism=PLAIN", "sasl.mechanism"),
        ] {
            let error = with(url).check().unwrap_err().to_string();
            assert!(error.contains(what), "{url}: {error}");
        }
    }
}
