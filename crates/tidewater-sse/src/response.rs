//! What an answer means: WHATWG HTML §9.2.2, the constructor, and Fetch, HTTP-redirect fetch.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header, response::Parts};

use crate::{
    backoff::LONGEST,
    error::{Error, ErrorKind},
    target::{Login, Target},
};

/// How much of an error's body is shown, in characters.
const SHOWN: usize = 400;

/// What is to be done about an answer.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is an event stream.
    Stream,
    /// There are no more events, and the server says so.
    NoMore,
    /// It is elsewhere.
    Redirect(Target, Login),
    /// It is another status: what its body says belongs to the error.
    Refused,
}

/// Judges the head of an answer from `target`.
pub(crate) fn judge(target: &Target, head: &Parts) -> Result<Verdict, Error> {
    match head.status {
        StatusCode::OK => stream(target, &head.headers).map(|()| Verdict::Stream),
        StatusCode::NO_CONTENT => Ok(Verdict::NoMore),
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => redirect(target, head),
        _ => Ok(Verdict::Refused),
    }
}

fn stream(target: &Target, headers: &HeaderMap) -> Result<(), Error> {
    let refused = |what: String| {
        Err(Error::new(ErrorKind::ContentType, format!("{target} is no event stream: {what}")))
    };
    let shown = |value: &[u8]| printable(&String::from_utf8_lossy(value));
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return refused("it has no content type, where text/event-stream should be".to_owned());
    };
    let essence = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(b"text/event-stream") {
        return refused(format!("its content type is {}, not text/event-stream", shown(kind.as_bytes())));
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            refused(format!("it is encoded as {}, which was not asked for", shown(coding.as_bytes())))
        }
        _ => Ok(()),
    }
}

fn redirect(target: &Target, head: &Parts) -> Result<Verdict, Error> {
    let refused = |why: String| {
        let what = format!("{target} answers {}, and it can't be followed: {why}", head.status);
        Err(Error::new(ErrorKind::Redirect, what).with_status(head.status))
    };
    let location = head.headers.get(header::LOCATION).map(|value| value.as_bytes().trim_ascii());
    let Some(location) = location.filter(|location| !location.is_empty()) else {
        return refused("it does not say where to (no Location)".to_owned());
    };
    match target.resolve(location) {
        Err(why) => refused(format!("its Location is not usable: {why}")),
        Ok((to, _)) if target.is_https() && !to.is_https() => {
            refused(format!("it leads from https to {to}, where anybody could read along"))
        }
        Ok((to, Some(_))) if !target.same_origin(&to) => {
            refused(format!("it leads to another server, {to}, with a user and a password"))
        }
        Ok((to, login)) => Ok(Verdict::Redirect(to, login)),
    }
}

/// The error that a status is, with what the body says.
pub(crate) fn refusal(target: &Target, head: &Parts, body: &[u8], transient: bool) -> Error {
    let mut text = format!("{target} answers {}", head.status);
    let said = printable(&String::from_utf8_lossy(body));
    if !said.is_empty() {
        text.push_str(&format!(": {said}"));
    }
    let error = Error::new(ErrorKind::Status, text).with_status(head.status);
    if transient { error.passing(retry_after(&head.headers)) } else { error }
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3), an hour at most; a date is passed over.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// The first characters, on one line, and none that a terminal would obey.
fn printable(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(&str, &[u8])]) -> Parts {
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    fn judged(url: &str, status: u16, headers: &[(&str, &[u8])]) -> Result<Verdict, Error> {
        judge(&Target::parse(url).unwrap().0, &head(status, headers))
    }

    #[test]
    fn a_content_type_is_compared_by_its_essence() {
        for kind in ["text/event-stream", "Text/Event-Stream ; charset=latin1", "text/event-stream;"] {
            let verdict = judged("http://a/", 200, &[("content-type", kind.as_bytes())]);
            assert!(matches!(verdict, Ok(Verdict::Stream)), "{kind}");
        }
        for kind in ["text/html", "text/event-streams", "application/json; a=text/event-stream", "", "\u{e9}"]
        {
            let error = judged("http://a/", 200, &[("content-type", kind.as_bytes())]).unwrap_err();
            assert_eq!((error.kind(), error.is_transient()), (ErrorKind::ContentType, false), "{kind}");
        }
        assert!(judged("http://a/", 200, &[]).unwrap_err().to_string().contains("no content type"));
        let kind = ("content-type", &b"text/event-stream"[..]);
        let error = judged("http://a/", 200, &[kind, ("content-encoding", b"gzip")]).unwrap_err();
        assert!(error.to_string().contains("gzip"), "{error}");
        assert!(judged("http://a/", 200, &[kind, ("content-encoding", b"identity")]).is_ok());
    }

    #[test]
    fn redirects_that_cannot_be_followed_are_errors() {
        for (url, location, what) in [
            ("http://a/", None, "no Location"),
            ("http://a/", Some(""), "no Location"),
            ("http://a/", Some("ftp://b/"), "its scheme is ftp"),
            ("https://a/?k=1", Some("http://a/"), "from https to http://a/"),
            ("http://a/", Some("http://u:p@b/x?y"), "another server, http://b/x, with a user"),
        ] {
            let headers: Vec<(&str, &[u8])> = location.iter().map(|to| ("location", to.as_bytes())).collect();
            for status in [301, 302, 303, 307, 308] {
                let error = judged(url, status, &headers).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Redirect);
                let text = error.to_string();
                assert!(text.contains(what) && !text.contains("u:p") && !text.contains("k=1"), "{text}");
            }
        }
        let to = judged("http://a/b", 302, &[("location", b"http://u:p@a/c")]);
        assert!(matches!(to, Ok(Verdict::Redirect(_, Some(_)))));
        assert!(matches!(judged("http://a/", 304, &[]), Ok(Verdict::Refused)), "no redirect");
    }

    #[test]
    fn a_refusal_shows_what_was_said_and_no_control_characters() {
        let target = Target::parse("http://a/x?token=1").unwrap().0;
        let body = format!("no\r\n\u{1b}[2J way\u{9b} {}", "x".repeat(9_000));
        let error = refusal(&target, &head(404, &[]), body.as_bytes(), false);
        let text = error.to_string();
        assert!(text.starts_with("http://a/x answers 404 Not Found: no [2J way xxx"), "{text}");
        assert!(text.len() < 450 && !text.contains("token"), "{text}");
        assert_eq!((error.status(), error.is_transient()), (Some(StatusCode::NOT_FOUND), false));
        assert_eq!(
            refusal(&target, &head(500, &[]), b"", false).to_string(),
            "http://a/x answers 500 Internal Server Error"
        );
    }

    #[test]
    fn retry_after_is_bounded() {
        let target = Target::parse("http://a/").unwrap().0;
        for (value, wait) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("99999999", Some(3_600)),
            ("-1", None),
            ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ] {
            let head = head(503, &[("retry-after", value.as_bytes())]);
            let error = refusal(&target, &head, b"", true);
            assert!(error.is_transient());
            assert_eq!(error.retry_after(), wait.map(Duration::from_secs), "{value}");
            assert_eq!(refusal(&target, &head, b"", false).retry_after(), None);
        }
    }
}
