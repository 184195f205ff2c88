//! What a user may do: the tables of `docs/nats.md`, as code.

use serde_json::{Value, json};

/// Subjects that a user may publish to and subscribe to. What is not allowed is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// To publish to.
    pub publish: Vec<String>,
    /// To subscribe to.
    pub subscribe: Vec<String>,
}

impl Permissions {
    /// Everything.
    pub fn all() -> Self {
        Self::of([">"], [">"])
    }

    /// These.
    pub fn of<const P: usize, const S: usize>(publish: [&str; P], subscribe: [&str; S]) -> Self {
        Self { publish: publish.map(str::to_owned).into(), subscribe: subscribe.map(str::to_owned).into() }
    }

    /// What a source of core NATS needs.
    pub fn source(subject: &str) -> Self {
        Self::of([], [subject])
    }

    /// What a source of JetStream needs, of the whole stream or of one filter.
    pub fn stream_source(stream: &str, filter: Option<&str>) -> Self {
        let filter = filter.map(|filter| format!(".{filter}")).unwrap_or_default();
        let create = format!("$JS.API.CONSUMER.CREATE.{stream}.*{filter}");
        let [info, looks, next] =
            ["STREAM.INFO", "CONSUMER.INFO", "CONSUMER.MSG.NEXT"].map(|api| match api {
                "STREAM.INFO" => format!("$JS.API.{api}.{stream}"),
                _ => format!("$JS.API.{api}.{stream}.*"),
            });
        Self::of([&info, &create, &looks, &next], ["_INBOX.>"])
    }

    /// What a sink of core NATS needs.
    pub fn sink(subject: &str) -> Self {
        Self::of([subject, "_INBOX.>"], ["_INBOX.>"])
    }

    /// What a sink of JetStream needs, without which it does not publish; to look at the stream makes its receipts
    /// whole.
    pub fn stream_sink(stream: &str, subject: &str) -> Self {
        Self::of([subject, &format!("$JS.API.STREAM.INFO.{stream}")], ["_INBOX.>"])
    }

    /// A sink of a stream whose writers write each message once.
    pub fn stream_writer(stream: &str, subject: &str) -> Self {
        let mut needed = Self::stream_sink(stream, subject);
        needed.publish.push(format!("$JS.API.STREAM.MSG.GET.{stream}"));
        needed
    }

    /// Everything that can be left out, with what would be left.
    pub fn each_left_out(&self) -> Vec<(String, Self)> {
        let publish = (0..self.publish.len()).map(|index| {
            let mut rest = self.clone();
            (rest.publish.remove(index), rest)
        });
        let subscribe = (0..self.subscribe.len()).map(|index| {
            let mut rest = self.clone();
            (rest.subscribe.remove(index), rest)
        });
        publish.chain(subscribe).collect()
    }

    pub(crate) fn publish(&self) -> Value {
        rule(&self.publish)
    }

    pub(crate) fn subscribe(&self) -> Value {
        rule(&self.subscribe)
    }
}

/// No list at all would allow everything.
fn rule(allowed: &[String]) -> Value {
    if allowed.is_empty() { json!({ "deny": [">"] }) } else { json!({ "allow": allowed }) }
}
