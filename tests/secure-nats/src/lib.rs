//! A real nats-server as one finds it in production, for tests: an operator, accounts and users by JWT, permissions
//! without which nobody may do anything, and TLS.
//!
//! ```no_run
//! use tidewater_secure_nats::{Operator, Permissions};
//! use tidewater_testkit::broker::NatsServer;
//!
//! # fn run() -> anyhow::Result<()> {
//! let operator = Operator::new()?;
//! let account = operator.account("orders")?;
//! let server = NatsServer::with_config(&operator.config(&[&account])?)?;
//! let reader = account.user("reader", &Permissions::stream_source("ORDERS", None))?;
//! let creds = reader.creds_file()?;
//! println!("jetstream://127.0.0.1:{}/ORDERS?creds={}", server.port(), creds.path().display());
//! # Ok(()) }
//! ```
//!
//! Everything that is a secret is known to [`tidewater_testkit::secret()`].

mod jwt;
mod permissions;

use std::{io::Write as _, time::Duration};

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tidewater_testkit::secret;

pub use self::permissions::Permissions;
pub use tidewater_secure_kafka::{Authority, Identity};

/// Who vouches for accounts.
#[derive(Debug)]
pub struct Operator {
    key: KeyPair,
    system: KeyPair,
    /// Signed once: a server that runs takes no other.
    jwt: String,
}

/// Streams, subjects and users that know nothing of those of other accounts.
#[derive(Debug)]
pub struct Account {
    name: String,
    key: KeyPair,
    revoked: Vec<String>,
}

/// Who logs in.
#[derive(Debug)]
pub struct User {
    jwt: String,
    key: KeyPair,
}

impl Operator {
    /// A new one.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn new() -> Result<Self> {
        let (key, system) = (recorded(KeyPair::new_operator())?, recorded(KeyPair::new_account())?);
        let claims = json!({ "type": "operator", "version": 2, "system_account": system.public_key() });
        let jwt = jwt::signed(&key, &key.public_key(), "operator", claims, None)?;
        Ok(Self { key, system, jwt })
    }

    /// A new account.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn account(&self, name: &str) -> Result<Account> {
        Ok(Account { name: name.to_owned(), key: recorded(KeyPair::new_account())?, revoked: Vec::new() })
    }

    /// The lines of a server's configuration that let these accounts' users in.
    ///
    /// # Errors
    /// If it can't be signed.
    pub fn config(&self, accounts: &[&Account]) -> Result<String> {
        let system = Account { name: "SYS".to_owned(), key: self.system.clone(), revoked: Vec::new() };
        let mut preload = format!("{}: {}\n", system.key.public_key(), system.jwt(&self.key, false)?);
        for account in accounts {
            preload += &format!("{}: {}\n", account.key.public_key(), account.jwt(&self.key, true)?);
        }
        Ok(format!(
            "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{preload}}}\n",
            self.jwt,
            self.system.public_key()
        ))
    }
}

impl Account {
    /// A user who may do this and no more.
    ///
    /// # Errors
    /// If it can't be signed.
    pub fn user(&self, name: &str, permissions: &Permissions) -> Result<User> {
        self.sign(name, permissions, None)
    }

    /// The same until some time after now; with a negative one, until some time before.
    ///
    /// # Errors
    /// If it can't be signed.
    pub fn user_until(&self, name: &str, permissions: &Permissions, seconds: i64) -> Result<User> {
        self.sign(name, permissions, Some(seconds))
    }

    /// Takes a user's JWT back, as of the next configuration that is made with this account.
    pub fn revoke(&mut self, user: &User) {
        self.revoked.push(user.key.public_key());
    }

    fn sign(&self, name: &str, permissions: &Permissions, expires: Option<i64>) -> Result<User> {
        let key = recorded(KeyPair::new_user())?;
        let claims = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
            "pub": permissions.publish(), "sub": permissions.subscribe(),
        });
        let jwt = jwt::signed(&self.key, &key.public_key(), name, claims, expires)?;
        secret::record(&jwt);
        Ok(User { jwt, key })
    }

    fn jwt(&self, operator: &KeyPair, jetstream: bool) -> Result<String> {
        let mut limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
            "leaf": -1,
        });
        if jetstream {
            for limit in ["mem_storage", "disk_storage", "streams", "consumer", "max_ack_pending"] {
                limits[limit] = json!(-1);
            }
        }
        let mut claims = json!({ "type": "account", "version": 2, "limits": limits });
        if !self.revoked.is_empty() {
            // Whatever was issued up to then, some time from now.
            let until = jwt::now() + Duration::from_secs(60).as_secs();
            let all = self.revoked.iter().map(|user| (user.clone(), json!(until)));
            claims["revocations"] = Value::Object(all.collect());
        }
        jwt::signed(operator, &self.key.public_key(), &self.name, claims, None)
    }
}

impl User {
    /// What a client says of itself to be let in, as members of a JSON object: the JWT, and the server's nonce signed.
    ///
    /// # Errors
    /// If it can't be signed.
    pub fn login(&self, nonce: &str) -> Result<String> {
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(nonce.as_bytes())?);
        Ok(format!("\"jwt\":\"{}\",\"sig\":\"{signature}\",", self.jwt))
    }

    /// What stands in a `.creds` file.
    ///
    /// # Errors
    /// If there is no seed.
    pub fn creds(&self) -> Result<String> {
        Ok(format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n\
             ------END USER NKEY SEED------\n",
            self.jwt,
            self.key.seed()?
        ))
    }

    /// Such a file. It goes with the value.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn creds_file(&self) -> Result<NamedTempFile> {
        file(&self.creds()?)
    }
}

/// A user of a server without an operator: a public key for its configuration, and the seed.
///
/// # Errors
/// If no key can be made.
pub fn nkey() -> Result<(String, String)> {
    let key = recorded(KeyPair::new_user())?;
    Ok((key.public_key(), key.seed()?))
}

/// A file that holds this. It goes with the value.
///
/// # Errors
/// If it can't be written.
pub fn file(text: &str) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::with_prefix("tidewater-")?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    Ok(file)
}

fn recorded(key: KeyPair) -> Result<KeyPair> {
    secret::record(&key.seed()?);
    Ok(key)
}
