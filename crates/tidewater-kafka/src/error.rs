//! Kafka's errors as the workspace's.

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};
use tidewater_core::{Error, ErrorKind, Retry};

use crate::KafkaConfig;

/// An error of this code while `what` was being done.
pub(crate) fn from_code(what: impl Into<String>, code: Code) -> Error {
    let (kind, advice) = match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => (
            ErrorKind::NotFound,
            ": does the topic exist, and has this user the right Describe or Read on it?",
        ),
        Code::TopicAuthorizationFailed => (
            ErrorKind::Denied,
            ": this user (sasl.username, or the name in ssl.certificate.location) needs the right Read on the topic \
             to read it, and Write to write to it",
        ),
        Code::ClusterAuthorizationFailed => (
            ErrorKind::Denied,
            ": this user needs the right IdempotentWrite on the cluster, or enable.idempotence=false",
        ),
        Code::TransactionalIdAuthorizationFailed => (
            ErrorKind::Denied,
            ": this user needs the right Write on the transactional id tidewater/TOPIC/ID to write each message once",
        ),
        Code::GroupAuthorizationFailed => (ErrorKind::Denied, ""),
        Code::SaslAuthenticationFailed | Code::Authentication => {
            (ErrorKind::Denied, ": are sasl.username and sasl.password right?")
        }
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => {
            (ErrorKind::Rejected, ": raise max.message.bytes of the topic and the property message.max.bytes")
        }
        Code::InvalidMessage | Code::InvalidRecord | Code::InvalidTimestamp | Code::BadMessage => {
            (ErrorKind::Rejected, "")
        }
        Code::InvalidArgument | Code::InvalidConfig => (ErrorKind::Config, ""),
        _ => (ErrorKind::Unavailable, ""),
    };
    // A topic may be made and a right may be given while this process runs.
    let retry = match kind {
        ErrorKind::Rejected | ErrorKind::Config => Retry::Never,
        _ => Retry::Later,
    };
    Error::new(kind, format!("{}: {code}{advice}", what.into())).with_retry(retry)
}

/// The code in one of rdkafka's errors.
pub(crate) fn from_kafka(what: impl Into<String>, error: &KafkaError) -> Error {
    match (error.rdkafka_error_code(), error) {
        (Some(code), _) => from_code(what, code),
        // Its text would show the value, which may be a secret.
        (None, KafkaError::ClientConfig(_, _, name, _)) => Error::new(
            ErrorKind::Config,
            format!("{}: librdkafka refuses the value of the property {name:?}", what.into()),
        ),
        (None, KafkaError::ClientCreation(why)) => {
            Error::new(ErrorKind::Config, format!("{}: {why}", what.into()))
        }
        (None, error) => Error::new(ErrorKind::Internal, format!("{}: {error}", what.into())),
    }
}

/// librdkafka makes no client of this configuration. A file may be put where it is wanted later, so another attempt
/// can help.
pub(crate) fn no_client(config: &KafkaConfig, what: &str, error: &KafkaError) -> Error {
    let KafkaError::ClientCreation(why) = error else { return from_kafka(what, error) };
    let unreadable = config.files().find_map(|(name, path)| {
        let error = std::fs::File::open(path).err()?;
        Some(format!("{name} can't be read from {path:?}: {error}"))
    });
    let advice = if unreadable.is_some() {
        ""
    } else if why.contains("SASL mechanism GSSAPI") {
        ": name another one in sasl.mechanism (SCRAM-SHA-512, PLAIN, OAUTHBEARER), or build with the feature \
         \"kafka-gssapi\" (\"gssapi\" of the crate tidewater-kafka)"
    } else if why.contains("SASL mechanism") {
        ": sasl.mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
    } else {
        ""
    };
    Error::new(ErrorKind::Config, format!("{what}: {}{advice}", unreadable.as_deref().unwrap_or(why)))
        .with_retry(Retry::Later)
}

