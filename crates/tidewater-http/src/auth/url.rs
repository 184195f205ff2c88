//! An application with sessions of its own says who may do what.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use ring::digest;
use serde_json::{Map, Value, json};
use tidewater_core::Result;
use tidewater_hub::{Pattern, Select};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::{Instant, timeout},
};

use super::{
    Action, Ask, Authorizer, Grant, Refusal,
    client::{Client, Url},
};

/// Asks an application at a URL what a request may do.
///
/// Each request's `Cookie` and `Authorization`, and no other header, go there in a `POST` of JSON:
///
/// ```json
/// {"action": "read", "channel": "orders", "topics": [], "keys": ["user.7"], "tags": [], "events": []}
/// {"action": "publish", "channel": "orders", "key": "user.7", "event": null}
/// ```
///
/// It answers `200` with a grant, of which every part may be left out and then grants nothing, or limits nothing:
///
/// ```json
/// {"read": true, "channels": ["orders"], "topics": ["orders.eu.>"], "keys": ["user.7", "team.3.*"], "tags": ["public"],
///  "publish": ["user.7"], "expires_in": 3600, "subject": "7"}
/// ```
///
/// `read` has to be `true` for anything to be read; `topics`, `keys` and `tags` limit what, by patterns; `publish` is `true`, or
/// patterns of keys; a channel that none of `channels` fits gets nothing. `expires_in` is in seconds: the stream ends then and is
/// asked for anew. `subject` says who it is, for limits. `401` and `403` are verdicts too, and go to the client as they are.
///
/// Everything else is none, and nothing is granted: another status, no answer in time, one past 64 KiB, one that can't be read or has
/// a member that is not above. Streams are told to come back then (I10), other requests get 503.
///
/// Verdicts count for 5 s for the same credentials, channel and selection; who asks the same at the same time shares one question, and
/// 64 are asked at a time. Kept are 4,096 verdicts, of answers up to 4 KiB.
#[derive(Clone)]
pub struct AuthorizeUrl(Arc<Inner>);

/// How [`AuthorizeUrl`] asks. Its `Debug` shows no URL, which may have a secret in it.
#[derive(Clone)]
pub struct AuthorizeUrlSettings {
    url: String,
    timeout: Duration,
    cache: Duration,
    plain: bool,
}

struct Inner {
    client: Client,
    url: Url,
    timeout: Duration,
    cache: Duration,
    verdicts: Mutex<HashMap<[u8; 32], Arc<OnceCell<Verdict>>>>,
    asking: Semaphore,
}

#[derive(Clone, Debug)]
struct Verdict {
    says: std::result::Result<Grant, Refusal>,
    until: Instant,
}

/// The largest answer that is read.
const MOST_BYTES: usize = 64 << 10;
/// So many verdicts are kept.
const MOST_VERDICTS: usize = 4096;
/// The largest answer whose verdict is kept.
const MOST_KEPT: usize = 4 << 10;
/// As long as a verdict may count.
const LONGEST_CACHE: Duration = Duration::from_secs(24 * 3600);
/// So many questions at a time.
const MOST_ASKING: usize = 64;
/// How long an application that gives no verdict is left alone by the same request.
const PAUSE: Duration = Duration::from_secs(1);

impl AuthorizeUrlSettings {
    /// How long an answer may take, with the wait for one's turn; 2 s unless it is set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a verdict counts; 5 s unless it is set, a day at most. Zero asks for each request.
    #[must_use]
    pub fn cache(mut self, cache: Duration) -> Self {
        self.cache = cache.min(LONGEST_CACHE);
        self
    }

    /// Allows `http://` to other machines, where credentials can be read on the way.
    #[must_use]
    pub fn allow_plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// The authorizer.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](tidewater_core::ErrorKind::Config) for a URL that can't be asked.
    pub fn build(self) -> Result<AuthorizeUrl> {
        let url = Url::parse(&self.url, self.plain)?;
        let client = Client::new(&url, self.timeout, MOST_BYTES)?;
        Ok(AuthorizeUrl(Arc::new(Inner {
            client,
            url,
            timeout: self.timeout,
            cache: self.cache,
            verdicts: Mutex::default(),
            asking: Semaphore::new(MOST_ASKING),
        })))
    }
}

