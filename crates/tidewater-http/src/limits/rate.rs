//! How often something may be done.

use std::{fmt, str::FromStr, time::Duration};

use tidewater_core::{Error, ErrorKind};

/// So many times in a second, minute or hour; and so many at once, for who has done nothing for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How long it takes until one more may be done.
    pub(super) interval: Duration,
    pub(super) burst: u32,
}

impl Rate {
    /// So many times a second, and as many at once. Zero is taken for one.
    pub fn per_second(times: u32) -> Self {
        Self::of(times, Duration::from_secs(1))
    }

    /// So many times a minute, and as many at once. Zero is taken for one.
    pub fn per_minute(times: u32) -> Self {
        Self::of(times, Duration::from_secs(60))
    }

    /// So many times an hour, and as many at once. Zero is taken for one.
    pub fn per_hour(times: u32) -> Self {
        Self::of(times, Duration::from_secs(3600))
    }

    /// How many may be done at once. Zero is taken for one.
    #[must_use]
    pub fn burst(self, burst: u32) -> Self {
        Self { burst: burst.max(1), ..self }
    }

    fn of(times: u32, per: Duration) -> Self {
        let times = times.max(1);
        Self { interval: per / times, burst: times }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one each {:?}, {} at once", self.interval, self.burst)
    }
}

impl FromStr for Rate {
    type Err = Error;

    /// `10/s`, `600/m`, `1000/h`: as many at once.
    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let (times, per) = text.split_once('/')?;
            let times = times.parse().ok().filter(|times| *times > 0)?;
            match per {
                "s" => Some(Self::per_second(times)),
                "m" => Some(Self::per_minute(times)),
                "h" => Some(Self::per_hour(times)),
                _ => None,
            }
        };
        read().ok_or_else(|| {
            let text = format!(
                "{text:?} is no rate: write how often in a second, a minute or an hour (10/s, 600/m, 1000/h)"
            );
            Error::new(ErrorKind::Config, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!("10/s".parse::<Rate>().unwrap(), Rate::per_second(10));
        assert_eq!("600/m".parse::<Rate>().unwrap().interval, Duration::from_millis(100));
        assert_eq!("1/h".parse::<Rate>().unwrap().burst(5), Rate::per_hour(1).burst(5));
        for text in ["", "10", "10/", "/s", "0/s", "-1/s", "1.5/s", "10/d", "10 / s", "99999999999/s"] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.to_string().contains("10/s"), "{error}");
        }
    }
}
