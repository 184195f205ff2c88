//! Settings that are words of the library: policies, limits, modes.

use std::{fmt, str::FromStr};

use tidewater::{AllowedReplay, Encoding, EventFrom, LagPolicy, PayloadMode, Prewarm, Start, http::SelectBy};

use super::{
    given::{Given, Wrong},
    setting::{Setting, quoted, size},
};

/// What happens to a client that falls behind: the channel's own policy, then those that a client may choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) own: LagPolicy,
    pub(crate) choices: Vec<LagPolicy>,
}

impl Setting for Lag {
    /// A list, or a text with commas.
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let lists: Vec<Policies> = Setting::read(given)?;
        let mut all = lists.into_iter().flat_map(|list| list.0);
        match all.next() {
            Some(own) => Ok(Self { own, choices: all.collect() }),
            None => Err(vec![given.wrong("it is empty: write one policy at least, such as \"backfill\"")]),
        }
    }

    fn show(&self) -> String {
        let all: Vec<_> =
            [self.own].iter().chain(&self.choices).map(|policy| Policies(vec![*policy])).collect();
        all.show()
    }
}

/// Policies behind commas.
struct Policies(Vec<LagPolicy>);

impl Setting for Policies {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let parse = |text: &str| text.split(',').map(|one| word(one.trim())).collect::<Result<_, _>>();
        Ok(Self(given.parsed("a policy, such as \"backfill\"", parse)?))
    }

    fn show(&self) -> String {
        quoted(&self.0.iter().map(|policy| policy.as_str()).collect::<Vec<_>>().join(","))
    }
}

impl Setting for AllowedReplay {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Ok(given.parsed("all, log, or a time such as \"24h\"", |text| match text {
            "all" => Ok(Self::Everything),
            "log" => Ok(Self::Log),
            age => humantime::parse_duration(age)
                .map(Self::Age)
                .map_err(|_| "it is no limit: write all, log, or a time such as 30m or 24h".to_owned()),
        })?)
    }

    fn show(&self) -> String {
        match self {
            Self::Log => quoted("log"),
            Self::Age(age) => age.show(),
            _ => quoted("all"),
        }
    }
}

/// How streams may be compressed, the first one where a client likes several equally: a list, or a text with commas; all
/// there are, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compress(pub(crate) Vec<Encoding>);

impl Setting for Compress {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let lists: Vec<Encodings> = Setting::read(given)?;
        Ok(Self(lists.into_iter().flat_map(|list| list.0).collect()))
    }

    fn show(&self) -> String {
        self.0.iter().map(|encoding| Encodings(vec![*encoding])).collect::<Vec<_>>().show()
    }
}

/// Encodings behind commas.
struct Encodings(Vec<Encoding>);

impl Setting for Encodings {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let parse = |text: &str| match text {
            "all" => Ok(Encoding::ALL.to_vec()),
            "off" => Ok(Vec::new()),
            names => names.split(',').map(|one| word(one.trim())).collect(),
        };
        Ok(Self(given.parsed("an encoding (\"zstd\", \"gzip\"), \"all\" or \"off\"", parse)?))
    }

    fn show(&self) -> String {
        quoted(&self.0.iter().map(|encoding| encoding.as_str()).collect::<Vec<_>>().join(","))
    }
}

/// How much of the past is read at the start, as a text: `8192,8MiB,5m`, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrewarmBounds(pub(crate) Option<Prewarm>);

impl Default for PrewarmBounds {
    fn default() -> Self {
        Self(Some(Prewarm::default()))
    }
}

