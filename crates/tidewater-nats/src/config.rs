//! What a URL says: servers, credentials, subjects.

use std::fmt;

use percent_encoding::percent_decode_str;
use tidewater_core::{Error, ErrorKind, Result, SourceUrl};

/// Servers and how to be let in. `Display` and `Debug` show the servers only.
#[derive(Clone)]
pub(crate) struct Servers {
    /// `host:port`, one or more.
    pub(crate) hosts: Vec<String>,
    pub(crate) login: Login,
}

/// Who we say that we are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    Nobody,
    Token(String),
    User { name: String, password: String },
}

impl Servers {
    /// Reads what stands between `//` and the next `/`.
    pub(crate) fn parse(url: &SourceUrl) -> Result<Self> {
        let (login, hosts) = match url.authority().rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, url.authority()),
        };
        let login = match login.map(|login| login.split_once(':').ok_or(login)) {
            None => Login::Nobody,
            Some(Ok((name, password))) => Login::User { name: decode(name)?, password: decode(password)? },
            Some(Err(token)) => Login::Token(decode(token)?),
        };
        let hosts: Vec<_> = hosts.split(',').map(str::to_owned).collect();
        for host in &hosts {
            let valid = !host.is_empty() && host.parse::<async_nats::ServerAddr>().is_ok();
            if !valid || host.contains("://") {
                return Err(config(format!(
                    "{host:?} is not a NATS server: write {}://HOST:4222/…, more than one with commas between",
                    url.scheme()
                )));
            }
        }
        Ok(Self { hosts, login })
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hosts.join(","))
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Servers({self})")
    }
}

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
    // What the server itself refuses in names.
    if stream.is_empty()
        || stream.contains(|c: char| c.is_whitespace() || c.is_control() || ".*>\\".contains(c))
    {
        return Err(config(format!(
            "{stream:?} is not the name of a JetStream stream: write jetstream://HOST:4222/STREAM or …/STREAM/subject"
        )));
    }
    Ok((stream.to_owned(), subject.map(str::to_owned)))
}

pub(crate) fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

fn decode(text: &str) -> Result<String> {
    // The text is a secret: the error doesn't show it.
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| config("what stands before \"@\" does not percent-decode to UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(url: &str) -> Result<Servers> {
        Servers::parse(&url.parse()?)
    }

    #[test]
    fn servers_and_logins() {
        let plain = servers("nats://a:4222,b/x").unwrap();
        assert!(plain.login == Login::Nobody);
        assert_eq!(plain.hosts, ["a:4222", "b"]);
        let user = servers("nats://me:p%40ss@a:4222,[::1]:4223/x").unwrap();
        assert!(user.login == Login::User { name: "me".into(), password: "p@ss".into() });
        assert_eq!(user.hosts, ["a:4222", "[::1]:4223"]);
        assert!(servers("nats://s3cret@a/x").unwrap().login == Login::Token("s3cret".into()));
    }

    #[test]
    fn secrets_are_not_shown() {
        let servers = servers("nats://me:hunter2@a:4222/x").unwrap();
        assert!(!format!("{servers} {servers:?}").contains("hunter2"));
        let error = self::servers("nats://hunter2%ff@a/x").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn servers_that_are_none() {
        for url in ["nats:x", "nats:///x", "nats://a,,b/x", "nats://a:port/x"] {
            let error = servers(url).unwrap_err();
            assert!(error.to_string().contains("HOST:4222"), "{url}: {error}");
        }
    }

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
