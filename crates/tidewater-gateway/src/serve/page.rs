//! The page at `/`.

use bytes::Bytes;
use http::{HeaderValue, Response, header};

/// One file, built in: no build step, and nothing it would have to fetch from elsewhere.
const PAGE: &str = include_str!("page.html");

/// What the page may do: its own inline script and style, and requests to where it came from. Nothing that a payload
/// holds could load anything, even if it became markup.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn page() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(PAGE.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // It belongs to this version of the server.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_makes_no_markup_and_asks_nobody_else() {
        for forbidden in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://", "//cdn"]
        {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
        // The namespace of SVG is a name, not an address.
        let addresses = PAGE.matches("http://").count();
        assert_eq!(addresses, PAGE.matches("http://www.w3.org/2000/svg").count());
    }
}
