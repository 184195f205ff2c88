//! A real Kafka as one finds it in production, for tests: TLS, SASL, client certificates, and ACLs without which
//! nobody may do anything.
//!
//! ```no_run
//! use tidewater_secure_kafka::{Listener, Operation, Resource, Scram, SecureKafka};
//!
//! # fn run() -> anyhow::Result<()> {
//! let kafka = SecureKafka::shared()?;
//! let reader = kafka.user("reader", Scram::Sha512)?;
//! kafka.allow("reader", Operation::Read, Resource::TopicsFrom("orders-"))?;
//! println!("{} at {}", reader.name, kafka.address(Listener::Sasl));
//! # Ok(()) }
//! ```
//!
//! One runs for each test program that wants one, started by `cargo xtask services` (named by `TIDEWATER_XTASK`), and
//! ends with it, however that ends. Everything that is a secret is known to [`tidewater_testkit::secret()`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admin;
mod tls;

use std::{
    io::{BufRead, BufReader, Read, Seek},
    path::PathBuf,
    process::{ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tidewater_testkit::secret;

pub use self::{
    admin::{Operation, Resource, Scram},
    tls::{Authority, Identity},
};

/// Where the broker listens, beside [`SecureKafka::admin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// `SASL_SSL`: SCRAM-SHA-256, SCRAM-SHA-512, PLAIN (the user [`SecureKafka::PLAIN_USER`]) and OAUTHBEARER with
    /// unsecured tokens, whose `sub` is the user.
    Sasl,
    /// `SSL`, for clients that have a certificate of [`SecureKafka::authority`]; its common name is the user.
    Mtls,
    /// `SSL`, with a certificate that is over.
    Expired,
    /// `SSL`, with a certificate for another host.
    OtherHost,
}

impl Listener {
    const ALL: [Self; 4] = [Self::Sasl, Self::Mtls, Self::Expired, Self::OtherHost];

    fn name(self) -> &'static str {
        match self {
            Self::Sasl => "SASL",
            Self::Mtls => "MTLS",
            Self::Expired => "EXPIRED",
            Self::OtherHost => "OTHER_HOST",
        }
    }

    fn protocol(self) -> &'static str {
        if self == Self::Sasl { "SASL_SSL" } else { "SSL" }
    }
}

/// The broker.
#[derive(Debug)]
pub struct SecureKafka {
    admin: String,
    listeners: Vec<String>,
    authority: Authority,
    /// The broker runs for as long as this is open.
    _hold: ChildStdin,
}

/// Somebody whom the broker knows, without any right yet.
#[derive(Clone)]
pub struct User {
    /// The name, alike in `sasl.username` and in ACLs.
    pub name: String,
    /// The password.
    pub password: String,
    /// `sasl.mechanism`.
    pub mechanism: &'static str,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

impl SecureKafka {
    /// The user that the listener [`Listener::Sasl`] takes by PLAIN.
    pub const PLAIN_USER: &str = "plain-user";

