//! What is sent: the same at every connection, and what a redirect makes of it. Pure.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::Full;

use crate::target::Target;

/// The header that carries the last event id.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Headers that are not the application's to set, and why.
const OURS: [(HeaderName, &str); 6] = [
    (LAST_EVENT_ID, "use `last_event_id`"),
    (header::CONTENT_LENGTH, "it comes from the body"),
    (header::TRANSFER_ENCODING, "it comes from the body"),
    (header::CONNECTION, "the connection is the client's own"),
    (header::UPGRADE, "an event stream is HTTP"),
    (header::TE, "the connection is the client's own"),
];
/// Headers of a body: Fetch, "request-body-header name".
const OF_BODY: [HeaderName; 4] =
    [header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION, header::CONTENT_TYPE];
/// Headers for one origin alone: credentials, and its name.
const OF_ORIGIN: [HeaderName; 4] =
    [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION, header::HOST];

/// Method, headers and body.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    /// Why such a header can't be set, if so.
    pub(crate) fn objection(name: &HeaderName) -> Option<&'static str> {
        OURS.iter().find(|(ours, _)| ours == name).map(|(_, why)| *why)
    }

    /// Adds what every request has unless the application says otherwise.
    pub(crate) fn complete(&mut self) {
        const USUAL: [(HeaderName, &str); 3] = [
            (header::ACCEPT, "text/event-stream"),
            (header::CACHE_CONTROL, "no-cache"),
            (header::USER_AGENT, concat!("tidewater-sse/", env!("CARGO_PKG_VERSION"))),
        ];
        for (name, value) in USUAL {
            self.headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
    }

    /// What is left of it behind a redirect (Fetch, HTTP-redirect fetch).
    pub(crate) fn redirect(&mut self, status: StatusCode, from: &Target, to: &Target) {
        let becomes_get = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            StatusCode::SEE_OTHER => self.method != Method::GET && self.method != Method::HEAD,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = Bytes::new();
            for name in OF_BODY {
                self.headers.remove(name);
            }
        }
        if !from.same_origin(to) {
            for name in OF_ORIGIN {
                self.headers.remove(name);
            }
            self.remove_sensitive();
        }
    }

    /// Headers whose value the application has marked as secret are credentials too.
    fn remove_sensitive(&mut self) {
        let names: Vec<HeaderName> = self
            .headers
            .iter()
            .filter(|(_, value)| value.is_sensitive())
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.headers.remove(name);
        }
    }

    /// The request as it goes out on a connection to this target.
    pub(crate) fn request(
        &self,
        target: &Target,
        last_event_id: Option<HeaderValue>,
    ) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target.uri().path_and_query().cloned().map(Into::into).unwrap_or_default();
        let mut headers = self.headers.clone();
        if let Some(id) = last_event_id {
            headers.insert(LAST_EVENT_ID, id);
        }
        if let Some(host) =
            target.uri().authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok())
        {
            headers.entry(header::HOST).or_insert(host);
        }
        *request.headers_mut() = headers;
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap().0
    }

    fn call(method: &Method) -> Call {
        let mut secret = HeaderValue::from_static("key");
        secret.set_sensitive(true);
        let headers = [
            (header::AUTHORIZATION, HeaderValue::from_static("Basic x")),
            (header::COOKIE, HeaderValue::from_static("x=1")),
            (header::PROXY_AUTHORIZATION, HeaderValue::from_static("Basic x")),
            (header::CONTENT_TYPE, HeaderValue::from_static("text/plain")),
            (header::CONTENT_LANGUAGE, HeaderValue::from_static("en")),
            (HeaderName::from_static("x-key"), secret),
            (HeaderName::from_static("x-other"), HeaderValue::from_static("1")),
        ];
        let headers = headers.into_iter().collect();
        Call { method: method.clone(), headers, body: Bytes::from_static(b"body") }
    }

    fn redirected(method: &Method, status: u16, to: &str) -> Call {
        let mut call = call(method);
        call.redirect(StatusCode::from_u16(status).unwrap(), &target("http://a/x"), &target(to));
        call
    }

    #[test]
    fn methods_and_bodies_change_as_fetch_has_it() {
        let report = Method::from_bytes(b"REPORT").unwrap();
        for (method, status, becomes_get) in [
            (&Method::POST, 301, true),
            (&Method::POST, 302, true),
            (&Method::POST, 303, true),
            (&Method::POST, 307, false),
            (&Method::POST, 308, false),
            (&report, 301, false),
            (&report, 302, false),
            (&report, 303, true),
            (&Method::GET, 303, false),
        ] {
            let call = redirected(method, status, "http://a/y");
            assert_eq!(
                call.method,
                if becomes_get { Method::GET } else { method.clone() },
                "{method} {status}"
            );
            assert_eq!(call.body.is_empty(), becomes_get, "{method} {status}");
            for name in [header::CONTENT_TYPE, header::CONTENT_LANGUAGE] {
                assert_eq!(call.headers.contains_key(name), !becomes_get, "{method} {status}");
            }
            assert!(call.headers.contains_key(header::AUTHORIZATION), "the same origin");
        }
    }

    #[test]
    fn credentials_do_not_go_to_another_origin() {
        for to in ["http://b/x", "http://a:81/x", "https://a/x"] {
            let call = redirected(&Method::GET, 307, to);
            let left: Vec<&str> = call.headers.keys().map(HeaderName::as_str).collect();
            assert_eq!(left.len(), 3, "{left:?}");
            assert!(call.headers.contains_key("x-other") && !call.headers.contains_key("x-key"), "{left:?}");
        }
    }

    #[test]
    fn what_is_usual_does_not_replace_what_is_set() {
        let mut call = call(&Method::GET);
        call.headers.insert(header::ACCEPT, HeaderValue::from_static("x/y"));
        call.complete();
        assert_eq!(call.headers[header::ACCEPT], "x/y");
        assert_eq!(call.headers[header::CACHE_CONTROL], "no-cache");
        assert!(call.headers[header::USER_AGENT].to_str().unwrap().starts_with("tidewater-sse/"));
    }

    #[test]
    fn a_request_names_its_host_and_the_id() {
        let request = call(&Method::GET).request(&target("http://[::1]:81/x?y"), None);
        assert_eq!(
            (request.uri().to_string().as_str(), &request.headers()[header::HOST]),
            ("/x?y", &"[::1]:81".parse().unwrap())
        );
        assert!(!request.headers().contains_key(LAST_EVENT_ID));
        let request =
            call(&Method::GET).request(&target("http://a:80/"), Some(HeaderValue::from_static("7")));
        assert_eq!(
            (&request.headers()[header::HOST], &request.headers()[LAST_EVENT_ID]),
            (&"a".parse().unwrap(), &"7".parse().unwrap())
        );
    }
}
