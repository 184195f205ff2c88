//! What is read: brokers, topics, and librdkafka's properties.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use tidewater_core::{Error, ErrorKind, Result, SourceUrl, TopicName};

use crate::{KIND, KafkaSink, KafkaSource, TokenProvider, properties, token::Tokens};

/// Brokers, topics, and properties of librdkafka.
///
/// ```
/// use tidewater_kafka::KafkaConfig;
///
/// let config = KafkaConfig::new("a:9092,b:9092", ["orders", "payments"])?
///     .with_property("security.protocol", "plaintext")?;
/// assert_eq!(config.to_string(), "kafka://a:9092,b:9092/orders,payments");
///
/// let error = KafkaConfig::new("a:9092", ["orders"])?.with_property("enable.auto.commit", "true").unwrap_err();
/// assert!(error.to_string().contains("nothing is ever committed"), "{error}");
/// # Ok::<(), tidewater_core::Error>(())
/// ```
///
/// Neither `Display` nor `Debug` shows the value of a property: it may be a secret.
#[derive(Clone)]
pub struct KafkaConfig {
    pub(crate) brokers: Vec<String>,
    pub(crate) topics: Vec<TopicName>,
    /// By librdkafka's names, each checked.
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// Where writers keep their positions.
    positions: TopicName,
}

/// Where writers keep their positions, unless told otherwise.
const POSITIONS: &str = "__tidewater_positions";

impl KafkaConfig {
    /// Topics at the cluster that these brokers (`host:port`, separated by commas) belong to.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for no broker, no topic, or one that can't be.
    pub fn new<T: Into<TopicName>>(brokers: &str, topics: impl IntoIterator<Item = T>) -> Result<Self> {
        Ok(Self {
            brokers: parse_brokers(brokers)?,
            topics: check_topics(topics.into_iter().map(Into::into).collect())?,
            properties: BTreeMap::new(),
            tokens: None,
            positions: POSITIONS.into(),
        })
    }

