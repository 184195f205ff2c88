//! JSON Web Tokens (RFC 7519), signed (RFC 7515): who asks is what a token says that a known key has signed.
//!
//! ```
//! use tidewater_http::{Rule, Rules, jwt::{Jwt, Key, Keys}};
//!
//! # fn run(secret: &[u8]) -> tidewater_core::Result<Jwt> {
//! let keys = Keys::new([Key::secret(secret)?])?;
//! let rules = Rules::new([Rule::new(["orders"])?.keys(["user.{sub}"])?])?;
//! Ok(Jwt::new(keys, rules).audience(["tidewater"]).cookie("__Host-session")?)
//! # }
//! ```
//!
//! Signatures are `ring`'s, which TLS brings anyway. `jsonwebtoken` would have it from one provider for the whole process, which a
//! library can't choose for its application, and else brings `rsa` (RUSTSEC-2023-0071) or aws-lc's toolchain. What is
//! left to do by hand is to cut a token at its dots and to compare claims.
//!
//! | file | holds |
//! |---|---|
//! | `key`, `jwk` | keys, each for one algorithm |
//! | `token` | whether a token is what it says: pure |
//! | `place` | where a request has it |
//! | `remote` | keys that an issuer answers |

mod jwk;
mod key;
mod place;
#[cfg(feature = "jwks")]
mod remote;
mod token;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tidewater_core::{Error, ErrorKind, Result};

pub use key::{Algorithm, Key, Keys};
#[cfg(feature = "jwks")]
pub use remote::JwksUrl;

use self::{
    place::Places,
    token::{Checks, Token, Wrong},
};
use super::{Ask, Authorizer, Claims, Grant, Refusal, Rules};

/// Authorizes by JSON Web Tokens.
///
/// A token is taken from `Authorization: Bearer`; where that is not there from the query, if it is [allowed](Self::query); then from
/// the [cookie](Self::cookie). One in both the header and the query, or twice in one place, is refused with 400 (RFC 6750 §2). Other
/// schemes of `Authorization` are none of its business.
///
/// A token has to be signed by one of the keys with that key's own algorithm, and to say when it expires (`exp`). `nbf` is kept
/// where it is there. A token for an audience (`aud`) is refused unless that is [named](Self::audience), as RFC 7519 §4.1.3 has it.
/// Extensions that have to be understood (`crit`) are not, and tokens past 8 KiB are not read. The grant is what the rules make of
/// its claims, until the token expires, for its `sub`.
///
/// Every refusal says what is wrong with a token and nothing of what it holds.
#[derive(Clone, Debug)]
pub struct Jwt {
    keys: Keys,
    rules: Rules,
    checks: Checks,
    places: Places,
}

/// The longest leeway that there may be.
const MOST_LEEWAY: Duration = Duration::from_secs(60);

impl Jwt {
    /// Tokens that these keys have signed, and what their claims grant.
    pub fn new(keys: Keys, rules: Rules) -> Self {
        Self { keys, rules, checks: Checks::default(), places: Places::default() }
    }

    /// Who this server is for those who issue tokens: a token has to be for one of these.
    #[must_use]
    pub fn audience<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.checks.audience = names.into_iter().map(Into::into).collect();
        self
    }

    /// Who may issue tokens: one has to be from one of these. Else whoever has the key.
    #[must_use]
    pub fn issuer<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.checks.issuer = names.into_iter().map(Into::into).collect();
        self
    }

    /// How far the clocks of issuers may be off: a token counts for so much longer, and earlier. 5 s unless it is set.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for more than 60 s.
    pub fn leeway(mut self, leeway: Duration) -> Result<Self> {
        if leeway > MOST_LEEWAY {
            let what = format!("a leeway of {leeway:?} for tokens is too long: 60 s at most");
            return Err(Error::new(ErrorKind::Config, what));
        }
        self.checks.leeway = leeway;
        Ok(self)
    }

    /// The cookie that tokens may be in.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for what is no name of a cookie.
    pub fn cookie(mut self, name: &str) -> Result<Self> {
        self.places.cookie(name)?;
        Ok(self)
    }

    /// The parameter of the query that tokens may be in: off unless this is called, as URLs stand in logs, histories and referrers of
    /// everything on their way. Nothing here logs them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a name that a stream's query has another use for.
    pub fn query(mut self, name: &str) -> Result<Self> {
        self.places.query(name)?;
        Ok(self)
    }

    async fn verified(
        &self,
        text: &str,
        now: SystemTime,
    ) -> std::result::Result<(Claims, SystemTime), Refusal> {
        let token = Token::parse(text).map_err(Wrong::refusal)?;
        let keys = self.keys.current().await?;
        let payload = match token.signed_by(&keys) {
            // The one that has signed it may be new.
            Err(Wrong::UnknownKey) => match self.keys.newer(&keys).await? {
                Some(keys) => token.signed_by(&keys),
                None => Err(Wrong::UnknownKey),
            },
            other => other,
        };
        payload.and_then(|payload| self.checks.check(payload, now)).map_err(Wrong::refusal)
    }
}

#[async_trait]
impl Authorizer for Jwt {
    async fn authorize(&self, ask: Ask<'_>) -> std::result::Result<Grant, Refusal> {
        let text = self.places.find(&ask.head)?;
        let (claims, until) = self.verified(&text, SystemTime::now()).await?;
        let grant = self.rules.grant(ask.channel, &claims).until(until);
        Ok(match claims.get("sub").and_then(|sub| sub.as_str()) {
            Some(subject) => grant.with_subject(subject),
            None => grant,
        })
    }
}
