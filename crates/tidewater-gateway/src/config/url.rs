//! The URL of a source or a sink, as a setting.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tidewater::{SourceUrl, plugin::expand};

use super::{
    given::{Given, Value, Wrong},
    setting::{Setting, quoted},
};

/// A URL, with its secrets: only [`secret`](Self::secret) gives them out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    text: String,
    scheme: String,
    /// What may be shown: no user, no password, no parameter; variables by their names.
    shown: String,
}

impl Url {
    /// The scheme of logs in memory.
    pub(crate) const MEMORY: &str = "memory";

    /// Reads a URL. `${NAME}` may stand before the `?` here; behind it the plugin puts the variables in itself, each
    /// within its parameter.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (place, query) = text.split_once('?').map_or((text, None), |(place, query)| (place, Some(query)));
        let mut whole = expand_place(place)?;
        let mut shown = whole.shown;
        if let Some(query) = query {
            whole.text = format!("{}?{query}", whole.text);
        }
        let parsed: SourceUrl = whole.text.parse().map_err(|error: tidewater::Error| match &shown {
            // What a variable held may be a secret.
            Some(written) => {
                format!("{written}: with its variables put in this is not the URL of a source or sink")
            }
            None => error.to_string(),
        })?;
        let behind = if query.is_some_and(|query| !query.is_empty()) { "?…" } else { "" };
        let shown = shown.take().unwrap_or_else(|| parsed.to_string());
        Ok(Self { scheme: parsed.scheme().to_owned(), shown: format!("{shown}{behind}"), text: whole.text })
    }

    /// The URL with its secrets, to be opened and not to be shown.
    pub(crate) fn secret(&self) -> &str {
        &self.text
    }

    /// `memory`, `kafka`
    pub(crate) fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether it is a log of this process's own, to which nobody publishes but through it.
    pub(crate) fn is_own(&self) -> bool {
        [Self::MEMORY, EMBEDDED].contains(&self.scheme())
    }

    /// Gives a log in memory that has no name this one.
    pub(crate) fn named(mut self, name: &str) -> Self {
        if self.scheme != Self::MEMORY {
            return self;
        }
        if let Some((scheme, rest)) = self.text.split_once(':')
            && (rest.is_empty() || rest.starts_with('?'))
        {
            self.shown = self.shown.replacen(':', &format!(":{name}"), 1);
            self.text = format!("{scheme}:{name}{rest}");
        }
        self
    }
}

/// The scheme of logs in a folder.
const EMBEDDED: &str = "embedded";

struct Place {
    text: String,
    /// As it may be shown, if it named variables.
    shown: Option<String>,
}

/// Puts variables in before the `?`. In the user and the password they are escaped: what they hold is no syntax.
fn expand_place(place: &str) -> Result<Place, String> {
    let expanded = |text: &str| expand(text).map_err(|error| error.to_string());
    if !place.contains("${") {
        return Ok(Place { text: place.to_owned(), shown: None });
    }
    let login = place.split_once("//").and_then(|(scheme, rest)| {
        let (authority, path) =
            rest.split_once('/').map_or((rest, ""), |(authority, _)| (authority, &rest[authority.len()..]));
        let (login, hosts) = authority.rsplit_once('@')?;
        Some((scheme, login, format!("{hosts}{path}")))
    });
    let Some((scheme, login, rest)) = login else {
        // An "@" outside of a login is in a password that is written wrongly.
        let shown = if place.contains('@') { "…" } else { place };
        return Ok(Place { text: expanded(place)?, shown: Some(shown.to_owned()) });
    };
    let mut escaped = Vec::new();
    for part in login.split(':') {
        escaped.push(match part.contains("${") {
            true => utf8_percent_encode(&expanded(part)?, NON_ALPHANUMERIC).to_string(),
            false => part.to_owned(),
        });
    }
    let text = format!("{}//{}@{}", expanded(scheme)?, escaped.join(":"), expanded(&rest)?);
    Ok(Place { text, shown: Some(format!("{scheme}//{rest}")) })
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

impl Setting for Url {
    const REDACTED: bool = true;

    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        match &given.value {
            Value::Text(text) => Ok(Self::parse(text).map_err(|why| given.wrong(why))?),
            _ => {
                Err(vec![given.not("the URL of a source or sink, such as \"kafka://localhost:9092/orders\"")])
            }
        }
    }

    fn show(&self) -> String {
        quoted(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        for text in [
            "nats://me:hunter2@host/s?token=hunter2",
            "memory:x?hunter2",
            "nats://${USER_THAT_IS_SET}:hunter2@host/s",
        ] {
            let text = text.replace("USER_THAT_IS_SET", "PATH");
            let url = Url::parse(&text).unwrap();
            let shown = format!("{url} {url:?} {}", url.show());
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(url.secret().contains("hunter2"));
        }
        for text in [
            "me:hunter2@host:${PATH} x",
            "nats://me:hunter2@ho st/${PATH}",
            "hunter2${NO_SUCH_VARIABLE}",
            "hunter2@${PATH}",
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    /// A password is no syntax, whatever it holds.
    #[test]
    fn a_variable_in_the_password_is_escaped_and_one_elsewhere_is_not() {
        let path = std::env::var("PATH").unwrap();
        assert!(path.contains('/'));
        let url = Url::parse("nats://me:${PATH}@host/s?x=${PATH}").unwrap();
        let parsed: SourceUrl = url.secret().parse().unwrap();
        assert_eq!(parsed.path(), "s");
        assert!(parsed.authority().contains("%2F") && parsed.authority().ends_with("@host"));
        assert!(parsed.query().ends_with("${PATH}"), "the plugin's");
        assert_eq!(url.to_string(), "nats://host/s?…");
        assert_eq!(Url::parse("memory:${PATH}").unwrap().secret(), format!("memory:{path}"));
        assert_eq!(Url::parse("memory:${PATH}").unwrap().to_string(), "memory:${PATH}");
    }

    #[test]
    fn a_bare_memory_log_has_the_channels_name() {
        for (url, named) in [
            ("memory:", "memory:demo"),
            ("memory:?events=5", "memory:demo?events=5"),
            ("memory:other", "memory:other"),
        ] {
            assert_eq!(Url::parse(url).unwrap().named("demo").secret(), named);
        }
    }
}
