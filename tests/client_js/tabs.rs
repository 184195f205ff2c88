//! The tabs of one browser, each with a page that shares its stream with the others, at a real gateway.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tidewater_tests::{
    Gateway, PATIENCE,
    browser::{Browser, Tab},
    eventually, http,
};

use crate::server::Server;

/// What a tab of these tests does. `streams` are the connections that it has itself.
const SCRIPT: &str = r#"
    window.streams = [];
    window.EventSource = class extends EventSource {
        constructor(...given) {
            super(...given);
            streams.push(this);
        }
    };
    window.connected = () => streams.some(stream => stream.readyState !== EventSource.CLOSED);
    Object.assign(window, { shared, kept: [], gaps: [], cursors: [], ended: [] });
    window.keep = events => {
        window.events = events;
        events.onmessage = event => kept.push(event.data);
        events.addEventListener("tidewater.gap", event => gaps.push(JSON.parse(event.data).reason));
        events.addEventListener("tidewater.cursor", event => cursors.push(event.lastEventId));
        events.addEventListener("tidewater.end", event => ended.push(event.detail));
    };
"#;

/// Pages of one origin, with the gateway's helpers and its channel `feed`.
pub(crate) struct Tabs<'a> {
    browser: &'a Browser,
    pages: Server,
    pub(crate) gateway: Gateway,
    pub(crate) all: Vec<Tab<'a>>,
}

impl<'a> Tabs<'a> {
    /// A browser with no tab of this kind yet.
    pub(crate) async fn new(browser: &'a Browser, server: &str, source: &str) -> Result<Self> {
        let pages = Server::start().await?;
        let gateway = Gateway::new(server).channel("feed", source);
        let gateway = gateway.args(["--cors-origin".to_owned(), pages.origin().to_owned()]).start().await?;
        gateway.until_live().await?;
        Ok(Self { browser, pages, gateway, all: Vec::new() })
    }

    /// Opens another tab with a stream of this query and these options, after a script of its own.
    pub(crate) async fn open(&mut self, query: &str, options: &str, before: &str) -> Result<()> {
        let tab = self.browser.open_tab().await?;
        let module = json!(self.gateway.url("/tidewater-shared.js"));
        let url = json!(self.gateway.url(&format!("/channels/feed{query}")));
        self.pages.script(&format!(
            "import {{ shared }} from {module};
             {SCRIPT}
             {before}
             keep(shared({url}, {options}));"
        ));
        tab.open(&format!("{}/", self.pages.origin())).await?;
        tab.wait_until("window.events !== undefined", PATIENCE).await?;
        self.all.push(tab);
        Ok(())
    }

    /// A tab that has an `EventSource` of its own, as without the helper.
    pub(crate) async fn open_plain(&mut self) -> Result<()> {
        let tab = self.browser.open_tab().await?;
        let url = json!(self.gateway.url("/channels/feed"));
        self.pages.script(&format!("window.events = new EventSource({url});"));
        tab.open(&format!("{}/", self.pages.origin())).await?;
        tab.wait_until("window.events !== undefined", PATIENCE).await?;
        self.all.push(tab);
        Ok(())
    }

    /// Waits until this is so in every tab.
    pub(crate) async fn until(&self, condition: &str) -> Result<()> {
        for (n, tab) in self.all.iter().enumerate() {
            if let Err(error) = tab.wait_until(condition, PATIENCE).await {
                let told =
                    "return JSON.stringify([kept, gaps, events.readyState, streams.map(s => s.readyState)])";
                return Err(error.context(format!("tab {n}: {:?}", tab.run(told).await)));
            }
        }
        Ok(())
    }

    /// What each of them says.
    pub(crate) async fn told(&self, what: &str) -> Result<Vec<Value>> {
        let mut told = Vec::new();
        for tab in &self.all {
            told.push(tab.run(&format!("return {what}")).await?);
        }
        Ok(told)
    }

    /// Takes the tab out of the list that has the connection.
    pub(crate) async fn take_leader(&mut self) -> Result<Tab<'a>> {
        let leads = self.told("connected()").await?;
        let leader = leads.iter().position(|leads| leads == true).context("nobody is connected")?;
        Ok(self.all.remove(leader))
    }

    /// Waits until so many streams are open, as the gateway counts them.
    pub(crate) async fn until_streams(&self, wanted: u64) -> Result<()> {
        eventually("the gateway's count", || async {
            let (_, told) = self.gateway.ready().await?;
            let open = &told["channels"]["feed"]["clients"];
            ensure!(open == wanted, "{open} streams are open, not {wanted}");
            Ok(())
        })
        .await
    }

    /// Publishes to a channel that is in memory.
    pub(crate) async fn publish(&self, numbers: impl IntoIterator<Item = u32>) -> Result<()> {
        for number in numbers {
            self.publish_as("message", number).await?;
        }
        Ok(())
    }

    /// The same, with a name.
    pub(crate) async fn publish_as(&self, event: &str, number: u32) -> Result<()> {
        let path = format!("/channels/feed?event={event}");
        let answer = http::post(self.gateway.address(), &path, number.to_string().as_bytes()).await?;
        ensure!(answer.status == 202, "{answer:?}");
        Ok(())
    }

    /// Every tab has these numbers, once each and in order, from the first that it has.
    pub(crate) async fn are_exact(&self, from: u32, to: u32) -> Result<()> {
        self.until(&format!("kept.at(-1) === '{to}'")).await?;
        let all: Vec<String> = (from..=to).map(|number| number.to_string()).collect();
        for (n, kept) in self.told("kept").await?.into_iter().enumerate() {
            ensure!(kept == json!(all), "tab {n} has {kept}");
        }
        Ok(())
    }
}

pub(crate) const NO_LOCKS: &str = "Object.defineProperty(navigator, 'locks', { value: undefined });";

/// As where a page may not store anything.
pub(crate) const NO_CHANNELS: &str = r#"
    window.BroadcastChannel = class {
        constructor() {
            throw new DOMException("refused", "SecurityError");
        }
    };
"#;

/// A tab that can be made to say nothing to the others, and to hear nothing of them.
pub(crate) const MUTABLE: &str = r#"
    const post = BroadcastChannel.prototype.postMessage;
    BroadcastChannel.prototype.postMessage = function (message) {
        if (!window.mute) post.call(this, message);
    };
    const { set } = Object.getOwnPropertyDescriptor(BroadcastChannel.prototype, "onmessage");
    Object.defineProperty(BroadcastChannel.prototype, "onmessage", {
        set(listen) {
            set.call(this, event => window.deaf || listen(event));
        },
    });
"#;

/// A tab for which half a minute is half a second.
pub(crate) const IMPATIENT: &str = r"
    const later = window.setTimeout;
    window.setTimeout = (then, ms) => later(then, ms > 5000 ? ms / 60 : ms);
";

/// A tab that doubts when it is told to.
pub(crate) const DOUBTING: &str = r"
    const later = window.setTimeout;
    window.setTimeout = (then, ms) => {
        if (!(ms > 5000)) return later(then, ms);
        window.doubt = then;
    };
";

/// A tab that knows what it said, and says it again.
pub(crate) const RECORDED: &str = r#"
    window.sent = [];
    const record = BroadcastChannel.prototype.postMessage;
    BroadcastChannel.prototype.postMessage = function (message) {
        sent.push(message);
        window.again = kind => {
            const late = new BroadcastChannel(this.name);
            record.call(late, sent.findLast(message => message.kind === kind));
            late.close();
        };
        record.call(this, message);
    };
"#;
