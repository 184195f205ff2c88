//! A request's head: may it open a stream here? Pure.
//!
//! What is taken is only what can be read in one way: a `GET` of HTTP/1.1 in origin form, with one `Host`, without a
//! body, an upgrade or an expectation, and with nothing behind it (RFC 9112, §3 and §11.2). Everything else, legal or
//! not, is for the [fallback](crate::Direct::fallback), which gets the same bytes and judges for itself.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header, request::Parts};

/// The longest head that is read here, in bytes.
pub const MAX_HEAD: usize = 16 << 10;
/// The most header lines.
pub const MAX_HEADERS: usize = 100;

/// What an HTTP/2 connection begins with (RFC 9113, §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the bytes of a connection begin with.
#[derive(Debug)]
pub enum Verdict {
    /// A head that has not ended yet, or a part of HTTP/2's [`PREFACE`]: the fallback would wait for the rest for ever.
    Partial,
    /// A whole head, and nothing else, of a request that may open a stream.
    Stream(Box<Parts>),
    /// Something else.
    Other,
}

/// The bytes that a connection begins with, read piece by piece.
#[derive(Debug, Default)]
pub struct Head {
    bytes: Vec<u8>,
    /// How many of them have been looked at.
    seen: usize,
}

impl Head {
    /// Where the next bytes are put: behind those that are there.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// All bytes so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The `GET` that they begin with, be it what a [`Verdict::Stream`] is or not: for an answer that is the connection's last
    /// and holds nothing of the channel, whatever else a reader could take it for.
    pub(crate) fn asks(&self) -> Option<Box<Parts>> {
        get(&self.bytes).map(|(parts, _)| Box::new(parts))
    }

    /// What they begin with. Looks at each byte once until the head has ended.
    pub fn judge(&mut self) -> Verdict {
        const METHOD: &[u8] = b"GET ";
        if self.bytes.len() < PREFACE.len() && PREFACE.starts_with(&self.bytes) {
            return Verdict::Partial;
        }
        let begins = self.bytes.len().min(METHOD.len());
        if self.bytes[..begins] != METHOD[..begins] || self.bytes.len() > MAX_HEAD {
            return Verdict::Other;
        }
        while let Some(end) = memchr::memchr(b'\n', &self.bytes[self.seen..]) {
            let end = self.seen + end;
            // Some read a bare LF as the end of a line, and some don't (RFC 9112, §2.2).
            if end == 0 || self.bytes[end - 1] != b'\r' {
                return Verdict::Other;
            }
            self.seen = end + 1;
            if self.bytes[..end - 1].ends_with(b"\r\n") {
                // What comes behind it is a body, or another request.
                let is_all = self.seen == self.bytes.len();
                return if is_all { parse(&self.bytes) } else { Verdict::Other };
            }
        }
        self.seen = self.bytes.len();
        Verdict::Partial
    }
}

/// A whole head.
fn parse(bytes: &[u8]) -> Verdict {
    match get(bytes) {
        Some((parts, length)) if length == bytes.len() && is_plain(&parts) => {
            Verdict::Stream(Box::new(parts))
        }
        _ => Verdict::Other,
    }
}

/// Whether it can be read in one way only.
fn is_plain(parts: &Parts) -> bool {
    parts.version == Version::HTTP_11
        && parts.headers.get_all(header::HOST).iter().count() == 1
        && !OTHERS.iter().any(|name| parts.headers.contains_key(name))
}

/// A `GET` of HTTP/1 in origin form that the bytes begin with, and the length of its head.
fn get(bytes: &[u8]) -> Option<(Parts, usize)> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut read = httparse::Request::new(&mut lines);
    let Ok(httparse::Status::Complete(length)) = read.parse(bytes) else { return None };
    let (Some("GET"), Some(target), Some(minor)) = (read.method, read.path, read.version) else {
        return None;
    };
    if !target.starts_with('/') {
        return None;
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = target.parse::<Uri>().ok()?;
    *request.version_mut() = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut headers = HeaderMap::with_capacity(read.headers.len());
    for line in &*read.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    *request.headers_mut() = headers;
    Some((request.into_parts().0, length))
}

/// What makes a `GET` more than a head.
const OTHERS: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE, header::EXPECT];

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "GET /events?key=a HTTP/1.1\r\nHost: x\r\nLast-Event-ID: A1\r\n\r\n";

    fn judge(text: &str) -> Verdict {
        let mut head = Head::default();
        head.buffer().extend_from_slice(text.as_bytes());
        head.judge()
    }

    #[test]
    fn a_head_is_read_in_any_pieces() {
        for cut in 1..PLAIN.len() {
            let mut head = Head::default();
            for (last, piece) in [(false, &PLAIN[..cut]), (true, &PLAIN[cut..])] {
                head.buffer().extend_from_slice(piece.as_bytes());
                match head.judge() {
                    Verdict::Partial => assert!(!last, "cut at {cut}"),
                    Verdict::Stream(parts) => {
                        assert!(last, "cut at {cut}");
                        assert_eq!(parts.uri, "/events?key=a");
                        assert_eq!(parts.headers["last-event-id"], "A1");
                    }
                    Verdict::Other => panic!("cut at {cut}"),
                }
            }
        }
    }

    #[test]
    fn http_2_is_waited_for_until_its_preface_is_whole() {
        let preface = str::from_utf8(PREFACE).unwrap();
        for end in 1..preface.len() {
            assert!(matches!(judge(&preface[..end]), Verdict::Partial), "{end}");
            assert!(matches!(judge(&format!("{}x", &preface[..end])), Verdict::Other), "{end}");
        }
        assert!(matches!(judge(preface), Verdict::Other));
    }

    #[test]
    fn what_smuggles_is_never_taken() {
        let with = |lines: &str| format!("GET /events HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        for lines in ["", "Accept: text/event-stream\r\n", "Connection: keep-alive\r\nX: \u{e9}\r\n"] {
            assert!(matches!(judge(&with(lines)), Verdict::Stream(_)), "{lines:?}");
        }
        for lines in [
            "Content-Length: 0\r\n",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Upgrade: websocket\r\nConnection: upgrade\r\n",
            "Expect: 100-continue\r\n",
            "Host: y\r\n",
            "X: 1\r\n folded\r\n",
            "X: 1\n",
            "X: 1\rY: 2\r\n",
            "X\0: 1\r\n",
            "X: \0\r\n",
            ": 1\r\n",
            "no colon\r\n",
        ] {
            assert!(matches!(judge(&with(lines)), Verdict::Other), "{lines:?}");
        }
        let behind = format!("{PLAIN}GET /admin HTTP/1.1\r\nHost: x\r\n\r\n");
        let many = with(&"X: 1\r\n".repeat(MAX_HEADERS));
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(MAX_HEAD));
        let body = format!("{PLAIN}x");
        for text in [
            &*behind,
            &*body,
            &*many,
            &*long,
            &long[..MAX_HEAD + 1],
            "POST /events HTTP/1.1\r\nHost: x\r\n\r\n",
            "get /events HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET  /events HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /events HTTP/1.0\r\nHost: x\r\n\r\n",
            "GET /events HTTP/2.0\r\nHost: x\r\n\r\n",
            "GET /events\r\n\r\n",
            "GET /events HTTP/1.1\r\n\r\n",
            "GET http://x/events HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /events HTTP/1.1\nHost: x\n\n",
            "\r\nGET /events HTTP/1.1\r\nHost: x\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\u{16}\u{3}\u{1}",
            "\n",
        ] {
            assert!(matches!(judge(text), Verdict::Other), "{text:?}");
        }
    }
}