impl AuthorizeUrl {
    /// An application at this URL: `https://`, or `http://` on this machine.
    pub fn at(url: impl Into<String>) -> AuthorizeUrlSettings {
        AuthorizeUrlSettings {
            url: url.into(),
            timeout: Duration::from_secs(2),
            cache: Duration::from_secs(5),
            plain: false,
        }
    }
}

#[async_trait]
impl Authorizer for AuthorizeUrl {
    async fn authorize(&self, ask: Ask<'_>) -> std::result::Result<Grant, Refusal> {
        let (request, key) = question(&ask, &self.0.url)?;
        let cell = self.0.cell(key);
        let verdict = cell.get_or_init(|| self.0.ask(ask.channel, request)).await;
        self.0.forget_over(key, &cell, verdict);
        verdict.says.clone()
    }
}

impl Inner {
    /// Where a verdict is or will be. Whoever asks the same waits there too.
    fn cell(&self, key: [u8; 32]) -> Arc<OnceCell<Verdict>> {
        let now = Instant::now();
        let counts = |cell: &Arc<OnceCell<Verdict>>| match cell.get() {
            Some(verdict) => verdict.until > now,
            // Nobody waits for it any more.
            None => Arc::strong_count(cell) > 1,
        };
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = verdicts.get(&key).filter(|cell| counts(cell)) {
            return cell.clone();
        }
        let cell = Arc::new(OnceCell::new());
        if verdicts.len() >= MOST_VERDICTS {
            verdicts.retain(|_, cell| counts(cell));
        }
        if verdicts.len() < MOST_VERDICTS {
            verdicts.insert(key, cell.clone());
        }
        cell
    }

    /// What counts for nobody else is not kept: what a large answer grants may take a hundred times its room.
    fn forget_over(&self, key: [u8; 32], cell: &Arc<OnceCell<Verdict>>, verdict: &Verdict) {
        if verdict.until <= Instant::now() {
            let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            if verdicts.get(&key).is_some_and(|kept| Arc::ptr_eq(kept, cell)) {
                verdicts.remove(&key);
            }
        }
    }

    async fn ask(&self, channel: &str, request: Request<Full<Bytes>>) -> Verdict {
        let answer = async {
            let _turn = self.asking.acquire().await.map_err(|error| error.to_string())?;
            self.client.ask(request).await
        };
        let answer =
            timeout(self.timeout, answer).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let now = Instant::now();
        let kept = answer.as_ref().is_ok_and(|(_, body)| body.len() <= MOST_KEPT);
        let says = match answer {
            Ok((StatusCode::OK, body)) => granted(channel, &body, SystemTime::now()),
            Ok((StatusCode::UNAUTHORIZED, _)) => {
                return self.counts(
                    Err(Refusal::unauthenticated("the application does not know who asks: log in")),
                    now,
                );
            }
            Ok((StatusCode::FORBIDDEN, _)) => {
                return self.counts(Err(Refusal::forbidden("the application does not allow it")), now);
            }
            Ok((status, _)) => Err(format!("it answers {status}")),
            Err(why) => Err(why),
        };
        match says {
            Ok(grant) if kept => self.counts(Ok(grant), now),
            Ok(grant) => Verdict { says: Ok(grant), until: now },
            Err(why) => {
                tracing::warn!(url = %self.url, "no verdict could be had, and nothing is granted: {why}");
                let refusal =
                    Refusal::unavailable("who may do this can't be found out just now: try again shortly");
                Verdict { says: Err(refusal), until: now + self.cache.min(PAUSE) }
            }
        }
    }

    /// A verdict that counts for a while, and no longer than what it grants.
    fn counts(&self, says: std::result::Result<Grant, Refusal>, now: Instant) -> Verdict {
        let left = says.as_ref().ok().and_then(|grant| grant.time_left(SystemTime::now()));
        Verdict { says, until: now + self.cache.min(left.unwrap_or(Duration::MAX)) }
    }
}

