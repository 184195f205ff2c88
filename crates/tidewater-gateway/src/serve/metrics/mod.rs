//! `/metrics`: what an operator's Prometheus scrapes.
//!
//! | file | holds |
//! |---|---|
//! | `scrape` | which metrics there are, each made at the moment of the scrape from what the hub and the endpoints count anyway |
//! | `families` | how they are written |
//! | `process` | the process's own: its memory, its open files |

mod families;
mod process;
mod scrape;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use prometheus_client::{
    encoding::{prometheus_text, text},
    registry::Registry,
};

use self::{process::Process, scrape::Scrape};
use super::site::{Now, Site};

pub(super) use process::started;

/// Where they are.
pub(super) const METRICS: &str = "/metrics";

const OPENMETRICS: &str = "application/openmetrics-text";
const OPENMETRICS_TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// OpenMetrics for who asks for it, as Prometheus does; else Prometheus' own text.
pub(super) fn metrics(site: &Site, now: &Now, asked: &HeaderMap) -> Response<Bytes> {
    let mut registry = Registry::default();
    // These have names that every exporter has.
    registry.register_collector(Box::new(Process::read()));
    registry.sub_registry_with_prefix("tidewater").register_collector(Box::new(Scrape::of(site, now)));
    let mut text = String::new();
    let (encoded, content_type) = match accepts_openmetrics(asked) {
        true => (text::encode(&mut text, &registry), OPENMETRICS_TEXT),
        false => (prometheus_text::encode(&mut text, &registry), prometheus_text::CONTENT_TYPE),
    };
    let mut response = Response::new(Bytes::from(text));
    if encoded.is_err() {
        // Writing to a text does not fail.
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether it is named among what is accepted. Whoever takes anything gets what anything can read.
fn accepts_openmetrics(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(OPENMETRICS));
        let is_refused = |part: &str| part.strip_prefix("q=").is_some_and(|q| q.parse::<f64>() == Ok(0.0));
        is_named && !parts.any(is_refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_who_names_it() {
        let accepts = |value: &'static str| {
            accepts_openmetrics(&[(header::ACCEPT, HeaderValue::from_static(value))].into_iter().collect())
        };
        assert!(accepts(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        ));
        assert!(accepts("text/plain, Application/OpenMetrics-Text"));
        for other in
            ["*/*", "text/plain;version=0.0.4", "application/openmetrics-text;q=0", "application/json", ""]
        {
            assert!(!accepts(other), "{other}");
        }
        assert!(!accepts_openmetrics(&HeaderMap::new()));
    }
}
