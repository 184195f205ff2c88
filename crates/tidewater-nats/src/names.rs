//! Subjects and streams, as a URL names them.

use std::fmt;

use tidewater_core::{Error, ErrorKind, Result, SourceUrl};

/// A subject, or a pattern of subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject(String);

impl Subject {
    /// Takes a subject in which `*` stands for one token and a last `>` for one or more
    /// (<https://docs.nats.io/nats-concepts/subjects>).
    pub(crate) fn pattern(text: &str) -> Result<Self> {
        let wrong = |what: &str| config(format!("{text:?} is not a NATS subject: {what}"));
        if text.is_empty() {
            return Err(wrong("it is empty; examples: orders.new, orders.*, orders.>"));
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong("white space can't be in one"));
        }
        let tokens: Vec<_> = text.split('.').collect();
        if tokens.iter().any(|token| token.is_empty()) {
            return Err(wrong("nothing stands before, after or between dots"));
        }
        if tokens.iter().rev().skip(1).any(|token| *token == ">") {
            return Err(wrong("\">\" can only be its last token"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Takes a subject to publish to.
    pub(crate) fn concrete(text: &str) -> Result<Self> {
        let subject = Self::pattern(text)?;
        if text.split('.').any(|token| token == "*" || token == ">") {
            return Err(config(format!(
                "{text:?} is a pattern, and a message has to be published to one subject: name it, as in {}",
                text.replace(['*', '>'], "new")
            )));
        }
        Ok(subject)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Splits the path of a JetStream URL: the stream, and what follows.
pub(crate) fn stream_and_subject(url: &SourceUrl) -> Result<(String, Option<String>)> {
    let path = url.decoded_path()?;
    let (stream, subject) = match path.split_once('/') {
        Some((stream, subject)) => (stream, Some(subject).filter(|subject| !subject.is_empty())),
        None => (&*path, None),
    };
    check_stream(stream)?;
    Ok((stream.to_owned(), subject.map(str::to_owned)))
}

/// Refuses what the server itself refuses in names of streams.
pub(crate) fn check_stream(name: &str) -> Result<()> {
    let illegal = |c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c);
    if name.is_empty() || name.contains(illegal) {
        return Err(config(format!(
            "{name:?} is not the name of a JetStream stream: write jetstream://HOST:4222/STREAM or …/STREAM/subject"
        )));
    }
    Ok(())
}

pub(crate) fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        for good in ["a", "a.b", "*", ">", "a.*.c", "a.>", "$JS.x", "a/b", "grün", "a*b"] {
            assert!(Subject::pattern(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "a.", "a..b", "a b", "a.>.b", "a\r\n", "a\u{0}"] {
            assert!(Subject::pattern(bad).is_err(), "{bad:?}");
        }
        let error = Subject::concrete("orders.>").unwrap_err().to_string();
        assert!(error.contains("orders.new"), "{error}");
        assert!(Subject::concrete("a.*.b").is_err() && Subject::concrete("a*b").is_ok());
    }

    #[test]
    fn streams() {
        let parse = |url: &str| stream_and_subject(&url.parse().unwrap());
        assert_eq!(parse("jetstream://a/S").unwrap(), ("S".into(), None));
        assert_eq!(parse("jetstream://a/S/").unwrap(), ("S".into(), None));
        assert_eq!(parse("jetstream://a/S/x.%3E").unwrap(), ("S".into(), Some("x.>".into())));
        assert_eq!(parse("jetstream://a/S/x/y").unwrap(), ("S".into(), Some("x/y".into())));
        for bad in ["jetstream://a", "jetstream://a//x", "jetstream://a/orders.new", "jetstream://a/S%20T"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