    /// Topics at the brokers that a file of properties names (`bootstrap.servers`), with all that is in it.
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`with_properties_file`](Self::with_properties_file).
    pub fn from_properties_file<T: Into<TopicName>>(
        path: impl AsRef<Path>,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Self> {
        let topics = check_topics(topics.into_iter().map(Into::into).collect())?;
        let (properties, positions) = (BTreeMap::new(), POSITIONS.into());
        let this = Self { brokers: Vec::new(), topics, properties, tokens: None, positions };
        this.with_properties_file(path)
    }

    /// What a URL says: `kafka://a:9092,b:9092/topic1,topic2?property=value`, percent-decoded. The parameter `config`
    /// is the path of a [file of properties](Self::with_properties_file), which may name the brokers too:
    /// `kafka:///topic?config=client.properties`; the parameter `positions` is the topic of
    /// [`with_positions`](Self::with_positions).
    ///
    /// # Errors
    /// As [`new`](Self::new), [`with_property`](Self::with_property) and
    /// [`with_properties_file`](Self::with_properties_file).
    pub fn from_url(url: &SourceUrl) -> Result<Self> {
        let path = url.decoded_path()?;
        let mut params = url.params()?;
        let (file, positions) = (params.take("config"), params.take("positions"));
        if path.is_empty() || (url.authority().is_empty() && file.is_none()) {
            return Err(config(format!(
                "{url} names {}: write kafka://host:9092/topic",
                if path.is_empty() { "no topic" } else { "no broker" }
            )));
        }
        let mut this = match &file {
            Some(file) if url.authority().is_empty() => Self::from_properties_file(file, path.split(','))?,
            Some(file) => Self::new(url.authority(), path.split(','))?.with_properties_file(file)?,
            None => Self::new(url.authority(), path.split(','))?,
        };
        for (name, value) in params.rest() {
            this = this.with_property(name, value)?;
        }
        match positions {
            Some(topic) => this.with_positions(topic),
            None => Ok(this),
        }
    }

    /// The same with another topic than `__tidewater_positions` for the positions of writers that write each message
    /// once ([`Sink::exactly_once`](tidewater_core::Sink::exactly_once)). It is made when it is first needed, compacted,
    /// if it isn't there.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a name that no topic can have.
    pub fn with_positions(mut self, topic: impl Into<TopicName>) -> Result<Self> {
        self.positions = check_topics(vec![topic.into()])?.swap_remove(0);
        Ok(self)
    }

    /// The topic of positions in place of these topics.
    pub(crate) fn at_positions(&self) -> Self {
        Self { topics: vec![self.positions.clone()], ..self.clone() }
    }

    /// The same with one of librdkafka's properties; one that was there is replaced.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a property that is reserved (and why), that librdkafka doesn't know, or whose value
    /// it refuses.
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Result<Self> {
        let (name, value) = (name.into(), value.into());
        properties::check(&name, &value)?;
        self.properties.insert(properties::canonical(&name).to_owned(), value);
        Ok(self)
    }

    /// The same with the properties of a file, as librdkafka's other tools read it: `name=value` lines, `#` comments.
    /// `${NAME}` in a value is the environment variable of that name ([`expand`](tidewater_core::plugin::expand)).
    /// What this already has is kept, brokers too: the file says what was left open.
    ///
    /// The file is read once, here, of at most 1 MiB; this blocks for as long as the disk does.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with path and line and without a value: a file that can't be read, a line that is no
    /// property, and all that [`with_property`](Self::with_property) refuses.
    pub fn with_properties_file(mut self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        for (name, value) in properties::read(path)? {
            if !properties::BROKERS.contains(&&*name) {
                self.properties.entry(name).or_insert(value);
            } else if self.brokers.is_empty() {
                self.brokers =
                    parse_brokers(&value).map_err(|error| error.context(path.display().to_string()))?;
            }
        }
        if self.brokers.is_empty() {
            return Err(config(format!(
                "{} names no broker: write bootstrap.servers=host:9092 in it, or kafka://host:9092/topic",
                path.display()
            )));
        }
        Ok(self)
    }

    /// The same with a provider of the tokens for SASL/OAUTHBEARER; `sasl.mechanism` need not be given then. Clients
    /// whose provider is the same `Arc` share its tokens.
    ///
    /// Amazon MSK with IAM, for example: the crate `aws-msk-iam-sasl-signer` signs, and the runtime that runs the
    /// application does the waiting.
    ///
    /// ```
    /// # mod aws_msk_iam_sasl_signer {
    /// #     pub async fn generate_auth_token(_: &str) -> Result<(String, i64), std::io::Error> {
    /// #         Ok(("signed".to_owned(), 4_102_444_800_000))
    /// #     }
    /// # }
    /// use std::{sync::Arc, time::{Duration, UNIX_EPOCH}};
    /// use tidewater_core::{Error, ErrorKind};
    /// use tidewater_kafka::{KafkaConfig, Token};
    ///
    /// # #[tokio::main(flavor = "multi_thread")] async fn main() -> Result<(), Error> {
    /// let runtime = tokio::runtime::Handle::current();
    /// let provider = move || {
    ///     let signed = aws_msk_iam_sasl_signer::generate_auth_token("eu-central-1");
    ///     let (token, expires_ms) = runtime
    ///         .block_on(signed)
    ///         .map_err(|error| Error::new(ErrorKind::Unavailable, "no signature for MSK").with_source(error))?;
    ///     Ok(Token::new(token, "web", UNIX_EPOCH + Duration::from_millis(expires_ms as u64)))
    /// };
    /// let source = KafkaConfig::new("b-1.example:9098", ["orders"])?
    ///     .with_property("security.protocol", "sasl_ssl")?
    ///     .with_token_provider(Arc::new(provider))
    ///     .source();
    /// # Ok(()) }
    /// ```
    pub fn with_token_provider(mut self, provider: Arc<dyn TokenProvider>) -> Self {
        self.tokens = Some(Tokens::of(provider));
        self
    }

    /// The source of these topics. Nothing is connected yet.
    pub fn source(self) -> KafkaSource {
        KafkaSource::new(self)
    }

    /// The sink of this topic. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there are several.
    pub fn sink(self) -> Result<KafkaSink> {
        KafkaSink::new(self)
    }

    /// The topics.
    pub fn topics(&self) -> &[TopicName] {
        &self.topics
    }
}

