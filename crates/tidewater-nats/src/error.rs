//! Errors of the client and the server, in the workspace's words.

use std::{error::Error as StdError, io};

use async_nats::{
    ConnectError, ConnectErrorKind,
    jetstream::{
        self,
        context::{RequestError, RequestErrorKind},
    },
    rustls::{self, AlertDescription, CertificateError},
};
use tidewater_core::{Error, ErrorKind, Retry};

use crate::config::{Login, Profile};

/// The codes of the server's API that mean something else than "try again", from its `errors.json`.
const JETSTREAM_NOT_ENABLED: u64 = 10076;
const JETSTREAM_NOT_ENABLED_FOR_ACCOUNT: u64 = 10039;
const STREAM_NOT_FOUND: u64 = 10059;
const EXPECTED_STREAM_DIFFERS: u64 = 10060;
const MESSAGE_TOO_LARGE: u64 = 10054;

/// A connection that could not be made.
pub(crate) fn connect(profile: &Profile, error: ConnectError) -> Error {
    let denied = |text: String| Error::new(ErrorKind::Denied, text).with_retry(Retry::Later);
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            denied(refused(profile))
        }
        ConnectErrorKind::ServerParse => {
            Error::new(ErrorKind::Config, format!("{profile} is not a list of NATS servers"))
                .with_source(error)
        }
        ConnectErrorKind::TimedOut => silent(profile),
        _ => {
            if let Some(tls) = find::<rustls::Error>(&error) {
                return denied(format!("TLS with the NATS server at {profile}: {}", of_tls(profile, tls)));
            }
            let text = error.to_string();
            if error.kind() == ConnectErrorKind::Tls {
                return denied(format!(
                    "TLS with the NATS server at {profile}: {text}: look at {}, and whether tls_key belongs to tls_cert",
                    trust(profile)
                ));
            }
            let refused = ["connections exceeded", "connection throttling", "authentication timeout"];
            if refused.iter().any(|what| text.to_ascii_lowercase().contains(what)) {
                return denied(format!(
                    "the NATS server at {profile} takes no connection of {}",
                    profile.login.setting()
                ))
                .with_source(error);
            }
            let cut = find::<io::Error>(&error).is_some_and(|error| {
                matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                )
            });
            if cut && profile.tls.required {
                return unavailable(format!(
                    "the NATS server at {profile} ends the connection in the TLS handshake: does it speak TLS there (tls, \
                     tls_first), and does it want a client certificate (tls_cert, tls_key)?"
                ))
                .with_source(error);
            }
            if text.contains("expected INFO") {
                // A server, of whatever kind, that waits for us to begin.
                return silent(profile).with_source(error);
            }
            unavailable(format!("no NATS server answers at {profile}")).with_source(error)
        }
    }
}

/// A server that takes the connection and says nothing.
pub(crate) fn silent(profile: &Profile) -> Error {
    let hint = if profile.tls.first {
        ""
    } else {
        " (one that wants TLS before anything else needs tls_first=true)"
    };
    unavailable(format!("no NATS server answers at {profile}: nothing comes{hint}"))
}

/// Who was not let in, by the setting.
fn refused(profile: &Profile) -> String {
    if profile.has_own_options() && profile.login == Login::Nobody {
        return format!("the NATS server at {profile} refuses the login of the given options");
    }
    let setting = profile.login.setting();
    match (&profile.login, &profile.tls.client) {
        (Login::Nobody, Some((path, _))) => format!(
            "the NATS server at {profile} knows no user by the certificate of tls_cert {}, and no other login is given",
            path.display()
        ),
        (Login::Nobody, None) => format!(
            "the NATS server at {profile} lets nobody in without a login: give creds, nkey, token, or user and password"
        ),
        (Login::Creds(_) | Login::CredsFile(_), _) => format!(
            "the NATS server at {profile} refuses {setting}: it was revoked, has expired, or is of another operator or \
             account: have it renewed"
        ),
        (Login::Nkey(_) | Login::NkeyFile(_), _) => {
            format!(
                "the NATS server at {profile} refuses {setting}: no user of the server has its public key"
            )
        }
        (Login::Token(_) | Login::User { .. }, _) => {
            format!("the NATS server at {profile} refuses {setting}: correct it")
        }
    }
}

