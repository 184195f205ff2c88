//! What a request is refused with.

use std::{error::Error, fmt, time::Duration};

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::{Body, body};

/// Why a request is refused: a status, and a text that says what was given, what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    status: StatusCode,
    message: String,
    /// When it is worth to ask again, in whole seconds (RFC 9110, §10.2.3).
    retry_after: Option<u64>,
    /// `WWW-Authenticate`.
    challenge: Option<HeaderValue>,
}

impl Rejection {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None, challenge: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait.as_millis().div_ceil(1000) as u64), ..self }
    }

    pub(crate) fn challenge(self, challenge: Option<HeaderValue>) -> Self {
        Self { challenge, ..self }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The answer: `{"error": "…"}`, with `Retry-After` where it is known.
    pub fn into_response(self) -> Response<Body> {
        let mut response = body::json(self.status, &json!({ "error": self.message }));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Rejection {}