/// The question, and what is the same for all that ask the same.
fn question(ask: &Ask<'_>, url: &Url) -> std::result::Result<(Request<Full<Bytes>>, [u8; 32]), Refusal> {
    // Lossily it would be another key, and what is granted for that would count for this one.
    let text = |key: &Bytes| {
        let text = std::str::from_utf8(key).map(str::to_owned);
        text.map_err(|_| Refusal::forbidden("a key that is not UTF-8 can't be asked for"))
    };
    let body = match ask.action {
        Action::Read(selection) => json!({
            "action": "read",
            "channel": ask.channel,
            "topics": selection.topics,
            "keys": selection.keys.iter().map(text).collect::<std::result::Result<Vec<_>, _>>()?,
            "tags": selection.tags,
            "events": selection.events,
        }),
        Action::Publish { key, event } => {
            let key = key.map(text).transpose()?;
            json!({ "action": "publish", "channel": ask.channel, "key": key, "event": event })
        }
    };
    let body = body.to_string();
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut hashed = |part: &[u8]| {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    hashed(body.as_bytes());
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url.uri())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json");
    for name in [header::AUTHORIZATION, header::COOKIE] {
        for value in ask.head.headers.get_all(&name) {
            hashed(name.as_str().as_bytes());
            hashed(value.as_bytes());
            request = request.header(&name, value);
        }
    }
    let mut key = [0; 32];
    key.copy_from_slice(hash.finish().as_ref());
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| {
        tracing::debug!("a question for {url} can't be asked: {error}");
        Refusal::unavailable("who may do this can't be asked for")
    })?;
    Ok((request, key))
}

/// What an answer grants on a channel; what is wrong with it, in words for a log and with nothing of what it holds.
fn granted(channel: &str, body: &[u8], now: SystemTime) -> std::result::Result<Grant, String> {
    const MEMBERS: [&str; 8] =
        ["read", "channels", "topics", "keys", "tags", "publish", "expires_in", "subject"];
    let answer: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| "the answer is no object of JSON".to_owned())?;
    if !answer.keys().all(|name| MEMBERS.contains(&name.as_str())) {
        return Err(format!("the answer has a member that is none of {}", MEMBERS.join(", ")));
    }
    let mut grant = Grant::new();
    if let Some(channels) = patterns(&answer, "channels")?
        && !channels.iter().any(|pattern| pattern.matches(channel.as_bytes()))
    {
        return Ok(grant);
    }
    if flag(answer.get("read"), "read")? {
        let mut select = Select::all();
        if let Some(topics) = texts(&answer, "topics")? {
            select = select.and(Select::try_topics(topics).map_err(|_| wrong("topics"))?);
        }
        if let Some(keys) = patterns(&answer, "keys")? {
            select = select.and(Select::keys_like(keys));
        }
        if let Some(tags) = patterns(&answer, "tags")? {
            select = select.and(Select::tags_like(tags));
        }
        grant = grant.reading(select);
    }
    grant = match answer.get("publish") {
        Some(Value::Array(_)) => grant.publishing_keys(patterns(&answer, "publish")?.unwrap_or_default()),
        other if flag(other, "publish")? => grant.publishing(),
        _ => grant,
    };
    if let Some(seconds) = answer.get("expires_in") {
        let seconds =
            seconds.as_f64().filter(|seconds| *seconds >= 0.0).ok_or_else(|| wrong("expires_in"))?;
        let time = Duration::try_from_secs_f64(seconds).map_err(|_| wrong("expires_in"))?;
        grant = grant.until(now.checked_add(time).ok_or_else(|| wrong("expires_in"))?);
    }
    match answer.get("subject") {
        None => Ok(grant),
        Some(Value::String(subject)) => Ok(grant.with_subject(subject.as_str())),
        Some(_) => Err(wrong("subject")),
    }
}

impl fmt::Debug for AuthorizeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeUrl").field("url", &self.0.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthorizeUrlSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timeout, cache, plain, .. } = self;
        f.debug_struct("AuthorizeUrlSettings")
            .field("timeout", timeout)
            .field("cache", cache)
            .field("plain", plain)
            .finish_non_exhaustive()
    }
}

fn flag(value: Option<&Value>, name: &str) -> std::result::Result<bool, String> {
    match value {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(wrong(name)),
    }
}

fn texts(answer: &Map<String, Value>, name: &str) -> std::result::Result<Option<Vec<String>>, String> {
    let Some(value) = answer.get(name) else { return Ok(None) };
    let list = value.as_array().ok_or_else(|| wrong(name))?;
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(name));
    list.iter().map(text).collect::<std::result::Result<_, _>>().map(Some)
}

fn patterns(answer: &Map<String, Value>, name: &str) -> std::result::Result<Option<Vec<Pattern>>, String> {
    let Some(texts) = texts(answer, name)? else { return Ok(None) };
    texts
        .iter()
        .map(|text| Pattern::parse(text).map_err(|_| wrong(name)))
        .collect::<std::result::Result<_, _>>()
        .map(Some)
}

