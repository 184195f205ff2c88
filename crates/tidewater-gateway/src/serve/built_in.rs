//! Files that are built in, as they are answered.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// The content type of a script.
pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file that is built in.
#[derive(Clone, Copy, Debug)]
pub(super) struct BuiltIn {
    pub(super) content_type: &'static str,
    pub(super) text: &'static str,
}

impl BuiltIn {
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
            false => *response.body_mut() = Bytes::from_static(self.text.as_bytes()),
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        // Asked for anew by each page, since files of one version belong together; what is known is a 304.
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
        self.text.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_file_gets_nothing() {
        let file = |text| BuiltIn { content_type: SCRIPT, text };
        let mut request = HeaderMap::new();
        let whole = file("a").response(&request);
        assert_eq!((whole.status(), &whole.body()[..]), (StatusCode::OK, &b"a"[..]));
        request.insert(header::IF_NONE_MATCH, whole.headers()[header::ETAG].clone());
        let same = file("a").response(&request);
        assert_eq!((same.status(), same.body().len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(file("b").response(&request).body(), "b");
    }
}
