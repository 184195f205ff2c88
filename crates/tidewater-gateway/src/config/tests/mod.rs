//! The layers together, what is wrong with them, and whether the sample and the page of the documentation are true.

use std::ffi::OsString;

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
}

fn flags(args: &[&str]) -> Flags {
    Cli::try_parse_from([&["tidewater"], args].concat()).unwrap().flags
}

fn load(file: &str, variables: &[(&str, &str)], args: &[&str]) -> Result<Loaded, Vec<String>> {
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    let table = file::parse(&"f.toml".into(), file);
    table
        .and_then(|table| read((!file.is_empty()).then_some(table), &variables, &flags(args)))
        .map_err(|findings| findings.iter().map(ToString::to_string).collect())
}

/// The settings as they are in force: `channels.a.replay` and its value.
fn values(loaded: &Loaded) -> Vec<(String, Option<String>)> {
    let name = |shown: &Shown| format!("{}.{}", shown.table, shown.key);
    loaded.shown.iter().map(|shown| (name(shown), shown.value.clone())).collect()
}

fn value(loaded: &Loaded, key: &str) -> Option<String> {
    values(loaded).into_iter().find(|(name, _)| name == key).unwrap().1
}

mod wrong;

mod sample {
    use super::*;

    const SAMPLE: &str = include_str!("../../../tidewater.sample.toml");

    /// The sample with its settings in force: all, or those before the examples.
    fn uncommented(all: bool) -> String {
        let (defaults, examples) = SAMPLE.split_at(SAMPLE.find("#[channels.orders]").unwrap());
        let uncomment = |text: &str| {
            let line = |line: &str| match line.strip_prefix('#') {
                Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            };
            text.lines().map(line).collect::<String>()
        };
        let whole = if all { uncomment(defaults) + &uncomment(examples) } else { uncomment(defaults) };
        // Without the features there are no such plugins.
        let whole = match (all, cfg!(feature = "authorization")) {
            (true, false) => whole.split("[authorization.jwt]").next().unwrap().to_owned(),
            _ => whole,
        };
        let kafka = if cfg!(feature = "kafka") {
            whole
        } else {
            whole.replace("kafka://localhost:9092/orders", "memory:orders").replace("?client.id=web", "")
        };
        if cfg!(feature = "nats") {
            kafka
        } else {
            kafka.replace("jetstream://localhost:4222/NOTES", "memory:notes")
        }
    }

    #[test]
    fn its_defaults_are_the_real_ones_and_all_that_there_are() {
        let real = load("", &[], &[]).unwrap();
        assert_eq!(values(&load(SAMPLE, &[], &[]).unwrap()), values(&real), "as it is");
        let given = load(&uncommented(false), &[], &[]).unwrap();
        assert_eq!(values(&given), values(&real), "with its defaults in force");
        for shown in given.shown.iter().filter(|shown| shown.value.is_some()) {
            assert!(
                matches!(shown.at, Origin::File { .. }),
                "{}.{} is not in the sample",
                shown.table,
                shown.key
            );
        }
    }

    #[test]
    fn its_example_has_every_key_and_changes_every_one() {
        let given = load(&uncommented(true), &[], &[]).unwrap();
        let of = |name: &str| {
            let name = format!("channels.{name}");
            given.shown.iter().filter(move |shown| shown.table.starts_with(&name)).collect::<Vec<_>>()
        };
        for shown in of("orders") {
            assert!(
                matches!(shown.at, Origin::File { .. }),
                "{}.{} is not in the example",
                shown.table,
                shown.key
            );
            let default = of("demo")
                .into_iter()
                .find(|other| other.key == shown.key && other.table.replace("demo", "orders") == shown.table);
            let default = default.and_then(|other| other.value.clone());
            // Of no encodings, all are none.
            let none = tidewater::Encoding::ALL.is_empty();
            let same = ["publish", "public"].contains(&shown.key) || none && shown.key == "compress";
            assert!(same || default != shown.value, "{} is as the default", shown.key);
        }
    }