fn wrong(name: &str) -> String {
    format!("the answer's {name:?} is not what it should be")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(answer: &str) -> std::result::Result<Grant, String> {
        granted("orders", answer.as_bytes(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn an_answer_is_a_grant() {
        let like = |text| Pattern::parse(text).unwrap();
        let full = r#"{"read":true,"channels":["x","ord*"],"topics":["a.>"],"keys":["k","t.*"],"tags":["p"],
                       "publish":["k"],"expires_in":60,"subject":"7"}"#;
        let select =
            Select::topic("a.>").and(Select::keys_like([like("k"), like("t.*")])).and(Select::tag("p"));
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
        let expected =
            Grant::new().reading(select).publishing_keys([like("k")]).until(until).with_subject("7");
        assert_eq!(grant(full), Ok(expected));
        for (answer, expected) in [
            ("{}", Grant::new()),
            (r#"{"keys":["k"]}"#, Grant::new()),
            (r#"{"read":false,"publish":false}"#, Grant::new()),
            (r#"{"read":true}"#, Grant::new().reading(Select::all())),
            (r#"{"read":true,"keys":[]}"#, Grant::new().reading(Select::keys(Vec::<bytes::Bytes>::new()))),
            (r#"{"publish":true}"#, Grant::new().publishing()),
            (r#"{"read":true,"publish":true,"channels":["other"]}"#, Grant::new()),
            (r#"{"read":true,"publish":true,"channels":[]}"#, Grant::new()),
        ] {
            assert_eq!(grant(answer), Ok(expected), "{answer}");
        }
    }

    /// Answers `read` and this many keys, to whoever asks.
    async fn application(keys: usize) -> AuthorizeUrlSettings {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let body = json!({ "read": true, "keys": vec!["key"; keys] }).to_string();
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        AuthorizeUrl::at(url).timeout(Duration::from_secs(20))
    }

    #[tokio::test]
    async fn what_counts_for_nobody_else_is_not_kept() {
        for (keys, cache, kept) in [
            (10, Duration::MAX, 8),
            (10, Duration::ZERO, 0),
            // Past 4 KiB: each might be half a megabyte of patterns.
            (MOST_KEPT, Duration::from_secs(600), 0),
        ] {
            let authorizer = application(keys).await.cache(cache).build().unwrap();
            for n in 0..8 {
                let selection = super::super::Selection { tags: vec![n.to_string()], ..Default::default() };
                let (parts, ()) = Request::get("/").body(()).unwrap().into_parts();
                let grant = authorizer.authorize(Ask::new("orders", Action::Read(&selection), &parts)).await;
                assert!(grant.unwrap().select().is_some());
            }
            assert_eq!(authorizer.0.verdicts.lock().unwrap().len(), kept, "{keys} keys, {cache:?}");
        }
    }

    #[test]
    fn a_secret_in_the_url_is_not_shown() {
        let secret = tidewater_testkit::secret::secret("authorize");
        let settings = AuthorizeUrl::at(format!("http://localhost/authorize?token={secret}"));
        tidewater_testkit::secret::assert_hidden(&format!(
            "{settings:?} {:?}",
            settings.clone().build().unwrap()
        ));
    }

    #[test]
    fn nonsense_grants_nothing() {
        for answer in [
            "",
            "null",
            "[]",
            "true",
            "{",
            "{\"read\":1}",
            "{\"read\":\"true\"}",
            "{\"read\":true,\"key\":[\"k\"]}",
            "{\"read\":true,\"keys\":\"k\"}",
            "{\"read\":true,\"keys\":[1]}",
            "{\"read\":true,\"keys\":[\"a*b\"]}",
            "{\"read\":true,\"topics\":[\"a..>.b\"]}",
            "{\"publish\":\"k\"}",
            "{\"publish\":[null]}",
            "{\"read\":true,\"expires_in\":-1}",
            "{\"read\":true,\"expires_in\":1e300}",
            "{\"read\":true,\"expires_in\":\"60\"}",
            "{\"read\":true,\"subject\":7}",
            "{\"read\":true,\"keys\":null}",
        ] {
            assert!(grant(answer).is_err(), "{answer}");
        }
    }
}
