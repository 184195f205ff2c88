//! Heads: what a request may ask for, and with what it is answered.

use std::io::Write as _;

use bytes::BytesMut;
use flate2::write::GzDecoder;
use futures_util::StreamExt;
use tidewater_core::{Message, Start, sse::Decoder};
use tidewater_http::Cors;
use tidewater_hub::{Encoding, Resume, Select};

use crate::web::{
    Checked, Failure, Server,
    client::Answer,
    ensure,
    site::{FORMS, Site},
    soon,
};

/// The body, without the framing, is byte for byte what the hub gives: in both forms, small events and large.
pub async fn the_bytes_are_the_hubs(server: &dyn Server) -> Checked {
    let site = Site::start(server).await?;
    let large = "large ".repeat(200_000);
    for data in ["plain", "two\nlines", " leading", "", "é…🌊", "cr\rlf\r\n", &large, "last"] {
        site.log.publish(Message::new("site", data.to_owned()).with_key("k"));
    }
    let resume = Resume { start: Some(Start::Earliest), ..Resume::default() };
    let mut hub = site.channel.stream(resume, Select::all()).await;
    let (mut expected, mut decoder, mut last) = (BytesMut::new(), Decoder::new(), String::new());
    while last != "last" {
        let bytes = soon("the hub's own stream", hub.next()).await?;
        let bytes = bytes.ok_or_else(|| Failure::new("the hub's own stream ended"))?;
        expected.extend_from_slice(&bytes);
        decoder.feed_bytes(bytes);
        while let Some(event) = decoder.next_event()? {
            last = event.data.into();
        }
    }
    for path in ["/closed", "/open", "/keys/k"] {
        let mut answer = site.get(&format!("{path}?since=earliest")).send().await?;
        let got = answer.bytes(expected.len()).await?;
        let differs = got.iter().zip(&expected).position(|(got, expected)| got != expected);
        ensure!(
            differs.is_none(),
            "{path}: byte {differs:?} of {} differs from what the hub gives: {:?}…",
            expected.len(),
            String::from_utf8_lossy(&got[..got.len().min(200)])
        );
    }
    Ok(())
}

/// What the endpoint sets on a stream: name and value.
const STREAM: &[(&str, &str)] = &[
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store, no-transform"),
    ("x-accel-buffering", "no"),
];

/// Every answer has the endpoint's headers, and beyond them only those that the framework is known to add.
pub async fn the_headers_are_the_endpoints(server: &dyn Server) -> Checked {
    let site = Site::start(server).await?;
    for path in ["/closed", "/open", "/keys/k"] {
        exactly(server, &site.get(path).header("accept", "text/event-stream").send().await?, 200, STREAM)?;
    }
    let json = [("content-type", "application/json"), ("cache-control", "no-store")];
    let cursor = site.channel.cursor().await?.to_string();
    let with_cursor = [&json[..], &[("tidewater-cursor", &cursor), ("vary", "accept")]].concat();
    for path in FORMS {
        let answer = site.get(path).header("accept", "application/json").send().await?;
        exactly(server, &answer, 200, &with_cursor)?;
    }
    let with_allow = [&json[..], &[("allow", "GET, HEAD, OPTIONS")]].concat();
    exactly(server, &site.request("DELETE", "/closed").send().await?, 405, &with_allow)?;
    exactly(server, &site.get("/closed?since=x").send().await?, 400, &json)?;
    exactly(server, &site.request("POST", "/closed").send().await?, 403, &json)?;
    exactly(
        server,
        &site.request("OPTIONS", "/closed").send().await?,
        204,
        &[("allow", "GET, HEAD, OPTIONS")],
    )
}

/// Who asks for gzip gets it where the endpoint allows it: each event can be decoded when it has come, and the end is the
/// end of what is encoded. Others get the same in plain.
pub async fn a_compressed_stream_is_whole(server: &dyn Server) -> Checked {
    let mut site =
        Site::start_with(server, |channel| channel, |endpoint| endpoint.compress([Encoding::Gzip])).await?;
    let varies = [STREAM, &[("vary", "accept-encoding")]].concat();
    exactly(server, &site.get("/closed").header("accept-encoding", "br").send().await?, 200, &varies)?;
    let encoded = [&varies[..], &[("content-encoding", "gzip")]].concat();
    let mut answer = site.get("/closed").header("accept-encoding", "gzip, br").send().await?;
    exactly(server, &answer, 200, &encoded)?;
    let mut gzip = GzDecoder::new(Vec::new());
    for data in ["first", "large ".repeat(100_000).as_str(), "last"] {
        site.write(data);
        let (ends, mut seen) = (format!("{data}\n"), String::new());
        while !seen.contains(&ends) {
            let piece = soon("a compressed event", answer.piece()).await??;
            gzip.write_all(&piece.ok_or_else(|| Failure::new("the stream ended"))?)?;
            gzip.flush()?;
            seen = String::from_utf8_lossy(gzip.get_ref()).into_owned();
        }
    }
    drop(site.stop());
    while let Some(piece) = soon("the end", answer.piece()).await?? {
        gzip.write_all(&piece)?;
    }
    let whole = gzip.finish().map_err(|error| Failure::new(format!("the stream is not whole: {error}")))?;
    let last = whole.rsplit(|byte| *byte == b'\n').find(|line| !line.is_empty());
    ensure!(last.is_some_and(|line| line.starts_with(b"retry: ")), "it ends with {last:?}");
    Ok(())
}

