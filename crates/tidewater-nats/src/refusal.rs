//! What the server refuses on the side.
//!
//! A subscription or a message that the permissions don't allow is answered by the server with an error that belongs
//! to the connection, not to the call: the subscription stays silent, the request runs into its timeout. So every
//! connection passes these errors on, and whoever does something that may be refused listens for the refusal of its
//! own subject meanwhile.

use tidewater_core::{Error, ErrorKind, Retry};
use tokio::sync::broadcast;

use crate::config::{Login, Profile};

/// How many refusals may wait for one who listens. Who misses some runs into the timeout as before.
const WAITING: usize = 256;

/// What the server has refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Publish(String),
    Subscribe(String),
    /// The account or the user may have no more subscriptions.
    Limit(String),
}

impl Refusal {
    /// Reads an error of the server: `Permissions Violation for Publish to "orders"`, `… for Subscription to
    /// "orders.>" using queue "q"`, `maximum subscriptions exceeded`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        if lower.contains("maximum") && lower.contains("subscriptions exceeded") {
            return Some(Self::Limit(text.to_owned()));
        }
        let behind = |what: &str| lower.find(what).map(|at| &text[at + what.len()..]);
        if let Some(rest) = behind("permissions violation for subscription to ") {
            return Some(Self::Subscribe(quoted(rest)?));
        }
        behind("permissions violation for publish to ").and_then(quoted).map(Self::Publish)
    }

    /// Whether this can be of the subject that the client takes answers from: `_INBOX.something.*`.
    pub(crate) fn may_be_inbox(&self) -> bool {
        matches!(self, Self::Subscribe(subject) if subject.ends_with(".*"))
    }

    /// The error of whoever was refused.
    pub(crate) fn error(&self, profile: &Profile) -> Error {
        let who = match (&profile.login, profile.has_own_options()) {
            (_, true) => "the user of the given options".to_owned(),
            (Login::Nobody, _) => "who comes without a login".to_owned(),
            _ => format!("the user of {}", profile.login.setting()),
        };
        let what = match self {
            Self::Publish(subject) => {
                format!("publish to {subject:?}: allow it in the user's permissions (publish)")
            }
            Self::Subscribe(subject) => match subject.strip_suffix(".*") {
                // The client's own subject, of which the user has to have all.
                Some(inbox) if !inbox.contains(['*', '>']) && inbox.contains('.') => {
                    let prefix = inbox.rsplit_once('.').map_or(inbox, |(prefix, _)| prefix);
                    format!(
                        "subscribe to \"{prefix}.>\", where answers come in: allow it in the user's permissions (subscribe), \
                         or set inbox_prefix to what is allowed"
                    )
                }
                _ => format!("subscribe to {subject:?}: allow it in the user's permissions (subscribe)"),
            },
            Self::Limit(text) => {
                format!("have another subscription ({text}): raise the limit of the account or the user")
            }
        };
        Error::new(ErrorKind::Denied, format!("the NATS server at {profile} does not let {who} {what}"))
            .with_retry(Retry::Later)
    }
}

/// The first text in quotes, as Go's `%q` writes it.
fn quoted(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix('"')?.chars();
    let mut subject = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(subject),
            '\\' => subject.push(rest.next()?),
            other => subject.push(other),
        }
    }
}

/// Passes the refusals of a connection on.
#[derive(Clone, Debug)]
pub(crate) struct Refusals(broadcast::Sender<Refusal>);

impl Refusals {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }

    /// Takes an error of the server, as it came.
    pub(crate) fn take(&self, text: &str) -> Option<Refusal> {
        let refusal = Refusal::parse(text)?;
        // Fails when nobody listens.
        self.0.send(refusal.clone()).ok();
        Some(refusal)
    }

    /// Those from now on.
    pub(crate) fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

/// The refusals since it was made.
#[derive(Debug)]
pub(crate) struct Listener(broadcast::Receiver<Refusal>);

impl Listener {
    /// Another one, from now on.
    pub(crate) fn again(&self) -> Self {
        Self(self.0.resubscribe())
    }

    /// Waits for one that is meant; for ever, if the connection is gone.
    ///
    /// Cancel safe, but for those that were not meant.
    pub(crate) async fn meant(&mut self, mut meant: impl FnMut(&Refusal) -> bool) -> Refusal {
        loop {
            match self.0.recv().await {
                Ok(refusal) if meant(&refusal) => return refusal,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// One that is meant and has come already.
    pub(crate) fn already(&mut self, mut meant: impl FnMut(&Refusal) -> bool) -> Option<Refusal> {
        loop {
            match self.0.try_recv() {
                Ok(refusal) if meant(&refusal) => return Some(refusal),
                Ok(_) | Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NatsConfig;

    #[test]
    fn what_a_server_says_is_understood() {
        let publish = |subject: &str| Some(Refusal::Publish(subject.into()));
        let subscribe = |subject: &str| Some(Refusal::Subscribe(subject.into()));
        for (text, refusal) in [
            ("nats: Permissions Violation for Publish to \"a.b\"", publish("a.b")),
            ("permissions violation for publish to \"A.B\"", publish("A.B")),
            ("Permissions Violation for Subscription to \"a.>\"", subscribe("a.>")),
            ("Permissions Violation for Subscription to \"a\" using queue \"q\"", subscribe("a")),
            ("Permissions Violation for Subscription to \"a\" (sid \"7\")", subscribe("a")),
            ("Permissions Violation for Publish to \"a\\\"b\\\\\"", publish("a\"b\\")),
            ("maximum subscriptions exceeded", Some(Refusal::Limit("maximum subscriptions exceeded".into()))),
            ("Permissions Violation for Publish to \"a", None),
            ("Permissions Violation for Publish to ", None),
            ("User Authentication Expired", None),
            ("", None),
        ] {
            assert_eq!(Refusal::parse(text), refusal, "{text}");
        }
    }

    #[test]
    fn errors_name_the_subject_and_the_setting() {
        let profile = NatsConfig::new("a:4222").unwrap().with_setting("creds", "/x.creds").unwrap();
        let profile = profile.profile().unwrap();
        for (refusal, what) in [
            (Refusal::Publish("$JS.API.STREAM.INFO.S".into()), "publish to \"$JS.API.STREAM.INFO.S\""),
            (Refusal::Subscribe("orders.*".into()), "subscribe to \"orders.*\""),
            (Refusal::Subscribe("_INBOX.x.y.*".into()), "inbox_prefix"),
        ] {
            let error = refusal.error(&profile);
            let text = error.to_string();
            assert!(
                text.contains(what) && text.contains("creds /x.creds") && text.contains("a:4222"),
                "{text}"
            );
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Denied, Retry::Later));
        }
    }
}