/// Nobody answers, or not in time.
pub(crate) fn no_broker(brokers: &str, last: Option<(Code, String)>) -> Error {
    let Some((code, reason)) = last else {
        return Error::new(
            ErrorKind::Unavailable,
            format!("no broker answers at {brokers} (no answer in time): is Kafka running there?"),
        );
    };
    let (kind, what, advice) = match cause(code, &reason) {
        Cause::Token => (
            if code == Code::Authentication { ErrorKind::Denied } else { ErrorKind::Unavailable },
            "there is no token for the broker at",
            "what does the token provider (KafkaConfig::with_token_provider) need?",
        ),
        Cause::TokenRefused => (
            ErrorKind::Denied,
            "who we are is refused by the broker at",
            "does it know the issuer of the token that the token provider gives, its audience and its principal?",
        ),
        Cause::Password => (
            ErrorKind::Denied,
            "who we are is refused by the broker at",
            "are sasl.username and sasl.password right, and is the user known for this sasl.mechanism?",
        ),
        Cause::Mechanism => (
            ErrorKind::Denied,
            "the SASL mechanism is refused by the broker at",
            "is sasl.mechanism one that this listener has?",
        ),
        Cause::NoSaslThere => (
            ErrorKind::Unavailable,
            "no SASL is spoken by the broker at",
            "is security.protocol right (ssl or plaintext), or the port?",
        ),
        Cause::Certificate => (
            ErrorKind::Denied,
            "we do not accept the certificate of the broker at",
            "does ssl.ca.location hold the certificate of its issuer, has it expired, and is it for this host name \
             (ssl.endpoint.identification.algorithm)?",
        ),
        Cause::OwnCertificate => (
            ErrorKind::Denied,
            "no certificate of ours is accepted by the broker at",
            "are ssl.certificate.location and ssl.key.location (or ssl.keystore.location) given, not expired, and \
             from an issuer that the broker trusts?",
        ),
        Cause::NoTlsThere => (
            ErrorKind::Unavailable,
            "no TLS is spoken by the broker at",
            "is security.protocol right (sasl_plaintext or plaintext), or the port?",
        ),
        Cause::MoreWanted => (
            ErrorKind::Unavailable,
            "no broker answers at",
            "is Kafka running there, and is security.protocol right (ssl or sasl_ssl where TLS is spoken, sasl_… where \
             users log in)?",
        ),
        Cause::Tls => {
            (ErrorKind::Unavailable, "no TLS connection to the broker at", "are the ssl.* properties right?")
        }
        Cause::Name => (ErrorKind::Unavailable, "no broker answers at", "is the host name right?"),
        Cause::Nobody => (ErrorKind::Unavailable, "no broker answers at", "is Kafka running there?"),
    };
    // What librdkafka counts at the end would make another text of the same error every time.
    let reason = reason.split_once(" (after ").map_or(&*reason, |(reason, _)| reason);
    Error::new(kind, format!("{what} {brokers} ({reason}): {advice}")).with_retry(Retry::Later)
}

/// Why there is no connection, as far as librdkafka's words tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Token,
    TokenRefused,
    Password,
    Mechanism,
    NoSaslThere,
    /// Unknown issuer, expired, or of another host: librdkafka says the same of all.
    Certificate,
    OwnCertificate,
    NoTlsThere,
    /// The other side closes the connection as soon as something is said.
    MoreWanted,
    Tls,
    Name,
    Nobody,
}

fn cause(code: Code, reason: &str) -> Cause {
    let has = |part: &str| reason.contains(part);
    let closed = has("Disconnected") || has("Connection reset");
    match code {
        _ if no_token(reason) => Cause::Token,
        Code::Authentication | Code::SaslAuthenticationFailed => {
            if has("Request not valid in current SASL state") {
                Cause::NoSaslThere
            } else if has("mechanism handshake failed") {
                Cause::Mechanism
            } else if has("OAUTHBEARER") || has("\"status\":\"invalid_token\"") {
                Cause::TokenRefused
            } else {
                Cause::Password
            }
        }
        _ if has("certificate verify failed") => Cause::Certificate,
        // What the broker answers to our certificate, or to none.
        _ if has("alert") && (has("certificate") || has("unknown ca")) => Cause::OwnCertificate,
        _ if has("wrong version number")
            || (closed && (has("SSL_HANDSHAKE") || has("SSL handshake failed"))) =>
        {
            Cause::NoTlsThere
        }
        // A broker whose number is known has answered before.
        _ if closed && has("/bootstrap: ") && (has("APIVERSION_QUERY") || closed_at_once(reason)) => {
            Cause::MoreWanted
        }
        Code::SSL => Cause::Tls,
        Code::Resolve => Cause::Name,
        _ => Cause::Nobody,
    }
}