    /// But for the environment's values.
    #[cfg(all(feature = "authorization", feature = "kafka", feature = "nats"))]
    #[test]
    fn the_secure_example_is_right_and_closed() {
        let mut text = include_str!("../../../examples/secure.toml").to_owned();
        for (name, value) in [
            ("LISTEN", "localhost:8443"),
            ("ADMIN", "localhost:9090"),
            ("KAFKA", "localhost:9092"),
            ("NATS", "localhost:4222"),
            ("JWT_SECRET", &"0123456789abcdef".repeat(2)),
        ] {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        // Certificates are the test's of listeners.
        text = text.replace("https://", "").replace("tls_", "#tls_");
        let loaded = load(&text, &[], &[]).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let open: Vec<_> =
            loaded.config.channels.iter().map(|channel| (&*channel.name, channel.public)).collect();
        assert_eq!(open, [("orders", false), ("news", true)]);
    }

    #[test]
    fn the_documentation_names_every_key() {
        let page = include_str!("../../../../../docs/configuration.md");
        for shown in load(&uncommented(true), &[], &[]).unwrap().shown {
            let key = shown.key;
            let table = shown.table.rsplit('.').next().unwrap();
            let names = [format!("`{key}`"), format!("`{table}.{key}`")];
            assert!(
                names.iter().any(|name| page.contains(name)),
                "{names:?} is not in docs/configuration.md"
            );
        }
    }
}

mod layers {
    use super::*;

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = "[server]\nlisten = 'localhost:1'\ndrain_timeout = 5\nconsole = false\n[channels.a]\nsource = 'memory:'\n";
        let variables = [
            ("TIDEWATER_SERVER__LISTEN", "localhost:2"),
            ("TIDEWATER_SERVER__DRAIN_TIMEOUT", "6s"),
            ("TIDEWATER_CHANNELS__A__PUBLISH", "false"),
        ];
        let args = ["--listen", "localhost:3", "--channel", "b=memory:x"];
        let loaded = load(file, &variables, &args).unwrap();
        let at = |key: &str| loaded.shown.iter().find(|shown| shown.key == key).unwrap().at.to_string();
        assert_eq!(
            (loaded.config.server.listening.listen[0].to_string().as_str(), at("listen")),
            ("localhost:3", "--listen localhost:3".into())
        );
        assert_eq!(
            (value(&loaded, "server.drain_timeout"), at("drain_timeout")),
            (Some("\"6s\"".into()), "TIDEWATER_SERVER__DRAIN_TIMEOUT".into())
        );
        assert_eq!(
            (value(&loaded, "server.console"), at("console")),
            (Some("false".into()), "f.toml:4:11".into())
        );
        assert_eq!(at("server"), "default");
        let channels: Vec<_> =
            loaded.config.channels.iter().map(|own| (own.name.as_str(), own.publish)).collect();
        assert_eq!(channels, [("a", false), ("b", true)]);
    }

    #[test]
    fn a_channel_has_what_all_have_unless_it_says_otherwise() {
        let file = "[limits]\nmax_body = 10\n[cors]\norigins = 'https://a.example'\n[channels.a]\nsource = 'memory:'\n\
                    limits.max_body = 20\n[channels.b]\nsource = 'memory:'\ncors.origins = []\n";
        let loaded = load(file, &[], &[]).unwrap();
        let of = |key: &str| value(&loaded, key).unwrap();
        assert_eq!(
            (of("channels.a.limits.max_body"), of("channels.b.limits.max_body")),
            ("20".into(), "10".into())
        );
        assert_eq!(
            (of("channels.a.cors.origins"), of("channels.b.cors.origins")),
            ("\"https://a.example\"".into(), "[]".into())
        );
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let file = "[channels.a]\nsource = 'memory:x?events=5'\nprewarm.events = 5\nlag = ['skip', 'conflate,backfill']\nreplay = '1h 30m'\n";
        let loaded = load(file, &[], &[]).unwrap();
        let shown = show(&loaded.shown);
        // What may be a secret is left out of it.
        assert!(shown.contains("source = \"memory:x?…\""), "{shown}");
        let again = load(&shown.replace("?…", "?events=5"), &[], &[]).unwrap();
        assert_eq!(values(&again), values(&loaded), "{shown}");
        assert_eq!(value(&again, "channels.a.lag").unwrap(), "[\"skip\", \"conflate\", \"backfill\"]");
    }

