//! What a client accepts (RFC 9110 §12.5.1): events, or the channel's cursor as JSON.

use http::{HeaderMap, StatusCode, header};

use crate::Rejection;

/// The two representations of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    Events,
    Json,
}

/// Which of the two a client prefers: the higher quality, then the more specific range, then events. So
/// `application/json, */*` is JSON (a stream would never end for it), and `*/*` or no header at all is a stream.
///
/// # Errors
/// 406 if it accepts neither.
pub(crate) fn accepted(headers: &HeaderMap) -> Result<Accepted, Rejection> {
    let ranges: Vec<Range> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(Range::parse)
        .collect();
    if ranges.is_empty() {
        return Ok(Accepted::Events);
    }
    let (events, json) = (weight(&ranges, "text", "event-stream"), weight(&ranges, "application", "json"));
    match () {
        () if json.quality > 0 && json > events => Ok(Accepted::Json),
        () if events.quality > 0 => Ok(Accepted::Events),
        () => Err(Rejection::new(
            StatusCode::NOT_ACCEPTABLE,
            "the Accept header excludes what there is here: text/event-stream (the events) and application/json (the current cursor)",
        )),
    }
}

/// One media range of the header.
struct Range<'a> {
    main: &'a str,
    sub: &'a str,
    /// In thousandths.
    quality: u16,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    quality: u16,
    specificity: u8,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (main, sub) = parts.next()?.split_once('/')?;
        Some(Self { main, sub, quality: quality(parts) })
    }

    /// How closely it names this type: 0 for `*/*`, 2 for the type itself.
    fn specificity(&self, main: &str, sub: &str) -> Option<u8> {
        match (self.main, self.sub) {
            ("*", "*") => Some(0),
            (ours, "*") if ours.eq_ignore_ascii_case(main) => Some(1),
            (ours, theirs) if ours.eq_ignore_ascii_case(main) && theirs.eq_ignore_ascii_case(sub) => Some(2),
            _ => None,
        }
    }
}

/// The weight among the parameters of what a client accepts (RFC 9110 §12.4.2), in thousandths.
pub(crate) fn quality<'a>(parameters: impl Iterator<Item = &'a str>) -> u16 {
    parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .and_then(|(_, value)| value.trim().parse::<f32>().ok())
        .map_or(1000, |quality| (quality.clamp(0.0, 1.0) * 1000.0) as u16)
}

/// The quality of the most specific range that names this type.
fn weight(ranges: &[Range<'_>], main: &str, sub: &str) -> Weight {
    ranges
        .iter()
        .filter_map(|range| {
            Some(Weight { quality: range.quality, specificity: range.specificity(main, sub)? })
        })
        .max_by_key(|weight| weight.specificity)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Option<Accepted> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, value.parse().unwrap());
        accepted(&headers).ok()
    }

    #[test]
    fn streams_are_for_those_who_take_them() {
        for value in [
            "text/event-stream",
            "TEXT/Event-Stream; charset=utf-8",
            "*/*",
            "text/*",
            "",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/event-stream, application/json",
            "application/json;q=0.5, text/event-stream",
            "application/json;q=0, */*",
            "nonsense",
        ] {
            assert_eq!(accept(value), Some(Accepted::Events), "{value}");
        }
        assert_eq!(accepted(&HeaderMap::new()).ok(), Some(Accepted::Events));
    }

    #[test]
    fn json_is_for_those_who_ask_for_it() {
        for value in [
            "application/json",
            "application/json, text/plain, */*",
            "application/*",
            "text/event-stream;q=0, */*",
            "text/event-stream;q=0.1, application/json;q=0.2",
        ] {
            assert_eq!(accept(value), Some(Accepted::Json), "{value}");
        }
    }

    #[test]
    fn who_takes_neither_is_told_so() {
        for value in ["text/html", "image/*", "*/*;q=0", "text/event-stream;q=0", "text/*;q=0.0"] {
            assert_eq!(accept(value), None, "{value}");
        }
    }
}
