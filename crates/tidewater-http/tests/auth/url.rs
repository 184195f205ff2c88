//! An application that is asked who may do what.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidewater_http::{AuthorizeUrl, AuthorizeUrlSettings};

use crate::{
    other::{Other, nobody},
    site::Site,
};

const COOKIE: (&str, &str) = ("cookie", "session=ada");

async fn site(name: &str, settings: AuthorizeUrlSettings) -> Site {
    Site::new(name, settings.build().unwrap()).await
}

#[tokio::test]
async fn the_application_gets_the_credentials_and_the_question_and_nothing_else() {
    let other =
        Other::new(|_| (200, json!({ "read": true, "keys": ["ada"], "publish": ["ada"] }).to_string())).await;
    let site = site("url-wire", AuthorizeUrl::at(other.url())).await;
    site.write("bob", "b");
    site.write("ada", "a");
    let headers = [
        COOKIE,
        ("authorization", "Basic eDp5"),
        ("x-secret", "x"),
        ("origin", "http://localhost"),
        ("user-agent", "u"),
    ];
    let mut answer =
        site.get("since=earliest&key=ada&key=bob&tag=a&tag=b&topic=%3E&event=message", &headers).await;
    assert_eq!(answer.event().await.as_deref(), Some("a"), "of what it selects what is granted");
    assert_eq!(site.ask("POST", "key=ada&event=e", &headers).await.status, 202);
    assert_eq!(site.ask("POST", "key=bob", &headers).await.status, 403);
    assert_eq!(site.ask("POST", "key=%ff", &headers).await.status, 403);
    // Lossily they would be one, and what is granted for one would count for the others.
    assert_eq!(site.get("key=%ff", &headers).await.status, 403);
    assert_eq!(site.get("key=a&key=%fe", &headers).await.status, 403);

    let got = other.got.lock().unwrap().clone();
    assert_eq!(got.len(), 3);
    for one in &got {
        let mut names: Vec<_> = one.headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["accept", "authorization", "content-length", "content-type", "cookie", "host"]);
        assert_eq!(
            (&one.headers["cookie"], &one.headers["authorization"]),
            (&"session=ada".parse().unwrap(), &"Basic eDp5".parse().unwrap())
        );
    }
    let asked: Vec<Value> = got.iter().map(|one| serde_json::from_str(&one.body).unwrap()).collect();
    assert_eq!(
        asked[0],
        json!({ "action": "read", "channel": "orders", "topics": [">"], "keys": ["ada", "bob"], "tags": ["a", "b"], "events": ["message"] })
    );
    assert_eq!(asked[1], json!({ "action": "publish", "channel": "orders", "key": "ada", "event": "e" }));
    assert_eq!(asked[2], json!({ "action": "publish", "channel": "orders", "key": "bob", "event": null }));
}

#[tokio::test]
async fn its_verdicts_are_the_answers() {
    let other = Other::new(|_| (401, "who?".into())).await;
    let site = site("url-verdicts", AuthorizeUrl::at(other.url()).cache(Duration::ZERO)).await;
    for (status, body, expected) in [
        (401, String::new(), 401),
        (403, String::new(), 403),
        (200, json!({}).to_string(), 403),
        (200, json!({ "read": true, "channels": ["others"] }).to_string(), 403),
        (200, json!({ "read": true }).to_string(), 200),
    ] {
        let shown = format!("{status} {body}");
        other.answers(move |_| (status, body.clone()));
        assert_eq!(site.get("", &[COOKIE]).await.status, expected, "{shown}");
    }
    other.answers(|_| (200, json!({ "read": true, "expires_in": 1 }).to_string()));
    let mut answer = site.get("", &[COOKIE]).await;
    assert_eq!(answer.event().await, None, "it ends when the grant does");
}

#[tokio::test]
async fn i10_what_is_no_verdict_grants_nothing_and_loses_nobody() {
    let other = Other::new(|_| (200, String::new())).await;
    let settings = AuthorizeUrl::at(other.url()).cache(Duration::ZERO).timeout(Duration::from_secs(5));
    let site = site("url-fails", settings).await;
    let fails = |site: Arc<Site>, what: String| async move {
        let answer = site.get("since=earliest", &[COOKIE]).await;
        assert_eq!(answer.status, 200, "{what}");
        answer.assert_comes_back().await;
        for method in ["HEAD", "POST"] {
            assert_eq!(site.ask(method, "", &[COOKIE]).await.status, 503, "{what}");
        }
    };
    site.write("ada", "a");
    let site = Arc::new(site);
    let large = json!({ "read": true, "keys": vec!["k".repeat(1000); 100] }).to_string();
    for (status, body) in [
        (500, ""),
        (404, "{\"read\":true}"),
        (302, "{\"read\":true}"),
        (201, "{\"read\":true}"),
        (200, "nonsense"),
        (200, "{\"read\":true,\"kyes\":[]}"),
        (200, &large),
    ] {
        let text = body.to_owned();
        other.answers(move |_| (status, text.clone()));
        let before = other.times();
        fails(site.clone(), format!("{status} {}", &body[..body.len().min(40)])).await;
        assert_eq!(other.times() - before, 3, "a redirect is not followed");
    }
    other.answers(|_| (200, json!({ "read": true, "publish": true }).to_string()));
    other.takes.store(60_000, Ordering::Relaxed);
    let quick = AuthorizeUrl::at(other.url()).timeout(Duration::from_millis(200));
    let site = crate::url::site("url-slow", quick).await;
    fails(Arc::new(site), "slow".into()).await;
    let site = crate::url::site("url-nobody", AuthorizeUrl::at(nobody().await)).await;
    fails(Arc::new(site), "nobody there".into()).await;
}

#[tokio::test]
async fn who_asks_the_same_shares_a_question_and_nobody_anothers_verdict() {
    let other = Other::new(|got| {
        let who = got.headers["cookie"].to_str().unwrap().trim_start_matches("session=").to_owned();
        (200, json!({ "read": true, "keys": [who] }).to_string())
    })
    .await;
    other.takes.store(100, Ordering::Relaxed);
    let site = site(
        "url-shared",
        AuthorizeUrl::at(other.url()).timeout(Duration::from_secs(20)).cache(Duration::from_secs(600)),
    )
    .await;
    for who in 0..10 {
        site.write(&who.to_string(), &format!("of {who}"));
    }
    let ask = |n: usize| {
        let site = &site;
        async move {
            let who = n % 10;
            let mut answer = site.get("since=earliest", &[("cookie", &format!("session={who}"))]).await;
            assert_eq!(answer.event().await, Some(format!("of {who}")));
        }
    };
    join_all((0..300).map(ask)).await;
    join_all((0..300).map(ask)).await;
    assert_eq!(other.times(), 10, "once for each");
    site.get("since=earliest&key=1", &[("cookie", "session=1")]).await;
    assert_eq!(other.times(), 11, "another selection is another question");
}

#[test]
fn a_url_that_cannot_be_asked_is_refused_at_the_start() {
    for url in ["", "http://app.example/", "https://u:p@app.example/", "unix:/x"] {
        assert!(AuthorizeUrl::at(url).build().is_err(), "{url}");
    }
    assert!(AuthorizeUrl::at("http://app.example/").allow_plain().build().is_ok());
}
