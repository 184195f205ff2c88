//! librdkafka's properties: which can't be set, which are secrets, and the file they may stand in.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use rdkafka::{ClientConfig, error::KafkaError};
use tidewater_core::{Error, ErrorKind, Result, plugin};

/// How often metadata is refreshed at the least, in milliseconds: bounds how late a new partition is read.
const METADATA_REFRESH_MS: u64 = 10_000;

/// The largest file of properties, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// The brokers, in a file; elsewhere they stand before the topics.
pub(crate) const BROKERS: &[&str] = &["bootstrap.servers", "metadata.broker.list"];

/// Properties that can't be set, with the reason.
const RESERVED: &[(&[&str], &str)] = &[
    (BROKERS, "the brokers stand before the topics: kafka://host:9092/topic"),
    (
        &[
            "enable.auto.commit",
            "auto.commit.enable",
            "auto.commit.interval.ms",
            "enable.auto.offset.store",
            "offset.store.method",
            "offset.store.path",
            "offset.store.sync.interval.ms",
        ],
        "nothing is ever committed: each client brings its own position",
    ),
    (
        &[
            "group.instance.id",
            "group.protocol",
            "group.protocol.type",
            "group.remote.assignor",
            "partition.assignment.strategy",
            "session.timeout.ms",
            "heartbeat.interval.ms",
            "max.poll.interval.ms",
        ],
        "no consumer group is ever joined: every node reads every partition",
    ),
    (
        &["auto.offset.reset"],
        "it would skip messages without a word; where to start is the channel's setting, and what is missing is told as a gap",
    ),
    (&["enable.partition.eof"], "the end of a partition has to be seen"),
    (&["allow.auto.create.topics"], "to look at a topic that was removed would make it again"),
    (
        &["transactional.id"],
        "single messages are sent outside of transactions, and a writer that writes each once (exactly_once) has its own",
    ),
    (&["plugin.library.paths"], "it would load foreign code into this process"),
    (&["log.queue", "enable.random.seed"], "it is set by this crate"),
    (
        &["enable.sasl.oauthbearer.unsecure.jwt"],
        "its token proves nothing and is not renewed here; give a token provider (KafkaConfig::with_token_provider)",
    ),
];

/// What other clients call it, Kafka's own for Java above all, and what to write here.
const FOREIGN: &[(&[&str], &str)] = &[
    (&["sasl.jaas.config"], "write sasl.username=… and sasl.password=… instead"),
    (
        &["ssl.truststore.location", "ssl.truststore.password", "ssl.truststore.type"],
        "write ssl.ca.location=…, a PEM file of the certificates to trust, instead \
         (keytool -exportcert -rfc -keystore … writes one)",
    ),
    (&["ssl.truststore.certificates"], "write ssl.ca.pem=… instead"),
    (&["ssl.keystore.certificate.chain"], "write ssl.certificate.pem=… instead"),
    (&["ssl.keystore.key"], "write ssl.key.pem=… instead"),
    (
        &["ssl.keystore.type"],
        "leave it out: ssl.keystore.location is a PKCS#12 file; for PEM files write ssl.certificate.location and \
         ssl.key.location",
    ),
    (
        &["sasl.login.callback.handler.class", "sasl.client.callback.handler.class", "sasl.login.class"],
        "a class of Java's can't be called; give a token provider (KafkaConfig::with_token_provider)",
    ),
    (
        &["key.deserializer", "value.deserializer", "key.serializer", "value.serializer"],
        "leave it out: keys and values are bytes here",
    ),
    (
        &[
            "max.poll.records",
            "interceptor.classes",
            "metric.reporters",
            "security.providers",
            "ssl.protocol",
            "ssl.enabled.protocols",
            "exclude.internal.topics",
            "max.block.ms",
            "schema.registry.url",
            "basic.auth.credentials.source",
            "basic.auth.user.info",
        ],
        "leave it out",
    ),
    (&["fetch.max.wait.ms"], "write fetch.wait.max.ms=… instead"),
    (&["receive.buffer.bytes"], "write socket.receive.buffer.bytes=… instead"),
    (&["send.buffer.bytes"], "write socket.send.buffer.bytes=… instead"),
    (&["buffer.memory"], "write queue.buffering.max.kbytes=… instead"),
];

