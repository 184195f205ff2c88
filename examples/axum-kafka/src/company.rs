//! Who asks? An extractor of the application's own: Tidewater only ever sees the answer.
//!
//! The browser's own dialog asks for the password, and its `EventSource` sends it as every other request does (headers of
//! its own it can't send).

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Name and password. An application has a database, and hashes.
const COMPANIES: [(&str, &str); 2] = [("north", "star"), ("south", "sea")];

/// A company that has proven it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Company(pub(crate) &'static str);

impl Company {
    fn find(headers: &HeaderMap) -> Option<Self> {
        let sent = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
        let sent = String::from_utf8(STANDARD.decode(sent).ok()?).ok()?;
        let known = COMPANIES.iter().find(|known| Some(**known) == sent.split_once(':'))?;
        Some(Self(known.0))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Company {
    /// An `EventSource` gives up for good on a 401, and that is right: the page was opened with a password that no longer is one.
    type Rejection = (StatusCode, [(header::HeaderName, &'static str); 1]);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let challenge = [(header::WWW_AUTHENTICATE, r#"Basic realm="fleet""#)];
        Self::find(&parts.headers).ok_or((StatusCode::UNAUTHORIZED, challenge))
    }
}
