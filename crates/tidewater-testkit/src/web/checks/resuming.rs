//! Where a stream starts, and what of it a client gets.

use tidewater_core::{Headers, Message, sse::Event};

use crate::web::{
    Checked, Failure, Server,
    client::Request,
    ensure,
    site::{FORMS, Site, first_block},
};

/// A stream goes on after the last id, from the header or from the query; the header wins, as the URL of a page keeps
/// the id that it was loaded with.
pub async fn i1_the_last_id_resumes_and_the_header_wins(server: &dyn Server) -> Checked {
    let site = Site::start(server).await?;
    for n in 0..5 {
        site.write(format!("{n}"));
    }
    let mut events = site.get("/closed?since=earliest").send().await?.events()?;
    let mut ids = Vec::new();
    for n in 0..5 {
        let event = events.seen().await?;
        ensure!(event.data == n.to_string(), "event {n} is {event:?}");
        ids.push(event.last_event_id);
    }
    let (early, late) = (&ids[0], &ids[3]);
    for path in FORMS {
        let by_header = site.get(path).header("last-event-id", early);
        ensure!(data(by_header, 4).await? == ["1", "2", "3", "4"], "{path}: not after the header's id");
        for name in ["last_event_id", "lastEventId"] {
            let by_query = site.get(&format!("{path}?{name}={early}"));
            ensure!(data(by_query, 4).await? == ["1", "2", "3", "4"], "{path}: not after ?{name}=");
            let both =
                site.get(&format!("{path}?{name}={early}&since=earliest")).header("last-event-id", late);
            ensure!(data(both, 1).await? == ["4"], "{path}: ?{name}= won over the header");
        }
    }
    Ok(())
}

async fn data(request: Request, count: usize) -> Result<Vec<String>, Failure> {
    request.send().await?.events()?.data(count).await
}

/// An id that can't be read, or is far ahead, wherever it comes from: 200, a gap that says why, then the events.
pub async fn i3_ids_that_cannot_be_served_are_gaps_never_errors(server: &dyn Server) -> Checked {
    let site = Site::start(server).await?;
    site.write("0");
    site.through(1).await?;
    let mut ahead = site.channel.cursor().await?;
    let topic = ahead.topics().first().cloned().ok_or_else(|| Failure::new("a cursor without a topic"))?;
    ahead.raise(topic.tag, topic.epoch, 0, 1_000_000_000);
    let ahead = ahead.to_string();
    let long = "A".repeat(4_000);
    let mut hostile: Vec<(&[u8], &str)> = vec![
        (b"17", "unreadable"),
        ("é…".as_bytes(), "unreadable"),
        (b"../../etc/passwd", "unreadable"),
        (long.as_bytes(), "unreadable"),
        (ahead.as_bytes(), "ahead"),
    ];
    if server.passes_any_header() {
        hostile.push((b"\xff\xfe", "unreadable"));
    }
    let mut written = 0;
    for path in FORMS {
        for (id, reason) in &hostile {
            let shown = String::from_utf8_lossy(&id[..id.len().min(40)]);
            let what = format!("{path}, Last-Event-ID: {shown}");
            let mut events = site.get(path).header("last-event-id", id).send().await?.events()?;
            expect_gap(&events.seen().await?, reason, &what)?;
            written += 1;
            site.write(written.to_string());
            let after = events.seen().await?;
            ensure!(after.data == written.to_string(), "{what}: behind the gap came {after:?}");
        }
        for id in ["17", "%00", "%ff%fe", "%C3%A9"] {
            let what = format!("{path}?last_event_id={id}");
            let mut events = site.get(&what).send().await?.events()?;
            expect_gap(&events.seen().await?, "unreadable", &what)?;
        }
    }
    Ok(())
}

fn expect_gap(event: &Event, reason: &str, what: &str) -> Checked {
    let told = serde_json::from_str::<serde_json::Value>(&event.data).ok();
    ensure!(
        event.event_type == "tidewater.gap" && told.is_some_and(|told| told["reason"] == reason),
        "{what}: no gap of reason {reason}: {event:?}"
    );
    Ok(())
}

/// `?since=` takes words, durations and times, and says what it takes.
pub async fn since_sets_the_start(server: &dyn Server) -> Checked {
    let site = Site::start(server).await?;
    site.write("0");
    site.write("1");
    for path in FORMS {
        for since in ["earliest", "5m", "1h%2030m", "2001-02-03T04:05:06Z", "2001-02-03T04:05:06%2B01:00"] {
            let got = data(site.get(&format!("{path}?since={since}")), 2).await?;
            ensure!(got == ["0", "1"], "{path}?since={since}: {got:?}");
        }
        for since in ["yesterday", "", "5", "2001-02-03"] {
            let answer = site.get(&format!("{path}?since={since}")).send().await?;
            ensure!(answer.status == 400, "{path}?since={since}: {}", answer.status);
        }
    }
    let error = site.get("/closed?since=yesterday").send().await?.json().await?;
    for word in ["yesterday", "RFC 3339", "5m", "earliest", "latest"] {
        ensure!(
            error["error"].as_str().is_some_and(|text| text.contains(word)),
            "it doesn't say {word}: {error}"
        );
    }
    site.through(2).await?;
    let mut latest = site.open("/closed?since=latest").await?;
    site.write("2");
    let event = latest.seen().await?;
    ensure!(event.data == "2", "?since=latest: {event:?}");
    Ok(())
}

/// Values of one name are alternatives, names narrow each other, and the application's own selection narrows both.
pub async fn selections_narrow_the_stream(server: &dyn Server) -> Checked {
    let site = Site::start(server).await?;
    for (key, event, data) in [
        ("a", "x", "ax"),
        ("b", "x", "bx"),
        ("c", "x", "cx"),
        ("a", "y", "ay"),
        ("b", "y", "by"),
        ("end", "z", "end"),
    ] {
        let headers: Headers = [("tidewater-event", event)].into_iter().collect();
        site.log.publish(Message::new("site", data).with_key(key).with_headers(headers));
    }
    for (query, expected) in [
        ("key=a&key=end", &["ax", "ay", "end"][..]),
        ("key=a&key=b&key=end&event=y&event=z", &["ay", "by", "end"]),
        ("event=y&event=z&token=whatever", &["ay", "by", "end"]),
        ("topic=site&key=c&key=end", &["cx", "end"]),
    ] {
        for path in FORMS {
            let got = data(site.get(&format!("{path}?since=earliest&{query}")), expected.len()).await?;
            ensure!(got == expected, "{path}?{query}: {got:?} instead of {expected:?}");
        }
    }
    let got = data(site.get("/keys/b?since=earliest"), 2).await?;
    ensure!(got == ["bx", "by"], "/keys/b: {got:?}");
    let got = data(site.get("/keys/b?since=earliest&event=y"), 1).await?;
    ensure!(got == ["by"], "/keys/b?event=y: {got:?}");
    // What the request selects never widens what the application selects.
    let mut none = first_block(site.get("/keys/b?since=earliest&key=a")).await?;
    site.log.publish(Message::new("site", "for a").with_key("a"));
    site.log.publish(Message::new("site", "for b").with_key("b"));
    let waited = tokio::time::timeout(std::time::Duration::from_millis(300), none.seen()).await;
    ensure!(waited.is_err(), "/keys/b?key=a: {:?}", waited.map(|event| event.map(|event| event.data)));
    Ok(())
}
