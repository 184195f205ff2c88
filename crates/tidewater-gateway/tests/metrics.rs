//! `/metrics`: what docs/metrics.md lists and no more, and what is in it is what happened.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    client::{Answer, request},
    file::File,
    gateway::{Gateway, PATIENCE, servers},
};

const PAGE: &str = include_str!("../../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../../docs/grafana.json");
const ALERTS: &str = include_str!("../../../docs/alerts.yaml");

/// What a metric is: its type, and the names of its labels.
type What = (String, BTreeSet<String>);

/// The metrics of the documentation's tables.
fn documented() -> BTreeMap<String, What> {
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let rows = PAGE.lines().map(cells).filter(|cells| {
        cells.len() > 5 && (cells[1].starts_with("`tidewater_") || cells[1].starts_with("`process_"))
    });
    rows.map(|cells| {
        let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].clone(), labels))
    })
    .collect()
}

/// What a gateway prints.
#[derive(Debug, Default)]
struct Scraped {
    types: BTreeMap<String, String>,
    /// By name and labels, as they are written.
    samples: BTreeMap<String, f64>,
}

impl Scraped {
    fn of(gateway: &Gateway) -> Self {
        let (head, text) = request(&gateway.address, "GET /metrics", &[], b"");
        assert_eq!((head.status, head.header("cache-control")), (200, Some("no-store")), "{text}");
        assert_eq!(head.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let mut scraped = Self::default();
        for line in text.lines() {
            if let Some(of) = line.strip_prefix("# TYPE ") {
                let (name, of) = of.split_once(' ').unwrap();
                let other = scraped.types.insert(name.to_owned(), of.to_owned());
                assert_eq!(other, None, "{name} twice");
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let other = scraped.samples.insert(name.to_owned(), value.parse().unwrap());
                assert_eq!(other, None, "{name} twice");
            }
        }
        scraped
    }

    #[track_caller]
    fn get(&self, name: &str) -> f64 {
        *self.samples.get(name).unwrap_or_else(|| panic!("{name} is not in {:#?}", self.samples))
    }

    /// The labels of each metric that has samples.
    fn labels(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut all = BTreeMap::<String, BTreeSet<String>>::new();
        for sample in self.samples.keys() {
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let own = all.entry(base(name, &self.types)).or_default();
            let names = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
            own.extend(names.map(|(name, _)| name.to_owned()).filter(|name| name != "le"));
        }
        all
    }
}

/// The metric that a sample, or a name in a query, belongs to.
fn base<T>(name: &str, all: &BTreeMap<String, T>) -> String {
    let of = |suffix| name.strip_suffix(suffix).filter(|base| all.contains_key(*base));
    let base = ["_bucket", "_sum", "_count"].into_iter().find_map(of);
    base.unwrap_or(name).to_owned()
}

/// The metrics that a query names.
fn named(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("tidewater_") || word.starts_with("process_"))
}

