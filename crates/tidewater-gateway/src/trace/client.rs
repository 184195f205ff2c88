//! What the SDK sends with: hyper's client, on the gateway's runtime.
//!
//! The SDK's own clients are reqwest, of which the gateway has nothing, and one over hyper that wants to be polled within tokio; its
//! thread that collects spans is none of tokio's.

use std::{
    error::Error,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::{runtime::Handle, time::timeout};

#[cfg(feature = "otel-tls")]
type Connector = hyper_rustls::HttpsConnector<HttpConnector>;
#[cfg(not(feature = "otel-tls"))]
type Connector = HttpConnector;

/// The most bytes of an answer: how many spans were refused, and why.
const MOST: usize = 64 << 10;
/// How long a connection is kept: longer than the SDK waits between two batches.
const IDLE: Duration = Duration::from_secs(30);

/// Sends to one collector.
#[derive(Debug)]
pub(super) struct Client {
    pool: Pool<Connector, Full<Bytes>>,
    runtime: Arc<OnceLock<Handle>>,
    timeout: Duration,
    /// The collector, as it may stand in a log.
    place: String,
    fails: AtomicBool,
}

impl Client {
    /// A client of this collector, which sends once there is a runtime.
    ///
    /// # Errors
    /// `https://` can't be spoken here.
    pub(super) fn new(
        endpoint: &Uri,
        timeout: Duration,
        runtime: Arc<OnceLock<Handle>>,
    ) -> Result<Self, String> {
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector(endpoint)?);
        Ok(Self { pool, runtime, timeout, place: place(endpoint), fails: AtomicBool::new(false) })
    }

    /// Says it when that changes.
    fn tell(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let why = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        match why {
            Some(why) if !self.fails.swap(true, Ordering::Relaxed) => {
                tracing::warn!("traces are lost until {} takes them: {why}", self.place);
            }
            None if self.fails.swap(false, Ordering::Relaxed) => {
                tracing::info!("{} takes traces again", self.place);
            }
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = self.runtime.get().ok_or("nothing is sent before the server starts")?;
        let (pool, longest) = (self.pool.clone(), self.timeout);
        let answer = async move {
            let answer = pool.request(request.map(Full::new)).await.map_err(|error| in_words(&error))?;
            let (head, body) = answer.into_parts();
            let body = match Limited::new(body, MOST).collect().await {
                Ok(body) => body.to_bytes(),
                // It has them: an error would send them again.
                Err(_) if head.status.is_success() => Bytes::new(),
                Err(error) => return Err(format!("it answers {}, and no more: {error}", head.status)),
            };
            Ok(Response::from_parts(head, body))
        };
        // Its timer, too, is one of the runtime's.
        let answer = match runtime.spawn(async move { timeout(longest, answer).await }).await {
            Ok(Ok(answer)) => answer.map_err(|why: String| why.into()),
            Ok(Err(_)) => Err(format!("no answer within {longest:?}").into()),
            // With the runtime, and nobody serves any more.
            Err(ended) => return Err(ended.into()),
        };
        self.tell(&answer);
        answer
    }
}

/// A URL without its login, path and query.
pub(super) fn place(endpoint: &Uri) -> String {
    let authority = endpoint.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{host}", endpoint.scheme_str().unwrap_or("http"))
}

#[cfg(feature = "otel-tls")]
fn connector(endpoint: &Uri) -> Result<Connector, String> {
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

    let builder = hyper_rustls::HttpsConnectorBuilder::new();
    let builder = match endpoint.scheme_str() {
        Some("https") => builder.with_provider_and_native_roots(ring::default_provider()).map_err(|error| {
            format!("this system trusts no certificates: {error}. Install its package of them (ca-certificates), or name a file in SSL_CERT_FILE")
        })?,
        // The system's are a file of some hundred kilobytes.
        _ => {
            let config = ClientConfig::builder_with_provider(ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .map_err(|error| format!("TLS: {error}"))?;
            builder.with_tls_config(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
        }
    };
    Ok(builder.https_or_http().enable_http1().build())
}

#[cfg(not(feature = "otel-tls"))]
fn connector(endpoint: &Uri) -> Result<Connector, String> {
    match endpoint.scheme_str() {
        Some("https") => Err(format!(
            "this binary can't send to {}: build tidewater-gateway with the feature \"otel-tls\", or send to a collector \
             on this machine over http://",
            place(endpoint)
        )),
        _ => Ok(HttpConnector::new()),
    }
}

/// The innermost cause: the others say that there is one.
fn in_words(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_in_no_log() {
        for (url, shown) in [
            ("http://localhost:4318", "http://localhost:4318"),
            ("https://user:word@a.example/v1/traces?key=word", "https://a.example"),
            ("http://a@b@[::1]:1/", "http://[::1]:1"),
        ] {
            assert_eq!(place(&url.parse().unwrap()), shown);
        }
    }
}