/// Whether it is that there is no token to log in with.
pub(crate) fn no_token(reason: &str) -> bool {
    reason.contains("Failed to acquire SASL OAUTHBEARER token")
        || reason.contains("there is no token available")
}

/// Whether it was closed as soon as it was up: "(after 3ms in state UP)".
fn closed_at_once(reason: &str) -> bool {
    let ms = reason.rsplit_once("(after ").and_then(|(_, rest)| rest.split_once("ms in state UP"));
    ms.is_some_and(|(ms, _)| ms.parse::<u32>().is_ok_and(|ms| ms < 1_000))
}

/// How much an error tells: the larger one is worth keeping.
pub(crate) fn telling(code: Code, reason: &str) -> u8 {
    match cause(code, reason) {
        _ if code == Code::AllBrokersDown => 0,
        Cause::Nobody => 1,
        Cause::Name | Cause::Tls | Cause::MoreWanted => 2,
        _ => 3,
    }
}

/// No thread could be started, or one died.
pub(crate) fn thread(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "a thread for the Kafka client").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What librdkafka 2.12 says of a Kafka 4.3, each with the setting that has to be looked at.
    const SEEN: &[(Code, &str, Cause, ErrorKind, &str)] = &[
        (
            Code::Authentication,
            "sasl_ssl://localhost:9093/bootstrap: SASL authentication error: Authentication failed during \
             authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256 (after 358ms in state AUTH_REQ)",
            Cause::Password,
            ErrorKind::Denied,
            "sasl.password",
        ),
        (
            Code::Authentication,
            "sasl_ssl://localhost:9093/bootstrap: SASL authentication error: Authentication failed: Invalid username or \
             password (after 306ms in state AUTH_REQ)",
            Cause::Password,
            ErrorKind::Denied,
            "sasl.username",
        ),
        (
            Code::Authentication,
            "sasl_plaintext://localhost:9093/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL \
             mechanism: broker's supported mechanisms: SCRAM-SHA-256 (after 301ms in state AUTH_HANDSHAKE)",
            Cause::Mechanism,
            ErrorKind::Denied,
            "sasl.mechanism",
        ),
        (
            Code::Authentication,
            "sasl_ssl://localhost:9094/bootstrap: SASL SCRAM-SHA-256 mechanism handshake failed: Broker: Request not \
             valid in current SASL state: broker's supported mechanisms:  (after 0ms in state AUTH_HANDSHAKE)",
            Cause::NoSaslThere,
            ErrorKind::Unavailable,
            "security.protocol",
        ),
        (
            Code::SSL,
            "sasl_ssl://localhost:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify \
             failed: broker certificate could not be verified, verify that ssl.ca.location is correctly configured or \
             root CA certificates are installed (install ca-certificates package) (after 9ms in state SSL_HANDSHAKE)",
            Cause::Certificate,
            ErrorKind::Denied,
            "ssl.ca.location",
        ),
        (
            Code::BrokerTransportFailure,
            "sasl_ssl://localhost:9093/bootstrap: error:0A000086:SSL routines::certificate verify failed (after 32ms in \
             state SSL_HANDSHAKE)",
            Cause::Certificate,
            ErrorKind::Denied,
            "ssl.ca.location",
        ),
        (
            Code::BrokerTransportFailure,
            "ssl://localhost:9092/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: \
             connecting to a PLAINTEXT broker listener? (after 7ms in state SSL_HANDSHAKE)",
            Cause::NoTlsThere,
            ErrorKind::Unavailable,
            "security.protocol",
        ),
        (
            Code::BrokerTransportFailure,
            "ssl://localhost:9092/bootstrap: Disconnected: SSL connection closed by peer (after 0ms in state \
             SSL_HANDSHAKE)",
            Cause::NoTlsThere,
            ErrorKind::Unavailable,
            "security.protocol",
        ),
        (
            Code::BrokerTransportFailure,
            "ssl://localhost:9094/bootstrap: Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: \
             SSL alert number 42 (after 1ms in state APIVERSION_QUERY)",
            Cause::OwnCertificate,
            ErrorKind::Denied,
            "ssl.certificate.location",
        ),
        (
            Code::BrokerTransportFailure,
            "localhost:9093/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN (after 3ms in \
             state APIVERSION_QUERY)",
            Cause::MoreWanted,
            ErrorKind::Unavailable,
            "security.protocol",
        ),
        (
            Code::BrokerTransportFailure,
            "ssl://localhost:9093/bootstrap: Disconnected: SSL connection closed by peer (after 0ms in state UP)",
            Cause::MoreWanted,
            ErrorKind::Unavailable,
            "security.protocol",
        ),
        (
            Code::BrokerTransportFailure,
            "localhost:9092/1: Disconnected: connection closed by peer: receive 0 after POLLIN (after 12ms in state UP)",
            Cause::Nobody,
            ErrorKind::Unavailable,
            "is Kafka running",
        ),
        (
            Code::BrokerTransportFailure,
            "localhost:9092/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN (after 61234ms in \
             state UP)",
            Cause::Nobody,
            ErrorKind::Unavailable,
            "is Kafka running",
        ),
        (
            Code::Resolve,
            "nosuch.invalid:9092/bootstrap: Failed to resolve 'nosuch.invalid:9092': Name or service not known (after 1ms \
             in state CONNECT)",
            Cause::Name,
            ErrorKind::Unavailable,
            "host name",
        ),
        (
            Code::BrokerTransportFailure,
            "localhost:9099/bootstrap: Connect to ipv4#127.0.0.1:9099 failed: Connection refused (after 0ms in state \
             CONNECT)",
            Cause::Nobody,
            ErrorKind::Unavailable,
            "is Kafka running",
        ),
    ];

    #[test]
    fn librdkafkas_words_name_the_setting() {
        for (code, reason, wanted, kind, setting) in SEEN {
            assert_eq!(cause(*code, reason), *wanted, "{reason}");
            let error = no_broker("a:1", Some((*code, (*reason).to_owned())));
            assert_eq!((error.kind(), error.retry()), (*kind, Retry::Later), "{error}");
            let (_, advice) =
                error.to_string().rsplit_once("): ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            assert!(advice.contains(setting), "{error}");
        }
    }

    #[test]
    fn kinds_and_retries() {
        for (code, kind, retry) in [
            (Code::UnknownTopicOrPartition, ErrorKind::NotFound, Retry::Later),
            (Code::TopicAuthorizationFailed, ErrorKind::Denied, Retry::Later),
            (Code::MessageSizeTooLarge, ErrorKind::Rejected, Retry::Never),
            (Code::BrokerTransportFailure, ErrorKind::Unavailable, Retry::Later),
            (Code::QueueFull, ErrorKind::Unavailable, Retry::Later),
        ] {
            let error = from_code("topic \"x\"", code);
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{error}");
        }
    }

    #[test]
    fn a_refused_value_is_not_shown() {
        let refused = rdkafka::ClientConfig::new()
            .set("fetch.min.bytes", "hunter2")
            .create_native_config()
            .err()
            .unwrap();
        let error = from_kafka("client", &refused).to_string();
        assert!(error.contains("fetch.min.bytes") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_client_that_cannot_be_made_names_the_setting() {
        for (properties, what) in [
            (&[("ssl.ca.location", "/nowhere/ca")][..], "ssl.ca.location can't be read from \"/nowhere/ca\""),
            (&[("sasl.mechanism", "NOPE")], "sasl.mechanism is PLAIN"),
            (&[("sasl.mechanism", "PLAIN"), ("sasl.username", "web")], "sasl.password must be set"),
        ] {
            let mut config = KafkaConfig::new("127.0.0.1:1", ["t"])
                .and_then(|config| config.with_property("security.protocol", "sasl_ssl"))
                .unwrap();
            for (name, value) in properties {
                config = config.with_property(*name, *value).unwrap();
            }
            let refused = config.metadata().create::<rdkafka::consumer::BaseConsumer>().err().unwrap();
            let error = no_client(&config, "a Kafka client", &refused);
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Config, Retry::Later), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    #[test]
    fn whether_anybody_is_there() {
        let down = no_broker("a:1", Some((Code::AllBrokersDown, "refused".into())));
        assert_eq!(down.kind(), ErrorKind::Unavailable);
        assert!(
            down.to_string().contains("no broker answers at a:1 (refused): is Kafka running there?"),
            "{down}"
        );
    }
}
