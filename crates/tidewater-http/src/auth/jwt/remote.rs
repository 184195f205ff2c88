//! Keys that an issuer answers at a URL (its `jwks_uri`), and changes from time to time.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use tidewater_core::Result;
use tokio::time::Instant;

use super::{Algorithm, Key, jwk, key};
use crate::auth::{
    Refusal,
    client::{Client, Url},
};

/// Where an issuer answers its keys, and how often they are asked for. Its `Debug` shows no URL, which may have a secret in it.
#[derive(Clone)]
pub struct JwksUrl {
    url: String,
    every: Duration,
    timeout: Duration,
    plain: bool,
}

/// The largest key set that is read.
const MOST_BYTES: usize = 256 << 10;
/// How long after one question the next may follow for a key that is not known.
const PAUSE: Duration = Duration::from_secs(10);
/// The same before there are any keys, when nobody can be let in.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

impl JwksUrl {
    /// Keys at this URL: `https://`, or `http://` on this machine.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            every: Duration::from_secs(300),
            timeout: Duration::from_secs(5),
            plain: false,
        }
    }

    /// How often the keys are asked for anew while tokens come; 5 minutes unless it is set. A key that the issuer has withdrawn
    /// counts for twice as long at most, if the issuer answers. They are also asked for when a token names a key that is not among
    /// them, every 10 s at most.
    #[must_use]
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every.max(Duration::from_secs(1));
        self
    }

    /// How long an answer may take; 5 s unless it is set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Allows `http://` to other machines: whoever is on the way can then make keys of their own.
    #[must_use]
    pub fn allow_plain(mut self) -> Self {
        self.plain = true;
        self
    }
}

/// The keys at a URL as they are known.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    url: Url,
    every: Duration,
    state: Mutex<State>,
    /// Held by the one that asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<Arc<[Key]>>,
    /// When they were answered.
    answered: Option<Instant>,
    /// When the last question began.
    asked: Option<Instant>,
    /// How many have come to an end.
    done: u64,
    /// Whether the last one was in vain.
    failed: bool,
}

impl Remote {
    pub(super) fn new(settings: &JwksUrl) -> Result<Self> {
        let url = Url::parse(&settings.url, settings.plain)?;
        let client = Client::new(&url, settings.timeout, MOST_BYTES)?;
        Ok(Self {
            client,
            url,
            every: settings.every,
            state: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        })
    }

    /// The keys: those that are known, while new ones are asked for if it is time.
    ///
    /// # Errors
    /// Unavailable until they have been answered once.
    pub(super) async fn current(self: &Arc<Self>) -> std::result::Result<Arc<[Key]>, Refusal> {
        let now = Instant::now();
        let (keys, age, asked, done) = self.with(|state| {
            let age = state.answered.map_or(Duration::MAX, |answered| now - answered);
            (state.keys.clone(), age, state.asked, state.done)
        });
        let Some(keys) = keys else {
            if is_over(asked, FIRST_PAUSE, now) || self.is_asking() {
                self.ask(done, FIRST_PAUSE).await;
            }
            return self.with(|state| state.keys.clone()).ok_or_else(unavailable);
        };
        let pause = self.every.min(PAUSE);
        if age >= self.every && is_over(asked, pause, now) {
            if age >= self.every.saturating_mul(2) {
                self.ask(done, pause).await;
                return Ok(self.with(|state| state.keys.clone()).unwrap_or(keys));
            }
            // Nobody waits for it.
            let remote = self.clone();
            tokio::spawn(async move { remote.ask(done, pause).await });
        }
        Ok(keys)
    }

    /// The keys for a token whose key is not among those that are known. `None` if they have just been answered.
    ///
    /// # Errors
    /// Unavailable if they can't be had: it may be one of them.
    pub(super) async fn newer(
        self: &Arc<Self>,
        known: &Arc<[Key]>,
    ) -> std::result::Result<Option<Arc<[Key]>>, Refusal> {
        let is_known = |keys: &Arc<[Key]>| Arc::ptr_eq(keys, known);
        let (asked, done) = self.with(|state| (state.asked, state.done));
        let others = || self.with(|state| state.keys.clone().filter(|keys| !is_known(keys)));
        if others().is_none() && (is_over(asked, PAUSE, Instant::now()) || self.is_asking()) {
            self.ask(done, PAUSE).await;
        }
        match others() {
            None if self.with(|state| state.failed) => Err(unavailable()),
            others => Ok(others),
        }
    }

