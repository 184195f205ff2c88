//! Modules for pages: the browser helpers, which are anybody's to load.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// A file that is built in, from `clients/js`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script(&'static str);

/// What is at `path`, if it is one of them.
pub(super) fn at(path: &str) -> Option<Script> {
    let text = match path {
        "/tidewater.js" => include_str!("script/tidewater.js"),
        "/tidewater-shared.js" => include_str!("script/tidewater-shared.js"),
        _ => return None,
    };
    Some(Script(text))
}

impl Script {
    /// The file, or that whoever asks has it already.
    pub(super) fn response(self, request: &HeaderMap) -> Response<Bytes> {
        let tag = self.tag();
        let is_known = request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|known| known.trim().trim_start_matches("W/"))
            .any(|known| known == "*" || known == tag);
        let mut response = Response::new(Bytes::new());
        match is_known {
            true => *response.status_mut() = StatusCode::NOT_MODIFIED,
            false => *response.body_mut() = Bytes::from_static(self.0.as_bytes()),
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
        // Asked for anew by each page, since modules of one version belong together; what is known is a 304.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }

    /// The same on every node of the same build.
    fn tag(self) -> String {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn the_helper_is_small() {
        let Script(text) = at("/tidewater.js").unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        let size = encoder.finish().unwrap().len();
        assert!(size <= 3 << 10, "{size} bytes in gzip");
    }
}
