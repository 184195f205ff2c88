//! Servers, and how to be let in by them.

mod file;
mod login;
mod settings;
mod tls;

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_nats::ConnectOptions;
use tidewater_core::{Result, SourceUrl, plugin::Params};

use self::settings::Settings;
pub(crate) use self::{login::Login, tls::Tls};
use crate::{JetStreamSink, JetStreamSource, NatsSink, NatsSource, names::config};

/// Servers of NATS, and how to be let in by them: what a URL says, for those who don't want one.
///
/// ```
/// use tidewater_nats::NatsConfig;
///
/// let config = NatsConfig::new("a:4222,b:4222")?
///     .with_setting("creds", "/run/secrets/reader.creds")?
///     .with_setting("tls_ca", "/etc/ssl/our-ca.pem")?;
/// let live = config.source("orders.>")?;
/// let kept = config.stream("ORDERS", Some("orders.eu.*"))?;
/// assert_eq!(kept.to_string(), "jetstream://a:4222,b:4222/ORDERS/orders.eu.*");
///
/// let error = config.with_setting("token", "s3cret").unwrap_err();
/// assert!(error.to_string().contains("creds"), "{error}");
/// # Ok::<(), tidewater_core::Error>(())
/// ```
///
/// The settings are the parameters of a URL, by the same names: `creds`, `nkey`, `nkey_file`, `user`, `password`,
/// `token`, `tls`, `tls_first`, `tls_ca`, `tls_cert`, `tls_key`, `inbox_prefix`, and for streams `domain` or
/// `api_prefix`. `docs/nats.md` says what each does. Files are read whenever a connection is made, so that
/// what was renewed on the disk is used from the next connection on.
///
/// Sources of streams and all sinks whose servers, settings and runtime are the same share one connection. Neither
/// `Display` nor `Debug` shows the value of a setting: it may be a secret.
#[derive(Clone)]
pub struct NatsConfig {
    hosts: Vec<String>,
    settings: Settings,
    options: Option<Options>,
}

impl NatsConfig {
    /// Servers, `host:port` each, with commas between. A connection is made to one of them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](tidewater_core::ErrorKind::Config) for what is not a server.
    pub fn new(servers: &str) -> Result<Self> {
        Self::with_hosts(servers, "nats")
    }

    fn with_hosts(servers: &str, scheme: &str) -> Result<Self> {
        let hosts: Vec<_> = servers.split(',').map(str::to_owned).collect();
        for host in &hosts {
            let valid = !host.is_empty() && host.parse::<async_nats::ServerAddr>().is_ok();
            if !valid || host.contains("://") || host.contains('@') {
                return Err(config(format!(
                    "{host:?} is not a NATS server: write {scheme}://HOST:4222/…, more than one with commas between"
                )));
            }
        }
        Ok(Self { hosts, settings: Settings::default(), options: None })
    }

    /// The same with a setting.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](tidewater_core::ErrorKind::Config) for a setting that there is not, that was given, or
    /// that contradicts one that was given.
    pub fn with_setting(mut self, name: &str, value: impl Into<String>) -> Result<Self> {
        self.settings.set(name, value.into())?;
        Ok(self)
    }

    /// The same with the settings of a file: `name=value`, one a line; `#` begins a comment, and `${NAME}` in a value
    /// is an environment variable. At most 1 MiB.
    ///
    /// # Errors
    /// As [`with_setting`](Self::with_setting), with file and line; and if it can't be read.
    pub fn with_file(mut self, path: impl AsRef<Path>) -> Result<Self> {
        file::read(path.as_ref(), &mut self.settings)?;
        Ok(self)
    }

