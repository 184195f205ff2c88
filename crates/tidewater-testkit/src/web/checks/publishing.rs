//! `POST`.

use std::sync::Arc;

use tidewater_core::{ErrorKind, Sink};
use tidewater_http::Cors;
use tidewater_hub::ChannelBuilder;

use crate::web::{
    Checked, Server,
    client::Request,
    ensure,
    site::{Refuses, Site},
};

/// The body becomes a message, with a key and an event name; the answer says where it stands, by an id to resume from.
pub async fn a_post_publishes(server: &dyn Server) -> Checked {
    let site = publishing(server, |channel| channel).await?;
    let mut events = site.open("/closed").await?;
    for (n, (path, body, event, data)) in [
        ("/closed", &b"hello"[..], "message", "hello"),
        ("/closed?key=a%20b&event=order.created", "{\"é\":1}".as_bytes(), "order.created", "{\"é\":1}"),
        ("/closed?event=note", b"", "note", ""),
        ("/closed", b"\xff\x00", "tidewater.binary", "/wA="),
    ]
    .into_iter()
    .enumerate()
    {
        let request = site.request("POST", path).body(body);
        let request = if n == 1 { request.chunked() } else { request };
        let answer = request.send().await?;
        ensure!(answer.status == 202, "{path}: {}", answer.status);
        let placed = answer.json().await?;
        ensure!(
            placed["topic"] == "site" && placed["partition"] == 0 && placed["offset"] == n,
            "{path}: it stands at {placed}"
        );
        let seen = events.seen().await?;
        ensure!((&*seen.event_type, &*seen.data) == (event, data), "{path}: it arrived as {seen:?}");
        ensure!(
            placed["id"] == seen.last_event_id.as_str(),
            "{path}: {placed} is not {}",
            seen.last_event_id
        );
    }
    let keyed = site.get("/closed?since=earliest&key=a%20b").send().await?.events()?.seen().await?;
    ensure!(keyed.event_type == "order.created", "the key did not arrive: {keyed:?}");
    Ok(())
}

/// Publishing that is off, a page of another origin, a body that is too large, a name that is reserved, a broker that
/// refuses: each has its status and says what to do.
pub async fn a_post_is_refused_for_cause(server: &dyn Server) -> Checked {
    let off = Site::start(server).await?;
    refused(off.request("POST", "/closed").body("x"), 403, "off").await?;

    let site = publishing(server, |channel| channel).await?;
    let post = |path: &str| site.request("POST", path).body("x");
    refused(post("/closed").header("origin", "https://evil.example"), 403, "https://evil.example").await?;
    refused(post("/closed").header("origin", "null"), 403, "null").await?;
    for origin in [&site.origin(), "https://app.example"] {
        let answer = post("/closed").header("origin", origin).send().await?;
        ensure!(answer.status == 202, "{origin}: {}", answer.status);
    }
    refused(site.request("POST", "/closed").body(vec![b'x'; 1025]), 413, "1024").await?;
    refused(site.request("POST", "/closed").body(vec![b'x'; 5000]).chunked(), 413, "1024").await?;
    let answer = site.request("POST", "/closed").body(vec![b'x'; 1024]).send().await?;
    ensure!(answer.status == 202, "a body of the limit itself: {}", answer.status);
    for query in ["event=open", "event=tidewater.gap", "event=", "event=a%0Ab", "key=a&key=b"] {
        refused(post(&format!("/closed?{query}")), 400, "?").await?;
    }
    let published = site.channel.cursor().await?.topics().first().map_or(0, |topic| topic.offset(0));
    ensure!(published == 3, "{published} messages were published, not 3");

    for (kind, status) in
        [(ErrorKind::Rejected, 422), (ErrorKind::Unavailable, 503), (ErrorKind::Denied, 503)]
    {
        let sink: Arc<dyn Sink> = Arc::new(Refuses(kind));
        let site = publishing(server, |channel| channel.sink(sink)).await?;
        refused(site.request("POST", "/closed").body("x"), status, "the broker said no").await?;
    }
    Ok(())
}

async fn publishing(
    server: &dyn Server,
    channel: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
) -> Result<Site, crate::web::Failure> {
    let cors = Cors::origins(["https://app.example"])?;
    Site::start_with(server, channel, |endpoint| endpoint.publish(true).max_body(1024).cors(cors)).await
}

async fn refused(request: Request, status: u16, word: &str) -> Checked {
    let answer = request.send().await?;
    ensure!(answer.status == status, "{} instead of {status} ({word})", answer.status);
    let error = answer.json().await?;
    ensure!(
        error["error"].as_str().is_some_and(|text| text.contains(word)),
        "it doesn't say {word}: {error}"
    );
    Ok(())
}