    #[test]
    fn a_file_without_a_channel_has_none() {
        let told = load("[server]\n", &[], &[]).unwrap_err();
        assert!(told[0].starts_with("channels: there is no channel"), "{told:?}");
        assert_eq!(
            load("[server]\n", &[("TIDEWATER_CHANNELS__X__SOURCE", "memory:")], &[])
                .unwrap()
                .config
                .channels
                .len(),
            1
        );
        assert_eq!(load("", &[], &[]).unwrap().config.channels[0].name, "demo");
    }
}

/// Nothing that may be a secret comes out, whatever is wrong.
mod secrets {
    use super::*;

    #[test]
    fn they_are_in_no_finding_no_debug_and_not_shown() {
        for source in [
            "nats://me:hunter2@host/s",
            "memory:x?events=5&hunter2",
            "carrier-pigeon://me:hunter2@loft/x?token=hunter2",
            "me:hunter2@host/s",
            "nats://me:hunter2@ho st/${PATH}",
        ] {
            let file = format!(
                "[channels.a]\nsource = '{source}'\nsink = '{source}'\npublish = true\nlag = 'x'\nhunter2 = 1"
            );
            let told = load(&file, &[], &[]).unwrap_err().join("\n").replace("channels.a.hunter2", "");
            assert!(!told.contains("hunter2"), "{told}");
            let told = load(
                CHANNEL,
                &[("TIDEWATER_CHANNELS__A__SINK", source)],
                &["--channel", &format!("b={source}")],
            );
            let told = told
                .map(|loaded| show(&loaded.shown) + &format!("{:?}", loaded.config))
                .unwrap_or_else(|told| told.join("\n"));
            assert!(!told.contains("hunter2"), "{told}");
        }
        let file = "[channels.a]\nsource = 'memory:x?events=5'\nsink = 'memory:me:hunter2@x?events=7'\n";
        let loaded = load(file, &[], &["--channel", "b=memory:y?events=9"]).unwrap();
        let all = format!("{loaded:?} {}", show(&loaded.shown));
        assert!(!all.contains("hunter2") && !all.contains("events="), "{all}");
        assert!(!format!("{:?}", flags(&["--channel", "a=nats://me:hunter2@h/s"])).contains("hunter2"));
    }

    const CHANNEL: &str = "[channels.a]\nsource = 'memory:'\n";

    /// A variable may hold a secret wherever it stands.
    #[test]
    fn what_variables_hold_is_not_told() {
        let path = std::env::var("PATH").unwrap();
        for key in [
            "lag",
            "replay",
            "prewarm",
            "linger",
            "compress",
            "heartbeat",
            "payload",
            "start",
            "publish",
            "source",
            "log.bytes",
            "limits.publish",
            "limits.body_timeout",
            "cors.origins",
        ] {
            let source = if key == "source" { "" } else { "source = 'memory:'" };
            let file = format!("[channels.a]\n{source}\n{key} = '${{PATH}}'\n");
            let told = load(&file, &[], &[]).unwrap_err().join("\n");
            assert!(!told.contains(&path), "{key}: {told}");
        }
        let loaded = load("[channels.a]\nsource = 'memory:'\nevent = 'header:${PATH}'\n", &[], &[]).unwrap();
        assert_eq!(value(&loaded, "channels.a.event").unwrap(), "\"header:${PATH}\"");
    }
}
