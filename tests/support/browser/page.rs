//! A page with an `EventSource` of its own, which keeps what it gets.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::Tab;

/// How long a page may take: it waits for seconds before it reconnects.
const PAGE: Duration = Duration::from_secs(45);

/// The page in a tab. Its script keeps `events`, `gaps`, the numbers `opened`, `errors` and `cursors`, and
/// the `source` itself; `reconnect()` makes another one with the last id.
#[derive(Debug)]
pub struct Page<'a> {
    tab: Tab<'a>,
}

impl<'a> Page<'a> {
    /// Opens the page at this URL, and a stream in it, from a path of the same origin or another URL. Waits until both
    /// are there.
    ///
    /// # Errors
    /// If they are not.
    pub async fn open(tab: Tab<'a>, url: &str, stream: &str) -> Result<Self> {
        tab.open(url).await?;
        tab.run(&SCRIPT.replace("STREAM", &json!(stream).to_string())).await?;
        let page = Self { tab };
        page.until("cursors > 0 && encodings.length > 0").await?;
        Ok(page)
    }

    /// Waits until the script gives `true`.
    ///
    /// # Errors
    /// If it doesn't.
    pub async fn until(&self, condition: &str) -> Result<()> {
        self.tab.wait_until(condition, PAGE).await
    }

    /// All that it has kept.
    ///
    /// # Errors
    /// If the browser is gone.
    pub async fn told(&self) -> Result<Value> {
        let script = "return { data: events.map(event => event.data), gaps, opened, errors, cursors }";
        self.tab.run(script).await
    }
}

const SCRIPT: &str = r#"
    window.events = [];
    window.gaps = [];
    window.opened = window.errors = window.cursors = 0;
    window.lastEventId = '';
    window.listen = () => {
        const id = window.lastEventId;
        window.source = new EventSource(STREAM + (id && '?last_event_id=' + encodeURIComponent(id)));
        const on = (name, then) => source.addEventListener(name, event => {
            window.lastEventId = event.lastEventId;
            then(event);
        });
        source.onopen = () => window.opened++;
        source.onerror = () => window.errors++;
        on('message', event => events.push({ data: event.data, id: event.lastEventId }));
        on('tidewater.gap', event => gaps.push(event.data));
        on('tidewater.cursor', () => window.cursors++);
    };
    window.reconnect = () => {
        source.close();
        listen();
    };
    listen();
    window.encodings = [];
    const abort = new AbortController();
    fetch(STREAM, { headers: { Accept: 'text/event-stream' }, signal: abort.signal }).then(answer => {
        encodings.push(answer.headers.get('content-encoding'));
        abort.abort();
    });
"#;