    /// The same with options of the client library: for what has no setting, such as a callback that signs in
    /// ([`ConnectOptions::with_auth_callback`]) or a TLS configuration of your own. Settings are put on top of them.
    ///
    /// Names, timeouts, capacities, reconnection and the event callback are this crate's: its sources learn by them
    /// what was lost and what was refused. (That is also why a ready [`Client`](async_nats::Client) can't be taken.)
    #[must_use]
    pub fn with_options(mut self, options: ConnectOptions) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        self.options = Some(Options { number: NUMBERS.fetch_add(1, Relaxed), options: Arc::new(options) });
        self
    }

    /// A source of a subject, or of those that a pattern matches. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](tidewater_core::ErrorKind::Config) for what is no subject, and for settings that lack
    /// another one (`user` without `password`) or have no meaning here.
    pub fn source(&self, subject: &str) -> Result<NatsSource> {
        NatsSource::new(self, subject, None)
    }

    /// A sink that publishes to a subject. Nothing is connected yet.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub fn sink(&self, subject: &str) -> Result<NatsSink> {
        NatsSink::new(self, subject)
    }

    /// A source of a JetStream stream, or of those of its subjects that a filter matches. Nothing is connected yet.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub fn stream(&self, stream: &str, filter: Option<&str>) -> Result<JetStreamSource> {
        JetStreamSource::new(self, stream, filter, None)
    }

    /// A sink that publishes to a subject of a JetStream stream. Nothing is connected yet.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub fn stream_sink(&self, stream: &str, subject: &str) -> Result<JetStreamSink> {
        JetStreamSink::new(self, stream, subject)
    }

    /// What a URL says: what stands between `//` and the next `/`, and the parameters but for the `others`, which are
    /// given back.
    pub(crate) fn from_url(url: &SourceUrl, others: &[&str]) -> Result<(Self, Params)> {
        let (login, hosts) = match url.authority().rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, url.authority()),
        };
        let mut this = Self::with_hosts(hosts, url.scheme())?;
        if let Some(login) = login {
            this.settings.set_login(login)?;
        }
        let mut params = url.params()?;
        for name in settings::NAMES {
            if let Some(value) = params.take(name) {
                this.settings.set(name, value)?;
            }
        }
        if let Some(path) = params.take("config") {
            this = this.with_file(&path)?;
        }
        let mut left = params.clone();
        others.iter().for_each(|other| drop(left.take(other)));
        let known: Vec<_> = others.iter().chain(settings::NAMES).chain(&["config"]).copied().collect();
        left.finish(&known)?;
        Ok((this, params))
    }

    /// What a connection is made of.
    pub(crate) fn profile(&self) -> Result<Profile> {
        Ok(Profile {
            hosts: self.hosts.clone(),
            login: self.settings.login()?,
            tls: self.settings.tls()?,
            inbox_prefix: self.settings.inbox_prefix()?,
            options: self.options.clone(),
        })
    }

    /// Where the API of JetStream is, if not at `$JS.API`.
    pub(crate) fn api_prefix(&self) -> Result<Option<String>> {
        self.settings.api_prefix()
    }

    /// Refuses settings that only streams have a use for.
    pub(crate) fn without_jetstream(&self) -> Result<()> {
        self.settings.without_jetstream()
    }
}

impl fmt::Display for NatsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hosts.join(","))
    }
}

impl fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.settings.names().collect();
        f.debug_struct("NatsConfig").field("servers", &self.hosts).field("settings", &names).finish()
    }
}

/// Everything that a connection is made of: who has an equal one can have the same connection. `Display` and `Debug`
/// show the servers only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Profile {
    /// `host:port`, one or more.
    pub(crate) hosts: Vec<String>,
    pub(crate) login: Login,
    pub(crate) tls: Tls,
    pub(crate) inbox_prefix: Option<String>,
    options: Option<Options>,
}

impl Profile {
    /// The options to begin with: the application's, or the library's defaults.
    pub(crate) fn options(&self) -> ConnectOptions {
        self.options.as_ref().map_or_else(ConnectOptions::new, |own| (*own.options).clone())
    }

    /// Whether the application brought options, and perhaps a login with them.
    pub(crate) fn has_own_options(&self) -> bool {
        self.options.is_some()
    }

    /// For a [`ShareKey`](tidewater_core::ShareKey): all of it.
    pub(crate) fn parts(&self) -> Vec<Vec<u8>> {
        let number = self.options.as_ref().map(|own| own.number);
        let mut parts = vec![self.hosts.join(",").into_bytes()];
        parts.extend(self.login.parts());
        parts.extend(self.tls.parts());
        parts.push(self.inbox_prefix.clone().unwrap_or_default().into_bytes());
        parts.push(format!("{number:?}").into_bytes());
        parts
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hosts.join(","))
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Profile({self})")
    }
}

