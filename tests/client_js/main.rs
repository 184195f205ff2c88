//! The browser helper, `clients/js/tidewater.js`, in Chromium and in Firefox, for pages of the server's own origin and of
//! another: what ends the browser's own `EventSource` for good loses nothing, and nothing comes twice.

#![allow(clippy::unwrap_used, missing_docs)]

mod gateway;
mod server;
mod shared;
mod tabs;
mod types;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tidewater_tests::{PATIENCE, browser::Browser, eventually};

use server::{Answer, EVENTS, Seen, Server};

/// Each in both browsers, for a page of the same origin and for one of another.
macro_rules! pages {
    ($($name:ident)*) => {
        mod chromium {$(
            #[tokio::test]
            #[ignore = "needs Chromium: run cargo xtask test"]
            async fn $name() -> anyhow::Result<()> {
                let browser = crate::Browser::chromium().start().await?;
                both_origins!(browser, $name)
            }
        )*}

        mod firefox {$(
            #[tokio::test]
            #[ignore = "needs Firefox: run cargo xtask test"]
            async fn $name() -> anyhow::Result<()> {
                let browser = crate::Browser::firefox().start().await?;
                both_origins!(browser, $name)
            }
        )*}
    };
}

macro_rules! both_origins {
    ($browser:ident, $name:ident) => {{
        for origin in ["the same origin", "another origin"] {
            let stage = crate::Stage::new(&$browser, origin != "the same origin").await?;
            let done: anyhow::Result<()> = crate::$name(&stage).await;
            anyhow::Context::with_context(done, || format!("{origin}: {:#?}", stage.server.seen()))?;
        }
        Ok(())
    }};
}

pages! {
    errors_are_gone_through
    what_nobody_listens_for_is_no_harm
    a_token_is_renewed
    a_url_is_made_for_each_attempt
    some_statuses_end_it
    what_nothing_renews_is_over
    an_end_is_no_event_of_the_servers
    where_there_is_no_head_the_stream_is_tried
    waits_grow_and_are_cut_short
    a_page_from_the_cache_connects_anew
}

/// A browser, the server of its page, and that of the events.
struct Stage<'a> {
    browser: &'a Browser,
    page: Server,
    server: Server,
}

impl<'a> Stage<'a> {
    async fn new(browser: &'a Browser, other_origin: bool) -> Result<Self> {
        let server = Server::start().await?;
        let page = if other_origin { Server::start().await? } else { server.clone() };
        Ok(Self { browser, page, server })
    }

    /// Opens a page with a source of these options, which keeps the data of what it gets.
    async fn open(&self, query: &str, options: &str) -> Result<()> {
        let url = json!(format!("{}/events{query}", self.server.origin()));
        self.page.script(&format!("{KEEP} const url = {url}; keep(source(url, {options}));"));
        self.browser.open(&format!("{}/", self.page.origin())).await
    }

    async fn until(&self, condition: &str) -> Result<()> {
        self.browser.wait_until(condition, PATIENCE).await
    }

    async fn told(&self, what: &str) -> Result<Value> {
        self.browser.run(&format!("return {what}")).await
    }

    /// All events came, once each and in order.
    async fn is_exact(&self, numbers: impl Iterator<Item = u32>) -> Result<()> {
        let last = format!("kept.at(-1) === '{EVENTS}'");
        let done = self.until(&last).await;
        let kept = self.told("kept").await?;
        done.with_context(|| format!("the page has {kept}"))?;
        let wanted = json!(numbers.map(|number| number.to_string()).collect::<Vec<_>>());
        ensure!(kept == wanted, "the page has {kept}");
        Ok(())
    }

    /// What was asked, as `GET 3` for a stream from behind event 3.
    fn asked(&self) -> Vec<String> {
        self.server.seen().iter().map(Seen::shown).collect()
    }
}

const KEEP: &str = r#"
    import { source, Source } from "/tidewater.js";
    Object.assign(window, { source, Source, kept: [], states: [], ended: [], refreshed: [], waits: [] });
    window.keep = events => {
        window.events = events;
        events.onmessage = event => kept.push(event.data);
        events.addEventListener("fourth", event => kept.push(event.data));
        events.onerror = () => states.push(events.readyState);
        events.addEventListener("tidewater.end", event => ended.push(event.detail));
    };
"#;

/// Quick, for tests.
const QUICK: &str = "{ floor: 100, ceiling: 200 }";