/// librdkafka has two names for some properties: one here, so that what is given once is there once.
const ALIASES: &[(&str, &str)] = &[
    ("sasl.mechanism", "sasl.mechanisms"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("retries", "message.send.max.retries"),
    ("compression.type", "compression.codec"),
    ("acks", "request.required.acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
];

/// The one name of a property.
pub(crate) fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

/// Whether this property may be set to this value.
///
/// # Errors
/// [`ErrorKind::Config`], with the reason and without the value where that may be a secret.
pub(crate) fn check(name: &str, value: &str) -> Result<()> {
    if let Some((_, why)) = RESERVED.iter().find(|(names, _)| names.contains(&name)) {
        return Err(config(format!("the property {name:?} can't be set: {why}")));
    }
    if let Some((_, instead)) = FOREIGN.iter().find(|(names, _)| names.contains(&name)) {
        return Err(config(format!("the property {name:?} is not librdkafka's: {instead}")));
    }
    if name.contains('\0') || value.contains('\0') {
        return Err(config(format!("the property {name:?} holds a NUL")));
    }
    if name == "ssl.keystore.location" && value.to_ascii_lowercase().ends_with(".jks") {
        return Err(config(format!(
            "the property {name:?} names a JKS file, and a PKCS#12 file is wanted: \
             keytool -importkeystore -srckeystore … -destkeystore … -deststoretype PKCS12 makes one"
        )));
    }
    if name == "sasl.oauthbearer.method" && value.eq_ignore_ascii_case("oidc") {
        return Err(config(format!(
            "the property {name:?} can't be \"oidc\": librdkafka is built without curl here; give a token provider \
             (KafkaConfig::with_token_provider)"
        )));
    }
    if name == "topic.metadata.refresh.interval.ms"
        && !value.parse::<u64>().is_ok_and(|ms| (1..=METADATA_REFRESH_MS).contains(&ms))
    {
        return Err(config(format!(
            "the property {name:?} is 1 to {METADATA_REFRESH_MS} here, not {value:?}: new partitions are found by it"
        )));
    }
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, description, ..))
            if description.starts_with("No such configuration") =>
        {
            Err(config(format!("librdkafka knows no property {name:?}")))
        }
        Err(KafkaError::ClientConfig(_, description, ..))
            if !may_be_secret(name) || description.contains("not supported in this build") =>
        {
            Err(config(format!("librdkafka refuses the property {name:?}: {description}")))
        }
        Err(_) => Err(config(format!("librdkafka refuses the value of the property {name:?}"))),
    }
}

/// Whether the value of a property must not be shown. Rather one too many.
pub(crate) fn may_be_secret(name: &str) -> bool {
    let a_path = name.ends_with(".location") || name.ends_with(".file");
    let parts = [
        "password",
        "secret",
        "pem",
        "key",
        "token",
        "jaas",
        "config",
        "assertion",
        "proxy",
        "kinit",
        "user.info",
    ];
    !a_path && parts.iter().any(|part| name.contains(part))
}

/// Reads librdkafka's `name=value` lines: `#` begins a comment, empty lines don't count, `${NAME}` in a value is an
/// environment variable. Blocks for as long as the disk does.
///
/// # Errors
/// [`ErrorKind::Config`] with the path, and with the line: what can't be read or is larger than 1 MiB, a line without
/// `=`, a property that is given twice, and as [`check`], but that brokers are taken.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>> {
    let text =
        load(path).map_err(|error| config(format!("the properties file {path:?} can't be read: {error}")))?;
    parse(&text).map_err(|(line, error)| error.context(format!("{} line {line}", path.display())))
}

fn load(path: &Path) -> io::Result<String> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
    // Looked at before it is opened: to open a pipe waits for whoever writes to it.
    let kind = std::fs::metadata(path)?;
    if kind.is_dir() {
        return Err(invalid("it is a directory"));
    }
    if !kind.is_file() {
        return Err(invalid("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(invalid("it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8"))
}

fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, Error)> {
    let mut all: Vec<(usize, String, String)> = Vec::new();
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |error: Error| (number, error);
        // Not shown: it may be the rest of a secret.
        let (name, value) =
            line.split_once('=').ok_or_else(|| fault(config("it is not NAME=VALUE".to_owned())))?;
        let (name, value) = (name.trim(), value.trim());
        let value =
            plugin::expand(value).map_err(|error| fault(error.context(format!("the property {name:?}"))))?;
        if !BROKERS.contains(&name) {
            check(name, &value).map_err(fault)?;
        }
        let name = canonical(name);
        if let Some((other, ..)) = all.iter().find(|(_, other, _)| other == name) {
            return Err(fault(config(format!("the property {name:?} is given twice: in line {other} too"))));
        }
        all.push((number, name.to_owned(), value));
    }
    Ok(all.into_iter().map(|(_, name, value)| (name, value)).collect())
}

