//! Whether a token is what it says it is. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::key::Key;
use crate::auth::{Claims, Refusal};

/// The longest token that is read.
const MOST_BYTES: usize = 8 << 10;
/// As far as a time is looked at: what is further away is as good as for ever.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A token, cut at its dots (RFC 7515 §3.1). Nothing of it is believed yet.
pub(super) struct Token<'a> {
    /// What was signed.
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
    algorithm: String,
    key: Option<String>,
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    TooLong,
    NoToken,
    Critical,
    Algorithm,
    UnknownKey,
    Signature,
    NoClaims,
    NoExpiry,
    Expired,
    Early,
    Audience,
    NoAudience,
    Issuer,
}

impl Wrong {
    fn what(self) -> &'static str {
        match self {
            Self::TooLong => "the token is longer than 8 KiB",
            Self::NoToken => "it is no signed JSON Web Token (three parts in base64url, between dots)",
            Self::Critical => "the token has an extension that has to be understood (crit), and none is",
            Self::Algorithm => "the token is signed by another algorithm than the keys are for",
            Self::UnknownKey => "the token's key (kid) is not known here",
            Self::Signature => "the token's signature is wrong",
            Self::NoClaims => {
                "the token's payload can't be read: it is no object of JSON, or a claim is of another type"
            }
            Self::NoExpiry => "the token does not say when it expires (exp), which it has to",
            Self::Expired => "the token has expired: get a new one",
            Self::Early => "the token is not valid yet (nbf)",
            Self::Audience => "the token is not for this server (aud)",
            Self::NoAudience => {
                "the token is for an audience (aud), and the server has not been told that it is one"
            }
            Self::Issuer => "the token is from an issuer that is not known here (iss)",
        }
    }

    pub(super) fn refusal(self) -> Refusal {
        Refusal::invalid_token(self.what())
    }
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Wrong> {
        if text.len() > MOST_BYTES {
            return Err(Wrong::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Wrong::NoToken)?;
        let (header, payload) = signed.split_once('.').ok_or(Wrong::NoToken)?;
        // Five parts are an encrypted token.
        if payload.contains('.') {
            return Err(Wrong::NoToken);
        }
        let header = object(header).ok_or(Wrong::NoToken)?;
        if header.contains_key("crit") {
            return Err(Wrong::Critical);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Wrong::NoToken)?;
        let key = match header.get("kid") {
            None => None,
            Some(id) => Some(id.as_str().ok_or(Wrong::NoToken)?.to_owned()),
        };
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| Wrong::NoToken)?;
        Ok(Self { signed, payload, signature, algorithm: algorithm.to_owned(), key })
    }

    /// The payload, if one of the keys has signed it by the algorithm that this key is for: the one that the token names, else one that
    /// has no name.
    pub(super) fn signed_by(&self, keys: &[Key]) -> Result<Claims, Wrong> {
        let named = |key: &&Key| self.key.as_deref().is_some_and(|id| key.id() == Some(id));
        let unnamed = |key: &&Key| self.key.is_none() || key.id().is_none();
        let mut candidates: Vec<&Key> = keys.iter().filter(named).collect();
        if candidates.is_empty() {
            candidates = keys.iter().filter(unnamed).collect();
        }
        if candidates.is_empty() {
            return Err(Wrong::UnknownKey);
        }
        candidates.retain(|key| key.algorithm().as_str() == self.algorithm);
        if candidates.is_empty() {
            return Err(Wrong::Algorithm);
        }
        if !candidates.iter().any(|key| key.verifies(self.signed.as_bytes(), &self.signature)) {
            return Err(Wrong::Signature);
        }
        object(self.payload).ok_or(Wrong::NoClaims)
    }
}

/// What a token's claims have to say (RFC 7519 §4.1).
#[derive(Clone, Debug)]
pub(super) struct Checks {
    pub(super) audience: Vec<String>,
    pub(super) issuer: Vec<String>,
    pub(super) leeway: Duration,
}

impl Default for Checks {
    fn default() -> Self {
        Self { audience: Vec::new(), issuer: Vec::new(), leeway: Duration::from_secs(5) }
    }
}

impl Checks {
    /// The claims, and when they are over.
    pub(super) fn check(&self, claims: Claims, now: SystemTime) -> Result<(Claims, SystemTime), Wrong> {
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => date(value).map(Some).ok_or(Wrong::NoClaims),
        };
        let until = time("exp")?.ok_or(Wrong::NoExpiry)? + self.leeway;
        if until <= now {
            return Err(Wrong::Expired);
        }
        if time("nbf")?.is_some_and(|from| from > now + self.leeway) {
            return Err(Wrong::Early);
        }
        self.check_audience(claims.get("aud"))?;
        let issuer = claims.get("iss").and_then(Value::as_str);
        if !self.issuer.is_empty() && !issuer.is_some_and(|own| self.issuer.iter().any(|known| known == own))
        {
            return Err(Wrong::Issuer);
        }
        Ok((claims, until))
    }

    fn check_audience(&self, audience: Option<&Value>) -> Result<(), Wrong> {
        let is_known =
            |name: &Value| name.as_str().is_some_and(|name| self.audience.iter().any(|known| known == name));
        let known = match audience {
            None => return if self.audience.is_empty() { Ok(()) } else { Err(Wrong::Audience) },
            Some(_) if self.audience.is_empty() => return Err(Wrong::NoAudience),
            Some(Value::Array(names)) => names.iter().any(is_known),
            Some(name) => is_known(name),
        };
        if known { Ok(()) } else { Err(Wrong::Audience) }
    }
}

/// A NumericDate (RFC 7519 §2): seconds, also with a fraction.
fn date(value: &Value) -> Option<SystemTime> {
    let seconds = value.as_f64()?.clamp(0.0, FAR.as_secs_f64());
    Some(UNIX_EPOCH + Duration::try_from_secs_f64(seconds).ok()?)
}

fn object(part: &str) -> Option<Claims> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests;