async fn errors_are_gone_through(stage: &Stage<'_>) -> Result<()> {
    use Answer::{Status, Until};
    stage.server.answers([Until(3), Status(500), Status(503), Until(7), Status(429), Until(9)]);
    stage.open("?since=earliest&lastEventId=0&x=%3E", QUICK).await?;
    stage.is_exact(1..=EVENTS).await?;
    ensure!(stage.told("[events.readyState, Source.OPEN, events.OPEN]").await? == json!([1, 1, 1]));
    ensure!(stage.told("states.includes(EventSource.CLOSED)").await? == false, "it said that it was over");
    ensure!(stage.told("events.lastEventId").await? == json!(EVENTS.to_string()));
    // The id stands in the URL once, and what it takes the place of does not.
    let seen = stage.server.seen();
    let anew = seen.iter().find(|seen| seen.method == "HEAD").context("it did not ask")?;
    ensure!(anew.target == "/events?x=%3E&last_event_id=3", "{}", anew.target);
    // What the browser does by itself it does with the header, and is left alone.
    let by_itself = seen.iter().filter(|seen| seen.last_event_id.is_some()).count();
    ensure!(by_itself == 3, "{by_itself}");
    Ok(())
}

/// The browser's own id moves with them and the page's does not: they come again, and nobody sees it.
async fn what_nobody_listens_for_is_no_harm(stage: &Stage<'_>) -> Result<()> {
    stage.server.answers([Answer::Until(8), Answer::Status(502)]);
    let url = json!(format!("{}/events", stage.server.origin()));
    let script = format!(
        "{KEEP}
         window.events = source({url}, {QUICK});
         events.onmessage = event => kept.push(event.data);"
    );
    stage.page.script(&script);
    stage.browser.open(&format!("{}/", stage.page.origin())).await?;
    stage.until("kept.at(-1) === '11'").await?;
    let kept = stage.told("kept").await?;
    ensure!(kept == json!(["1", "2", "3", "5", "6", "7", "9", "10", "11"]), "{kept}");
    let asked = stage.asked();
    ensure!(asked == ["GET 0", "GET 8", "HEAD 7", "GET 7"], "{asked:?}");
    Ok(())
}

async fn a_token_is_renewed(stage: &Stage<'_>) -> Result<()> {
    use Answer::{Status, Until};
    stage.server.answers([Until(3), Status(401), Status(401), Until(5), Status(403), Status(403)]);
    let options = "{
        floor: 100,
        refresh: async status => {
            refreshed.push(status);
            // Then the page has renewed a cookie.
            if (status === 401) return url.replace('old', 'new');
        }
    }";
    stage.open("?token=old", options).await?;
    stage.is_exact(1..=EVENTS).await?;
    let refreshed = stage.told("refreshed").await?;
    ensure!(refreshed == json!([401, 403]), "{refreshed}");
    let seen = stage.server.seen();
    let (old, new) = seen.split_at(3);
    ensure!(old.iter().all(|seen| seen.target.contains("token=old")), "{old:?}");
    ensure!(new.iter().all(|seen| seen.target.contains("token=new")), "{new:?}");
    Ok(())
}

async fn a_url_is_made_for_each_attempt(stage: &Stage<'_>) -> Result<()> {
    stage.server.answers([Answer::Until(3), Answer::Status(500)]);
    let url = json!(format!("{}/events?token=", stage.server.origin()));
    // One that fails is an attempt that fails.
    let script = format!(
        "{KEEP}
         window.reported = [];
         console.error = error => reported.push(error.message);
         let made = 0;
         keep(source(async () => {{
             made += 1;
             if (made === 2) throw new Error('no token');
             return {url} + made;
         }}, {QUICK}));"
    );
    stage.page.script(&script);
    stage.browser.open(&format!("{}/", stage.page.origin())).await?;
    stage.is_exact(1..=EVENTS).await?;
    let targets: Vec<String> = stage.server.seen().into_iter().map(|seen| seen.target).collect();
    let anew = "/events?token=3&last_event_id=3";
    ensure!(targets == ["/events?token=1", "/events?token=1", anew, anew], "{targets:?}");
    let reported = stage.told("reported").await?;
    ensure!(reported == json!(["no token"]), "{reported}");
    Ok(())
}

async fn some_statuses_end_it(stage: &Stage<'_>) -> Result<()> {
    for status in [204, 404, 410] {
        stage.server.answers([Answer::Until(3), Answer::Status(status), Answer::Status(status)]);
        stage.open("", "{ floor: 100, onEnd: status => refreshed.push(status) }").await?;
        stage.until("ended.length === 1").await?;
        let told = stage.told("[kept, ended, refreshed, events.readyState]").await?;
        ensure!(told == json!([["1", "2", "3"], [status], [status], 2]), "{told}");
        ensure!(stage.told("states.includes(EventSource.CLOSED)").await? == false, "an error, after the end");
    }
    let asked = stage.asked();
    ensure!(asked == ["GET 0", "GET 3", "HEAD 3"].repeat(3), "{asked:?}");
    Ok(())
}

/// A token that is in a text is the same the next time; one that a function brings may not be.
async fn what_nothing_renews_is_over(stage: &Stage<'_>) -> Result<()> {
    use Answer::{Status, Until};
    for status in [401, 403] {
        stage.server.answers([Until(3), Status(status), Status(status)]);
        stage.open("", QUICK).await?;
        stage.until("ended.length === 1").await?;
        let told = stage.told("[ended, events.readyState]").await?;
        ensure!(told == json!([[status], 2]), "{told}");
    }
    stage.server.answers([Until(3), Status(401), Status(401), Status(403)]);
    let url = json!(format!("{}/events", stage.server.origin()));
    stage.page.script(&format!("{KEEP} keep(source(() => {url}, {QUICK}));"));
    stage.browser.open(&format!("{}/", stage.page.origin())).await?;
    stage.is_exact(1..=EVENTS).await
}

