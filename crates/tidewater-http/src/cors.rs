//! Which other origins' pages may read a channel (the Fetch standard's CORS protocol).

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use tidewater_core::{Error, ErrorKind, Result};

use crate::resume::TIDEWATER_CURSOR;

/// The origins whose pages may use an endpoint. The default lists none: only pages of its own origin.
///
/// A listed origin may send credentials (cookies, `EventSource` with `withCredentials`). An origin is never reflected
/// without being listed. Beyond reading, a listed origin may publish where publishing is on.
#[derive(Clone, Debug, Default)]
pub struct Cors(Allowed);

#[derive(Clone, Debug)]
enum Allowed {
    Listed(Vec<HeaderValue>),
    Any,
}

impl Default for Allowed {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Cors {
    /// These origins, as a browser writes them: `https://app.example`, `http://localhost:3000`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for what no browser sends as an origin, with the way to write it.
    pub fn origins<I>(origins: I) -> Result<Self>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let listed = origins.into_iter().map(|origin| parse(origin.as_ref())).collect::<Result<_>>()?;
        Ok(Self(Allowed::Listed(listed)))
    }

    /// Any origin at all, without credentials, and not for publishing: for data that anybody may read.
    pub fn any() -> Self {
        Self(Allowed::Any)
    }

    /// Whether it says anything, so that the answer varies with the origin.
    fn is_set(&self) -> bool {
        !matches!(&self.0, Allowed::Listed(listed) if listed.is_empty())
    }

    /// Whether this origin is one of those listed.
    pub(crate) fn lists(&self, origin: &HeaderValue) -> bool {
        matches!(&self.0, Allowed::Listed(listed) if listed.contains(origin))
    }

    /// Puts into an answer what lets the page of the request's origin read it.
    ///
    /// For the open form; the [`Endpoint`](crate::Endpoint) does it itself.
    pub fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if !self.is_set() {
            return;
        }
        if let Allowed::Any = self.0 {
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            // Also where there is no origin: a cache must not give that answer to a page.
            response.append(header::VARY, HeaderValue::from_static("origin"));
            let Some(origin) = request.get(header::ORIGIN).filter(|origin| self.lists(origin)) else {
                return;
            };
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, TIDEWATER_CURSOR.into());
    }

    /// Puts into the answer to a preflight what it asks for, if the origin may have it.
    pub(crate) fn apply_preflight(
        &self,
        request: &HeaderMap,
        methods: &'static str,
        response: &mut HeaderMap,
    ) {
        self.apply(request, response);
        response.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        if response.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            let mut put = |name: HeaderName, value| response.insert(name, HeaderValue::from_static(value));
            put(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            put(header::ACCESS_CONTROL_ALLOW_HEADERS, "last-event-id, content-type, authorization");
            // Browsers cap it (Chromium at 2 hours); long enough that reconnects don't ask again.
            put(header::ACCESS_CONTROL_MAX_AGE, "3600");
        }
    }
}

/// An origin as a browser serializes it: scheme, host in lower case, the port unless it is the scheme's default.
fn parse(origin: &str) -> Result<HeaderValue> {
    let refuse = |why: &str| {
        Error::new(
            ErrorKind::Config,
            format!(
                "{origin:?} is not an origin: {why}; write it as the browser sends it, such as https://app.example or http://localhost:3000"
            ),
        )
    };
    if origin == "*" {
        return Err(refuse("to let any page read, say so: Cors::any()"));
    }
    if origin == "null" {
        return Err(refuse("every sandboxed page and file has the origin null, so it can't be listed"));
    }
    let uri: Uri = origin.parse().map_err(|_| refuse("it can't be read as a URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(refuse("it needs a scheme and a host"));
    };
    if origin.ends_with('/') || uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@')
    {
        return Err(refuse("it has no path, not even a slash at the end"));
    }
    let port = match authority.port_u16() {
        Some(port) if Some(port) != default_port(scheme) => format!(":{port}"),
        _ => String::new(),
    };
    let text = format!("{scheme}://{}{port}", authority.host().to_ascii_lowercase());
    HeaderValue::try_from(text).map_err(|_| refuse("a header can't hold it"))
}

/// The port that a scheme means when none is given.
pub(crate) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(cors: &Cors, origin: Option<&str>) -> HeaderMap {
        let (mut request, mut response) = (HeaderMap::new(), HeaderMap::new());
        if let Some(origin) = origin {
            request.insert(header::ORIGIN, origin.parse().unwrap());
        }
        cors.apply(&request, &mut response);
        response
    }

    #[test]
    fn only_a_listed_origin_is_reflected() {
        let cors =
            Cors::origins(["https://app.example", "http://LOCALHOST:3000", "https://b.example:443"]).unwrap();
        for origin in ["https://app.example", "http://localhost:3000", "https://b.example"] {
            let headers = applied(&cors, Some(origin));
            assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], origin);
            assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
            assert_eq!(headers[header::ACCESS_CONTROL_EXPOSE_HEADERS], "tidewater-cursor");
            assert_eq!(headers[header::VARY], "origin");
        }
        for origin in [Some("https://app.example.evil"), Some("http://app.example"), Some("null"), None] {
            let headers = applied(&cors, origin);
            assert_eq!(headers.len(), 1, "{origin:?}: {headers:?}");
            assert_eq!(headers[header::VARY], "origin");
        }
    }

    #[test]
    fn any_origin_goes_without_credentials() {
        let headers = applied(&Cors::any(), Some("https://evil.example"));
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert!(!Cors::any().lists(&HeaderValue::from_static("https://evil.example")));
        assert!(applied(&Cors::default(), Some("https://app.example")).is_empty());
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for origin in [
            "https://app.example/",
            "https://app.example/x",
            "app.example",
            "*",
            "null",
            "https://",
            "",
            "https://u@h",
            "https://a?b",
        ] {
            let error = Cors::origins([origin]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains("https://app.example"), "{error}");
        }
    }
}