fn config(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (usize, String) {
        let (line, error) = parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        (line, error.to_string())
    }

    #[test]
    fn lines_comments_and_variables_are_read() {
        let path = std::env::var("PATH").unwrap();
        let text = "\u{feff}# a comment\r\n\r\n client.id = web 1 \r\nsasl.password=a=b#c\n\
                    ssl.ca.location=${PATH}\nsasl.mechanism=PLAIN\nbootstrap.servers=a:9092\n";
        let wanted = [
            ("client.id", "web 1"),
            ("sasl.password", "a=b#c"),
            ("ssl.ca.location", path.as_str()),
            ("sasl.mechanisms", "PLAIN"),
            ("bootstrap.servers", "a:9092"),
        ];
        let wanted: Vec<_> = wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(parse(text).unwrap(), wanted);
    }

    #[test]
    fn a_fault_is_told_with_its_line_and_without_a_secret() {
        for (text, line, what) in [
            ("#\nclient.id=x\nhunter2", 3, "NAME=VALUE"),
            ("clent.id=hunter2", 1, "no property \"clent.id\""),
            ("\nenable.auto.commit=hunter2", 2, "nothing is ever committed"),
            ("sasl.password=${TIDEWATER_NO_SUCH_THING}hunter2", 1, "TIDEWATER_NO_SUCH_THING is not set"),
            ("sasl.mechanism=PLAIN\nsasl.mechanisms=PLAIN", 2, "in line 1 too"),
            ("fetch.min.bytes=many", 1, "fetch.min.bytes"),
            ("=hunter2", 1, "no property \"\""),
        ] {
            let (at, error) = fault(text);
            assert_eq!(at, line, "{text}");
            assert!(error.contains(what) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn what_java_calls_otherwise_is_answered_with_librdkafkas_name() {
        for (text, what) in [
            ("sasl.jaas.config=org.apache…ScramLoginModule required password=\"hunter2\";", "sasl.password"),
            ("ssl.truststore.location=/etc/trust.jks", "ssl.ca.location"),
            ("ssl.truststore.password=hunter2", "ssl.ca.location"),
            ("ssl.keystore.location=/etc/hunter2.JKS", "PKCS#12"),
            ("ssl.keystore.type=PEM", "ssl.certificate.location"),
            ("key.deserializer=org.apache.kafka.Hunter", "leave it out"),
            ("sasl.login.callback.handler.class=software.amazon.msk", "token provider"),
            ("sasl.oauthbearer.method=oidc", "curl"),
            ("sasl.oauthbearer.client.secret=hunter2", "libcurl"),
            ("enable.sasl.oauthbearer.unsecure.jwt=true", "token provider"),
        ] {
            let (_, error) = fault(text);
            assert!(error.contains(what) && !error.contains("hunter2"), "{text}: {error}");
        }
        for (names, _) in FOREIGN {
            for name in *names {
                assert!(
                    ClientConfig::new().set(*name, "1").create_native_config().is_err(),
                    "{name} is known"
                );
            }
        }
        for (alias, name) in ALIASES {
            for name in [alias, name] {
                let refused = ClientConfig::new().set(*name, "\u{1}").create_native_config();
                let unknown = refused.err().is_some_and(|error| error.to_string().contains("No such"));
                assert!(!unknown, "{name} is not known");
            }
        }
    }

    #[test]
    fn what_is_no_file_of_properties_is_told_with_path_and_reason() {
        let folder = std::env::temp_dir().join(format!("tidewater-properties-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        for (path, what) in [
            (folder.join("nowhere"), "No such file"),
            (folder.clone(), "a directory"),
            ("/dev/null".into(), "not a file"),
            (write("large", &vec![b'#'; FILE_MAX as usize + 1]), "1 MiB"),
            (write("latin", b"client.id=\xe9"), "UTF-8"),
            (write("fault", b"\nclient.id"), "fault line 2: it is not"),
        ] {
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains(path.to_str().unwrap()), "{error}");
        }
        assert!(read(&write("full", &vec![b'#'; FILE_MAX as usize])).unwrap().is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn secrets_are_told_from_paths() {
        for name in
            ["sasl.password", "ssl.key.pem", "ssl.key.password", "sasl.oauthbearer.config", "https.proxy"]
        {
            assert!(may_be_secret(name), "{name}");
        }
        for name in ["client.id", "ssl.key.location", "ssl.ca.location", "sasl.username"] {
            assert!(!may_be_secret(name), "{name}");
        }
    }
}