/// Not among those that tabs hand to each other, either.
async fn an_end_is_no_event_of_the_servers(stage: &Stage<'_>) -> Result<()> {
    use Answer::{Status, Until};
    stage.server.answers([Until(3), Status(404), Status(404)]);
    let url = json!(format!("{}/events", stage.server.origin()));
    stage.page.script(&format!(
        r#"{KEEP}
         import {{ shared }} from "/tidewater-shared.js";
         window.failures = [];
         window.onerror = message => failures.push(message);
         keep(shared({url}, {QUICK}));"#
    ));
    stage.browser.open(&format!("{}/", stage.page.origin())).await?;
    stage.until("ended.length > 0").await?;
    let told = stage.told("[ended, failures, events.readyState]").await?;
    ensure!(told == json!([[404], [], 2]), "{told}");
    Ok(())
}

async fn where_there_is_no_head_the_stream_is_tried(stage: &Stage<'_>) -> Result<()> {
    use Answer::{Status, Until};
    stage.server.answers([Until(3), Status(500), Status(405), Until(5), Status(500), Status(501)]);
    stage.open("", QUICK).await?;
    stage.is_exact(1..=EVENTS).await?;
    // And where it isn't asked.
    stage.server.answers([Until(3), Status(404), Status(500)]);
    stage.open("", "{ floor: 100, ceiling: 200, probe: false }").await?;
    stage.is_exact(1..=EVENTS).await?;
    let asked = stage.asked();
    let heads = asked.iter().filter(|asked| asked.starts_with("HEAD")).count();
    ensure!(heads == 2, "{asked:?}");
    Ok(())
}

/// The page's clock is quick; what counts is what it was asked for.
async fn waits_grow_and_are_cut_short(stage: &Stage<'_>) -> Result<()> {
    stage.server.answers([Answer::Status(500); 41]);
    let url = json!(format!("{}/events", stage.server.origin()));
    let script = format!(
        "{KEEP}
         const later = window.setTimeout;
         window.setTimeout = (then, ms) => {{
             waits.push(ms);
             // The eleventh, and what comes after twenty, waits for good.
             if (waits.length !== 11 && waits.length < 21) return later(then, 1);
             return later(then, 3600000);
         }};
         keep(source({url}, {{ floor: 0, ceiling: Infinity }}));"
    );
    stage.page.script(&script);
    stage.browser.open(&format!("{}/", stage.page.origin())).await?;
    stage.until("waits.length === 11").await?;
    // Many signs that it may go better make one short wait.
    stage.browser.run("for (let n = 0; n < 50; n++) window.dispatchEvent(new Event('online'))").await?;
    stage.until("waits.length === 21").await?;
    let waits: Vec<f64> = serde_json::from_value(stage.told("waits").await?)?;
    for (waits, start) in [(&waits[..11], 0), (&waits[11..], 11)] {
        for (n, wait) in (1..).zip(waits) {
            let most = 100.0 * 2f64.powi(n);
            ensure!((100.0..=most).contains(wait), "wait {n} from {start}: {wait} of {waits:?}");
        }
        ensure!(waits.iter().any(|wait| *wait > 200.0), "they don't grow: {waits:?}");
    }
    // Each attempt is a request: of the first, `GET`, which the page can't see the status of.
    let asked = stage.asked();
    eventually("the requests", || async {
        ensure!(stage.asked().len() == 20, "{:?}", stage.asked());
        Ok(())
    })
    .await?;
    ensure!(asked[0] == "GET 0" && asked[1..].iter().all(|asked| asked == "HEAD 0"), "{asked:?}");
    // Closed, it asks no more, whatever happens.
    stage.browser.run("events.close(); window.dispatchEvent(new Event('online'))").await?;
    ensure!(stage.told("[events.readyState, waits.length]").await? == json!([2, 21]));
    Ok(())
}

async fn a_page_from_the_cache_connects_anew(stage: &Stage<'_>) -> Result<()> {
    stage.server.answers([Answer::Until(3)]);
    stage.open("", QUICK).await?;
    stage.is_exact(1..=EVENTS).await?;
    stage
        .browser
        .run("window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
        .await?;
    ensure!(stage.told("events.readyState").await? == 0, "it keeps its connection");
    stage
        .browser
        .run("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        .await?;
    eventually("another stream", || async {
        let asked = stage.asked();
        ensure!(asked == ["GET 0", "GET 3", "GET 12"], "{asked:?}");
        Ok(())
    })
    .await?;
    stage.until("events.readyState === EventSource.OPEN").await?;
    stage.is_exact(1..=EVENTS).await
}
