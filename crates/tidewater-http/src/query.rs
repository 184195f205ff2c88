//! The query string, as forms write it (`application/x-www-form-urlencoded`).

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::Rejection;

/// One `name=value`, decoded. A key of a message may be any bytes, so a value is.
pub(crate) struct Pair<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: Vec<u8>,
}

/// The pairs of a query string, in order.
pub(crate) fn pairs(query: Option<&str>) -> impl Iterator<Item = Pair<'_>> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Pair {
            name: String::from_utf8(decode(name)).map_or(Cow::Borrowed(name), Cow::Owned),
            value: decode(value),
        }
    })
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
            .map(|pair| (pair.name.into_owned(), pair.value))
            .collect();
        let expected: [(&str, &[u8]); 4] = [("a", b"1"), ("b", b""), ("key", b"\xff +"), ("a", b"x=y")];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.to_vec())));
        assert_eq!(pairs(None).count(), 0);
    }

    #[test]
    fn text_must_be_text() {
        let pair = |query| pairs(Some(query)).next().unwrap();
        assert_eq!(pair("topic=caf%C3%A9").text().unwrap(), "café");
        let refused = pair("topic=%ff").text().unwrap_err();
        assert!(refused.message().contains("?topic="), "{refused}");
    }
}
