//! The query string, as forms write it (`application/x-www-form-urlencoded`).

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::Rejection;

/// One `name=value`, decoded. A key of a message may be any bytes, so a value is.
pub(crate) struct Pair<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: Vec<u8>,
}

/// The most parameters that are read, the application's own among them. A URL has 64 KiB at most (of `http::Uri`).
const MOST_PAIRS: usize = 1024;

/// The pairs of a query string, in order.
///
/// # Errors
/// 400 if there are too many.
pub(crate) fn pairs(query: Option<&str>) -> Result<impl Iterator<Item = Pair<'_>>, Rejection> {
    let pairs = || query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let count = pairs().count();
    if count > MOST_PAIRS {
        return Err(Rejection::bad_request(format!(
            "the query has {count} parameters: {MOST_PAIRS} at most"
        )));
    }
    Ok(pairs().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Pair {
            name: String::from_utf8(decode(name)).map_or(Cow::Borrowed(name), Cow::Owned),
            value: decode(value),
        }
    }))
}

fn decode(text: &str) -> Vec<u8> {
    let spaced: Vec<u8> = text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&spaced).collect()
}

impl Pair<'_> {
    /// The value as text.
    ///
    /// # Errors
    /// 400 if it is not UTF-8.
    pub(crate) fn text(self) -> Result<String, Rejection> {
        String::from_utf8(self.value).map_err(|_| {
            Rejection::bad_request(format!("?{}= is not UTF-8: percent-encode it as UTF-8", self.name))
        })
    }

    /// The value as text, whatever it holds.
    pub(crate) fn lossy(self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let all: Vec<_> = pairs(Some("a=1&&b&k%65y=%ff+%2B&a=x=y"))
            .unwrap()
            .map(|pair| (pair.name.into_owned(), pair.value))
            .collect();
        let expected: [(&str, &[u8]); 4] = [("a", b"1"), ("b", b""), ("key", b"\xff +"), ("a", b"x=y")];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.to_vec())));
        assert_eq!(pairs(None).unwrap().count(), 0);
    }

    #[test]
    fn there_are_not_too_many() {
        assert_eq!(pairs(Some(&"a&&".repeat(MOST_PAIRS))).unwrap().count(), MOST_PAIRS);
        let refused = pairs(Some(&"a=1&".repeat(10_000))).err().unwrap();
        assert!(refused.status() == 400 && refused.message().contains("10000"), "{refused}");
    }

    #[test]
    fn text_must_be_text() {
        let pair = |query| pairs(Some(query)).unwrap().next().unwrap();
        assert_eq!(pair("topic=caf%C3%A9").text().unwrap(), "café");
        let refused = pair("topic=%ff").text().unwrap_err();
        assert!(refused.message().contains("?topic="), "{refused}");
    }
}
