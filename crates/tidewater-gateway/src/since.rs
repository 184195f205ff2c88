//! Times on the command line, read as the endpoint reads `?since=`.

use std::fmt;

use http::{HeaderMap, Method};
use tidewater::{Resume, Start};

use crate::failure::Failure;

/// `earliest`, `latest`, a time or a duration ago, as the value of this option.
pub(crate) fn start(option: &str, text: &str) -> Result<Start, Failure> {
    let query = format!("since={}", percent_encoded(text));
    let read = tidewater::http::Resume::from_head(&Method::GET, Some(&query), &HeaderMap::new());
    let resume = read.map_err(|error| Failure::usage(format_args!("{option}: {error}")))?;
    Ok(Resume::from(resume).start.unwrap_or_default())
}

/// Everything but letters and digits escaped.
pub(crate) fn percent_encoded(text: &str) -> impl fmt::Display {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}