/// What is wrong with TLS, by the setting that has to do with it.
fn of_tls(profile: &Profile, error: &rustls::Error) -> String {
    use CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer};
    let trusted = trust(profile);
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            Expired | ExpiredContext { .. } => {
                "the server's certificate has expired: have the server's renewed (tls_ca doesn't help)"
                    .to_owned()
            }
            UnknownIssuer => {
                format!("the server's certificate is signed by nobody whom we trust: correct {trusted}")
            }
            NotValidForName | NotValidForNameContext { .. } => {
                format!(
                    "the server's certificate is not for this host name: write the URL with a name that it has: {error}"
                )
            }
            _ => format!("the server's certificate is not good: {error}; look at {trusted}"),
        },
        rustls::Error::AlertReceived(alert) => match (&profile.tls.client, alert) {
            (None, AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => {
                "the server wants a client certificate: set tls_cert and tls_key".to_owned()
            }
            (Some((path, _)), AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion) => {
                format!(
                    "the server has no way of TLS in common ({alert:?}), or none for the key of tls_cert {}",
                    path.display()
                )
            }
            (Some((path, _)), _) => {
                format!("the server refuses the certificate of tls_cert {} ({alert:?})", path.display())
            }
            (None, _) => format!("the server ends the handshake ({alert:?})"),
        },
        rustls::Error::InvalidMessage(_) => {
            let settings = match profile.tls.first {
                true => "it may speak none, or not first: correct tls_first, or leave it out",
                false => "it speaks none: correct tls (tls_ca, tls_cert), or switch TLS on at the server",
            };
            format!("the server doesn't answer in TLS: {settings}")
        }
        _ => format!("{error}: look at {trusted}"),
    }
}

/// What says whom we trust.
fn trust(profile: &Profile) -> String {
    match &profile.tls.ca {
        Some(path) => format!("tls_ca {}", path.display()),
        None => "tls_ca (not set: those whom the system trusts)".to_owned(),
    }
}

/// The first cause of this type, also inside of [`io::Error`]s, whose own `source` leaves it out.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inside.map(|inside| inside as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

/// Something that may work later.
pub(crate) fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

/// A request to JetStream's API that got no answer.
pub(crate) fn request(profile: &Profile, api: &str, error: impl StdError + Send + Sync + 'static) -> Error {
    let kind = find::<RequestError>(&error).map(RequestError::kind);
    if kind == Some(RequestErrorKind::NoResponders) {
        return Error::new(
            ErrorKind::Unsupported,
            format!(
                "no JetStream answers at {profile} to {api}: is it on for this account (nats-server -js switches it on), and \
                 are domain and api_prefix right?"
            ),
        )
        .with_retry(Retry::Later);
    }
    unavailable(format!("JetStream at {profile} does not answer: {error}"))
}

/// An error that JetStream answered about a stream.
pub(crate) fn api(profile: &Profile, stream: &str, error: jetstream::Error) -> Error {
    match error.error_code().0 {
        STREAM_NOT_FOUND => {
            // Somebody may make it yet, and then the same call succeeds.
            Error::new(
                ErrorKind::NotFound,
                format!("there is no JetStream stream {stream:?} at {profile}: create it, or correct the URL"),
            )
            .with_retry(Retry::Later)
        }
        JETSTREAM_NOT_ENABLED | JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => Error::new(
            ErrorKind::Unsupported,
            format!("the NATS server at {profile} has JetStream switched off, or not on for this account (nats-server -js switches it on; a \
                 stream of another domain or account is reached by domain or api_prefix)"),
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
        _ if error.code() == 503 => unavailable(format!("stream {stream:?} at {profile}")).with_source(error),
        _ => Error::new(ErrorKind::Internal, format!("stream {stream:?} at {profile}"))
            .with_source(error)
            .with_retry(Retry::Later),
    }
}
