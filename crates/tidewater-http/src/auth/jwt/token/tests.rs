use ring::hmac;
use serde_json::json;
use tidewater_testkit::secret::secret;

use super::*;
use crate::auth::jwt::{Algorithm, Keys};

/// The payload of RFC 7515's examples: it expires at 1300819380.
const PAYLOAD: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
/// RFC 7515 A.1.
const HS256: (&str, &str, &str) = (
    r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
);
/// RFC 7515 A.2.
const RS256: (&str, &str, &str) = (
    r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
    "eyJhbGciOiJSUzI1NiJ9",
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
);
/// RFC 7515 A.3.
const ES256: (&str, &str, &str) = (
    r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    "eyJhbGciOiJFUzI1NiJ9",
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn verified(token: &str, keys: &[Key], now: SystemTime) -> Result<SystemTime, Wrong> {
    let claims = Token::parse(token)?.signed_by(keys)?;
    let checks = Checks { leeway: Duration::ZERO, ..Checks::default() };
    checks.check(claims, now).map(|(_, until)| until)
}

#[test]
fn the_examples_of_rfc_7515_and_rfc_8037() {
    for (jwk, header, signature) in [HS256, RS256, ES256] {
        let key = [Key::jwk(jwk).unwrap()];
        let token = format!("{header}.{PAYLOAD}.{signature}");
        assert_eq!(verified(&token, &key, at(1_300_819_379)), Ok(at(1_300_819_380)), "{:?}", key[0]);
        assert_eq!(verified(&token, &key, at(1_300_819_380)), Err(Wrong::Expired));
        for place in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let mutated = String::from_utf8(bytes).unwrap();
            assert!(verified(&mutated, &key, at(1)).is_err(), "{:?} at {place}", key[0].algorithm());
        }
    }
    // RFC 8037 A.4 signs no claims.
    let key = Key::jwk(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#)
        .unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD
        .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
        .unwrap();
    let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert!(key.verifies(message.as_bytes(), &signature));
    assert!(!key.verifies(&message.as_bytes()[1..], &signature));
}

/// Made and signed elsewhere: see the file.
#[test]
fn tokens_of_an_independent_implementation() {
    let fixtures: Value =
        serde_json::from_str(include_str!("../../../../tests/fixtures/tokens.json")).unwrap();
    let jwks = crate::auth::jwt::jwk::set(&fixtures["jwks"].to_string()).unwrap();
    let algorithms: Vec<_> = jwks.iter().map(Key::algorithm).collect();
    assert_eq!(algorithms, [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa], "the others are left out");
    let keys = fixtures["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3);
    let pems: Vec<Key> =
        keys.iter().map(|one| Key::pem(one["pem"].as_str().unwrap().as_bytes()).unwrap()).collect();
    for (one, pem) in keys.iter().zip(&pems) {
        let token = one["token"].as_str().unwrap();
        assert_eq!(Some(pem.algorithm().as_str()), one["alg"].as_str());
        for (keys, what) in
            [(std::slice::from_ref(pem), "its own"), (&pems, "one of several"), (&jwks, "by its name")]
        {
            let claims = Token::parse(token).unwrap().signed_by(keys).unwrap();
            assert_eq!(claims["sub"], "ada", "{what}");
            let checks = Checks { audience: vec!["tidewater".into()], ..Checks::default() };
            checks.check(claims, at(1_800_000_000)).unwrap();
        }
        let others: Vec<Key> =
            jwks.iter().filter(|key| key.algorithm() != pem.algorithm()).cloned().collect();
        assert_eq!(Token::parse(token).unwrap().signed_by(&others), Err(Wrong::UnknownKey));
        let renamed: Vec<Key> = others
            .iter()
            .map(|key| key.clone().with_id(one["alg"].as_str().unwrap().to_lowercase()))
            .collect();
        assert_eq!(Token::parse(token).unwrap().signed_by(&renamed), Err(Wrong::Algorithm));
        let text = std::str::from_utf8(one["pem"].as_str().unwrap().as_bytes()).unwrap();
        assert!(Key::pem(&text.replace("PUBLIC KEY", "PRIVATE KEY").into_bytes()).is_err());
    }
}

/// A token that this secret has signed, with a header of its own.
fn forged(name: &str, header: Value, payload: &str) -> String {
    let signed = [header.to_string().as_bytes(), payload.as_bytes()]
        .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret(name).repeat(2).as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn own(name: &str) -> Key {
    Key::secret(secret(name).repeat(2).as_bytes()).unwrap()
}

#[test]
fn the_algorithm_is_the_keys_and_never_the_tokens() {
    let key = [own("alg")];
    let payload = json!({ "exp": 10 }).to_string();
    assert!(verified(&forged("alg", json!({ "alg": "HS256" }), &payload), &key, at(9)).is_ok());
    for algorithm in ["none", "None", "NONE", "", "RS256", "HS384", "hs256"] {
        let token = forged("alg", json!({ "alg": algorithm }), &payload);
        assert_eq!(verified(&token, &key, at(9)), Err(Wrong::Algorithm), "{algorithm}");
        let unsigned = token.rsplit_once('.').unwrap().0.to_owned() + ".";
        assert_eq!(verified(&unsigned, &key, at(9)), Err(Wrong::Algorithm), "{algorithm}");
    }
    // A public key as a secret: what it signs is no RS256.
    let public = Key::jwk(RS256.0).unwrap();
    let token = forged("alg", json!({ "alg": "HS256" }), &payload);
    assert_eq!(verified(&token, std::slice::from_ref(&public), at(9)), Err(Wrong::Algorithm));
    assert!(Keys::new([public, own("alg")]).unwrap_err().to_string().contains("can't stand together"));
}

#[test]
fn what_is_no_token_is_refused() {
    let key = [own("shape")];
    let good = json!({ "exp": 10 }).to_string();
    let header = |value: Value| forged("shape", value, &good);
    let long = "a".repeat(MOST_BYTES + 1);
    for (token, wrong) in [
        ("", Wrong::NoToken),
        ("..", Wrong::NoToken),
        ("a.b", Wrong::NoToken),
        ("a.b.c.d.e", Wrong::NoToken),
        ("é.é.é", Wrong::NoToken),
        (&long, Wrong::TooLong),
        (&header(json!({})), Wrong::NoToken),
        (&header(json!({ "alg": 1 })), Wrong::NoToken),
        (&header(json!({ "alg": "HS256", "kid": 1 })), Wrong::NoToken),
        (&header(json!({ "alg": "HS256", "crit": ["b64"], "b64": false })), Wrong::Critical),
        (&header(json!({ "alg": "HS256", "crit": [] })), Wrong::Critical),
        (&header(json!(["HS256"])), Wrong::NoToken),
        (&(header(json!({ "alg": "HS256" })) + "="), Wrong::NoToken),
        (&forged("other", json!({ "alg": "HS256" }), &good), Wrong::Signature),
        (&forged("shape", json!({ "alg": "HS256" }), "[]"), Wrong::NoClaims),
        (&forged("shape", json!({ "alg": "HS256" }), "{"), Wrong::NoClaims),
    ] {
        assert_eq!(verified(token, &key, at(9)), Err(wrong), "{}", &token[..token.len().min(80)]);
    }
    let named = [own("shape").with_id("a"), own("other").with_id("b")];
    let token =
        |id: Option<&str>| forged("shape", json!({ "alg": "HS256", "kid": id.unwrap_or("a") }), &good);
    assert!(verified(&token(None), &named, at(9)).is_ok());
    assert_eq!(verified(&token(Some("b")), &named, at(9)), Err(Wrong::Signature), "the one that it names");
    assert_eq!(verified(&token(Some("c")), &named, at(9)), Err(Wrong::UnknownKey));
    assert!(verified(&header(json!({ "alg": "HS256" })), &named, at(9)).is_ok(), "whichever it is");
    assert!(verified(&token(Some("c")), &key, at(9)).is_ok(), "a key that has no name");
}

#[test]
fn claims_are_checked() {
    let checked = |checks: &Checks, claims: Value| {
        checks.check(claims.as_object().unwrap().clone(), at(100)).map(|(_, until)| until)
    };
    let plain = Checks::default();
    for (claims, expected) in [
        (json!({ "exp": 101 }), Ok(at(106))),
        (json!({ "exp": 100.5 }), Ok(at(105) + Duration::from_millis(500))),
        (json!({ "exp": 96 }), Ok(at(101))),
        (json!({ "exp": 95 }), Err(Wrong::Expired)),
        (json!({ "exp": -1 }), Err(Wrong::Expired)),
        (json!({ "exp": 1e300 }), Ok(UNIX_EPOCH + FAR + plain.leeway)),
        (json!({ "exp": u64::MAX }), Ok(UNIX_EPOCH + FAR + plain.leeway)),
        (json!({}), Err(Wrong::NoExpiry)),
        (json!({ "exp": "101" }), Err(Wrong::NoClaims)),
        (json!({ "exp": null }), Err(Wrong::NoClaims)),
        (json!({ "exp": 101, "nbf": 105 }), Ok(at(106))),
        (json!({ "exp": 101, "nbf": 106 }), Err(Wrong::Early)),
        (json!({ "exp": 101, "nbf": "1" }), Err(Wrong::NoClaims)),
        (json!({ "exp": 101, "aud": "x" }), Err(Wrong::NoAudience)),
        (json!({ "exp": 101, "iss": "anybody" }), Ok(at(106))),
    ] {
        assert_eq!(checked(&plain, claims.clone()), expected, "{claims}");
    }
    let strict = Checks { audience: vec!["a".into(), "b".into()], issuer: vec!["i".into()], ..plain };
    for (claims, expected) in [
        (json!({ "exp": 101, "aud": "a", "iss": "i" }), Ok(at(106))),
        (json!({ "exp": 101, "aud": ["x", "b"], "iss": "i" }), Ok(at(106))),
        (json!({ "exp": 101, "aud": "x", "iss": "i" }), Err(Wrong::Audience)),
        (json!({ "exp": 101, "aud": [], "iss": "i" }), Err(Wrong::Audience)),
        (json!({ "exp": 101, "aud": 7, "iss": "i" }), Err(Wrong::Audience)),
        (json!({ "exp": 101, "iss": "i" }), Err(Wrong::Audience)),
        (json!({ "exp": 101, "aud": "a" }), Err(Wrong::Issuer)),
        (json!({ "exp": 101, "aud": "a", "iss": "j" }), Err(Wrong::Issuer)),
        (json!({ "exp": 101, "aud": "a", "iss": ["i"] }), Err(Wrong::Issuer)),
    ] {
        assert_eq!(checked(&strict, claims.clone()), expected, "{claims}");
    }
}

#[test]
fn keys_that_cannot_be_say_why_and_show_nothing() {
    assert!(Key::secret(&[7; 31]).unwrap_err().to_string().contains("31 bytes"));
    assert!(Key::secret(&[7; 32]).is_ok());
    assert!(Key::secret_base64url("not base64url!").is_err());
    assert_eq!(Key::secret_base64url(&"A".repeat(43)).unwrap().algorithm(), Algorithm::Hs256);
    for jwk in [
        "",
        "[]",
        "{}",
        r#"{"kty":"oct","k":"c2hvcnQ"}"#,
        r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
        r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#,
    ] {
        assert!(Key::jwk(jwk).is_err(), "{jwk}");
    }
    assert!(Keys::new([]).is_err());
    assert!(Keys::jwks(r#"{"keys":[]}"#).is_err());
    assert!(Keys::jwks("{}").is_err());
    assert!(Key::pem(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").is_err());
    assert!(Key::pem(b"nothing").unwrap_err().to_string().contains("BEGIN PUBLIC KEY"));
    let shown = format!("{:?}", own("shown").with_id("k"));
    assert!(shown.contains("\"k\"") && shown.contains("Hs256"), "{shown}");
    tidewater_testkit::secret::assert_hidden(&shown);
}
