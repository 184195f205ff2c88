//! An event stream over plain HTTP/1.1.

use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use http::{Request, Response, StatusCode, Uri, header, uri::Authority};
use http_body_util::{BodyDataStream, BodyExt, Empty, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tidewater::http::LAST_EVENT_ID;
use tokio::net::TcpStream;

use super::{Refused, unreachable};
use crate::failure::Failure;

/// As many as a browser follows.
const MOST_REDIRECTS: usize = 20;
/// How much of an error's body is shown.
const SHOWN: usize = 400;

/// An event stream at an `http://` URL.
#[derive(Debug)]
pub(crate) struct Http(Target);

impl Http {
    /// Checks the URL; nothing is opened yet.
    pub(crate) fn new(url: &str, since: Option<&str>) -> Result<Self, Failure> {
        let url = match since {
            None => url.to_owned(),
            Some(since) => {
                let separator = if url.contains('?') { '&' } else { '?' };
                format!("{url}{separator}since={}", percent_encoded(since))
            }
        };
        Target::parse(&url).map(Self).map_err(Failure::usage)
    }

    pub(super) async fn connect(
        &self,
        last_event_id: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, String>> + Unpin + use<>, Refused> {
        let mut target = self.0.clone();
        for _ in 0..=MOST_REDIRECTS {
            let response = target.get(last_event_id).await?;
            match response.status() {
                StatusCode::OK => return events(&target, response),
                StatusCode::NO_CONTENT => return Err(Refused::NoMore),
                status if status.is_redirection() => target = target.redirect(&response)?,
                _ => return Err(refusal(&target, response).await),
            }
        }
        Err(failure(format_args!("{} redirects more than {MOST_REDIRECTS} times", self.0.uri)))
    }
}

/// A checked URL.
#[derive(Clone, Debug)]
struct Target {
    uri: Uri,
    authority: Authority,
}

impl Target {
    fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("{url:?} is not a URL such as http://HOST:PORT/PATH: {error}"))?;
        match (uri.scheme_str(), uri.authority().cloned()) {
            (Some("http"), Some(authority)) if !authority.host().is_empty() => Ok(Self { uri, authority }),
            (Some("https"), _) => Err(format!(
                "{url}: there is no TLS in this command. Let curl do it: curl -sN {url} | tidewater decode"
            )),
            _ => Err(format!("{url:?} is not the URL of an event stream: http://HOST:PORT/PATH")),
        }
    }

    async fn get(&self, last_event_id: &str) -> Result<Response<Incoming>, Refused> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let address = format!("{host}:{}", self.authority.port_u16().unwrap_or(80));
        let lost =
            |error: hyper::Error| Refused::ForNow(format!("{address} does not answer as HTTP: {error}"));
        let stream = TcpStream::connect((host, self.authority.port_u16().unwrap_or(80)))
            .await
            .map_err(|error| Refused::ForNow(unreachable(&address, &error)))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection ended");
            }
        });
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::get(path)
            .header(header::HOST, self.authority.host_and_port())
            .header(header::ACCEPT, "text/event-stream")
            .header(header::CACHE_CONTROL, "no-store");
        if !last_event_id.is_empty() {
            request = request.header(LAST_EVENT_ID, last_event_id.as_bytes());
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| failure(format_args!("the request can't be made: {error}")))?;
        sender.send_request(request).await.map_err(lost)
    }

    fn redirect(&self, response: &Response<Incoming>) -> Result<Self, Refused> {
        let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
        let url = if to.starts_with('/') && !to.starts_with("//") {
            format!("http://{}{to}", self.authority)
        } else {
            to.to_owned()
        };
        Self::parse(&url).map_err(|error| failure(format_args!("{} redirects to {to:?}: {error}", self.uri)))
    }
}

/// What stands in the `Host` header.
trait HostAndPort {
    fn host_and_port(&self) -> &str;
}

impl HostAndPort for Authority {
    fn host_and_port(&self) -> &str {
        self.as_str().rsplit_once('@').map_or(self.as_str(), |(_, host)| host)
    }
}

fn events(
    target: &Target,
    response: Response<Incoming>,
) -> Result<impl Stream<Item = Result<Bytes, String>> + Unpin + use<>, Refused> {
    let kind =
        response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("none");
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("text/event-stream") {
        return Err(failure(format_args!(
            "{} is no event stream: its content type is {kind}, not text/event-stream",
            target.uri
        )));
    }
    let at = target.uri.to_string();
    Ok(BodyDataStream::new(response.into_body())
        .map(move |chunk| chunk.map_err(|error| format!("{at} was cut off: {error}"))))
}

/// What another status means: for good, as an `EventSource` takes it, but for those that say "not now".
async fn refusal(target: &Target, response: Response<Incoming>) -> Refused {
    let status = response.status();
    let body = Limited::new(response.into_body(), 64 << 10).collect().await;
    let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
    let shown: String = text.trim().chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    let why = format!("{} answers {status}: {shown}", target.uri);
    match status {
        StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => Refused::ForNow(why),
        _ => Refused::ForGood(Failure::runtime(why)),
    }
}

fn failure(text: impl std::fmt::Display) -> Refused {
    Refused::ForGood(Failure::runtime(text))
}

/// Everything but letters and digits escaped.
pub(super) fn percent_encoded(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked() {
        for (url, what) in [
            ("https://a/b", "curl -sN https://a/b"),
            ("http:///x", "http://HOST"),
            ("http://a b/", "not a URL"),
        ] {
            let error = Http::new(url, None).unwrap_err().to_string();
            assert!(error.contains(what), "{url}: {error}");
        }
        let with = |url, since| Http::new(url, Some(since)).unwrap().0.uri.to_string();
        assert_eq!(with("http://a/b", "5m"), "http://a/b?since=5m");
        assert_eq!(
            with("http://a/b?key=1", "2026-01-31T12:00:00+01:00"),
            "http://a/b?key=1&since=2026%2D01%2D31T12%3A00%3A00%2B01%3A00"
        );
    }
}
