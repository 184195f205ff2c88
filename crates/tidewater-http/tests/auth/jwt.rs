//! Tokens through the endpoint: each wrong one is a clear 401, and nothing of another's is read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};
use tidewater_http::{
    Rule, Rules,
    jwt::{Jwt, Key, Keys},
};
use tidewater_testkit::secret::{assert_hidden, record, secret};

use crate::site::{Answer, Site};

fn signing(name: &str) -> Vec<u8> {
    secret(name).repeat(2).into_bytes()
}

/// A token that this tenant's secret has signed.
pub fn token(tenant: &str, claims: &Value) -> String {
    let parts = [json!({ "alg": "HS256", "typ": "JWT" }).to_string(), claims.to_string()];
    let signed = parts.map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &signing(tenant));
    let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())));
    record(&token);
    token
}

fn soon(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

fn jwt(tenant: &str) -> Jwt {
    let keys = Keys::new([Key::secret(&signing(tenant)).unwrap()]).unwrap();
    let rule = Rule::new(["orders"]).unwrap().keys([format!("{tenant}.{{sub}}")]).unwrap().publish(true);
    Jwt::new(keys, Rules::new([rule]).unwrap()).leeway(Duration::ZERO).unwrap()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn with(site: &Site, method: &str, query: &str, token: &str) -> Answer {
    site.ask(method, query, &[("authorization", &bearer(token))]).await
}

#[tokio::test]
async fn a_token_grants_what_its_claims_do_from_every_place() {
    let site =
        Site::new("jwt-places", jwt("a").cookie("session").unwrap().query("access_token").unwrap()).await;
    for (key, data) in [("a.bob", "b"), ("a.ada", "first"), ("a.*", "star"), ("a.ada", "last")] {
        site.write(key, data);
    }
    let token = token("a", &json!({ "sub": "ada", "exp": soon(600) }));
    let (header, cookie) = (bearer(&token), format!("x=1; session={token}"));
    let query = format!("since=earliest&access_token={token}");
    for (query, headers) in [
        ("since=earliest", &[("authorization", header.as_str())][..]),
        ("since=earliest", &[("cookie", cookie.as_str())]),
        (&query, &[]),
    ] {
        let mut answer = site.get(query, headers).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.event().await.as_deref(), Some("first"));
        assert_eq!(answer.event().await.as_deref(), Some("last"));
    }
    for (key, status) in [("a.ada", 202), ("a.bob", 403), ("b.ada", 403)] {
        assert_eq!(with(&site, "POST", &format!("key={key}"), &token).await.status, status, "{key}");
    }
    assert_eq!(site.get("", &[]).await.status, 401);
    let starred = crate::jwt::token("a", &json!({ "sub": "*", "exp": soon(600) }));
    let mut answer = with(&site, "GET", "since=earliest", &starred).await;
    assert_eq!(answer.event().await.as_deref(), Some("star"), "what is called so, and nothing else");
}

#[tokio::test]
async fn a_wrong_token_is_a_clear_401_that_shows_nothing_of_it() {
    let site = Site::new("jwt-wrong", jwt("a").query("access_token").unwrap()).await;
    let good = json!({ "sub": "ada", "exp": soon(600) });
    let unsigned = BASE64_URL_SAFE_NO_PAD.encode(json!({ "alg": "none" }).to_string());
    let payload = BASE64_URL_SAFE_NO_PAD.encode(good.to_string());
    for (token, word) in [
        (token("a", &json!({ "sub": "ada", "exp": soon(-1) })), "expired"),
        (token("a", &json!({ "sub": "ada" })), "exp"),
        (token("a", &json!({ "sub": "ada", "exp": soon(600), "nbf": soon(500) })), "not valid yet"),
        (token("a", &json!({ "sub": "ada", "exp": soon(600), "aud": "elsewhere" })), "audience"),
        (token("b", &good), "signature"),
        (format!("{unsigned}.{payload}."), "algorithm"),
        ("nonsense".to_owned(), "no signed JSON Web Token"),
        ("a".repeat(9000), "8 KiB"),
    ] {
        for method in ["GET", "POST", "HEAD"] {
            let answer = with(&site, method, "", &token).await;
            assert_eq!(answer.status, 401, "{word}");
            let challenge = answer.header("www-authenticate").unwrap().to_owned();
            assert!(challenge.contains("error=\"invalid_token\"") && challenge.contains(word), "{challenge}");
            let text = answer.text().await;
            assert!(text.contains(word), "{text}");
            assert_hidden(&(text + &challenge));
        }
    }
    let twice = format!("access_token={}", token("a", &good));
    assert_eq!(with(&site, "GET", &twice, &token("a", &good)).await.status, 400);
    assert_eq!(site.channel.status().opened, 0);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires_and_the_next_request_gets_401() {
    let site = Site::new("jwt-expires", jwt("a")).await;
    let token = token("a", &json!({ "sub": "ada", "exp": soon(2) }));
    let mut answer = with(&site, "GET", "", &token).await;
    site.write("a.ada", "before");
    assert_eq!(answer.event().await.as_deref(), Some("before"));
    assert_eq!(answer.event().await, None);
    assert_eq!(with(&site, "GET", "", &token).await.status, 401);
}

/// Everything that is logged, at every level, while a token is in the query.
#[tokio::test]
async fn a_token_in_the_query_gets_to_no_log() {
    #[derive(Clone, Default)]
    struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let site = Site::new("jwt-logs", jwt("a").query("access_token").unwrap()).await;
    let token = token("a", &json!({ "sub": "ada", "exp": soon(600) }));
    for query in [
        format!("access_token={token}&topics=x&last_event_id=y"),
        format!("access_token={token}&topics=x"),
        format!("access_token={token}x"),
        format!("access_token={token}&key=a.ada"),
    ] {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            let answer = site.ask(method, &query, &[]).await;
            if answer.header("content-type") == Some("application/json") {
                assert_hidden(&answer.text().await);
            }
        }
    }
    tracing::info!("this is logged");
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("this is logged") && logged.contains("?topics="), "{logged}");
    assert_hidden(&logged);
}

