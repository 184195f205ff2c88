//! Why a request is granted nothing.

use std::{borrow::Cow, error::Error, fmt};

use http::{HeaderValue, StatusCode};

use crate::Rejection;

/// Why a request is granted nothing: a verdict, which an `EventSource` takes as final, or that none could be had.
///
/// Its text goes to the client. It says what is wrong and what to do, and never holds what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    why: Why,
    message: Cow<'static, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Unauthenticated,
    InvalidRequest,
    InvalidToken,
    Forbidden,
    Unavailable,
}

impl Refusal {
    /// The request doesn't say who asks: 401.
    pub fn unauthenticated(message: impl Into<Cow<'static, str>>) -> Self {
        Self { why: Why::Unauthenticated, message: message.into() }
    }

    /// The request says who asks in a way that can't be read, or in several: 400, `invalid_request` (RFC 6750 §3.1).
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self { why: Why::InvalidRequest, message: message.into() }
    }

    /// What says who asks is wrong or has expired: 401, `invalid_token` (RFC 6750 §3.1).
    pub fn invalid_token(message: impl Into<Cow<'static, str>>) -> Self {
        Self { why: Why::InvalidToken, message: message.into() }
    }

    /// Who asks may not do it: 403, `insufficient_scope` (RFC 6750 §3.1).
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self { why: Why::Forbidden, message: message.into() }
    }

    /// There is no verdict just now: a stream is told when to come back (I10), everything else gets 503.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self { why: Why::Unavailable, message: message.into() }
    }

    /// The status, where it is told by one.
    pub fn status(&self) -> StatusCode {
        match self.why {
            Why::Unauthenticated | Why::InvalidToken => StatusCode::UNAUTHORIZED,
            Why::InvalidRequest => StatusCode::BAD_REQUEST,
            Why::Forbidden => StatusCode::FORBIDDEN,
            Why::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether there is no verdict just now.
    pub fn is_unavailable(&self) -> bool {
        self.why == Why::Unavailable
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The challenge of RFC 6750 §3: a request that says nothing of who asks gets no error code.
    fn challenge(&self) -> Option<HeaderValue> {
        let code = match self.why {
            Why::Unavailable => return None,
            Why::Unauthenticated => return Some(HeaderValue::from_static(REALM)),
            Why::InvalidRequest => "invalid_request",
            Why::InvalidToken => "invalid_token",
            Why::Forbidden => "insufficient_scope",
        };
        // What an error_description may hold.
        let plain = |letter: &char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
        let description: String = self.message.chars().filter(plain).collect();
        let challenge = format!("{REALM}, error=\"{code}\", error_description=\"{description}\"");
        Some(HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static(REALM)))
    }
}

/// A challenge has at least one parameter.
const REALM: &str = "Bearer realm=\"tidewater\"";

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        let challenge = refusal.challenge();
        Self::new(refusal.status(), refusal.message).challenge(challenge)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Refusal {}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn a_refusal_is_told_as_rfc_6750_has_it() {
        let told = |refusal: Refusal| {
            let response = Rejection::from(refusal).into_response();
            let challenge = response.headers().get(header::WWW_AUTHENTICATE);
            (response.status().as_u16(), challenge.map(|value| value.to_str().unwrap().to_owned()))
        };
        let challenge = |rest: &str| Some(format!("Bearer realm=\"tidewater\"{rest}"));
        assert_eq!(told(Refusal::unauthenticated("log in")), (401, challenge("")));
        assert_eq!(
            told(Refusal::invalid_token("it \"expired\"\r\nÄ\\")),
            (401, challenge(", error=\"invalid_token\", error_description=\"it expired\""))
        );
        assert_eq!(
            told(Refusal::invalid_request("twice")),
            (400, challenge(", error=\"invalid_request\", error_description=\"twice\""))
        );
        assert_eq!(
            told(Refusal::forbidden("no")),
            (403, challenge(", error=\"insufficient_scope\", error_description=\"no\""))
        );
        assert_eq!(told(Refusal::unavailable("later")), (503, None));
    }
}
