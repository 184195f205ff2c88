//! What a log is opened with.

use std::{fmt, time::Duration};

use tidewater_core::{Error, ErrorKind, Result, SourceUrl, TopicName};

/// The parameters of a URL.
const PARAMETERS: &[&str] = &["sync", "retain_events", "retain_bytes", "retain_age", "topic"];

/// The shortest and the longest interval between two syncs.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(3600));

/// What a log is opened with. Whatever opens the same path in this process has to say the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// When what was written is made to survive the end of the machine.
    pub sync: SyncPolicy,
    /// What is kept.
    pub retain: Retain,
    /// The topic's name, which ids and clients know it by. It is stored when the folder is first used, and can't be
    /// changed then. `None`: the name that is stored, or the last part of the path for a folder that is new.
    pub topic: Option<TopicName>,
}

/// When what was written is made to survive the end of the machine: a power cut, a crash of the kernel. The end of the
/// process alone loses nothing that was answered, whatever this says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before it is answered. All that waits is synced at once.
    #[default]
    Always,
    /// So often at most, and this long after it was answered at the latest: from 1 ms to 1 h.
    Every(Duration),
    /// When the kernel decides to: some 30 s later, mostly.
    Os,
}

/// What is kept. The oldest go first, whichever bound is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retain {
    /// The most messages, 1 at least; `None`: any number.
    pub events: Option<u64>,
    /// The most bytes, as they stand in the store; `None`: any number. The newest message is kept whatever its size.
    pub bytes: Option<u64>,
    /// The longest time since a message was written; `None`: for ever.
    pub age: Option<Duration>,
}

impl Default for Retain {
    /// 1 GiB.
    fn default() -> Self {
        Self { events: None, bytes: Some(1 << 30), age: None }
    }
}

impl Settings {
    /// Those in the parameters of a URL; what isn't said is as in [`Settings::default`].
    pub(crate) fn from_url(url: &SourceUrl) -> Result<Self> {
        let mut params = url.params()?;
        let mut read = |name: &str, expected: &str, parse: fn(&str) -> Option<u64>| match params.take(name) {
            None => Ok(None),
            Some(value) if value == "all" => Ok(Some(None)),
            Some(value) => match parse(&value) {
                Some(number) if number > 0 => Ok(Some(Some(number))),
                _ => Err(wrong(name, &value, expected)),
            },
        };
        let default = Retain::default();
        let events =
            read("retain_events", "a number of messages, such as 100000, or all", |text| text.parse().ok())?;
        let bytes = read("retain_bytes", "a size, such as 512MiB or 10GiB, or all", size)?;
        let age = read("retain_age", "a time, such as 24h or 7days, or all", |text| {
            u64::try_from(humantime::parse_duration(text).ok()?.as_millis()).ok()
        })?;
        let retain = Retain {
            events: events.unwrap_or(default.events),
            bytes: bytes.unwrap_or(default.bytes),
            age: age.map_or(default.age, |age| age.map(Duration::from_millis)),
        };
        let sync =
            params.take("sync").map(|value| SyncPolicy::parse(&value)).transpose()?.unwrap_or_default();
        let topic = params.take("topic");
        params.finish(PARAMETERS)?;
        if topic.as_deref() == Some("") {
            return Err(wrong("topic", "", "a name"));
        }
        Ok(Self { sync, retain, topic: topic.map(TopicName::from) })
    }
}

impl Settings {
    /// Refuses what the parameters of a URL can't say either.
    pub(crate) fn check(&self) -> Result<()> {
        let config = |message: String| Err(Error::new(ErrorKind::Config, message));
        match self.sync {
            SyncPolicy::Every(every) if !(INTERVALS.0..=INTERVALS.1).contains(&every) => {
                return config(format!("a sync every {every:?} is asked for: name a time from 1ms to 1h"));
            }
            _ => {}
        }
        let Retain { events, bytes, age } = self.retain;
        if events == Some(0) || bytes == Some(0) || age == Some(Duration::ZERO) {
            return config(format!("{self} keeps nothing: name more than 0, or None for everything"));
        }
        if self.topic.as_ref().is_some_and(|topic| topic.is_empty()) {
            return config(
                "the topic's name is empty: give it one, or None for that of the folder".to_owned(),
            );
        }
        Ok(())
    }
}