/// Options that the application brought. They can't be compared, so the number tells them apart.
#[derive(Clone)]
struct Options {
    number: u64,
    options: Arc<ConnectOptions>,
}

impl PartialEq for Options {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Options {}

impl std::hash::Hash for Options {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(url: &str) -> Result<Profile> {
        NatsConfig::from_url(&url.parse()?, &[])?.0.profile()
    }

    #[test]
    fn servers_and_logins() {
        let plain = profile("nats://a:4222,b/x").unwrap();
        assert!(plain.login == Login::Nobody);
        assert_eq!(plain.hosts, ["a:4222", "b"]);
        let user = profile("nats://me:p%40ss@a:4222,[::1]:4223/x").unwrap();
        assert!(user.login == Login::User { name: "me".into(), password: "p@ss".into() });
        assert_eq!(user.hosts, ["a:4222", "[::1]:4223"]);
        assert!(profile("nats://s3cret@a/x").unwrap().login == Login::Token("s3cret".into()));
        let user = profile("nats://a/x?user=me&password=p%40ss").unwrap();
        assert!(user.login == Login::User { name: "me".into(), password: "p@ss".into() });
        assert!(profile("nats://a/x?creds=/a/b").unwrap().login == Login::CredsFile("/a/b".into()));
    }

    #[test]
    fn the_environment_is_put_in_before_the_at_too() {
        let path = std::env::var("PATH").unwrap();
        let user = profile("nats://${PATH}:x%24$${PATH}@a/x").unwrap();
        assert!(user.login == Login::User { name: path, password: "x$${PATH}".into() });
        let error = profile("nats://hunter2:${NO_SUCH_VARIABLE}@a/x").unwrap_err().to_string();
        assert!(error.contains("NO_SUCH_VARIABLE") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let (config, _) = NatsConfig::from_url(
            &"nats://me:hunter2@a:4222/x?tls_key=hunter2&tls_cert=x".parse().unwrap(),
            &[],
        )
        .unwrap();
        let profile = config.profile().unwrap();
        assert!(!format!("{config} {config:?} {profile} {profile:?}").contains("hunter2"));
        for url in
            ["nats://hunter2%ff@a/x", "nats://a/x?nkey=hunter2", "nats://hunter2:hunter2@a/x?token=hunter2"]
        {
            let error = self::profile(url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn servers_that_are_none() {
        for url in ["nats:x", "nats:///x", "nats://a,,b/x", "nats://a:port/x"] {
            let error = profile(url).unwrap_err();
            assert!(error.to_string().contains("HOST:4222"), "{url}: {error}");
        }
    }

    #[test]
    fn equal_settings_are_one_profile_and_others_are_not() {
        let of = |url: &str| profile(url).unwrap();
        assert_eq!(of("nats://a/x?user=u&password=p").parts(), of("nats://u:p@a/y").parts());
        assert!(of("nats://a/x?user=u&password=p") == of("nats://u:p@a/y"));
        let all = [
            "nats://a/x",
            "nats://b/x",
            "nats://t@a/x",
            "nats://a/x?user=t&password=",
            "nats://a/x?nkey_file=t",
            "nats://a/x?creds=t",
            "nats://a/x?tls=required",
            "nats://a/x?tls_first=true",
            "nats://a/x?tls_ca=t",
            "nats://a/x?tls_cert=t&tls_key=t",
            "nats://a/x?inbox_prefix=t",
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[..index] {
                assert!(of(one) != of(other) && of(one).parts() != of(other).parts(), "{one} and {other}");
            }
        }
        let config = NatsConfig::new("a").unwrap();
        let with = || config.clone().with_options(ConnectOptions::new());
        let (one, other) = (with(), with());
        assert!(one.profile().unwrap() != other.profile().unwrap());
        assert!(one.profile().unwrap() == one.clone().profile().unwrap());
    }
}