/// Two tenants on one channel: whatever is done to an id or a token, nobody reads what is the other's.
#[tokio::test]
async fn i3_ten_thousand_mutated_ids_and_tokens_read_nothing_of_anothers() {
    let mut rng = fastrand::Rng::with_seed(7);
    let site = Site::new("jwt-tenants", jwt("a")).await;
    let own = token("a", &json!({ "sub": "ada", "exp": soon(3600) }));
    for n in 0..20 {
        site.write(if n % 2 == 0 { "a.ada" } else { "b.eve" }, if n % 2 == 0 { "ours" } else { "theirs" });
    }
    site.write("a.ada", "end");
    let mut answer = with(&site, "GET", "since=earliest", &own).await;
    for _ in 0..10 {
        assert_eq!(answer.event().await.as_deref(), Some("ours"));
    }
    assert_eq!(answer.event().await.as_deref(), Some("end"));
    let id = site.channel.cursor().await.unwrap().to_string();

    let header = bearer(&own);
    for n in 0..10_000 {
        let query = match n % 4 {
            0 => format!("key=b.eve&since=earliest&last_event_id={}", mutated(&mut rng, &id)),
            1 => format!("topic=%3E&last_event_id={}", mutated(&mut rng, &id)),
            2 => format!("key=a.ada&key=b.eve&last_event_id={}", mutated(&mut rng, &id)),
            _ => format!("last_event_id={}", mutated(&mut rng, &id)),
        };
        let mut answer = site.get(&query, &[("authorization", &header)]).await;
        assert_eq!(answer.status, 200, "{query}");
        let text = answer.ready().await;
        assert!(text.starts_with("retry: ") && !text.contains("theirs"), "{query}: {text}");
    }
    for n in 0..10_000 {
        let wrong = mutated(&mut rng, &own);
        if wrong == own {
            continue;
        }
        let (method, query) = if n % 2 == 0 { ("GET", "since=earliest") } else { ("POST", "key=b.eve") };
        let answer = with(&site, method, query, &wrong).await;
        assert_eq!(answer.status, 401, "{wrong}");
    }
    assert_eq!(site.channel.cursor().await.unwrap().to_string(), id, "and nothing was published");
}

/// The text with some of its characters others, fewer, more, or in another's place.
fn mutated(rng: &mut fastrand::Rng, text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=rng.usize(..3) {
        let place = rng.usize(..bytes.len().max(1));
        let letter = LETTERS[rng.usize(..LETTERS.len())];
        match rng.u8(..5) {
            0 => bytes.truncate(place.max(1)),
            1 => bytes.insert(place, letter),
            2 if bytes.len() > 1 => drop(bytes.remove(place)),
            3 => {
                let other = rng.usize(..bytes.len());
                bytes.swap(place, other);
            }
            _ => bytes[place] = letter,
        }
    }
    String::from_utf8(bytes).unwrap()
}
