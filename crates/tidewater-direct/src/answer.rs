//! The head of an answer, as bytes. Pure but for the date.

use std::time::SystemTime;

use http::{StatusCode, header, response::Parts};

/// How the end of an answer's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By the end of the connection (RFC 9112, §6.3): the body's bytes are what is shared, without a frame around them.
    Close,
    /// By its length.
    Length(usize),
}

/// The head of the last answer on a connection. What the answer says of its framing itself is left out.
pub(crate) fn head(parts: &Parts, framing: Framing) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &parts.headers {
        if ![header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH].contains(name) {
            line(&mut out, name.as_str(), value.as_bytes());
        }
    }
    if let Framing::Length(length) = framing
        && parts.status != StatusCode::NO_CONTENT
    {
        line(&mut out, "content-length", length.to_string().as_bytes());
    }
    if !parts.headers.contains_key(header::DATE) {
        line(&mut out, "date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    }
    out.extend_from_slice(b"connection: close\r\n\r\n");
    out
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn text(response: Response<()>, framing: Framing) -> String {
        String::from_utf8(head(&response.into_parts().0, framing)).unwrap()
    }

    #[test]
    fn a_stream_ends_with_its_connection() {
        let answer = Response::builder()
            .header("content-type", "text/event-stream")
            .header("date", "now")
            .header("transfer-encoding", "chunked")
            .header("connection", "keep-alive");
        assert_eq!(
            text(answer.body(()).unwrap(), Framing::Close),
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ndate: now\r\nconnection: close\r\n\r\n"
        );
    }

    #[test]
    fn a_body_has_its_length_and_its_date() {
        let not_found = text(Response::builder().status(404).body(()).unwrap(), Framing::Length(7));
        assert!(
            not_found.starts_with("HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\ndate: "),
            "{not_found}"
        );
        assert!(not_found.contains(" GMT\r\n"), "{not_found}");
        let nothing = text(Response::builder().status(204).body(()).unwrap(), Framing::Length(0));
        assert!(!nothing.contains("content-length"), "{nothing}");
    }
}
