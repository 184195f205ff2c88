//! What a request is refused with.

use std::{error::Error, fmt};

use http::{Response, StatusCode};
use serde_json::json;

use crate::{Body, body};

/// Why a request is refused: a status, and a text that says what was given, what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    status: StatusCode,
    message: String,
}

impl Rejection {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The answer: `{"error": "…"}`.
    pub fn into_response(self) -> Response<Body> {
        body::json(self.status, &json!({ "error": self.message }))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Rejection {}
