//! A nats-server as in production: an operator, users by `.creds` file who may do what they need and no more, and TLS.

use anyhow::{Context, Result};
use async_nats::jetstream::{self, stream};
use tempfile::NamedTempFile;
use tidewater_testkit::broker::NatsServer;

use crate::NatsProducer;

pub use tidewater_secure_nats::{Account, Authority, Operator, Permissions, User, file};

/// Such a server.
#[derive(Debug)]
pub struct SecureNats {
    server: NatsServer,
    operator: Operator,
    account: Account,
    admin: User,
    ca: NamedTempFile,
    tls: String,
    _files: [NamedTempFile; 2],
}

/// A user's URL, with the files that it names.
#[derive(Debug)]
pub struct Access {
    /// `jetstream://…?creds=…&tls_ca=…`
    pub url: String,
    /// The user.
    pub user: User,
    /// The `.creds` file.
    pub creds: NamedTempFile,
}

impl SecureNats {
    /// Starts one.
    ///
    /// # Errors
    /// If there is no nats-server.
    pub fn start() -> Result<Self> {
        let operator = Operator::new()?;
        let account = operator.account("tests")?;
        let authority = Authority::new("nats tests")?;
        let identity = authority.server(&["127.0.0.1"])?;
        let (ca, cert, key) = (file(&authority.pem())?, file(&identity.certificate)?, file(&identity.key)?);
        // What is produced by hand comes unencrypted.
        let tls = format!(
            "tls {{ cert_file: {:?}, key_file: {:?} }}\nallow_non_tls: true\n",
            cert.path(),
            key.path()
        );
        let server = NatsServer::with_config(&(operator.config(&[&account])? + &tls))?;
        let admin = account.user("admin", &Permissions::all())?;
        Ok(Self { server, operator, account, admin, ca, tls, _files: [cert, key] })
    }

    /// Makes a stream in file storage whose name begins with `base`; gives its name and its subject.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn stream(&self, base: &str) -> Result<(String, String)> {
        let name = format!("{base}-{:08x}", fastrand::u32(..));
        let subject = format!("{name}.events");
        let config =
            stream::Config { name: name.clone(), subjects: vec![subject.clone()], ..Default::default() };
        let options = async_nats::ConnectOptions::with_credentials(&self.admin.creds()?)?;
        let client = options.connect(self.server.url()).await?;
        jetstream::new(client).create_stream(config).await.context("creating the stream")?;
        Ok((name, subject))
    }

    /// A user who may do this, with the URL of something.
    ///
    /// # Errors
    /// If it can't be signed or written.
    pub fn access(&self, scheme: &str, path: &str, permissions: &Permissions) -> Result<Access> {
        let user = self.account.user("gateway", permissions)?;
        let creds = user.creds_file()?;
        let (at, creds_at, ca) = (self.server.port(), creds.path().display(), self.ca.path().display());
        let url = format!("{scheme}://127.0.0.1:{at}/{path}?creds={creds_at}&tls_ca={ca}");
        Ok(Access { url, user, creds })
    }

    /// A producer that may do everything.
    ///
    /// # Errors
    /// If it is not let in.
    pub async fn producer(&self) -> Result<NatsProducer> {
        NatsProducer::connect_as(&self.server.url(), |nonce| self.admin.login(nonce)).await
    }

    /// Takes a user's JWT back.
    ///
    /// # Errors
    /// If the server doesn't take the configuration.
    pub fn revoke(&mut self, user: &User) -> Result<()> {
        self.account.revoke(user);
        let config = self.operator.config(&[&self.account])? + &self.tls;
        Ok(self.server.reload(&config)?)
    }

    /// Another user in a `.creds` file.
    ///
    /// # Errors
    /// If it can't be signed or written.
    pub fn renew(&self, access: &mut Access, permissions: &Permissions) -> Result<()> {
        access.user = self.account.user("gateway", permissions)?;
        Ok(std::fs::write(access.creds.path(), access.user.creds()?)?)
    }
}
