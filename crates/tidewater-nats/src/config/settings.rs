//! The settings by their names: those of a URL's parameters and of a file's lines.

use std::{collections::BTreeMap, path::PathBuf};

use percent_encoding::percent_decode_str;
use tidewater_core::{Result, plugin::expand};

use super::{Login, Tls, login};
use crate::names::{Subject, config};

/// All of them.
pub(super) const NAMES: &[&str] = &[
    "creds",
    "nkey",
    "nkey_file",
    "user",
    "password",
    "token",
    "tls",
    "tls_first",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "inbox_prefix",
    "domain",
    "api_prefix",
];

/// One way to say who we are excludes the others. The user and the password are one way.
const LOGINS: &[&str] = &["creds", "nkey", "nkey_file", "user", "password", "token"];

/// Names that other tools of NATS give the same settings.
const OTHER_NAMES: &[(&[&str], &str)] = &[
    (&["credentials", "creds_file", "credsfile"], "creds"),
    (&["pass", "pwd"], "password"),
    (&["username"], "user"),
    (&["ca", "tlsca", "ca_file"], "tls_ca"),
    (&["cert", "tlscert", "cert_file"], "tls_cert"),
    (&["key", "tlskey", "key_file"], "tls_key"),
    (&["tlsfirst", "handshake_first"], "tls_first"),
    (&["jetstream_domain", "js_domain", "js-domain"], "domain"),
    (&["jetstream_api_prefix", "js_api_prefix", "js-api-prefix"], "api_prefix"),
    (&["inbox-prefix"], "inbox_prefix"),
];

/// What was given.
#[derive(Clone, Default)]
pub(super) struct Settings {
    given: BTreeMap<&'static str, String>,
    /// What stood before `@`.
    in_url: Option<Login>,
}

impl Settings {
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.given.keys().copied()
    }

    pub(super) fn set(&mut self, name: &str, value: String) -> Result<()> {
        let Some(name) = NAMES.iter().find(|known| **known == name) else {
            let same = OTHER_NAMES.iter().find(|(others, _)| others.contains(&name));
            return Err(config(match same {
                Some((_, ours)) => format!("there is no setting {name:?}: it is {ours:?} here"),
                None => format!("there is no setting {name:?} (there are: {})", NAMES.join(", ")),
            }));
        };
        if self.given.contains_key(name) {
            return Err(config(format!("{name:?} is given twice, in the URL or in the file of \"config\"")));
        }
        if LOGINS.contains(name) {
            if self.in_url.is_some() {
                return Err(config(format!(
                    "{name:?} and what stands before \"@\" contradict each other: give one"
                )));
            }
            let pair = |one: &str| ["user", "password"].contains(&one);
            let other =
                LOGINS.iter().find(|other| self.given.contains_key(**other) && !(pair(name) && pair(other)));
            if let Some(other) = other {
                return Err(config(format!(
                    "{other:?} and {name:?} contradict each other: give one of them"
                )));
            }
        }
        if value.is_empty() && *name != "password" {
            return Err(config(format!("{name:?} is empty")));
        }
        match *name {
            "nkey" => login::check_seed(&value).map_err(|error| error.context("nkey"))?,
            "tls" if value != "required" => {
                return Err(config(format!(
                    "tls={value:?} is not known: write tls=required, or leave it out to do as the server says"
                )));
            }
            "tls_first" if !["true", "false"].contains(&&*value) => {
                return Err(config(format!("tls_first={value:?} is neither true nor false")));
            }
            "inbox_prefix" | "api_prefix" => drop(prefix(name, &value)?),
            "domain"
                if value.contains(|c: char| c.is_whitespace() || c.is_control() || ".*>".contains(c)) =>
            {
                return Err(config(format!("domain={value:?} is not the name of a JetStream domain")));
            }
            _ => {}
        }
        for (one, other) in [("domain", "api_prefix"), ("api_prefix", "domain")] {
            if *name == one && self.given.contains_key(other) {
                return Err(config(
                    "\"domain\" and \"api_prefix\" contradict each other: a domain D is the prefix $JS.D.API",
                ));
            }
        }
        self.given.insert(name, value);
        Ok(())
    }

    /// What stands before `@` in a URL: `user:password`, or a token.
    pub(super) fn set_login(&mut self, text: &str) -> Result<()> {
        self.in_url = Some(match text.split_once(':') {
            Some((name, password)) => Login::User { name: decode(name)?, password: decode(password)? },
            None => Login::Token(decode(text)?),
        });
        Ok(())
    }

    pub(super) fn login(&self) -> Result<Login> {
        if let Some(login) = &self.in_url {
            return Ok(login.clone());
        }
        let text = |name: &str| self.given.get(name).cloned();
        let path = |name: &str| self.given.get(name).map(PathBuf::from);
        Ok(match (text("user"), text("password")) {
            (Some(name), Some(password)) => Login::User { name, password },
            (Some(_), None) => return Err(config("\"user\" needs \"password\"")),
            (None, Some(_)) => return Err(config("\"password\" needs \"user\"")),
            (None, None) => None
                .or(text("token").map(Login::Token))
                .or(text("nkey").map(Login::Nkey))
                .or(path("nkey_file").map(Login::NkeyFile))
                .or(text("creds").map(|creds| match creds.contains("-----BEGIN") {
                    true => Login::Creds(creds),
                    false => Login::CredsFile(creds.into()),
                }))
                .unwrap_or(Login::Nobody),
        })
    }

    pub(super) fn tls(&self) -> Result<Tls> {
        let path = |name: &str| self.given.get(name).map(PathBuf::from);
        let client = match (path("tls_cert"), path("tls_key")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(config("\"tls_cert\" needs \"tls_key\"")),
            (None, Some(_)) => return Err(config("\"tls_key\" needs \"tls_cert\"")),
        };
        let first = self.given.get("tls_first").is_some_and(|first| first == "true");
        let ca = path("tls_ca");
        // Whoever says whom to trust doesn't mean to speak to just anybody because an unencrypted line says so.
        let required = self.given.contains_key("tls") || first || ca.is_some() || client.is_some();
        Ok(Tls { required, first, ca, client })
    }

    pub(super) fn inbox_prefix(&self) -> Result<Option<String>> {
        self.given.get("inbox_prefix").map(|value| prefix("inbox_prefix", value)).transpose()
    }

    pub(super) fn api_prefix(&self) -> Result<Option<String>> {
        match self.given.get("domain") {
            Some(domain) => Ok(Some(format!("$JS.{domain}.API"))),
            None => self.given.get("api_prefix").map(|value| prefix("api_prefix", value)).transpose(),
        }
    }

    pub(super) fn without_jetstream(&self) -> Result<()> {
        match ["domain", "api_prefix"].iter().find(|name| self.given.contains_key(**name)) {
            Some(name) => {
                Err(config(format!("{name:?} is of JetStream: it has no meaning for subjects of core NATS")))
            }
            None => Ok(()),
        }
    }
}

