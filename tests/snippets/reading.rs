//! A stream that is read with `fetch`, and the parser that this takes.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tidewater_testkit::secret;
use tidewater_tests::{browser::Browser, env, nats};
use tokio::process::Command;

use crate::{
    doc::snippet,
    site::Site,
    stage::{Page, Stage},
};

/// Longer than a test takes.
const LONG: &str = "1h";
/// Longer than a page takes to connect, shorter than anybody waits.
const SHORT: &str = "5s";

pub(crate) async fn with_a_token(browser: &Browser) -> Result<()> {
    let (mut stage, key) = locked().await?;
    stage.site.put("/token", token(&key, SHORT).await?);
    let page = open(browser, &stage).await?;
    stage.clients(1).await?;
    stage.produce(20).await?;

    // The stream ends with its token, and the next one has another.
    stage.site.put("/token", token(&key, LONG).await?);
    let asked =
        "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/token')).length";
    page.until(&format!("{asked} >= 2")).await?;

    stage.site.answer_502();
    stage.exact(&page).await?;
    page.click("stop").await?;
    page.until("said.join() === 'ended'").await?;
    stage.clients(0).await?;
    secret::assert_hidden(&stage.gateway.output());
    Ok(())
}

/// What would not be otherwise the next time is an error, once.
pub(crate) async fn refused(browser: &Browser) -> Result<()> {
    let (stage, _) = locked().await?;
    stage.site.put("/token", "nobody's");
    let page = open(browser, &stage).await?;
    page.until("failures.length > 0").await?;
    let failures = page.run("return failures").await?;
    ensure!(failures.to_string().contains("401 from http://"), "{failures}");
    Ok(())
}

async fn open<'a>(browser: &'a Browser, stage: &Stage) -> Result<Page<'a>> {
    stage.site.put("/events.js", snippet("events.js")?);
    stage.open(browser, "fetch.js").await
}

/// A channel for who has a token, and the key that signs them.
async fn locked() -> Result<(Stage, String)> {
    let (orders, key) = (nats::Stream::create("orders").await?, secret::secret("tokens"));
    let config = format!(
        "[channels.orders]\nsource = '{}'\nretry = '500ms'\n\
         [authorization.jwt]\nsecret = '{key}'\nleeway = 0\n\
         [[authorization.rules]]\nchannels = 'orders'\n",
        orders.url()
    );
    Ok((Stage::configured("orders", orders, |_: &Site| config).await?, key))
}

/// A token, made by the gateway's own command.
pub(crate) async fn token(key: &str, expires: &str) -> Result<String> {
    let mut command = Command::new(env::gateway()?);
    command
        .args(["token", "--secret-env", "KEY", "--expires", expires, "--claim", "sub=ada"])
        .env("KEY", key);
    let output = command.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let token = String::from_utf8(output.stdout)?.trim().to_owned();
    secret::record(&token);
    Ok(token)
}

/// Who stops while it is about to wait has nothing to wait for.
pub(crate) async fn stopped(browser: &Browser) -> Result<()> {
    const STOP: &str = r"
        async function stop() {
            const { events } = await import('/events.js');
            const [waits, later, stopped] = [[], setTimeout, new AbortController()];
            window.setTimeout = (then, ms) => { waits.push(ms); return later(then, 0); };
            const token = () => { stopped.abort(); throw new Error('no token'); };
            for await (const event of events('/', { token, signal: stopped.signal }));
            return waits;
        }
        return stop();
    ";
    let site = Site::start(0).await?;
    site.put("/events.js", snippet("events.js")?);
    site.put("/", "<!doctype html><title>Stopped</title>");
    browser.open(&format!("{}/", site.origin())).await?;
    let waits = browser.run(STOP).await?;
    ensure!(waits == json!([]), "it waited: {waits}");
    Ok(())
}

/// The parser, on what the codec is held to: as one piece, byte by byte, and as the vector is cut.
pub(crate) async fn vectors(browser: &Browser) -> Result<()> {
    const FILES: [&str; 4] = [
        include_str!("../vectors/eventsource-parser.json"),
        include_str!("../vectors/own-extras.json"),
        include_str!("../vectors/whatwg-examples.json"),
        include_str!("../vectors/wpt-eventsource.json"),
    ];
    // It needs no gateway, and has none.
    let site = Site::start(0).await?;
    let mut all: Vec<Value> = Vec::new();
    for file in FILES {
        all.extend(serde_json::from_str::<Vec<Value>>(file)?);
    }
    site.put("/events.js", snippet("events.js")?);
    site.put("/vectors.json", json!(all).to_string());
    site.put("/", "<!doctype html><title>Vectors</title>");
    browser.open(&format!("{}/", site.origin())).await?;
    let told = browser.run(CHECK).await?;
    let wrong = told["wrong"].as_array().context("no list")?;
    ensure!(wrong.is_empty(), "{} are wrong: {told:#}", wrong.len());
    ensure!(told["checked"] == 110, "vectors of streams: {}", told["checked"]);
    Ok(())
}

const CHECK: &str = r"
    const encoder = new TextEncoder();
    const bytes = text => encoder.encode(text);
    const decoded = base64 => Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
    const list = value => [value ?? []].flat();
    const pieces = part => [
        ...list(part.input).map(bytes), ...list(part.chunks).map(bytes),
        ...list(part.input_b64).map(decoded), ...list(part.chunks_b64).map(decoded),
    ];
    const cuts = {
        'as it is cut': pieces => pieces,
        'byte by byte': pieces => pieces.flatMap(piece => [...piece].map(byte => Uint8Array.of(byte))),
        'in one piece': pieces => [Uint8Array.from(pieces.flatMap(piece => [...piece]))],
    };
    const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
    const fields = events => events.map(({ type, data, lastEventId }) => [type, data, lastEventId]);
    async function check() {
        const { parse } = await import('/events.js');
        const vectors = (await (await fetch('/vectors.json')).json()).filter(({ _meta, http }) => !_meta && !http);
        const wrong = [];
        for (const vector of vectors) {
            for (const [how, cut] of Object.entries(cuts)) {
                const [state, events, asked] = [{ lastEventId: '' }, [], []];
                for (const part of vector.connections ?? [vector]) {
                    asked.push(state.lastEventId);
                    const body = new ReadableStream({
                        start(controller) {
                            for (const piece of cut(pieces(part))) controller.enqueue(piece);
                            controller.close();
                        },
                    });
                    for await (const event of parse(body, state)) events.push(event);
                }
                const right = same(fields(events), fields(vector.expected_events))
                    && same(state.retry, vector.expected_retry)
                    && same(state.lastEventId, vector.expected_last_event_id ?? state.lastEventId)
                    && same(asked, vector.expected_request_last_event_id ?? asked);
                if (!right) wrong.push({ name: vector.name, how, events, asked, state });
            }
        }
        return { checked: vectors.length, wrong };
    }
    return check();
";
