//! A Kafka as in production, and clients' properties by file as in production.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tidewater_testkit::secret;

pub use tidewater_secure_kafka::{
    Authority, Identity, Listener, Operation, Resource, Scram, SecureKafka, User,
};

/// What the password is called in a gateway's environment.
const PASSWORD: &str = "TIDEWATER_TEST_PASSWORD";

/// A `client.properties` in a folder of its own, and what stands in the environment beside it.
#[derive(Debug)]
pub struct Access {
    folder: TempDir,
    address: String,
    lines: Vec<(String, String)>,
    password: Option<String>,
}

impl Access {
    /// A broker (`127.0.0.1:PORT`) and these properties.
    ///
    /// # Errors
    /// If there is no place for the file.
    pub fn new(address: &str, lines: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut this = Self { folder, address: address.to_owned(), lines: Vec::new(), password: None };
        for (name, value) in lines {
            this.set(name, value)?;
        }
        Ok(this)
    }

    /// This user, by a password that stands in the environment, at the listener for that.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn sasl(kafka: &SecureKafka, user: &User) -> Result<Self> {
        let mut this = Self::new(
            kafka.address(Listener::Sasl),
            &[
                ("security.protocol", "SASL_SSL"),
                ("sasl.mechanism", user.mechanism),
                ("sasl.username", &user.name),
                ("sasl.password", &format!("${{{PASSWORD}}}")),
            ],
        )?;
        this.set_file("ssl.ca.location", "ca.pem", &kafka.authority().pem())?;
        this.password = Some(user.password.clone());
        Ok(this)
    }

    /// TLS with what the broker's authority has signed, at this listener.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn tls(kafka: &SecureKafka, listener: Listener) -> Result<Self> {
        let mut this = Self::new(kafka.address(listener), &[("security.protocol", "SSL")])?;
        this.set_file("ssl.ca.location", "ca.pem", &kafka.authority().pem())?;
        Ok(this)
    }

    /// With this client certificate.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn identity(mut self, identity: &Identity) -> Result<Self> {
        self.set_file("ssl.certificate.location", "client.pem", &identity.certificate)?;
        self.set_file("ssl.key.location", "client.key", &identity.key)?;
        Ok(self)
    }

    /// Another value for a property, or one more; the file is written anew.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        self.lines.retain(|(known, _)| known != name);
        self.lines.push((name.to_owned(), value.to_owned()));
        let lines: String = self.lines.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        std::fs::write(self.file(), format!("# Written by a test.\n\n{lines}")).context("client.properties")
    }

    /// The same for a property that names a file, with the file.
    ///
    /// # Errors
    /// If one of them can't be written.
    pub fn set_file(&mut self, name: &str, file: &str, text: &str) -> Result<()> {
        let path = self.folder.path().join(file);
        std::fs::write(&path, text)?;
        self.set(name, path.to_str().context("a path that is not UTF-8")?)
    }

    /// Another password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// The file of properties.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("client.properties")
    }

    /// The URL of a topic's source or sink.
    pub fn url(&self, topic: &str) -> String {
        format!("kafka://{}/{topic}?config={}", self.address, self.file().display())
    }

    /// What a gateway has to find in its environment.
    pub fn environment(&self) -> impl Iterator<Item = (String, String)> + use<> {
        self.password.clone().map(|password| (PASSWORD.to_owned(), password)).into_iter()
    }
}

/// Fails if a text shows a secret of this program's tests.
///
/// # Errors
/// Then, with the line, in which it can't be read.
pub fn hidden(what: &str, text: &str) -> Result<()> {
    match secret::leak(text) {
        Some(line) => anyhow::bail!("{what} shows a secret: {line}"),
        None => Ok(()),
    }
}