impl Setting for PrewarmBounds {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let parse = |text: &str| {
            if text == "off" {
                return Ok(Self(None));
            }
            // What is not said is bounded by the log alone.
            let mut window = Prewarm { events: usize::MAX, bytes: usize::MAX, age: None };
            for bound in text.split(',').map(str::trim) {
                if let Ok(events) = bound.parse() {
                    window.events = events;
                } else if let Some(bytes) = size(bound) {
                    window.bytes = bytes;
                } else {
                    let age = humantime::parse_duration(bound).map_err(|_| {
                        "it holds what is no bound: write a number of events, a size such as 16MiB, a time such as 5m, \
                         or off"
                            .to_owned()
                    })?;
                    window.age = Some(age);
                }
            }
            Ok(Self(Some(window)))
        };
        Ok(given
            .parsed("bounds such as \"8192,8MiB,5m\", a table of events, bytes and age, or \"off\"", parse)?)
    }

    fn show(&self) -> String {
        let Some(window) = self.0 else { return quoted("off") };
        let events = (window.events != usize::MAX).then(|| window.events.to_string());
        let bytes =
            (window.bytes != usize::MAX).then(|| super::setting::Size(window.bytes).show().replace('"', ""));
        let age = window.age.map(|age| humantime::format_duration(age).to_string());
        quoted(&[events, bytes, age].into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

impl Setting for Start {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Ok(given.parsed("\"latest\" or \"earliest\"", |text| match text {
            "latest" => Ok(Self::Latest),
            "earliest" => Ok(Self::Earliest),
            _ => Err("there is no such start (there are: latest, earliest)".to_owned()),
        })?)
    }

    fn show(&self) -> String {
        quoted(if *self == Self::Earliest { "earliest" } else { "latest" })
    }
}

impl Setting for PayloadMode {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Ok(given.parsed("a payload mode, such as \"text\"", word)?)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

/// What names events.
impl Setting for EventFrom {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        // Its errors show the name that was given, which a variable may have held.
        let read = given.parsed("what names events, such as \"topic\"", word);
        Ok(read.map_err(|wrong| match given.with_variables() {
            Some(written) => given.wrong(format_args!(
                "{written}: with its variables put in this names no event (there are: topic, key, header:NAME, fixed:NAME)"
            )),
            None => wrong,
        })?)
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for SelectBy {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Ok(given.parsed("what clients may select by, such as \"topic\"", word)?)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

fn word<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::given::Origin;

    fn read<T: Setting>(text: &str) -> Result<T, String> {
        T::read(&Given::text(Origin::Default, text)).map_err(|wrongs| wrongs[0].what.clone())
    }

    #[test]
    fn policies_and_limits_are_read() {
        use LagPolicy::{Backfill, Conflate};
        assert_eq!(read("conflate"), Ok(Lag { own: Conflate, choices: vec![] }));
        assert_eq!(read("conflate, backfill"), Ok(Lag { own: Conflate, choices: vec![Backfill] }));
        assert!(read::<Lag>("slow").unwrap_err().contains("backfill, disconnect, skip, conflate"));
        assert_eq!(read("all"), Ok(AllowedReplay::Everything));
        assert_eq!(read("log"), Ok(AllowedReplay::Log));
        assert_eq!(read("1h 30m"), Ok(AllowedReplay::Age(Duration::from_secs(5400))));
        assert!(read::<AllowedReplay>("soon").unwrap_err().contains("24h"));
    }

    #[test]
    fn windows_are_read_and_shown() {
        let window = |text: &str| read(text).map(|PrewarmBounds(window)| window);
        let most = Prewarm { events: usize::MAX, bytes: usize::MAX, age: None };
        assert_eq!(window("off"), Ok(None));
        assert_eq!(window("500"), Ok(Some(Prewarm { events: 500, ..most })));
        let all = Prewarm { events: 500, bytes: 2 << 20, age: Some(Duration::from_secs(300)) };
        assert_eq!(window("500, 2MiB, 5m"), Ok(Some(all)));
        assert_eq!(PrewarmBounds(Some(all)).show(), "\"500,2MiB,5m\"");
        for wrong in ["", "many", "2MB", "-1", "99999999999999999999GiB"] {
            assert!(window(wrong).unwrap_err().contains("16MiB"), "{wrong}");
        }
    }

    #[cfg(all(feature = "gzip", feature = "zstd"))]
    #[test]
    fn encodings_are_read() {
        use Encoding::{Gzip, Zstd};
        for (text, encodings) in [
            ("all", vec![Zstd, Gzip]),
            ("off", vec![]),
            ("gzip", vec![Gzip]),
            ("gzip, zstd", vec![Gzip, Zstd]),
        ] {
            assert_eq!(read::<Compress>(text), Ok(Compress(encodings)), "{text}");
        }
        for wrong in ["", "br", "gzip,,zstd"] {
            assert!(read::<Compress>(wrong).unwrap_err().contains("zstd, gzip"), "{wrong}");
        }
        assert_eq!(Compress(vec![Gzip, Zstd]).show(), "[\"gzip\", \"zstd\"]");
    }
}
