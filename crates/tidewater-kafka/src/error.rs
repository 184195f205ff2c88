//! Kafka's errors as the workspace's.

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};
use tidewater_core::{Error, ErrorKind, Retry};

/// An error of this code while `what` was being done.
pub(crate) fn from_code(what: impl Into<String>, code: Code) -> Error {
    let (kind, advice) = match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            (ErrorKind::NotFound, ": does the topic exist?")
        }
        Code::TopicAuthorizationFailed => (
            ErrorKind::Denied,
            ": reading needs the rights Read and Describe on the topic, writing needs Write",
        ),
        Code::ClusterAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::Authentication => (ErrorKind::Denied, ""),
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

/// Nobody answers, or not in time.
pub(crate) fn no_broker(brokers: &str, last: Option<(Code, String)>) -> Error {
    match last {
        Some((code @ (Code::Authentication | Code::SaslAuthenticationFailed), why)) => Error::new(
            ErrorKind::Denied,
            format!(
                "the broker at {brokers} refuses who we are ({code}: {why}): are the sasl.* properties right?"
            ),
        )
        .with_retry(Retry::Later),
        Some((Code::SSL, why)) => Error::new(
            ErrorKind::Unavailable,
            format!("no TLS connection to the broker at {brokers} ({why}): are the ssl.* properties right?"),
        ),
        last => {
            let why = last.map_or_else(|| "no answer in time".to_owned(), |(_, why)| why);
            Error::new(
                ErrorKind::Unavailable,
                format!("no broker answers at {brokers} ({why}): is Kafka running there?"),
            )
        }
    }
}

/// No thread could be started, or one died.
pub(crate) fn thread(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "a thread for the Kafka client").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn who_we_are_and_whether_anybody_is_there_are_two_things() {
        let denied = no_broker("a:1", Some((Code::Authentication, "SASL".into())));
        assert_eq!(denied.kind(), ErrorKind::Denied);
        let down = no_broker("a:1", Some((Code::AllBrokersDown, "refused".into())));
        assert_eq!(down.kind(), ErrorKind::Unavailable);
        assert!(
            down.to_string().contains("no broker answers at a:1 (refused): is Kafka running there?"),
            "{down}"
        );
    }
}