/// A subject that others are made from, with or without a dot at its end.
fn prefix(name: &str, value: &str) -> Result<String> {
    let prefix = value.strip_suffix('.').unwrap_or(value);
    Subject::concrete(prefix).map_err(|error| error.context(name.to_owned()))?;
    Ok(prefix.to_owned())
}

fn decode(text: &str) -> Result<String> {
    // The text is a secret: the error doesn't show it.
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| config("what stands before \"@\" does not percent-decode to UTF-8"))?;
    expand(&decoded).map_err(|error| error.context("what stands before \"@\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(all: &[(&str, &str)]) -> Result<Settings> {
        let mut settings = Settings::default();
        for (name, value) in all {
            settings.set(name, (*value).to_owned())?;
        }
        settings.login()?;
        settings.tls()?;
        Ok(settings)
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        for (all, what) in [
            (&[("creds", "x"), ("token", "x")][..], &["creds", "token"][..]),
            (&[("password", "x"), ("nkey_file", "x")], &["password", "nkey_file"]),
            (&[("domain", "hub"), ("api_prefix", "JS.hub")], &["domain", "api_prefix"]),
            (&[("api_prefix", "JS.hub"), ("domain", "hub")], &["domain", "api_prefix"]),
            (&[("user", "x")], &["password"]),
            (&[("password", "x")], &["user"]),
            (&[("tls_cert", "x")], &["tls_key"]),
            (&[("tls_key", "x")], &["tls_cert"]),
            (&[("tls_key", "x"), ("tls_key", "y")], &["twice"]),
            (&[("tls", "maybe")], &["tls=required"]),
            (&[("tls_first", "yes")], &["true"]),
            (&[("inbox_prefix", "a.>")], &["inbox_prefix", "pattern"]),
            (&[("domain", "a.b")], &["domain"]),
            (&[("creds", "")], &["creds", "empty"]),
            (&[("tlsca", "x")], &["tls_ca"]),
            (&[("jetstream_domain", "x")], &["domain"]),
            (&[("colour", "x")], &["colour", "inbox_prefix"]),
        ] {
            let error = settings(all).err().unwrap().to_string();
            assert!(what.iter().all(|what| error.contains(what)), "{all:?}: {error}");
        }
        let mut in_url = Settings::default();
        in_url.set_login("me:x").unwrap();
        let error = in_url.set("token", "x".into()).unwrap_err().to_string();
        assert!(error.contains("token") && error.contains("\"@\""), "{error}");
    }

    #[test]
    fn whoever_names_a_certificate_wants_tls() {
        for all in [&[("tls", "required")][..], &[("tls_first", "true")], &[("tls_ca", "x")]] {
            assert!(settings(all).unwrap().tls().unwrap().required, "{all:?}");
        }
        assert!(!settings(&[("tls_first", "false")]).unwrap().tls().unwrap().required);
    }

    #[test]
    fn prefixes() {
        let of = |name: &str, value: &str| settings(&[(name, value)]).unwrap();
        assert_eq!(of("domain", "hub").api_prefix().unwrap().as_deref(), Some("$JS.hub.API"));
        assert_eq!(of("api_prefix", "JS.acc.").api_prefix().unwrap().as_deref(), Some("JS.acc"));
        assert_eq!(of("inbox_prefix", "_IN.me").inbox_prefix().unwrap().as_deref(), Some("_IN.me"));
        assert!(
            of("domain", "hub").without_jetstream().is_err()
                && of("tls", "required").without_jetstream().is_ok()
        );
    }
}
