//! The endpoint and the open form, with an authorizer that a test sets.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use http::{Method, Request};
use tidewater_http::{
    Action, Ask, Authorizer, Cors, Grant, Limits, LimitsConfig, Proxies, Rate, Refusal, Resume,
};
use tidewater_hub::{Pattern, Select};

use crate::site::Site;

/// Says the same to everybody, and keeps what it was asked.
#[derive(Clone, Debug)]
struct Says {
    verdict: Arc<Mutex<Result<Grant, Refusal>>>,
    asked: Arc<Mutex<Vec<String>>>,
    times: Arc<AtomicUsize>,
}

impl Says {
    fn new(verdict: Result<Grant, Refusal>) -> Self {
        Self {
            verdict: Arc::new(Mutex::new(verdict)),
            asked: Arc::default(),
            times: Arc::new(AtomicUsize::new(0)),
        }
    }
}

#[async_trait]
impl Authorizer for Says {
    async fn authorize(&self, ask: Ask<'_>) -> Result<Grant, Refusal> {
        self.times.fetch_add(1, Ordering::Relaxed);
        let told = match ask.action {
            Action::Read(selection) => format!("{} reads {:?}", ask.channel, selection.keys),
            Action::Publish { key, event } => format!("{} publishes {key:?} {event:?}", ask.channel),
        };
        self.asked.lock().unwrap().push(told);
        self.verdict.lock().unwrap().clone()
    }
}

fn keys(keys: &[&str]) -> Grant {
    Grant::new().reading(Select::keys(keys.iter().map(|key| key.to_string())))
}

#[tokio::test]
async fn a_request_gets_what_it_is_granted_and_selects_less_of_it() {
    let says = Says::new(Ok(keys(&["ada", "bob"])));
    let site = Site::new("granted", says.clone()).await;
    let id = site.channel.cursor().await.unwrap().to_string();
    for (key, data) in [("ada", "a"), ("eve", "e"), ("bob", "b"), ("ada", "last"), ("bob", "last")] {
        site.write(key, data);
    }
    for (query, expected) in [
        ("", &["a", "b", "last"][..]),
        ("key=ada", &["a", "last"]),
        ("key=ada&key=eve", &["a", "last"]),
        ("key=bob&topic=%3E", &["b", "last"]),
    ] {
        for query in [format!("since=earliest&{query}"), format!("last_event_id={id}&{query}")] {
            let mut answer = site.get(&query, &[]).await;
            for data in expected {
                assert_eq!(answer.event().await.as_deref(), Some(*data), "{query}");
            }
        }
    }
    assert_eq!(says.asked.lock().unwrap()[2], "orders reads [b\"ada\"]");
}

#[tokio::test]
async fn a_refusal_is_told_by_its_status_to_pages_of_listed_origins_too() {
    let says = Says::new(Ok(Grant::new().publishing()));
    let mut site = Site::new("refused", says.clone()).await;
    site.endpoint = site.endpoint.cors(Cors::origins(["https://app.example"]).unwrap());
    let origin = ("origin", "https://app.example");
    let json = ("accept", "application/json");
    for (verdict, status, word) in [
        (Ok(Grant::new().publishing()), 403, "\"orders\""),
        (Err(Refusal::unauthenticated("log in")), 401, "log in"),
        (Err(Refusal::invalid_token("it is over")), 401, "it is over"),
        (Err(Refusal::invalid_request("twice")), 400, "twice"),
        (Err(Refusal::forbidden("not you")), 403, "not you"),
    ] {
        *says.verdict.lock().unwrap() = verdict;
        for (method, accept) in [("GET", None), ("GET", Some(json)), ("HEAD", None)] {
            let headers: Vec<_> = [origin].into_iter().chain(accept).collect();
            let answer = site.ask(method, "", &headers).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {accept:?}");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer realm="));
            assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
            assert_eq!(answer.header("tidewater-cursor"), None);
            assert!(answer.text().await.contains(&word.replace('"', "\\\"")), "{method} {word}");
        }
    }
    assert_eq!(site.channel.status().opened, 0);
}