    /// This program's broker, started for the first that asks: some ten seconds.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: Mutex<Option<&'static SecureKafka>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        match *shared {
            Some(kafka) => Ok(kafka),
            // Never dropped: it ends with the program.
            None => Ok(*shared.insert(Box::leak(Box::new(Self::start()?)))),
        }
    }

    /// Starts one; dropping it ends it.
    ///
    /// # Errors
    /// If it can't be started; with what was written meanwhile.
    pub fn start() -> Result<Self> {
        let authority = Authority::new("the authority of these tests")?;
        // The configuration holds secrets; it goes as soon as it has been read.
        let files = TempDir::new()?;
        let config = files.path().join("more.properties");
        std::fs::write(&config, configuration(&authority)?)?;
        let dir = tempfile::Builder::new().prefix("tidewater-kafka-").tempdir()?;
        let mut log = tempfile::tempfile()?;

        let mut command = Command::new(xtask()?);
        command
            .args(["services", "--dir"])
            .arg(dir.path())
            .args(["up", "kafka", "--hold", "--config"])
            .arg(&config);
        for listener in Listener::ALL {
            command.arg("--listener").arg(format!("{}={}", listener.name(), listener.protocol()));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.try_clone()?);
        // Ctrl-C is for this program; the broker follows.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().context("cannot run xtask")?;
        let hold = child.stdin.take().context("no standard input")?;
        let out = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut exports = String::new();
        for line in out.lines() {
            let line = line?;
            if line.starts_with('#') {
                // From now on xtask removes the folder.
                drop(dir.keep());
                return Self::read(&exports, authority, hold);
            }
            exports.push_str(&line);
            exports.push('\n');
        }
        child.wait()?;
        let mut told = String::new();
        log.rewind()?;
        log.read_to_string(&mut told)?;
        let wrote = std::fs::read_to_string(dir.path().join("kafka").join("kafka.log")).unwrap_or_default();
        let last: Vec<&str> = wrote.lines().rev().take(40).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        bail!("xtask services up kafka: {told}\nThe broker wrote last:\n{last}")
    }

    fn read(exports: &str, authority: Authority, hold: ChildStdin) -> Result<Self> {
        let address = |name: &str| {
            let start = format!("export TIDEWATER_TEST_KAFKA{name}=");
            let line = exports.lines().find_map(|line| line.strip_prefix(&start));
            line.map(str::to_owned).with_context(|| format!("no {start} in {exports:?}"))
        };
        let listeners =
            Listener::ALL.iter().map(|one| address(&format!("_{}", one.name()))).collect::<Result<_>>()?;
        Ok(Self { admin: address("")?, listeners, authority, _hold: hold })
    }

    /// Where anybody may do everything, in plain text: for a test's own preparations. `127.0.0.1:PORT`.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// Where else it listens: `127.0.0.1:PORT`.
    pub fn address(&self, listener: Listener) -> &str {
        &self.listeners[listener as usize]
    }

    /// Who has signed its certificates, and whose clients it takes.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Makes a user that has no right, or gives one another password.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn user(&self, name: &str, scram: Scram) -> Result<User> {
        let user =
            User { name: name.to_owned(), password: secret::secret(name), mechanism: scram.mechanism() };
        self.set_password(name, scram, &user.password)?;
        Ok(user)
    }

    /// The user that comes by PLAIN.
    pub fn plain_user(&self) -> User {
        User {
            name: Self::PLAIN_USER.to_owned(),
            password: secret::secret(Self::PLAIN_USER),
            mechanism: "PLAIN",
        }
    }

    /// Gives a user another password.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn set_password(&self, user: &str, scram: Scram, password: &str) -> Result<()> {
        admin::set_password(&self.admin, user, scram, password)
    }

    /// Lets a user do something. In force within a moment, not at once.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn allow(&self, user: &str, operation: Operation, resource: Resource<'_>) -> Result<()> {
        admin::allow(&self.admin, user, operation, resource)
    }

    /// Takes it back. In force within a moment, not at once.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn deny(&self, user: &str, operation: Operation, resource: Resource<'_>) -> Result<()> {
        admin::deny(&self.admin, user, operation, resource)
    }
}

/// What `server.properties` says beside the listeners.
fn configuration(authority: &Authority) -> Result<String> {
    const HERE: &[&str] = &["127.0.0.1", "localhost"];
    let mut text = format!(
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# Whoever comes in plain text: the tests, the broker itself and its controller.
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT
listener.name.sasl.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}=\"{password}\";
listener.name.sasl.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.mtls.ssl.client.auth=required
",
        user = SecureKafka::PLAIN_USER,
        password = secret::secret(SecureKafka::PLAIN_USER),
    );
    for listener in Listener::ALL {
        let identity = match listener {
            Listener::Sasl | Listener::Mtls => authority.server(HERE)?,
            Listener::Expired => authority.expired_server(HERE)?,
            Listener::OtherHost => authority.server(&["elsewhere.example"])?,
        };
        for (name, value) in [
            ("keystore.type", "PEM"),
            ("keystore.key", &identity.key),
            ("keystore.certificate.chain", &identity.certificate),
            ("truststore.type", "PEM"),
            ("truststore.certificates", &authority.pem()),
        ] {
            let value = value.replace('\r', "").replace('\n', "\\n");
            text.push_str(&format!("listener.name.{}.ssl.{name}={value}\n", listener.name().to_lowercase()));
        }
    }
    Ok(text)
}

fn xtask() -> Result<PathBuf> {
    let named = std::env::var_os("TIDEWATER_XTASK").map(PathBuf::from);
    let named = named.context("this test starts a Kafka by TIDEWATER_XTASK: run `cargo xtask test`")?;
    ensure!(named.is_file(), "TIDEWATER_XTASK={} is no file", named.display());
    Ok(named)
}
