//! JSON Web Keys (RFC 7517).

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use tidewater_core::Result;

use super::key::{Algorithm, Key, wrong};

/// One key.
///
/// # Errors
/// For what is no key for signatures of a kind that is known. The error holds nothing of it.
pub(super) fn one(json: &str) -> Result<Key> {
    let value: Value =
        serde_json::from_str(json).map_err(|_| wrong("the JSON Web Key can't be read as JSON"))?;
    let Some(object) = value.as_object() else { return Err(wrong("a JSON Web Key is an object")) };
    key(object)
}

/// The keys of a set. Those of other kinds or uses are left out (RFC 7517 §5).
///
/// # Errors
/// For what is no set.
pub(super) fn set(json: &str) -> Result<Vec<Key>> {
    let how = "give {\"keys\":[…]}, as an issuer's jwks_uri answers it";
    let value: Value = serde_json::from_str(json)
        .map_err(|_| wrong(format!("the JSON Web Key Set can't be read as JSON: {how}")))?;
    let Some(keys) = value.get("keys").and_then(Value::as_array) else {
        return Err(wrong(format!("it is no JSON Web Key Set: {how}")));
    };
    let known = keys.iter().filter_map(Value::as_object).filter_map(|object| match key(object) {
        Ok(key) => Some(key),
        Err(error) => {
            tracing::debug!("a key of the set is left out: {error}");
            None
        }
    });
    Ok(known.collect())
}

fn key(object: &Map<String, Value>) -> Result<Key> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return Err(wrong("the JSON Web Key is not for signatures (its \"use\")"));
    }
    let operations = object.get("key_ops").and_then(Value::as_array);
    if operations.is_some_and(|all| !all.iter().any(|one| one == "verify")) {
        return Err(wrong("the JSON Web Key is not for verifying (its \"key_ops\")"));
    }
    let bytes = |name: &str| {
        text(name)
            .and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
            .ok_or_else(|| wrong(format!("the JSON Web Key has no {name:?} in base64url")))
    };
    let key = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => Key::rsa(bytes("n")?, bytes("e")?)?,
        (Some("EC"), Some("P-256")) => Key::p256([&[4][..], &bytes("x")?, &bytes("y")?].concat())?,
        (Some("OKP"), Some("Ed25519")) => Key::ed25519(bytes("x")?)?,
        (Some("oct"), _) => Key::secret(&bytes("k")?)?,
        _ => {
            return Err(wrong(
                "the JSON Web Key is of another kind: RSA, EC on P-256, OKP on Ed25519 and oct are taken",
            ));
        }
    };
    // An RSA key may be for PS256 or encryption alone.
    if text("alg").is_some_and(|algorithm| algorithm != Algorithm::as_str(key.algorithm())) {
        return Err(wrong(format!(
            "the JSON Web Key is for another algorithm than {}",
            key.algorithm().as_str()
        )));
    }
    Ok(match text("kid") {
        Some(id) => key.with_id(id),
        None => key,
    })
}