impl PartialEq for KafkaConfig {
    fn eq(&self, other: &Self) -> bool {
        self.topics == other.topics && self.same_cluster(other)
    }
}

impl Eq for KafkaConfig {}

impl fmt::Display for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}://{}/", self.brokers())?;
        for (index, topic) in self.topics.iter().enumerate() {
            write!(f, "{}{topic}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("url", &format_args!("{self}"))
            .field("properties", &self.properties.keys())
            .field("token_provider", &self.tokens.is_some())
            .finish()
    }
}

fn config(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

fn parse_brokers(brokers: &str) -> Result<Vec<String>> {
    if brokers.contains('@') {
        return Err(config(
            "a broker is host:port, without a user or a password: give them as the properties sasl.username and \
             sasl.password"
                .to_owned(),
        ));
    }
    brokers
        .split(',')
        .map(|broker| {
            let (host, port) = match broker.rsplit_once(':') {
                Some((host, port)) if !broker.ends_with(']') => (host, Some(port)),
                _ => (broker, None),
            };
            let port_ok = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
            if host.is_empty() || !port_ok {
                return Err(config(format!("{broker:?} (in {brokers:?}) is not a broker: write host:port")));
            }
            Ok(broker.to_owned())
        })
        .collect()
}

/// The rule is Kafka's own (`org.apache.kafka.common.internals.Topic`).
fn check_topics(topics: Vec<TopicName>) -> Result<Vec<TopicName>> {
    if topics.is_empty() {
        return Err(config("no topic is named: write kafka://host:9092/topic".to_owned()));
    }
    for (index, topic) in topics.iter().enumerate() {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if topic.is_empty()
            || topic.len() > 249
            || [".", ".."].contains(&&**topic)
            || !topic.bytes().all(legal)
        {
            return Err(config(format!(
                "{topic:?} is not a name of a topic: at most 249 of the letters A to Z and a to z, digits, \".\", \"_\" and \"-\""
            )));
        }
        if topics[..index].contains(topic) {
            return Err(config(format!("the topic {topic:?} is named twice")));
        }
    }
    Ok(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<KafkaConfig> {
        KafkaConfig::from_url(&url.parse()?)
    }

    #[test]
    fn a_url_is_read_whole() {
        let config =
            parse("kafka://a:9092,[::1]:9093,c/orders,pay%2Dments?client.id=web%201&sasl.password=hunter2")
                .unwrap();
        assert_eq!(config.brokers(), "a:9092,[::1]:9093,c");
        assert_eq!(config.topics(), [TopicName::new("orders"), TopicName::new("pay-ments")]);
        assert_eq!(config.consumer().get("client.id"), Some("web 1"));
        assert_eq!(config.consumer().get("group.id"), Some("tidewater"));
        assert_eq!(config.metadata().get("group.id"), None);
        assert_eq!(config.to_string(), "kafka://a:9092,[::1]:9093,c/orders,pay-ments");
        assert_eq!(config.at_positions().topics(), [TopicName::new("__tidewater_positions")]);
        let other = parse("kafka://a/t?positions=ours").unwrap();
        assert_eq!(other.at_positions().topics(), [TopicName::new("ours")]);
        let shown = format!("{config} {config:?} {:?}", config.clone().source());
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn malformed_urls_say_what_is_wrong() {
        for (url, what) in [
            ("kafka://a:9092", "no topic"),
            ("kafka:orders", "no broker"),
            ("kafka:///orders", "no broker"),
            ("kafka:///orders?config=/nowhere", "/nowhere"),
            ("kafka://a:9092/", "no topic"),
            ("kafka://a:9092,/orders", "is not a broker"),
            ("kafka://a:port/orders", "is not a broker"),
            ("kafka://a:0/orders", "is not a broker"),
            ("kafka://me:hunter2@a:9092/orders", "sasl.password"),
            ("kafka://a:9092/orders,", "\"\" is not a name of a topic"),
            ("kafka://a:9092/or%20ders", "is not a name of a topic"),
            ("kafka://a:9092/.", "is not a name of a topic"),
            ("kafka://a:9092/a,b,a", "twice"),
            ("kafka://a:9092/orders?client.id", "no value"),
            ("kafka://a:9092/orders?positions=a%20b", "is not a name of a topic"),
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(error.to_string().contains(what), "{url}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{url}: {error}");
        }
        let long = format!("kafka://a/{}", "x".repeat(250));
        assert!(parse(&long).is_err());
    }

    #[test]
    fn reserved_properties_are_refused_by_name_with_the_reason() {
        for (name, why) in [
            ("bootstrap.servers", "before the topics"),
            ("enable.auto.commit", "committed"),
            ("enable.auto.offset.store", "committed"),
            ("auto.offset.reset", "gap"),
            ("enable.partition.eof", "end of a partition"),
            ("group.instance.id", "group"),
            ("partition.assignment.strategy", "group"),
            ("transactional.id", "transactions"),
            ("plugin.library.paths", "foreign code"),
            ("allow.auto.create.topics", "make it again"),
        ] {
            let error = parse(&format!("kafka://a/t?{name}=x")).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn properties_that_librdkafka_refuses_are_named_without_secrets() {
        for (query, what) in [
            ("clent.id=x", "clent.id"),
            ("fetch.min.bytes=many", "fetch.min.bytes"),
            ("isolation.level=serializable", "isolation.level"),
            ("topic.metadata.refresh.interval.ms=60000", "1 to 10000"),
            ("topic.metadata.refresh.interval.ms=-1", "1 to 10000"),
        ] {
            let error = parse(&format!("kafka://a/t?{query}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{query}");
            assert!(error.to_string().contains(what), "{query}: {error}");
        }
        let error = parse("kafka://a/t?saslpassword=hunter2").unwrap_err().to_string();
        assert!(error.contains("saslpassword") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_file_says_what_the_url_leaves_open() {
        let path = std::env::temp_dir().join(format!("tidewater-client-{}.properties", std::process::id()));
        let text =
            "bootstrap.servers=b:9092,c\nsasl.mechanism=PLAIN\nsasl.password=hunter2\nclient.id=file\n";
        std::fs::write(&path, text).unwrap();
        let from_file = parse(&format!("kafka:///t?config={}", path.display())).unwrap();
        assert_eq!(from_file.to_string(), "kafka://b:9092,c/t");
        assert_eq!(from_file.consumer().get("sasl.password"), Some("hunter2"));
        let url = format!("kafka://a:9092/t?config={}&client.id=url&sasl.mechanisms=GSSAPI", path.display());
        let both = parse(&url).unwrap();
        assert_eq!(both.to_string(), "kafka://a:9092/t");
        for (name, value) in
            [("client.id", "url"), ("sasl.mechanisms", "GSSAPI"), ("sasl.password", "hunter2")]
        {
            assert_eq!(both.consumer().get(name), Some(value), "{name}");
        }
        assert!(!format!("{both:?} {both}").contains("hunter2"));
        std::fs::write(&path, "client.id=file\n").unwrap();
        let error = parse(&format!("kafka:///t?config={}", path.display())).unwrap_err().to_string();
        assert!(error.contains("names no broker"), "{error}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_plugin_is_registered() {
        let source = tidewater_core::plugin::open_source("kafka://a:9092/orders").unwrap();
        assert_eq!((source.kind(), source.to_string().as_str()), (KIND, "kafka://a:9092/orders"));
        assert!(tidewater_core::plugin::open_sink("kafka://a:9092/orders").is_ok());
        let error =
            tidewater_core::plugin::open_sink("kafka://a:9092/orders,payments").unwrap_err().to_string();
        assert!(error.contains("one topic"), "{error}");
    }
}
