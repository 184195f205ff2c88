//! What an example says of itself, in `[package.metadata.example]` of its manifest.
//!
//! ```toml
//! [package]
//! description = "Orders from Kafka, each user's own"   # the line in the list
//!
//! [package.metadata.example]
//! needs = ["kafka"]                  # kafka, nats (with JetStream), browser
//! topics = ["orders:4"]              # made before it starts: NAME or NAME:PARTITIONS
//! streams = ["ORDERS:orders.>"]      # JetStream: NAME:SUBJECT,SUBJECT…
//! page = "/"                         # printed when it is run
//! args = ["kafka://{kafka}/orders"]  # unless others are given after `--`
//!
//! [package.metadata.example.check]
//! path = "/events"                   # where its events are
//! headers = { Authorization = "Bearer ada" }
//! publish = "/orders"                # POSTed to until events come; without it the example has a feed of its own
//! body = '{"n": 1}'
//! expect = ["\"n\""]                 # each must stand in some event's data
//! gateway = ["out=kafka://{kafka}/out"]  # path and publish are those of a gateway with these channels
//! args = []                          # instead of `args` above
//! ```

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Package;
use serde::Deserialize;
use serde_json::Value;

use crate::workspace;

/// One example.
#[derive(Debug)]
pub(super) struct Example {
    /// The folder's name.
    pub(super) name: String,
    pub(super) package: String,
    pub(super) description: String,
    pub(super) binary: String,
    needs: Vec<String>,
    pub(super) topics: Vec<Topic>,
    pub(super) streams: Vec<Stream>,
    pub(super) page: Option<String>,
    pub(super) args: Vec<String>,
    pub(super) check: Check,
}

/// A Kafka topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) partitions: u16,
}

/// A JetStream stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) subjects: Vec<String>,
}

/// How to see that it works.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Check {
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) publish: Option<String>,
    pub(super) body: String,
    pub(super) expect: Vec<String>,
    pub(super) gateway: Vec<String>,
    pub(super) args: Option<Vec<String>>,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            path: "/events".into(),
            headers: BTreeMap::new(),
            publish: None,
            body: r#"{"hello": "world"}"#.into(),
            expect: Vec::new(),
            gateway: Vec::new(),
            args: None,
        }
    }
}

impl Example {
    pub(super) fn needs_kafka(&self) -> bool {
        self.needs.iter().any(|need| need == "kafka")
    }

    pub(super) fn needs_nats(&self) -> bool {
        self.needs.iter().any(|need| need == "nats")
    }

    pub(super) fn needs_in_words(&self) -> String {
        if self.needs.is_empty() { "nothing".into() } else { self.needs.join(", ") }
    }
}

/// Reads every example's manifest, sorted by name.
pub(super) fn read_all() -> Result<Vec<Example>> {
    let folder = workspace::root().join("examples");
    let packages = workspace::packages()?;
    let in_folder = packages.iter().filter(|package| package.manifest_path.starts_with(&folder));
    let mut examples = in_folder.map(read).collect::<Result<Vec<_>>>()?;
    examples.sort_by(|a, b| a.name.cmp(&b.name));
    // One that the workspace does not know would be built by nobody.
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let manifest = entry?.path().join("Cargo.toml");
        let known = packages.iter().any(|package| package.manifest_path == manifest);
        ensure!(!manifest.is_file() || known, "{} is not a member of the workspace", manifest.display());
    }
    Ok(examples)
}

fn read(package: &Package) -> Result<Example> {
    let binary = package.targets.iter().find(|target| target.is_bin());
    let binary = binary.with_context(|| format!("the example {} has no binary", package.name))?.name.clone();
    let table = package.metadata.get("example").cloned().unwrap_or_else(|| Value::Object(Default::default()));
    let folder = package.manifest_path.parent().and_then(|folder| folder.file_name()).unwrap_or_default();
    let description = package.description.as_deref().unwrap_or_default();
    let example = parse(folder, description, table)
        .with_context(|| format!("[package.metadata.example] of {}", package.manifest_path))?;
    Ok(Example { package: package.name.to_string(), binary, ..example })
}

/// The table as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Table {
    needs: Vec<String>,
    topics: Vec<String>,
    streams: Vec<String>,
    page: Option<String>,
    args: Vec<String>,
    check: Check,
}

fn parse(name: &str, description: &str, table: Value) -> Result<Example> {
    let table: Table = serde_json::from_value(table)?;
    if let Some(need) = table.needs.iter().find(|need| !["kafka", "nats", "browser"].contains(&need.as_str()))
    {
        bail!("unknown need {need}: there are kafka, nats and browser");
    }
    ensure!(table.topics.is_empty() || table.needs.iter().any(|need| need == "kafka"), "topics need kafka");
    ensure!(table.streams.is_empty() || table.needs.iter().any(|need| need == "nats"), "streams need nats");
    ensure!(!description.is_empty(), "the package needs a description: it is the line in the list");
    Ok(Example {
        name: name.to_owned(),
        description: description.to_owned(),
        package: name.to_owned(),
        binary: name.to_owned(),
        topics: table.topics.iter().map(|text| topic(text)).collect::<Result<_>>()?,
        streams: table.streams.iter().map(|text| stream(text)).collect::<Result<_>>()?,
        needs: table.needs,
        page: table.page,
        args: table.args,
        check: table.check,
    })
}

fn topic(text: &str) -> Result<Topic> {
    let (name, partitions) = text.split_once(':').unwrap_or((text, "1"));
    let partitions = partitions.parse().with_context(|| format!("{text} is not NAME:PARTITIONS"))?;
    Ok(Topic { name: name.to_owned(), partitions })
}

fn stream(text: &str) -> Result<Stream> {
    let (name, subjects) = text.split_once(':').with_context(|| format!("{text} is not NAME:SUBJECTS"))?;
    Ok(Stream { name: name.to_owned(), subjects: subjects.split(',').map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_a_whole_table() {
        let table = json!({
            "needs": ["kafka", "nats"],
            "topics": ["orders:4", "audit"],
            "streams": ["ORDERS:orders.>,returns.*"],
            "args": ["kafka://{kafka}/orders"],
            "check": {"headers": {"Authorization": "Bearer ada"}, "publish": "/orders"},
        });
        let example = parse("x", "An example", table).unwrap();
        assert!(example.needs_kafka() && example.needs_nats());
        assert_eq!(example.topics[0], Topic { name: "orders".into(), partitions: 4 });
        assert_eq!(example.topics[1].partitions, 1);
        assert_eq!(example.streams[0].subjects, ["orders.>", "returns.*"]);
        assert_eq!(example.check.path, "/events");
        assert_eq!(example.check.publish.as_deref(), Some("/orders"));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for table in [
            json!({"need": ["kafka"]}),
            json!({"needs": ["mysql"]}),
            json!({"topics": ["orders"]}),
            json!({"needs": ["nats"], "streams": ["ORDERS"]}),
            json!({"needs": ["kafka"], "topics": ["orders:many"]}),
            json!({"check": {"pth": "/"}}),
        ] {
            assert!(parse("x", "An example", table.clone()).is_err(), "{table}");
        }
        assert!(parse("x", "", json!({})).is_err(), "no description");
    }
}