    fn is_asking(&self) -> bool {
        self.asking.try_lock().is_err()
    }

    /// Asks for the keys, unless a question has come to its end since so many had, or the last one began within the pause. To
    /// the end, whoever goes meanwhile.
    async fn ask(self: &Arc<Self>, done: u64, pause: Duration) {
        let remote = self.clone();
        let task = tokio::spawn(async move {
            let _asking = remote.asking.lock().await;
            // Whoever came while those were let go who had waited has seen somebody ask, and a question that was over.
            if remote.with(|state| state.done != done || !is_over(state.asked, pause, Instant::now())) {
                return;
            }
            remote.with(|state| state.asked = Some(Instant::now()));
            let answer = remote.fetch().await;
            if let Err(why) = &answer {
                tracing::warn!(url = %remote.url, "the keys of tokens can't be had: {why}");
            }
            remote.with(|state| {
                state.done += 1;
                state.failed = answer.is_err();
                if let Ok(keys) = answer {
                    state.answered = Some(Instant::now());
                    state.keys = Some(keys);
                }
            });
        });
        // A task that has panicked has left things as they were.
        drop(task.await);
    }

    async fn fetch(&self) -> std::result::Result<Arc<[Key]>, String> {
        let request = Request::get(self.url.uri())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Full::new(Bytes::new()))
            .map_err(|error| error.to_string())?;
        let (status, body) = self.client.ask(request).await?;
        if status != StatusCode::OK {
            return Err(format!("it answers {status}"));
        }
        let text = std::str::from_utf8(&body).map_err(|_| "the answer is not UTF-8".to_owned())?;
        let mut keys = jwk::set(text).map_err(|error| error.to_string())?;
        // What is answered to everybody is no secret.
        keys.retain(|key| key.algorithm() != Algorithm::Hs256);
        key::checked(keys).map_err(|error| error.to_string())
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_over(since: Option<Instant>, pause: Duration, now: Instant) -> bool {
    since.is_none_or(|since| now.saturating_duration_since(since) >= pause)
}

fn unavailable() -> Refusal {
    Refusal::unavailable("the keys that tokens are checked with can't be had just now: try again shortly")
}

impl fmt::Debug for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { every, timeout, plain, .. } = self;
        f.debug_struct("JwksUrl")
            .field("every", every)
            .field("timeout", timeout)
            .field("plain", plain)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those who have waited for an answer are let go one behind the other; whoever comes meanwhile is not to ask anew.
    #[tokio::test]
    async fn a_crowd_does_not_shorten_the_pause() {
        let keys = Key::secret(&[7; 32]).map(|key| Arc::from([key])).unwrap();
        let remote = Arc::new(Remote::new(&JwksUrl::new("http://127.0.0.1:1/")).unwrap());
        remote.with(|state| {
            let now = Some(Instant::now());
            *state =
                State { keys: Some(Arc::clone(&keys)), answered: now, asked: now, done: 1, failed: false };
        });
        let asking = remote.asking.lock().await;
        let comes = tokio::spawn({
            let (remote, keys) = (remote.clone(), keys.clone());
            async move { remote.newer(&keys).await.map(|newer| newer.is_some()) }
        });
        tokio::task::yield_now().await;
        drop(asking);
        assert_eq!(comes.await.unwrap(), Ok(false));
        assert_eq!(remote.with(|state| state.done), 1, "nobody has asked");
    }

    #[test]
    fn a_secret_in_the_url_is_not_shown() {
        let secret = tidewater_testkit::secret::secret("jwks");
        let settings = JwksUrl::new(format!("http://localhost/keys?token={secret}"));
        let remote = Remote::new(&settings).unwrap();
        tidewater_testkit::secret::assert_hidden(&format!("{settings:?} {remote:?}"));
    }
}
