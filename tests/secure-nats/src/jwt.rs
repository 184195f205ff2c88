//! JWTs as NATS has them: claims that are signed with an nkey.
//!
//! <https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt>

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};

/// Claims about the holder of a public key. They expire so many seconds from now, if ever.
pub(crate) fn signed(
    by: &KeyPair,
    about: &str,
    name: &str,
    claims: Value,
    expires: Option<i64>,
) -> Result<String> {
    let now = now();
    let mut body = json!({ "jti": about, "iat": now, "iss": by.public_key(), "name": name, "sub": about, "nats": claims });
    if let Some(expires) = expires {
        body["exp"] = json!(now.saturating_add_signed(expires));
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), part(&body));
    let signature = URL_SAFE_NO_PAD.encode(by.sign(text.as_bytes())?);
    Ok(format!("{text}.{signature}"))
}

/// Seconds of Unix time.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
