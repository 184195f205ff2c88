//! What is asked of other servers: short requests with short answers.
//!
//! A client of hyper's with its pool of connections, over rustls with ring and whom the system trusts, as `tidewater-sse` has it.
//! Redirects are not followed, since credentials would go with them, and times and sizes are bounded.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tidewater_core::{Error, ErrorKind, Result};
use tokio::time::timeout;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Where to ask. Neither `Display` nor `Debug` shows the query.
#[derive(Clone)]
pub(super) struct Url(Uri);

/// Asks, for so long and so much at most.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    most: usize,
}

impl Url {
    /// Reads one. `http://` is for this machine, unless `plain` says that it may be elsewhere.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with nothing of a login in it.
    pub(super) fn parse(text: &str, plain: bool) -> Result<Self> {
        let wrong = |what: &str| {
            let how = "give a URL such as https://id.example/path";
            Err(Error::new(ErrorKind::Config, format!("{what}: {how}")))
        };
        let Ok(uri) = text.parse::<Uri>() else { return wrong("the URL can't be read") };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return wrong("the URL needs a scheme and a host");
        };
        if authority.as_str().contains('@') {
            return wrong("the URL has a login in it, which would stand in logs");
        }
        let host = authority.host().trim_matches(['[', ']']);
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        match scheme {
            "https" => Ok(Self(uri)),
            "http" if here || plain => Ok(Self(uri)),
            "http" => wrong("over http:// anybody on the way could answer, so it is for this machine only"),
            _ => wrong("the URL is neither https:// nor http://"),
        }
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

/// Without its query.
impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}{}", self.0.scheme_str().unwrap_or_default(), self.0.path())
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Client {
    /// A client for a URL.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for `https://` on a system that trusts nobody.
    pub(super) fn new(url: &Url, timeout: Duration, most: usize) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        if url.is_secure() {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let what =
                    "this system trusts no certificates: install its package of them (ca-certificates)";
                return Err(Error::new(ErrorKind::Config, format!("{url}: {what}")));
            }
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Config, format!("TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Ok(Self { pool, timeout, most })
    }

    /// The status and all of the answer; what went wrong, in words for a log.
    pub(super) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
    ) -> std::result::Result<(StatusCode, Bytes), String> {
        let answer = async {
            let response = self.pool.request(request).await.map_err(|error| {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                format!("{error}{}", cause.unwrap_or_default())
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, self.most).collect().await;
            let body = body
                .map_err(|error| format!("the answer can't be read, {} bytes at most: {error}", self.most))?;
            Ok((head.status, body.to_bytes()))
        };
        match timeout(self.timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine() {
        for (text, plain, fits) in [
            ("https://id.example/keys", false, true),
            ("http://127.0.0.1:8080/keys", false, true),
            ("http://[::1]/keys", false, true),
            ("http://localhost/keys", false, true),
            ("http://localhost.example/keys", false, false),
            ("http://id.example/keys", false, false),
            ("http://id.example/keys", true, true),
            ("ftp://localhost/", false, false),
            ("/keys", false, false),
            ("", false, false),
        ] {
            assert_eq!(Url::parse(text, plain).is_ok(), fits, "{text}");
        }
        let login = format!("https://u:{}@id.example/", tidewater_testkit::secret::secret("login"));
        tidewater_testkit::secret::assert_hidden(&Url::parse(&login, false).unwrap_err().to_string());
        assert_eq!(Url::parse("https://a.example/b?c=d", false).unwrap().to_string(), "https://a.example/b");
    }
}