fn exactly(server: &dyn Server, answer: &Answer, status: u16, expected: &[(&str, &str)]) -> Checked {
    ensure!(answer.status == status, "{} instead of {status}: {:?}", answer.status, answer.headers);
    for (name, value) in expected {
        ensure!(answer.header(name) == Some(value), "no {name}: {value} (once) in {:?}", answer.headers);
    }
    // What HTTP/1.1 itself needs.
    let framing = ["date", "transfer-encoding", "content-length", "connection"];
    for (name, value) in &answer.headers {
        let known = expected.iter().any(|(expected, _)| expected == name)
            || framing.contains(&name.as_str())
            || server.adds().contains(&name.as_str());
        ensure!(known, "a header that nobody has listed: {name}: {value}");
    }
    Ok(())
}

/// `HEAD`, and `GET` with `Accept: application/json`, answer the current cursor and open nothing; a stream from it
/// has everything after it.
pub async fn head_and_json_answer_the_cursor(server: &dyn Server) -> Checked {
    let site = Site::start(server).await?;
    site.write("before");
    let cursor = site.channel.cursor().await?.to_string();
    let head = site.request("HEAD", "/closed").send().await?;
    ensure!(head.status == 200, "HEAD: {}", head.status);
    ensure!(head.header("tidewater-cursor") == Some(&cursor), "HEAD: not {cursor}: {:?}", head.headers);
    for path in FORMS {
        let answer = site.get(path).header("accept", "application/json").send().await?;
        ensure!(answer.header("tidewater-cursor") == Some(&cursor), "{path}: {:?}", answer.headers);
        let body = answer.json().await?;
        ensure!(body["cursor"] == cursor.as_str(), "{path}: not {cursor}: {body}");
    }
    ensure!(site.channel.status().opened == 0, "asking for the cursor opened a stream");
    site.write("after");
    for path in FORMS {
        let mut events = site.get(path).header("last-event-id", &cursor).send().await?.events()?;
        let event = events.seen().await?;
        ensure!(event.data == "after", "{path}: from the cursor came {event:?}");
    }
    Ok(())
}

/// Another method is 405 and says which there are.
pub async fn wrong_methods_are_refused(server: &dyn Server) -> Checked {
    let site = Site::start(server).await?;
    for method in ["PUT", "DELETE", "PATCH"] {
        let answer = site.request(method, "/closed").send().await?;
        ensure!(answer.status == 405, "{method} /closed: {}", answer.status);
        let allow = answer.header("allow").map(str::to_owned);
        ensure!(allow.as_deref() == Some("GET, HEAD, OPTIONS"), "{method}: allow: {allow:?}");
        let error = answer.json().await?;
        ensure!(error["error"].as_str().is_some_and(|text| text.contains(method)), "{method}: {error}");
        let answer = site.request(method, "/open").send().await?;
        let expected = server.wrong_method_in_the_open_form();
        ensure!(answer.status == expected, "{method} /open: {} instead of {expected}", answer.status);
    }
    Ok(())
}

/// Who accepts neither events nor JSON gets 406, in every form; who accepts anything gets the events.
pub async fn an_accept_that_excludes_streams_is_refused(server: &dyn Server) -> Checked {
    let site = Site::start(server).await?;
    for path in ["/closed", "/open", "/keys/k"] {
        for accept in ["text/html", "image/*", "text/event-stream;q=0"] {
            let answer = site.get(path).header("accept", accept).send().await?;
            ensure!(answer.status == 406, "{path}, accept: {accept}: {}", answer.status);
        }
        for accept in ["*/*", "text/*", "text/html, */*;q=0.1"] {
            site.get(path).header("accept", accept).send().await?.events()?;
        }
    }
    let answer = site.request("HEAD", "/closed").header("accept", "text/html").send().await?;
    ensure!(answer.status == 200, "HEAD opens nothing, whatever it accepts: {}", answer.status);
    Ok(())
}

/// A listed origin may read, ask for the cursor and preflight, with credentials; another one gets nothing.
pub async fn cors_is_for_listed_origins(server: &dyn Server) -> Checked {
    let cors = Cors::origins(["https://app.example"])?;
    let site =
        Site::start_with(server, |channel| channel, |endpoint| endpoint.cors(cors).publish(true)).await?;
    let listed = site.get("/closed").header("origin", "https://app.example").send().await?;
    let allowed = [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "tidewater-cursor"),
        ("vary", "origin"),
    ];
    exactly(server, &listed, 200, &[STREAM, &allowed].concat())?;
    for origin in ["https://app.example.evil", "http://app.example", "null"] {
        let other = site.get("/closed").header("origin", origin).send().await?;
        exactly(server, &other, 200, &[STREAM, &[("vary", "origin")]].concat())?;
    }
    exactly(server, &site.get("/closed").send().await?, 200, &[STREAM, &[("vary", "origin")]].concat())?;

    let preflight = |origin: &str| {
        site.request("OPTIONS", "/closed")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "last-event-id")
            .send()
    };
    let answer = preflight("https://app.example").await?;
    let granted = [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, HEAD, POST, OPTIONS"),
        ("access-control-allow-headers", "last-event-id, content-type, authorization"),
        ("access-control-max-age", "3600"),
        ("vary", "origin"),
    ];
    exactly(server, &answer, 204, &granted)?;
    exactly(server, &preflight("https://evil.example").await?, 204, &[("vary", "origin")])
}