impl SyncPolicy {
    fn parse(value: &str) -> Result<Self> {
        match value {
            "always" => Ok(Self::Always),
            "os" => Ok(Self::Os),
            every => match humantime::parse_duration(every) {
                Ok(every) if (INTERVALS.0..=INTERVALS.1).contains(&every) => Ok(Self::Every(every)),
                _ => Err(wrong("sync", value, "always, os, or a time from 1ms to 1h, such as 100ms")),
            },
        }
    }
}

impl fmt::Display for Settings {
    /// As parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = || "all".to_owned();
        match self.sync {
            SyncPolicy::Always => f.write_str("sync=always")?,
            SyncPolicy::Every(every) => write!(f, "sync={}", humantime::format_duration(every))?,
            SyncPolicy::Os => f.write_str("sync=os")?,
        }
        let Retain { events, bytes, age } = self.retain;
        write!(f, "&retain_events={}", events.map_or_else(all, |events| events.to_string()))?;
        write!(f, "&retain_bytes={}", bytes.map_or_else(all, |bytes| bytes.to_string()))?;
        write!(f, "&retain_age={}", age.map_or_else(all, |age| humantime::format_duration(age).to_string()))?;
        match &self.topic {
            Some(topic) => write!(f, "&topic={topic}"),
            None => Ok(()),
        }
    }
}

fn wrong(name: &str, value: &str, expected: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the parameter {name}={value:?} is not {expected}"))
}

/// Bytes, or KiB, MiB, GiB, TiB of them.
fn size(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let with_unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = with_unit.unwrap_or((text, 0));
    number.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Settings> {
        Settings::from_url(&format!("embedded:x?{query}").parse()?)
    }

    #[test]
    fn parameters_are_read_and_shown() {
        assert_eq!(read("").unwrap(), Settings::default());
        let all = "sync=100ms&retain_events=5&retain_bytes=2097152&retain_age=7days&topic=a b";
        let settings =
            read("sync=100ms&retain_events=5&retain_bytes=2MiB&retain_age=7d&topic=a%20b").unwrap();
        assert_eq!(settings.to_string(), all);
        assert_eq!(read("retain_bytes=all").unwrap().retain.bytes, None);
        assert_eq!(read("sync=os").unwrap().sync, SyncPolicy::Os);
    }

    #[test]
    fn settings_out_of_their_bounds_are_refused_by_hand_too() {
        let retain = |retain: Retain| Settings { retain, ..Settings::default() };
        for settings in [
            Settings { sync: SyncPolicy::Every(Duration::MAX), ..Settings::default() },
            Settings { sync: SyncPolicy::Every(Duration::ZERO), ..Settings::default() },
            Settings { topic: Some(TopicName::from("")), ..Settings::default() },
            retain(Retain { events: Some(0), ..Retain::default() }),
            retain(Retain { bytes: Some(0), ..Retain::default() }),
            retain(Retain { age: Some(Duration::ZERO), ..Retain::default() }),
        ] {
            let error = crate::EmbeddedLog::open("x", settings).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, what) in [
            ("sync=never", "always, os, or a time"),
            ("sync=2h", "1ms to 1h"),
            ("sync=0s", "1ms to 1h"),
            ("retain_events=0", "a number of messages"),
            ("retain_bytes=1GB", "512MiB"),
            ("retain_bytes=99999999TiB", "512MiB"),
            ("retain_age=week", "7days"),
            ("topic=", "a name"),
            ("retention=1", "sync, retain_events, retain_bytes, retain_age, topic"),
        ] {
            let error = read(query).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(what), "{query}: {error}");
        }
    }
}
