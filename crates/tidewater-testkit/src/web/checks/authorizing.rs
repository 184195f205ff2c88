//! Who may do what: an authorizer sees each request as it came, and its word is kept.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tidewater_core::Message;
use tidewater_http::{Ask, Authorizer, Cors, Grant, Refusal};
use tidewater_hub::{Pattern, Select};

use crate::web::{
    Checked, Failure, Server, ensure,
    site::{Site, first_block},
    soon,
};

/// Each is who their cookie, their `Authorization` or their query says, and has what is theirs.
#[derive(Debug)]
struct Names;

#[async_trait]
impl Authorizer for Names {
    async fn authorize(&self, ask: Ask<'_>) -> Result<Grant, Refusal> {
        let header = |name: &str| ask.head.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let cookie = header("cookie").and_then(|value| value.strip_prefix("name="));
        let query = ask.head.query.and_then(|query| query.strip_prefix("name="));
        let query = query.and_then(|query| query.split('&').next());
        let Some(name) = bearer.or(cookie).or(query).map(str::to_owned) else {
            return Err(Refusal::unauthenticated("say who you are"));
        };
        let own = Grant::new().reading(Select::key(name.clone())).publishing_keys([Pattern::exact(&*name)]);
        match &*name {
            "nobody" => Err(Refusal::invalid_token("nobody is called so")),
            "stranger" => Ok(Grant::new()),
            "later" => Err(Refusal::unavailable("it is not known yet")),
            "brief" => Ok(own.until(SystemTime::now() + Duration::from_millis(500))),
            _ => Ok(own),
        }
    }
}

async fn site(server: &dyn Server, heartbeat: Duration) -> Result<Site, Failure> {
    let cors = Cors::origins(["https://app.example"])?;
    Site::start_with(
        server,
        |channel| channel.heartbeat(heartbeat),
        |endpoint| endpoint.authorize(Names).publish(true).cors(cors),
    )
    .await
}

/// Each request gets what it is granted, and what it selects narrows that; without a grant it is 401 or 403 and can be read by
/// pages of listed origins. Publishing is closed unless granted, and a preflight is for everybody.
pub async fn requests_get_what_they_are_granted(server: &dyn Server) -> Checked {
    let site = site(server, Duration::from_secs(60)).await?;
    for (key, data) in [("bob", "b"), ("ada", "a1"), ("eve", "e"), ("ada", "a2")] {
        site.log.publish(Message::new("site", data).with_key(key));
    }
    for (path, name, value) in [
        ("/closed?since=earliest", "authorization", "Bearer ada"),
        ("/closed?since=earliest&key=ada&key=bob", "cookie", "name=ada"),
        ("/closed?name=ada&since=earliest", "accept", "text/event-stream"),
    ] {
        let seen = site.get(path).header(name, value).send().await?.events()?.data(2).await?;
        ensure!(seen == ["a1", "a2"], "{path}, {name}: {value}: {seen:?} came");
    }
    for (name, status, challenge) in [
        (None, 401, "Bearer realm=\"tidewater\""),
        (
            Some("nobody"),
            401,
            "Bearer realm=\"tidewater\", error=\"invalid_token\", error_description=\"nobody is called so\"",
        ),
        (Some("stranger"), 403, "insufficient_scope"),
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let request = site.request(method, "/closed").header("origin", "https://app.example");
            let request = match name {
                Some(name) => request.header("authorization", format!("Bearer {name}")),
                None => request,
            };
            let answer = request.send().await?;
            ensure!(answer.status == status, "{method} of {name:?}: {} instead of {status}", answer.status);
            let told = answer.header("www-authenticate").unwrap_or_default().to_owned();
            ensure!(told.contains(challenge), "{method} of {name:?}: WWW-Authenticate: {told}");
            ensure!(
                answer.header("access-control-allow-origin") == Some("https://app.example"),
                "{method} of {name:?}: the page can't read the refusal: {:?}",
                answer.headers
            );
        }
    }
    for (path, status) in [("/closed?key=ada", 202), ("/closed?key=bob", 403), ("/closed", 403)] {
        let answer =
            site.request("POST", path).header("authorization", "Bearer ada").body("x").send().await?;
        ensure!(answer.status == status, "POST {path}: {} instead of {status}", answer.status);
    }
    let preflight = site.request("OPTIONS", "/closed").header("origin", "https://app.example");
    let answer = preflight.header("access-control-request-method", "GET").send().await?;
    ensure!(answer.status == 204, "a preflight: {}", answer.status);
    Ok(())
}

/// A stream ends with a time to come back when what it was granted is over, also if nothing happens on it; and one for which there
/// is no verdict is told to come back.
pub async fn i10_a_stream_ends_when_its_grant_is_over(server: &dyn Server) -> Checked {
    // Sixteen ticks to a heartbeat: a stream that waits ends soon when its time is over.
    let site = site(server, Duration::from_secs(2)).await?;
    let mut events = first_block(site.get("/closed").header("authorization", "Bearer brief")).await?;
    site.clients(1).await?;
    let end = async {
        while events.next().await?.is_some() {}
        Ok::<_, Failure>(())
    };
    soon("the end of a stream whose grant is over", end).await??;
    ensure!(events.retry() != Some(2000), "it ended without a time of its own to come back");
    site.clients(0).await?;
    let answer = site.get("/closed").header("authorization", "Bearer later").send().await?;
    ensure!(answer.status == 200, "without a verdict: {}", answer.status);
    let mut events = answer.events()?;
    ensure!(events.next().await?.is_none(), "without a verdict something came");
    ensure!(events.retry().is_some(), "it was not told when to come back");
    let answer = site.request("HEAD", "/closed").header("authorization", "Bearer later").send().await?;
    ensure!(answer.status == 503, "HEAD without a verdict: {}", answer.status);
    Ok(())
}