#[test]
fn what_is_printed_is_what_is_documented_and_what_happened() {
    let file = File::new(
        "metrics.toml",
        "[channels.demo]\nsource = 'memory:metrics'\npublish = true\nheartbeat = '1h'\n[channels.demo.limits]\nmax_body = 10\n",
    );
    let gateway = Gateway::start(&["--config", file.path(), "--max-streams", "50"]);
    let address = &gateway.address;
    let mut all = Answer::open(address, "GET /channels/demo", &[], b"");
    let mut given = all.until("\n\n").len();
    let publish = |query: &str, body: &[u8]| {
        request(address, &format!("POST /channels/demo{query}"), &[], body).0.status
    };
    assert_eq!((publish("", b"one"), publish("", b"two")), (202, 202));
    let first = all.until("\n\n");
    given += first.len() + all.until("\n\n").len();
    assert_eq!((publish("", b"more than ten"), publish("?event=open", b"x")), (413, 400));
    // One goes on from the log, one begins with a gap.
    let id = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let mut resumed = Answer::open(address, "GET /channels/demo", &[("last-event-id", id)], b"");
    given += resumed.until("data: two\n").len() + resumed.until("\n\n").len();
    let mut lost = Answer::open(address, "GET /channels/demo", &[("last-event-id", "nonsense")], b"");
    given += lost.until("tidewater.cursor").len() + lost.until("\n\n").len();
    assert_eq!(request(address, "GET /channels/demo?since=never", &[], b"").0.status, 400);
    drop((resumed, lost));
    let until = Instant::now() + PATIENCE;
    let scraped = loop {
        let scraped = Scraped::of(&gateway);
        // A server sees in its own time that a client is gone.
        if scraped.get("tidewater_streams{channel=\"demo\"}") == 1.0 {
            break scraped;
        }
        assert!(Instant::now() < until, "{:#?}", scraped.samples);
        sleep(Duration::from_millis(10));
    };

    let documented = documented();
    assert!(documented.len() > 40, "the tables are not read: {documented:?}");
    let types: BTreeMap<_, _> = documented.iter().map(|(name, (of, _))| (name.clone(), of.clone())).collect();
    assert_eq!(scraped.types, types, "printed, and documented");
    for (name, labels) in scraped.labels() {
        assert_eq!(labels, documented[&name].1, "the labels of {name}, and the documented ones");
    }

    for (name, labels, value) in [
        ("upstream_state", "state=\"live\"", 1),
        ("upstream_state", "state=\"degraded\"", 0),
        ("upstream_lag_messages", "", 0),
        ("upstream_resubscriptions_total", "", 0),
        ("events_in_total", "", 2),
        ("events_out_total", "", 3),
        ("bytes_out_total", "", given),
        ("log_events", "", 2),
        ("streams_opened_total", "", 3),
        ("streams_sent_away_total", "", 0),
        ("resumes_total", "from=\"log\"", 1),
        ("resumes_total", "from=\"broker\"", 0),
        ("resumes_total", "from=\"gap\"", 1),
        ("gaps_total", "reason=\"unreadable\",scope=\"client\"", 1),
        ("gaps_total", "reason=\"unreadable\",scope=\"channel\"", 0),
        ("http_requests_total", "code=\"2xx\"", 5),
        ("http_requests_total", "code=\"4xx\"", 3),
        ("published_messages_total", "", 2),
        ("publish_refusals_total", "reason=\"too_large\"", 1),
        ("publish_refusals_total", "reason=\"bad_request\"", 1),
        ("publish_refusals_total", "reason=\"rate\"", 0),
        ("publish_failures_total", "", 0),
        ("publish_duration_seconds_count", "", 2),
        ("publish_duration_seconds_bucket", "le=\"+Inf\"", 2),
    ] {
        let comma = if labels.is_empty() { "" } else { "," };
        let sample = format!("tidewater_{name}{{channel=\"demo\"{comma}{labels}}}");
        // Labels of a family come before its own.
        let other = format!("tidewater_{name}{{{labels}{comma}channel=\"demo\"}}");
        let found = scraped.samples.get(&sample).or_else(|| scraped.samples.get(&other));
        assert_eq!(found, Some(&(value as f64)), "{sample} of {:#?}", scraped.samples);
    }
    assert_eq!(scraped.get("tidewater_streams_limit"), 50.0);
    assert_eq!(scraped.get("tidewater_draining"), 0.0);
    assert_eq!(scraped.get("tidewater_config_last_reload_successful"), 1.0);
    assert!(scraped.get("tidewater_connections") >= 1.0, "{:#?}", scraped.samples);
    let began = scraped.get("tidewater_config_last_reload_success_timestamp_seconds");
    let event = scraped.get("tidewater_last_event_timestamp_seconds{channel=\"demo\"}");
    assert!(began > 1.7e9 && event >= began && event < began + 300.0, "{began} {event}");
    let info = format!("tidewater_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(scraped.get(&info), 1.0);
}

#[test]
fn every_server_has_them_in_both_formats() {
    for server in servers() {
        let gateway = Gateway::start(&["--server", server]);
        let types = Scraped::of(&gateway).types;
        assert_eq!(types.len(), documented().len(), "{server}");
        let accept =
            ("accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2");
        let (head, text) = request(&gateway.address, "GET /metrics", &[accept], b"");
        let content_type = head.header("content-type").unwrap();
        assert!(
            content_type.starts_with("application/openmetrics-text; version=1.0.0"),
            "{server}: {content_type}"
        );
        assert!(
            text.ends_with("\n# EOF\n") && text.contains("# TYPE tidewater_events_in counter\n"),
            "{server}: {text}"
        );
        assert_eq!(request(&gateway.address, "POST /metrics", &[], b"").0.status, 405, "{server}");
    }
}

#[test]
fn they_can_be_left_out() {
    let file = File::new("no-metrics.toml", "[server]\nmetrics = false\n[channels.a]\nsource = 'memory:'\n");
    let gateway = Gateway::start(&["--config", file.path()]);
    assert_eq!(request(&gateway.address, "GET /metrics", &[], b"").0.status, 404);
}

/// What a reload makes of them: counts of channels that stay go on, and one that was refused shows.
#[cfg(unix)]
#[test]
fn a_reload_keeps_counts_and_tells_whether_it_succeeded() {
    const BEFORE: &str = "[channels.a]\nsource = 'memory:metrics-reload'\npublish = true\n";
    let file = File::new("metrics-reload.toml", BEFORE);
    let gateway = Gateway::start(&["--config", file.path()]);
    let publish = || request(&gateway.address, "POST /channels/a", &[], b"x").0.status;
    assert_eq!(publish(), 202);
    file.write("[channels.a]\nsorce = 'memory:metrics-reload'\n");
    gateway.signal(rustix::process::Signal::HUP);
    gateway.logged("not reloaded: everything is as it was");
    let until = |successful: f64| {
        let until = Instant::now() + PATIENCE;
        while Scraped::of(&gateway).get("tidewater_config_last_reload_successful") != successful {
            assert!(Instant::now() < until, "it does not tell");
            sleep(Duration::from_millis(10));
        }
    };
    until(0.0);
    file.write(&format!("{BEFORE}select = ['topic']\n"));
    gateway.signal(rustix::process::Signal::HUP);
    gateway.logged("reloaded: changed: channels.a.select");
    until(1.0);
    assert_eq!(publish(), 202);
    let published = Scraped::of(&gateway).get("tidewater_published_messages_total{channel=\"a\"}");
    assert_eq!(published, 2.0);
}

#[test]
fn the_dashboard_and_the_alerts_name_metrics_that_there_are() {
    let documented = documented();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let expressions = targets.map(|target| &target["expr"]);
    let queries =
        expressions.chain(variables.map(|variable| &variable["definition"])).filter_map(Value::as_str);
    let rules = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let (queries, rules): (Vec<_>, Vec<_>) = (queries.collect(), rules.collect());
    assert!(queries.len() > 30 && rules.len() > 5, "they are not read: {queries:?} {rules:?}");
    for query in queries.iter().chain(&rules) {
        assert!(named(query).next().is_some(), "it names no metric: {query}");
        for name in named(query) {
            assert!(documented.contains_key(&base(name, &documented)), "there is no {name}: {query}");
        }
    }
    let alerts = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        assert!(PAGE.contains(&format!("| `{alert}` |")), "{alert} is not explained");
    }
}
