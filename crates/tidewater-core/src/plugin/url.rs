//! The URL of a source or a sink.
//!
//! Not the `url` crate's: that one can't read a list of brokers and escapes the `>` of NATS.

use std::{fmt, str::FromStr};

use percent_encoding::percent_decode_str;

use super::expand;
use crate::{Error, ErrorKind, Result};

/// A URL, split at what all plugins share: `scheme:`, what stands between it and `?`, and the parameters.
///
/// ```
/// use tidewater_core::SourceUrl;
///
/// let url: SourceUrl = "kafka://a:9092,b:9092/orders?client.id=web".parse()?;
/// assert_eq!((url.scheme(), url.authority(), url.path()), ("kafka", "a:9092,b:9092", "orders"));
/// let mut params = url.params()?;
/// assert_eq!(params.take("client.id").as_deref(), Some("web"));
/// params.finish(&["client.id"])?;
/// # Ok::<(), tidewater_core::Error>(())
/// ```
///
/// A secret need not stand in it: in the value of a parameter `${NAME}` is the environment variable of that name (see
/// [`expand`](crate::plugin::expand)).
///
/// `Display` leaves out what could be a secret: `user:password@` and the values of the parameters. So do all errors.
#[derive(Clone)]
pub struct SourceUrl {
    scheme: String,
    has_authority: bool,
    authority: String,
    path: String,
    query: String,
}

impl SourceUrl {
    /// What stands before the first `:`, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What stands between `//` and the next `/`; empty without `//`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether there is a `//`, with or without something behind it.
    pub fn has_authority(&self) -> bool {
        self.has_authority
    }

    /// What follows the authority and its `/`, up to `?`, as it was written.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same, percent-decoded.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it doesn't decode to UTF-8.
    pub fn decoded_path(&self) -> Result<String> {
        decode(&self.path)
    }

    /// What follows `?`, as it was written. It may hold secrets.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The parameters, percent-decoded and [expanded](crate::plugin::expand), in their order.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for one without `=`, one given twice, one that doesn't decode to UTF-8, or one that names
    /// an environment variable that is not set.
    pub fn params(&self) -> Result<Params> {
        self.params_named(|_| true)
    }

    /// The parameters of these names (as they were written) alone, for a URL whose others are not the plugin's.
    ///
    /// # Errors
    /// Those of [`params`](Self::params), about these.
    pub fn params_named(&self, wanted: impl Fn(&str) -> bool) -> Result<Params> {
        let config = |message: String| Error::new(ErrorKind::Config, message);
        let mut all: Vec<(String, String)> = Vec::new();
        for (index, pair) in self.query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            if !wanted(pair.split_once('=').map_or(pair, |(name, _)| name)) {
                continue;
            }
            // Not shown: it may be the end of a password that holds a "?".
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                config(format!("{self}: parameter {} behind \"?\" has no value: write NAME=VALUE", index + 1))
            })?;
            let name = decode(name)?;
            if all.iter().any(|(other, _)| *other == name) {
                return Err(config(format!("the parameter {name:?} is given twice")));
            }
            let value = percent_decode_str(value).decode_utf8().map_err(|_| {
                config(format!("the value of the parameter {name:?} does not percent-decode to UTF-8"))
            })?;
            let value = expand(&value).map_err(|error| error.context(format!("the parameter {name:?}")))?;
            all.push((name, value));
        }
        Ok(Params(all))
    }
}

impl FromStr for SourceUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = |what: &str| {
            Error::new(
                ErrorKind::Config,
                format!(
                    "{:?} is not the URL of a source or sink: {what} (examples: memory:demo, kafka://localhost:9092/orders)",
                    redact(text)
                ),
            )
        };
        let (scheme, rest) = text.split_once(':').ok_or_else(|| malformed("it has no scheme"))?;
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(valid) {
            return Err(malformed("what stands before \":\" is not a scheme"));
        }
        if let Some(bad) = text.chars().find(|c| c.is_control() || *c == ' ') {
            return Err(malformed(&format!("it holds the character {bad:?}; percent-encode it")));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
            None => ("", rest),
        };
        if path.contains('@') && !authority.contains('@') && !ends_in_port(authority) {
            return Err(malformed(
                "the user or the password before \"@\" holds a \"/\"; percent-encode it as %2F",
            ));
        }
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            has_authority: rest.starts_with("//"),
            authority: authority.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
        })
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if !self.authority.is_empty() {
            return write!(f, "//{}/{}", redact(&self.authority), self.path);
        }
        f.write_str(&redact(&self.path))
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

