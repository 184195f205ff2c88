//! What to serve: a file, over it the environment, over both the flags; all of it checked before anything starts.
//!
//! ```text
//! file ───┐
//! env ────┼─> Table (what was given, and where) ─> Reader ─> Config (values of the library), or every Finding
//! flags ──┘
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `given` | a value and where it comes from; one layer over another |
//! | `file`, `env`, `flags` | the three layers |
//! | `reader` | what is read out of a table, and everything that is wrong with it |
//! | `setting`, `words`, `url`, `listen` | one value: how it is read and shown |
//! | `server`, `cors`, `limits`, `proxies`, `authorization`, `channel` | one table each: settings to a value of the library |
//!
//! A new table is a file with a struct and its `read`, one line in [`Config::read`], its keys in
//! `tidewater.sample.toml`, and a row in docs/configuration.md. serde would stop at the first thing that is wrong and
//! know no places beyond the file's; here all is told at once, with the place.

#[cfg(feature = "authorization")]
mod authorization;
mod changes;
mod channel;
mod cors;
mod env;
mod file;
mod flags;
mod given;
mod limits;
mod listen;
mod nearest;
#[cfg(not(feature = "authorization"))]
mod no_authorization;
mod proxies;
mod reader;
mod server;
mod setting;
mod show;
#[cfg(test)]
mod tests;
mod url;
mod words;

use std::{collections::HashSet, ffi::OsString};

#[cfg(feature = "authorization")]
pub(crate) use self::authorization::Authorization;
#[cfg(not(feature = "authorization"))]
pub(crate) use self::no_authorization::Authorization;
pub(crate) use self::{
    channel::ChannelConfig,
    cors::CorsConfig,
    flags::Flags,
    limits::Limits,
    listen::Listen,
    proxies::ProxiesConfig,
    reader::{Finding, Shown},
    server::{Listening, ServerConfig},
    setting::duration,
    show::show,
    url::Url,
};
use self::{
    given::{Given, Origin, Table, Value, Wrong},
    reader::{Reader, Report},
};

/// What to serve.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) server: ServerConfig,
    pub(crate) cors: CorsConfig,
    pub(crate) limits: Limits,
    pub(crate) proxies: ProxiesConfig,
    pub(crate) authorization: Authorization,
    pub(crate) channels: Vec<ChannelConfig>,
}

/// What to serve, and every setting with its place.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) shown: Vec<Shown>,
    /// What is not wrong, but may be meant otherwise.
    pub(crate) warnings: Vec<Finding>,
}

impl Config {
    fn read(table: &mut Reader<'_>) -> Self {
        let server = table.table("server", ServerConfig::read);
        let cors = table.table("cors", |table| CorsConfig::read(table, &CorsConfig::default()));
        let limits = table.table("limits", |table| Limits::read(table, server.listening.kind));
        let proxies = table.table("proxies", ProxiesConfig::read);
        let names = table.names("channels");
        let has_authorization = table.has("authorization");
        let authorization = table.table("authorization", |table| Authorization::read(table, &names));
        let all = channel::OfAll { cors: &cors, limits: &limits, has_authorization };
        let channels = table.tables("channels", |name, table| ChannelConfig::read(name, table, &all));
        Self { server, cors, limits, proxies, authorization, channels }
    }
}

/// Reads the file, the environment and the flags.
///
/// # Errors
/// Everything that is wrong, in the order of the file.
pub(crate) fn load(flags: &Flags) -> Result<Loaded, Vec<Finding>> {
    let file = flags.config.as_deref().map(file::read).transpose()?;
    read(file, &env::variables(), flags)
}

/// [`load`], while what was loaded is served: from a file that can be read again.
#[cfg(unix)]
pub(crate) fn load_again(flags: &Flags) -> Result<Loaded, Vec<Finding>> {
    let file = flags.config.as_deref().map(file::read_again).transpose()?;
    read(file, &env::variables(), flags)
}

fn read(
    file: Option<Table>,
    variables: &[(String, OsString)],
    flags: &Flags,
) -> Result<Loaded, Vec<Finding>> {
    let has_file = file.is_some();
    let mut table = file.unwrap_or_default();
    let (said, mut findings) = flags.read();
    let names = channels(&table).into_iter().chain(channels(&said)).collect::<HashSet<_>>();
    let (environment, wrong) = env::read(variables, &Vec::from_iter(names));
    findings.extend(wrong);
    table.lay_over(environment);
    table.lay_over(said);
    if !has_file && with_source(&table).is_empty() {
        table.set(&["channels", "demo", "source"], Given::text(Origin::Default, "memory:"));
    }
    findings.extend(strangers(&mut table));
    if with_source(&table).is_empty() {
        let what = "there is no channel: write [channels.NAME] with source = \"kafka://localhost:9092/orders\", or the like";
        findings.push(Finding::new("channels", Wrong { at: Origin::Default, what: what.to_owned() }));
    }
    let report = Report::default();
    let mut reader = Reader::new(&table, &report);
    let config = Config::read(&mut reader);
    reader.finish();
    let (wrong, warnings, shown) = report.into_parts();
    findings.extend(wrong);
    findings.extend(env::slips(variables, &shown));
    if findings.is_empty() { Ok(Loaded { config, shown, warnings }) } else { Err(findings) }
}

fn channels(table: &Table) -> Vec<String> {
    match table.get("channels").map(|entry| &entry.given.value) {
        Some(Value::Table(channels)) => channels.keys().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The channels that have a source.
fn with_source(table: &Table) -> Vec<String> {
    let Some(Value::Table(channels)) = table.get("channels").map(|entry| &entry.given.value) else {
        return Vec::new();
    };
    let has = |value: &Value| matches!(value, Value::Table(channel) if channel.get("source").is_some());
    channels.0.iter().filter(|entry| has(&entry.given.value)).map(|entry| entry.key.clone()).collect()
}

/// Takes out what flags and variables say of channels that nobody has made, and tells it.
fn strangers(table: &mut Table) -> Vec<Finding> {
    let known = with_source(table);
    let Some(channels) = table.0.iter_mut().find(|entry| entry.key == "channels") else { return Vec::new() };
    let Value::Table(channels) = &mut channels.given.value else { return Vec::new() };
    let stranger = |entry: &given::Entry| {
        let is_said = matches!(entry.at, Origin::Flag(_) | Origin::Variable(_));
        is_said && !known.contains(&entry.key) && matches!(entry.given.value, Value::Table(_))
    };
    let (strangers, rest) = std::mem::take(&mut channels.0).into_iter().partition(stranger);
    channels.0 = rest;
    let tell = |entry: given::Entry| {
        let what = format!("there is no channel of that name (there are: {})", known.join(", "));
        Finding::new("", Wrong { at: entry.at, what })
    };
    Vec::from_iter(strangers).into_iter().map(tell).collect()
}