#[tokio::test]
async fn i10_without_a_verdict_a_stream_is_told_to_come_back() {
    let site = Site::new("unavailable", Says::new(Err(Refusal::unavailable("ask again")))).await;
    site.get("", &[]).await.assert_comes_back().await;
    site.get("last_event_id=x", &[]).await.assert_comes_back().await;
    for (method, headers) in [("GET", &[("accept", "application/json")][..]), ("HEAD", &[]), ("POST", &[])] {
        let answer = site.ask(method, "", headers).await;
        assert_eq!(answer.status, 503, "{method}");
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

#[tokio::test]
async fn publishing_is_closed_unless_granted() {
    let says = Says::new(Ok(Grant::new().reading(Select::all())));
    let site = Site::new("publishing", says.clone()).await;
    let own = || Grant::new().publishing_keys([Pattern::parse("ada.*").unwrap()]);
    for (verdict, query, status) in [
        (Ok(Grant::new().reading(Select::all())), "", 403),
        (Ok(Grant::new()), "key=ada", 403),
        (Err(Refusal::unauthenticated("log in")), "", 401),
        (Ok(own()), "", 403),
        (Ok(own()), "key=bob.1", 403),
        (Ok(own()), "key=ada.1&event=e", 202),
        (Ok(Grant::new().publishing()), "key=bob", 202),
        (Ok(Grant::new().publishing()), "", 202),
    ] {
        let shown = format!("{verdict:?} {query}");
        *says.verdict.lock().unwrap() = verdict;
        assert_eq!(site.ask("POST", query, &[]).await.status.as_u16(), status, "{shown}");
    }
    assert_eq!(says.asked.lock().unwrap()[5], "orders publishes Some(b\"ada.1\") Some(\"e\")");
    let end = site.channel.cursor().await.unwrap();
    assert_eq!(end.topics()[0].offset(0), 3, "what was refused was not published");
    let off = site.endpoint.clone().publish(false);
    let post = Request::post("/").body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    assert_eq!(off.respond(post).await.status(), 403, "granted, and off all the same");
}

#[tokio::test]
async fn a_preflight_and_the_list_of_methods_are_for_everybody() {
    let says = Says::new(Err(Refusal::unauthenticated("log in")));
    let mut site = Site::new("preflight", says.clone()).await;
    site.endpoint = site.endpoint.cors(Cors::origins(["https://app.example"]).unwrap());
    let headers = [("origin", "https://app.example"), ("access-control-request-method", "GET")];
    let answer = site.ask("OPTIONS", "", &headers).await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(site.ask("OPTIONS", "", &[]).await.status, 204);
    assert_eq!(site.ask("DELETE", "", &[]).await.status, 405);
    assert_eq!(says.times.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_stream_ends_when_its_grant_is_over_and_the_next_request_is_asked_anew() {
    let until = SystemTime::now() + Duration::from_millis(300);
    let says = Says::new(Ok(keys(&["ada"]).until(until)));
    let site = Site::new("over", says.clone()).await;
    let mut answer = site.get("", &[]).await;
    assert_eq!(answer.status, 200);
    site.write("ada", "before");
    assert_eq!(answer.event().await.as_deref(), Some("before"));
    assert_eq!(answer.event().await, None, "it ends");
    assert!(SystemTime::now() >= until);
    *says.verdict.lock().unwrap() = Err(Refusal::invalid_token("it is over"));
    assert_eq!(site.get("", &[]).await.status, 401);

    *says.verdict.lock().unwrap() = Ok(keys(&["ada"]).publishing().until(until));
    site.get("since=earliest", &[]).await.assert_comes_back().await;
    for (method, headers) in [("GET", &[("accept", "application/json")][..]), ("HEAD", &[]), ("POST", &[])] {
        let answer = site.ask(method, "", headers).await;
        assert_eq!((answer.status.as_u16(), answer.header("tidewater-cursor")), (503, None), "{method}");
    }
    let end = site.channel.cursor().await.unwrap();
    assert_eq!(end.topics()[0].offset(0), 1, "nothing was published");
}

#[tokio::test]
async fn the_open_form_asks_with_what_the_application_put_beside_the_request() {
    #[derive(Clone)]
    struct User(&'static str);

    #[derive(Debug)]
    struct Sessions;

    #[async_trait]
    impl Authorizer for Sessions {
        async fn authorize(&self, ask: Ask<'_>) -> Result<Grant, Refusal> {
            let Some(User(name)) = ask.extension() else { return Err(Refusal::unauthenticated("log in")) };
            Ok(keys(&[name]).with_subject(*name))
        }
    }

    let site = Site::new("open-form", Says::new(Ok(Grant::new()))).await;
    site.write("bob", "b");
    site.write("ada", "a");
    let answer = |user: Option<User>| async {
        let (mut parts, ()) = Request::get("/?since=earliest").body(()).unwrap().into_parts();
        assert_eq!(parts.method, Method::GET);
        user.map(|user| parts.extensions.insert(user));
        let resume = Resume::from_parts(&parts).unwrap();
        match resume.authorize(&site.channel, &Sessions, &parts).await {
            Ok(grant) => {
                assert_eq!(grant.subject().map(|subject| &**subject), Some("ada"));
                resume.open_granted(&site.channel, &grant).await
            }
            Err(refusal) => resume.refused(&site.channel, refusal),
        }
        .into_response()
    };
    assert_eq!(answer(None).await.status(), 401);
    let mut granted = crate::site::Answer::from(answer(Some(User("ada"))).await);
    assert_eq!(granted.event().await.as_deref(), Some("a"));
}

/// Whom an authorizer names is whom limits count, whatever address it comes from.
#[tokio::test]
async fn limits_count_the_subject_of_a_grant() {
    let grant = |subject: &str| Ok(keys(&["a"]).publishing().with_subject(subject));
    let says = Says::new(grant("ada"));
    let mut site = Site::new("counted", says.clone()).await;
    let config = LimitsConfig {
        streams_per_subject: Some(1),
        publish: Some(Rate::per_hour(1)),
        ..LimitsConfig::default()
    };
    let limits = Limits::new(config, Proxies::default());
    site.endpoint = site.endpoint.limits(limits.clone());
    let first = site.get("", &[]).await;
    assert_eq!((limits.status().streams.open, limits.status().streams.subjects), (1, 1));
    assert_eq!(site.get("", &[]).await.status, 200, "who is over them is told when to come back (I10)");
    assert_eq!(limits.status().streams.open, 1);
    assert_eq!(site.ask("POST", "", &[]).await.status, 202);
    let refused = site.ask("POST", "", &[]).await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
    *says.verdict.lock().unwrap() = grant("bob");
    let other = site.get("", &[]).await;
    assert_eq!((limits.status().streams.open, site.ask("POST", "", &[]).await.status.as_u16()), (2, 202));
    drop((first, other));
    assert_eq!(limits.status().streams.open, 0);
}