/// The parameters of a URL: each plugin takes those it knows, then says that there are no others.
#[derive(Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Takes one out.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.remove(index).1)
    }

    /// Takes one out and parses it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the parameter and what was expected.
    pub fn parse<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>> {
        self.take(name)
            .map(|value| {
                value.parse().map_err(|_| {
                    Error::new(ErrorKind::Config, format!("the parameter {name}={value:?} is not {expected}"))
                })
            })
            .transpose()
    }

    /// Those that nobody has taken yet.
    pub fn rest(self) -> Vec<(String, String)> {
        self.0
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the first that is left and those that are known.
    pub fn finish(self, known: &[&str]) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Error::new(
                ErrorKind::Config,
                if known.is_empty() {
                    format!("there is no parameter {name:?} here, nor any other")
                } else {
                    format!("there is no parameter {name:?} (there are: {})", known.join(", "))
                },
            )),
        }
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// What may be shown of a URL or a part of one: nothing before `@`, nothing behind `?`.
fn redact(text: &str) -> String {
    let (shown, query) = text.split_once('?').map_or((text, ""), |(shown, _)| (shown, "?…"));
    match (shown.rsplit_once('@'), text.split_once("://")) {
        // An "@" behind a "?" is in a password that holds one.
        (None, Some((scheme, _))) if text.contains('@') => format!("{scheme}://…"),
        (None, None) if text.contains('@') => "…".to_owned(),
        (None, _) => format!("{shown}{query}"),
        (Some((_, host)), Some((scheme, _))) => format!("{scheme}://{host}{query}"),
        (Some((_, host)), None) => format!("{host}{query}"),
    }
}

/// Whether hosts end as hosts do: in a name without a port, in `:9092`, or in `]`.
fn ends_in_port(authority: &str) -> bool {
    authority
        .rsplit_once(':')
        .is_none_or(|(_, port)| authority.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn decode(text: &str) -> Result<String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(Error::new(ErrorKind::Config, format!("{text:?} does not percent-decode to UTF-8"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> SourceUrl {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_is_split() {
        let plain = url("memory:demo");
        assert_eq!((plain.scheme(), plain.authority(), plain.path()), ("memory", "", "demo"));
        let nats = url("NATS://host:4222/orders.>?x=1%202");
        assert_eq!((nats.scheme(), nats.authority(), nats.path()), ("nats", "host:4222", "orders.>"));
        assert_eq!(nats.params().unwrap().take("x").as_deref(), Some("1 2"));
        assert_eq!(url("nats://host").path(), "");
        assert_eq!(url("jetstream://h/S/a.*.%3E").decoded_path().unwrap(), "S/a.*.>");
    }

    #[test]
    fn secrets_are_not_shown() {
        for text in [
            "nats://me:hunter2@host/s?token=hunter2",
            "me:hunter2@host/s",
            "nats:me:hunter2@host/s",
            "memory:x?a=1&hunter2",
            "memory:x?a=%ffhunter2",
            "memory:x?a=hunter2&a=hunter2",
        ] {
            let url = url(text);
            let shown = format!("{url} {url:?} {:?}", url.params().map(|_| ()));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        for text in [
            "nats//me:hunter2@host/s",
            "9://me:hunter2@host/s",
            "nats://me:hunter2@host/or ders",
            "nats://me:x/hunter2@host/s",
            "nats://me:hunter2/x@host/s",
            "nats://me:x?hunter2@host/s d",
            "nats://me:hunter2?x@host/s d",
            "nats://host/or ders?token=hunter2",
        ] {
            let error = text.parse::<SourceUrl>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn subjects_may_hold_an_at() {
        for text in
            ["nats://host:4222/me@x", "nats://host/me@x", "nats://me:x@host:4222/me@x", "nats://[::1]/me@x"]
        {
            assert!(url(text).to_string().ends_with("/me@x"), "{text}");
        }
    }

    #[test]
    fn malformed_urls_say_what_is_wrong() {
        for (text, what) in [
            ("orders", "no scheme"),
            ("://x", "not a scheme"),
            ("9x://x", "not a scheme"),
            ("kafka://a/or ders", "percent-encode"),
        ] {
            let error = text.parse::<SourceUrl>().unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
        for (query, what) in [
            ("a", "no value"),
            ("a=${NO_SUCH_VARIABLE_AS_THIS}", "NO_SUCH_VARIABLE_AS_THIS"),
            ("a=1&a=2", "twice"),
            ("a=%ff", "UTF-8"),
        ] {
            let error = url(&format!("memory:x?{query}")).params().unwrap_err().to_string();
            assert!(error.contains(what), "{query}: {error}");
        }
    }

    #[test]
    fn parameters_nobody_takes_are_refused() {
        let error =
            url("memory:x?capcity=3").params().unwrap().finish(&["capacity"]).unwrap_err().to_string();
        assert!(error.contains("capcity") && error.contains("capacity"), "{error}");
    }
}
