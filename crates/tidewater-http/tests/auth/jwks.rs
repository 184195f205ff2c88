//! Keys that an issuer answers at a URL, and changes.

use std::{sync::atomic::Ordering, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tidewater_http::{
    Rule, Rules,
    jwt::{JwksUrl, Jwt, Keys},
};

use crate::{
    other::{Other, nobody},
    site::{Answer, Site},
};

/// A key of an issuer's.
struct Issuers {
    id: String,
    pair: Ed25519KeyPair,
}

impl Issuers {
    fn new(id: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id: id.to_owned(), pair: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap() }
    }

    fn jwk(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": x })
    }

    fn token(&self) -> String {
        let parts =
            [json!({ "alg": "EdDSA", "kid": self.id }), json!({ "sub": "ada", "exp": 4_102_444_800_u64 })];
        let signed = parts.map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes())))
    }
}

fn set(keys: &[&Issuers]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

async fn issuer(keys: &[&Issuers]) -> Other {
    let set = set(keys);
    Other::new(move |_| (200, set.clone())).await
}

async fn site(name: &str, url: String) -> Site {
    let rules = Rules::new([Rule::new(["*"]).unwrap()]).unwrap();
    Site::new(name, Jwt::new(Keys::url(&JwksUrl::new(url)).unwrap(), rules)).await
}

async fn with(site: &Site, key: &Issuers) -> Answer {
    site.get("", &[("authorization", &format!("Bearer {}", key.token()))]).await
}

async fn head(site: &Site, key: &Issuers) -> u16 {
    let bearer = format!("Bearer {}", key.token());
    site.ask("HEAD", "", &[("authorization", &bearer)]).await.status.as_u16()
}

/// Time goes on, and nothing else.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn keys_are_asked_for_once_and_followed_when_they_change() {
    let (old, new) = (Issuers::new("old"), Issuers::new("new"));
    let issuer = issuer(&[&old]).await;
    issuer.takes.store(50, Ordering::Relaxed);
    let site = site("jwks-rotation", issuer.url()).await;
    assert_eq!(issuer.times(), 0);
    let all = join_all((0..50).map(|_| head(&site, &old))).await;
    assert!(all.iter().all(|status| *status == 200), "{all:?}");
    assert_eq!(issuer.times(), 1, "one question for all");
    let got = issuer.got.lock().unwrap()[0].clone();
    assert!(got.headers["accept"].to_str().unwrap().contains("jwk-set") && got.body.is_empty());
    assert!(!got.headers.contains_key("authorization") && !got.headers.contains_key("cookie"));

    let both = set(&[&old, &new]);
    issuer.answers(move |_| (200, both.clone()));
    later(Duration::from_secs(11)).await;
    let all = join_all((0..50).map(|_| head(&site, &new))).await;
    assert!(all.iter().all(|status| *status == 200), "{all:?}");
    assert_eq!(issuer.times(), 2);
    assert_eq!(head(&site, &old).await, 200);

    // Whoever makes names up does not make the issuer answer.
    let unknown = join_all((0..50).map(|n| {
        let site = &site;
        async move { head(site, &Issuers::new(&n.to_string())).await }
    }));
    assert!(unknown.await.iter().all(|status| *status == 401));
    assert_eq!(issuer.times(), 2);

    // One that the issuer has withdrawn counts no longer than twice the time.
    let only = set(&[&new]);
    issuer.answers(move |_| (200, only.clone()));
    later(Duration::from_secs(601)).await;
    assert_eq!(head(&site, &old).await, 401);
    assert_eq!(head(&site, &new).await, 200);
}

#[tokio::test]
async fn i10_until_there_are_keys_nobody_is_refused_and_known_ones_outlast_the_issuer() {
    let (known, other) = (Issuers::new("known"), Issuers::new("other"));
    let issuer = issuer(&[&known]).await;
    let site = site("jwks-down", issuer.url()).await;
    let secret = BASE64_URL_SAFE_NO_PAD.encode([7; 32]);
    for (status, body) in [
        (500, String::new()),
        (302, String::new()),
        (200, "nonsense".to_owned()),
        (200, json!({ "keys": [] }).to_string()),
        (200, json!({ "keys": [{ "kty": "oct", "kid": "known", "k": secret }] }).to_string()),
        (200, "x".repeat(300 << 10)),
    ] {
        let shown = body[..body.len().min(40)].to_owned();
        issuer.answers(move |_| (status, body.clone()));
        let before = issuer.times();
        with(&site, &known).await.assert_comes_back().await;
        assert_eq!(head(&site, &known).await, 503, "{status} {shown}");
        assert_eq!(issuer.times() - before, 1, "once a second at most, and no redirect");
        later(Duration::from_secs(2)).await;
    }
    let keys = set(&[&known]);
    issuer.answers(move |_| (200, keys.clone()));
    assert_eq!(head(&site, &known).await, 200);

    issuer.answers(|_| (503, String::new()));
    for _ in 0..3 {
        later(Duration::from_secs(700)).await;
        assert_eq!(head(&site, &known).await, 200, "an issuer that is down withdraws nothing");
    }
    later(Duration::from_secs(11)).await;
    with(&site, &other).await.assert_comes_back().await;
    assert_eq!(head(&site, &other).await, 503, "it may be one of the issuer's");
}

#[tokio::test]
async fn an_issuer_that_is_not_there_or_does_not_answer_is_waited_for_no_longer_than_said() {
    let key = Issuers::new("k");
    let gone = site("jwks-nobody", nobody().await).await;
    with(&gone, &key).await.assert_comes_back().await;
    let issuer = issuer(&[&key]).await;
    issuer.takes.store(60_000, Ordering::Relaxed);
    let url = JwksUrl::new(issuer.url()).timeout(Duration::from_millis(200));
    let rules = Rules::new([Rule::new(["*"]).unwrap()]).unwrap();
    let slow = Site::new("jwks-slow", Jwt::new(Keys::url(&url).unwrap(), rules)).await;
    with(&slow, &key).await.assert_comes_back().await;
    assert!(Keys::url(&JwksUrl::new("http://id.example/keys")).is_err());
}
