//! Errors of the client and the server, in the workspace's words.

use async_nats::{ConnectError, ConnectErrorKind, jetstream};
use tidewater_core::{Error, ErrorKind, Retry};

/// The codes of the server's API that mean something else than "try again", from its `errors.json`.
const JETSTREAM_NOT_ENABLED: u64 = 10076;
const JETSTREAM_NOT_ENABLED_FOR_ACCOUNT: u64 = 10039;
const STREAM_NOT_FOUND: u64 = 10059;
const EXPECTED_STREAM_DIFFERS: u64 = 10060;
const MESSAGE_TOO_LARGE: u64 = 10054;

/// A connection that could not be made. `servers` is what is shown of them: no secrets.
pub(crate) fn connect(servers: &str, error: ConnectError) -> Error {
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => Error::new(
            ErrorKind::Denied,
            format!("the NATS server at {servers} refuses the user, password or token of the URL"),
        )
        .with_retry(Retry::Later),
        ConnectErrorKind::ServerParse => {
            Error::new(ErrorKind::Config, format!("{servers} is not a list of NATS servers"))
                .with_source(error)
        }
        _ => unavailable(format!("no NATS server answers at {servers}")).with_source(error),
    }
}

/// Something that may work later.
pub(crate) fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

/// A request to JetStream that got no answer.
pub(crate) fn request(servers: &str, error: impl std::fmt::Display) -> Error {
    unavailable(format!("JetStream at {servers} does not answer: {error}"))
}

/// An error that JetStream answered about a stream.
pub(crate) fn api(servers: &str, stream: &str, error: jetstream::Error) -> Error {
    match error.error_code().0 {
        STREAM_NOT_FOUND => {
            // Somebody may make it yet, and then the same call succeeds.
            Error::new(
                ErrorKind::NotFound,
                format!("there is no JetStream stream {stream:?} at {servers}: create it, or correct the URL"),
            )
            .with_retry(Retry::Later)
        }
        JETSTREAM_NOT_ENABLED | JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => Error::new(
            ErrorKind::Unsupported,
            format!("the NATS server at {servers} has JetStream switched off (nats-server -js switches it on)"),
        )
        .with_retry(Retry::Later),
        EXPECTED_STREAM_DIFFERS => Error::new(
            ErrorKind::Config,
            format!("the subject belongs to another stream than {stream:?}: correct the URL, or the stream's subjects"),
        )
        .with_source(error),
        MESSAGE_TOO_LARGE => {
            Error::new(ErrorKind::Rejected, format!("larger than the stream {stream:?} takes")).with_source(error)
        }
        _ if error.code() == 503 => unavailable(format!("stream {stream:?} at {servers}")).with_source(error),
        _ => Error::new(ErrorKind::Internal, format!("stream {stream:?} at {servers}"))
            .with_source(error)
            .with_retry(Retry::Later),
    }
}
