//! Who we say that we are.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_nats::ConnectOptions;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::{KeyPair, KeyPairType};
use tidewater_core::{Error, ErrorKind, Result, Retry};

use super::file;
use crate::names::config;

/// A way to log in. What it holds is never shown; paths are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Login {
    Nobody,
    Token(String),
    User {
        name: String,
        password: String,
    },
    /// A seed.
    Nkey(String),
    NkeyFile(PathBuf),
    /// The text of a file of credentials.
    Creds(String),
    CredsFile(PathBuf),
}

impl Login {
    /// Options that log in so. Files are read now, so that one that was renewed is used.
    pub(crate) async fn apply(&self, options: ConnectOptions) -> Result<ConnectOptions> {
        let told = |error: Error| error.context(self.setting()).with_retry(Retry::Later);
        Ok(match self {
            Self::Nobody => options,
            Self::Token(token) => options.token(token.clone()),
            Self::User { name, password } => options.user_and_password(name.clone(), password.clone()),
            Self::Nkey(seed) => options.nkey(seed.clone()),
            Self::NkeyFile(path) => {
                let seed = read(path).await.and_then(|text| seed_in(&text)).map_err(told)?;
                options.nkey(seed)
            }
            Self::Creds(text) => with_creds(options, text).map_err(told)?,
            Self::CredsFile(path) => {
                let text = read(path).await.map_err(told)?;
                with_creds(options, &text).map_err(told)?
            }
        })
    }

    /// What its file holds now, so that a change is seen; `None` if there is none.
    pub(crate) async fn fingerprint(&self) -> Option<u64> {
        let (Self::CredsFile(path) | Self::NkeyFile(path)) = self else { return None };
        let mut hasher = DefaultHasher::new();
        read(path).await.ok()?.hash(&mut hasher);
        Some(hasher.finish())
    }

    /// How it was set, for errors.
    pub(crate) fn setting(&self) -> String {
        match self {
            Self::Nobody => "no login (creds, nkey, user and password, or token)".to_owned(),
            Self::Token(_) => "token".to_owned(),
            Self::User { name, .. } => format!("user {name:?} and its password"),
            Self::Nkey(_) => "nkey".to_owned(),
            Self::NkeyFile(path) => format!("nkey_file {}", path.display()),
            Self::Creds(_) => "creds".to_owned(),
            Self::CredsFile(path) => format!("creds {}", path.display()),
        }
    }

    pub(super) fn parts(&self) -> [Vec<u8>; 3] {
        let path = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
        let text = |text: &str| text.as_bytes().to_vec();
        let [kind, one, other] = match self {
            Self::Nobody => ["nobody".into(), vec![], vec![]],
            Self::Token(token) => ["token".into(), text(token), vec![]],
            Self::User { name, password } => ["user".into(), text(name), text(password)],
            Self::Nkey(seed) => ["nkey".into(), text(seed), vec![]],
            Self::NkeyFile(file) => ["nkey_file".into(), path(file), vec![]],
            Self::Creds(creds) => ["creds".into(), text(creds), vec![]],
            Self::CredsFile(file) => ["creds_file".into(), path(file), vec![]],
        };
        [kind, one, other]
    }
}

/// Checks that a text is the seed of a user.
pub(super) fn check_seed(seed: &str) -> Result<()> {
    match KeyPair::from_seed(seed) {
        Ok(pair) if pair.key_pair_type() == KeyPairType::User => Ok(()),
        Ok(pair) => Err(config(format!(
            "it is the seed of {:?}, and a user's is needed: it begins with SU",
            pair.key_pair_type()
        ))),
        // What it says may hold characters of the seed.
        Err(_) => Err(config("it is not a user's seed: 58 characters that begin with SU")),
    }
}

/// The seed in a file that holds it bare or between two lines of dashes, as `nk` and `nsc` write them.
fn seed_in(text: &str) -> Result<String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('-'));
    let seed = lines.next().unwrap_or_default();
    check_seed(seed)?;
    Ok(seed.to_owned())
}

fn with_creds(options: ConnectOptions, text: &str) -> Result<ConnectOptions> {
    let malformed = || {
        config(
            "it holds no credentials: the NATS USER JWT and the USER NKEY SEED between lines of dashes, as nsc writes them",
        )
    };
    let options = options.credentials(text).map_err(|_| malformed())?;
    let jwt = text.lines().map(str::trim).find(|line| line.split('.').count() == 3).ok_or_else(malformed)?;
    match expiry(jwt) {
        Some(expiry) if expiry <= SystemTime::now() => {
            let ago = SystemTime::now().duration_since(expiry).unwrap_or_default();
            let ago = Duration::from_secs(ago.as_secs());
            Err(Error::new(ErrorKind::Denied, format!("its JWT has expired {ago:?} ago: have it renewed")))
        }
        _ => Ok(options),
    }
}

/// When a JWT says that it expires; `None` if never, or if it doesn't say so in the way it should: then the server
/// will.
fn expiry(jwt: &str) -> Option<SystemTime> {
    let claims = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let seconds = claims["exp"].as_u64().filter(|seconds| *seconds > 0)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Reads a small file, not on a thread of the runtime.
pub(super) async fn read(path: &Path) -> Result<String> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || file::text(&path)).await;
    read.map_err(|error| error.to_string())
        .flatten()
        .map_err(|why| config(format!("it can't be read: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds() {
        let user = KeyPair::new_user().seed().unwrap();
        assert_eq!(seed_in(&format!("{user}\n")).unwrap(), user);
        let decorated = format!("-----BEGIN USER NKEY SEED-----\n{user}\n------END USER NKEY SEED------\n");
        assert_eq!(seed_in(&decorated).unwrap(), user);
        let account = KeyPair::new_account().seed().unwrap();
        for bad in ["", "x", &account, &user[..57], &user.to_lowercase(), &"S".repeat(58)] {
            let error = seed_in(bad).unwrap_err().to_string();
            assert!(error.contains("SU"), "{error}");
            assert!(bad.len() < 2 || !error.contains(&bad[..10.min(bad.len())]), "{error}");
        }
    }

    #[test]
    fn expiries() {
        let jwt = |claims: &str| format!("x.{}.x", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(expiry(&jwt(r#"{"exp":60}"#)), Some(UNIX_EPOCH + Duration::from_secs(60)));
        for claims in ["{}", r#"{"exp":0}"#, r#"{"exp":"x"}"#, "x", "[]", r#"{"exp":-1}"#] {
            assert_eq!(expiry(&jwt(claims)), None, "{claims}");
        }
        assert_eq!(expiry(&jwt(&format!(r#"{{"exp":{}}}"#, u64::MAX))), None);
        assert_eq!(expiry("x"), None);
    }
}
