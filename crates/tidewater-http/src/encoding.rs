//! Which content codings a client takes (RFC 9110 §12.5.3).

use http::{HeaderMap, header};
use tidewater_hub::Encoding;

use crate::accept::quality;

/// What of [`Encoding::ALL`] a client takes, and how gladly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encodings {
    /// In thousandths, and never 0.
    taken: Vec<(Encoding, u16)>,
    /// What it says of the stream as it is; 0 if nothing.
    identity: u16,
}

impl Encodings {
    /// Nothing without the header: the standard would allow any coding then, but who wants one says so.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let mut named: Vec<(&str, u16)> = Vec::new();
        let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        for coding in values.flat_map(|value| value.split(',')) {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            if !name.is_empty() {
                named.push((name, quality(parts)));
            }
        }
        let of = |names: &[&str]| {
            let is_one = |name: &str| names.iter().any(|other| other.eq_ignore_ascii_case(name));
            named.iter().find(|(name, _)| is_one(name)).map(|(_, quality)| *quality)
        };
        let any = of(&["*"]);
        let quality = |encoding: &Encoding| match encoding.as_str() {
            // RFC 9110 §8.4.1.3.
            "gzip" => of(&["gzip", "x-gzip"]).or(any),
            name => of(&[name]).or(any),
        };
        let taken = Encoding::ALL.iter().map(|encoding| (*encoding, quality(encoding).unwrap_or(0)));
        Self {
            taken: taken.filter(|(_, quality)| *quality > 0).collect(),
            identity: of(&["identity"]).unwrap_or(0),
        }
    }

    /// The one of these that it likes best, and of several the first. `None`: none of them, or less than nothing at all.
    ///
    /// A client that takes neither any of these nor a stream as it is gets that all the same: an `EventSource` would give
    /// up for good on a 406 (I10).
    pub(crate) fn choose(&self, offered: impl IntoIterator<Item = Encoding>) -> Option<Encoding> {
        let quality = |offer| self.taken.iter().find(|(encoding, _)| *encoding == offer).map(|found| found.1);
        let mut best = None;
        for offer in offered {
            let Some(quality) = quality(offer).filter(|quality| *quality >= self.identity) else { continue };
            if best.is_none_or(|(_, other)| quality > other) {
                best = Some((offer, quality));
            }
        }
        best.map(|(offer, _)| offer)
    }
}

#[cfg(all(test, feature = "gzip", feature = "zstd"))]
mod tests {
    use Encoding::{Gzip, Zstd};

    use super::*;

    fn choose(values: &[&str], offered: &[Encoding]) -> Option<Encoding> {
        let headers = values.iter().map(|value| (header::ACCEPT_ENCODING, value.parse().unwrap())).collect();
        Encodings::accepted(&headers).choose(offered.iter().copied())
    }

    #[test]
    fn a_client_gets_what_it_likes_best() {
        for (values, expected) in [
            (&["gzip, deflate, br, zstd"][..], Some(Zstd)),
            (&["gzip, deflate"], Some(Gzip)),
            (&["gzip", "zstd"], Some(Zstd)),
            (&["GZIP"], Some(Gzip)),
            (&["x-gzip"], Some(Gzip)),
            (&["gzip;q=1.0, zstd;q=0.999"], Some(Gzip)),
            (&["gzip;q=0.5,zstd ; q=0.4, br;q=1"], Some(Gzip)),
            (&["*"], Some(Zstd)),
            (&["zstd;q=0, *;q=0.1"], Some(Gzip)),
            (&["*;q=0, gzip;q=0.001"], Some(Gzip)),
            (&["identity, gzip"], Some(Gzip)),
            (&["identity;q=0"], None),
            (&["identity;q=0, br"], None),
            (&["identity;q=1, gzip;q=0.5"], None),
            (&["identity"], None),
            (&["gzip;q=0"], None),
            (&["*;q=0"], None),
            (&["deflate, br"], None),
            (&[""], None),
            (&[", ;q=1,;"], None),
            (&["gzip;q=nan"], None),
            (&["zip, gzi, gzipp, zst"], None),
            (&[], None),
        ] {
            assert_eq!(choose(values, &[Zstd, Gzip]), expected, "{values:?}");
        }
    }

    #[test]
    fn a_client_gets_what_is_offered() {
        let all = &["gzip, deflate, br, zstd"];
        assert_eq!(choose(all, &[Gzip, Zstd]), Some(Gzip), "the first one");
        assert_eq!(choose(all, &[Gzip]), Some(Gzip));
        assert_eq!(choose(all, &[]), None);
        assert_eq!(choose(&["zstd"], &[Gzip]), None);
    }
}
