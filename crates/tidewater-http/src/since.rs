//! `?since=`: where a client without an id starts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidewater_core::Start;

use crate::Rejection;

/// Reads `earliest`, `latest`, a time (RFC 3339) or a duration before `now` (`5m`, `1h 30m`).
///
/// # Errors
/// 400, saying what is allowed.
pub(crate) fn parse(text: &str, now: SystemTime) -> Result<Start, Rejection> {
    let text = text.trim();
    match text {
        "earliest" => return Ok(Start::Earliest),
        "latest" => return Ok(Start::Latest),
        _ => {}
    }
    let before = |ago| now.checked_sub(ago).unwrap_or(UNIX_EPOCH);
    rfc3339(text)
        .or_else(|| humantime::parse_duration(text).ok().map(before))
        // Brokers give times before it a meaning of their own.
        .map(|time| Start::Time(time.max(UNIX_EPOCH)))
        .ok_or_else(|| {
            Rejection::bad_request(format!(
                "?since={text} can't be read: give a time (RFC 3339, 2026-01-31T12:00:00Z), a duration before now (5m, 1h), \"earliest\" or \"latest\""
            ))
        })
}

/// A time with `Z` or an offset from UTC (RFC 3339 §5.6). A `+` that was not percent-encoded arrives as a space.
fn rfc3339(text: &str) -> Option<SystemTime> {
    let (local, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, None),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            (local, Some(offset))
        }
    };
    let local = humantime::parse_rfc3339(&format!("{}Z", local.replacen(['t', ' '], "T", 1))).ok()?;
    let Some(offset) = offset else { return Some(local) };
    let (sign, clock) = offset.split_at_checked(1)?;
    let (hours, minutes) = clock.split_once(':')?;
    let part = |text: &str, below: u64| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|number| digits && *number < below)
    };
    let distance = Duration::from_secs((part(hours, 24)? * 60 + part(minutes, 60)?) * 60);
    match sign {
        "+" | " " => local.checked_sub(distance),
        "-" => local.checked_add(distance),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Option<Start> {
        Some(Start::Time(UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    fn since(text: &str) -> Option<Start> {
        parse(text, UNIX_EPOCH + Duration::from_secs(10_000)).ok()
    }

    #[test]
    fn times_durations_and_words() {
        assert_eq!(since("earliest"), Some(Start::Earliest));
        assert_eq!(since("latest"), Some(Start::Latest));
        assert_eq!(since("5m"), at(9_700));
        assert_eq!(since("1h 30m"), at(4_600));
        assert_eq!(since("1970-01-01T01:00:00Z"), at(3_600));
        assert_eq!(since("1970-01-01t01:00:00z"), at(3_600));
        assert_eq!(since("1970-01-01T02:00:00+01:00"), at(3_600));
        assert_eq!(since("1970-01-01T02:00:00 01:00"), at(3_600), "a plus that was not encoded");
        assert_eq!(
            since("1970-01-01T00:00:30.5-00:01"),
            Some(Start::Time(UNIX_EPOCH + Duration::from_millis(90_500)))
        );
    }

    #[test]
    fn longer_ago_than_time_itself_is_its_beginning() {
        assert_eq!(since("100000days"), at(0));
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_allowed() {
        for text in [
            "",
            "yesterday",
            "5",
            "-5m",
            "2026-01-31",
            "2026-13-01T00:00:00Z",
            "2026-01-01T00:00:00+1:00",
            "é€",
            "2026-01-01T00:00:00+24:00",
        ] {
            let refused = parse(text, UNIX_EPOCH).unwrap_err();
            assert_eq!(refused.status(), 400, "{text}");
            assert!(
                refused.message().contains("RFC 3339") && refused.message().contains("earliest"),
                "{refused}"
            );
        }
    }
}
