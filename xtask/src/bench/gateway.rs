//! A gateway under measure, or one that publishes.

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::usage::{self, Usage};
use crate::{group::Group, net, workspace};

/// How long it may take until all channels are live, or have got everything.
const LIMIT: Duration = Duration::from_secs(180);

/// A channel: its name and its URL.
pub(super) type Channel = (String, String);

/// A gateway that runs.
pub(super) struct Gateway {
    group: Group,
    base: String,
    agent: ureq::Agent,
    /// From its start until every channel was live.
    pub(super) live_after: Duration,
}

impl Gateway {
    /// Starts it and waits until every channel is live. It writes to a file named after `purpose`.
    pub(super) fn start(binary: &Path, purpose: &str, channels: &[Channel], publish: bool) -> Result<Self> {
        let folder = workspace::target().join("xtask").join("bench");
        let [port] = net::free_ports(&folder.join(purpose))?;
        let log = File::create(folder.join(format!("{purpose}.log")))?;
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", &net::loopback(port).to_string()]);
        // All of the load comes from one address.
        command.args(["--publish-rate", "off", "--streams-per-address", "off"]);
        for (name, url) in channels {
            command.args(["--channel", &format!("{name}={url}")]);
            if publish {
                command.args(["--allow-publish", name]);
            }
        }
        let began = Instant::now();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut group = Group::spawn(&mut command)?;
        let (agent, base) = (agent(), format!("http://{}", net::loopback(port)));
        net::wait_for(
            &format!("the gateway ({purpose}.log)"),
            LIMIT,
            || group.is_running(),
            || each(&agent, &base, |channel| channel["upstream"] == "live"),
        )?;
        Ok(Self { group, base, agent, live_after: began.elapsed() })
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.group.id()
    }

    /// Where it listens.
    pub(super) fn address(&self) -> String {
        self.base.trim_start_matches("http://").to_owned()
    }

    /// What it uses now.
    pub(super) fn usage(&self) -> Result<Usage> {
        usage::of(self.group.id())
    }

    /// Waits until every channel's log has so many events more than `before`.
    pub(super) fn wait_for_events(&mut self, events: u64) -> Result<()> {
        let (agent, base) = (&self.agent, &self.base);
        let group = &mut self.group;
        net::wait_for(
            "the burst",
            LIMIT,
            || group.is_running(),
            || {
                each(agent, base, |channel| {
                    channel["log"]["events"].as_u64().is_some_and(|has| has >= events)
                })
            },
        )
    }

    /// Where a channel is.
    pub(super) fn url(&self, channel: &str) -> String {
        format!("{}/channels/{channel}", self.base)
    }

    /// Publishes to a channel.
    pub(super) fn publish(&self, channel: &str, key: &str, body: &[u8]) -> Result<()> {
        let url = format!("{}?key={key}", self.url(channel));
        self.agent.post(&url).header("content-type", "text/plain").send(body).map(drop).context(url)
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30))).build().into()
}

/// Whether something is so of every channel.
fn each(agent: &ureq::Agent, base: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
    let text = agent.get(format!("{base}/channels")).call()?.into_body().read_to_string()?;
    let told: Value = serde_json::from_str(&text)?;
    let channels = told["channels"].as_array().context("no channels")?;
    let not: Vec<&Value> = channels.iter().filter(|channel| !is_so(channel)).collect();
    match not[..] {
        [] => Ok(()),
        [first, ..] => bail!("{} of {} are not there yet, as {first}", not.len(), channels.len()),
    }
}
