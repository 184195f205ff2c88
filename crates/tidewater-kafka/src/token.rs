//! Tokens for SASL/OAUTHBEARER: where they come from, and how long one serves.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tidewater_core::{Error, ErrorKind, Result, Retry};

/// How long a provider may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a failure is answered to all who ask, before the provider is asked again. librdkafka asks every 10 seconds.
const FAILURE_AGE: Duration = Duration::from_secs(5);

/// Gives the tokens that a broker is logged in to with (SASL/OAUTHBEARER): one of an OpenID provider, a signed request
/// for MSK IAM, or whatever else the broker takes. See
/// [`KafkaConfig::with_token_provider`](crate::KafkaConfig::with_token_provider).
///
/// A closure `Fn() -> Result<Token>` is one, too.
pub trait TokenProvider: Send + Sync + 'static {
    /// A token that is good from now on.
    ///
    /// It is called on a thread of its own, so it may block, and `Handle::block_on` of a tokio runtime is allowed in
    /// it; what takes longer than 30 seconds is an error. It is called once for all clients of a provider, when half
    /// the life of the token before is over and one of them asks; after a failure not before five seconds have gone.
    ///
    /// # Errors
    /// What it says goes into status, errors and logs, so it must not hold a secret. A kind of
    /// [`ErrorKind::Unavailable`] stays that; every other one becomes [`ErrorKind::Denied`]. It is tried again either
    /// way.
    fn token(&self) -> Result<Token>;
}

impl<F: Fn() -> Result<Token> + Send + Sync + 'static> TokenProvider for F {
    fn token(&self) -> Result<Token> {
        self()
    }
}

/// A token, whose it is, and until when. `Debug` doesn't show it.
#[derive(Clone)]
pub struct Token {
    value: String,
    principal: String,
    expires: SystemTime,
}

impl Token {
    /// A token as the broker wants it, for this user, until then.
    pub fn new(value: impl Into<String>, principal: impl Into<String>, expires: SystemTime) -> Self {
        Self { value: value.into(), principal: principal.into(), expires }
    }

    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    pub(crate) fn principal(&self) -> &str {
        &self.principal
    }

    pub(crate) fn expires(&self) -> SystemTime {
        self.expires
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("principal", &self.principal)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A provider, with the token that it gave last. One for each provider, however many clients use it.
pub(crate) struct Tokens {
    provider: Arc<dyn TokenProvider>,
    /// Tells it from all others in this process, for ever.
    id: u64,
    /// Held while the provider is asked: the others wait for the same answer.
    asking: Mutex<Asking>,
    current: Mutex<Option<Token>>,
    failure: Mutex<Option<ErrorKind>>,
}

#[derive(Default)]
struct Asking {
    /// Since when the current token is there.
    since: Option<SystemTime>,
    failed: Option<(Instant, String)>,
    /// The provider has not answered yet: it isn't asked a second time.
    under_way: Option<mpsc::Receiver<Result<Token>>>,
}

/// All there are. What is in it is not freed, so an address is never another provider's.
static ALL: Mutex<(u64, Vec<Weak<Tokens>>)> = Mutex::new((0, Vec::new()));

impl Tokens {
    /// The one of this provider.
    pub(crate) fn of(provider: Arc<dyn TokenProvider>) -> Arc<Self> {
        let mut all = lock(&ALL);
        all.1.retain(|tokens| tokens.strong_count() > 0);
        let same = |tokens: &Arc<Self>| {
            Arc::as_ptr(&tokens.provider).cast::<()>() == Arc::as_ptr(&provider).cast::<()>()
        };
        if let Some(tokens) = all.1.iter().filter_map(Weak::upgrade).find(same) {
            return tokens;
        }
        all.0 += 1;
        let tokens = Arc::new(Self {
            provider,
            id: all.0,
            asking: Mutex::default(),
            current: Mutex::default(),
            failure: Mutex::default(),
        });
        all.1.push(Arc::downgrade(&tokens));
        tokens
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// A token with at least half of its life before it. Blocks, for at most [`PATIENCE`] if nobody else asks.
    ///
    /// # Errors
    /// The provider's, or that it doesn't answer; `Denied` or `Unavailable`.
    pub(crate) fn token(&self) -> Result<Token> {
        self.token_within(PATIENCE)
    }

    fn token_within(&self, patience: Duration) -> Result<Token> {
        let mut asking = lock(&self.asking);
        let now = SystemTime::now();
        if let (Some(since), Some(token)) = (asking.since, &*lock(&self.current))
            && token.expires.duration_since(since).is_ok_and(|life| now < since + life / 2)
        {
            return Ok(token.clone());
        }
        if let Some((at, why)) = &asking.failed
            && at.elapsed() < FAILURE_AGE
        {
            let kind = lock(&self.failure).unwrap_or(ErrorKind::Denied);
            return Err(Error::new(kind, why.clone()).with_retry(Retry::Later));
        }
        match self.ask(&mut asking, patience).and_then(|token| unexpired(token, now)) {
            Ok(token) => {
                *asking = Asking { since: Some(now), failed: None, under_way: None };
                *lock(&self.failure) = None;
                *lock(&self.current) = Some(token.clone());
                Ok(token)
            }
            Err(error) => {
                let kind = match error.kind() {
                    ErrorKind::Unavailable => ErrorKind::Unavailable,
                    _ => ErrorKind::Denied,
                };
                // A NUL would end it.
                let why = error.to_string().replace('\0', " ");
                asking.failed = Some((Instant::now(), why.clone()));
                *lock(&self.failure) = Some(kind);
                Err(Error::new(kind, why).with_retry(Retry::Later))
            }
        }
    }

    /// What kind of failure the last one was, if it was one.
    pub(crate) fn failure(&self) -> Option<ErrorKind> {
        *lock(&self.failure)
    }

    /// Hands the token that is in use to `with`, if there is one.
    pub(crate) fn with_current<T>(&self, with: impl FnOnce(&str) -> T) -> Option<T> {
        lock(&self.current).as_ref().map(|token| with(&token.value))
    }

    fn ask(&self, asking: &mut Asking, patience: Duration) -> Result<Token> {
        let answer = match asking.under_way.take() {
            Some(answer) => answer,
            None => {
                let (out, answer) = mpsc::channel();
                let provider = self.provider.clone();
                let ask = move || {
                    // Nobody waits for an answer that comes when all clients are gone.
                    out.send(provider.token()).ok();
                };
                thread::Builder::new()
                    .name("tidewater-token".to_owned())
                    .spawn(ask)
                    .map_err(crate::error::thread)?;
                answer
            }
        };
        match answer.recv_timeout(patience) {
            Ok(token) => token,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                asking.under_way = Some(answer);
                Err(unavailable(format!("it has not answered within {} seconds", patience.as_secs())))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(unavailable("it has panicked".to_owned())),
        }
    }
}

fn unexpired(token: Token, now: SystemTime) -> Result<Token> {
    if token.expires <= now {
        return Err(Error::new(ErrorKind::Denied, "the token that it gave has expired already"));
    }
    if token.value.is_empty() || token.principal.is_empty() {
        return Err(Error::new(ErrorKind::Denied, "the token that it gave is empty, or has no principal"));
    }
    Ok(token)
}

fn unavailable(why: String) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counting(life: Duration) -> (Arc<AtomicUsize>, Arc<Tokens>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let provider = move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            Ok(Token::new(format!("hunter{number}"), "web", SystemTime::now() + life))
        };
        (asked, Tokens::of(Arc::new(provider)))
    }

    #[test]
    fn a_token_serves_all_until_half_of_its_life_is_over() {
        let (asked, tokens) = counting(Duration::from_secs(3600));
        assert_eq!(
            (tokens.token().unwrap().value(), tokens.token().unwrap().value()),
            ("hunter0", "hunter0")
        );
        lock(&tokens.asking).since = Some(SystemTime::now() - Duration::from_secs(3600));
        assert_eq!(tokens.token().unwrap().value(), "hunter1");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert!(!format!("{:?}", tokens.token()).contains("hunter"));
    }

    #[test]
    fn a_failure_is_kept_for_a_while_and_told_as_denied_or_unavailable() {
        for (kind, wanted) in [
            (ErrorKind::Unavailable, ErrorKind::Unavailable),
            (ErrorKind::Config, ErrorKind::Denied),
            (ErrorKind::Denied, ErrorKind::Denied),
        ] {
            let asked = Arc::new(AtomicUsize::new(0));
            let count = asked.clone();
            let tokens = Tokens::of(Arc::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
                Err(Error::new(kind, "no role"))
            }));
            for _ in 0..3 {
                let error = tokens.token().unwrap_err();
                assert_eq!((error.kind(), error.retry()), (wanted, Retry::Later));
                assert!(error.to_string().contains("no role"));
            }
            assert_eq!((asked.load(Ordering::SeqCst), tokens.failure()), (1, Some(wanted)));
        }
    }

    #[test]
    fn a_provider_that_hangs_or_panics_or_gives_nothing_good_is_an_error() {
        let (hold, held) = mpsc::channel::<()>();
        let (asked, held) = (Arc::new(AtomicUsize::new(0)), Mutex::new(held));
        let count = asked.clone();
        let tokens = Tokens::of(Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            lock(&held).recv().ok();
            Ok(Token::new("late", "web", SystemTime::now() + Duration::from_secs(60)))
        }));
        for _ in 0..2 {
            let error = tokens.token_within(Duration::from_millis(1)).unwrap_err();
            assert!(error.to_string().contains("not answered"), "{error}");
            lock(&tokens.asking).failed = None;
        }
        drop(hold);
        assert_eq!(tokens.token().unwrap().value(), "late", "the answer that was waited for");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "not asked twice at a time");

        let panics = Tokens::of(Arc::new(|| -> Result<Token> { panic!("on purpose") }));
        assert!(panics.token().unwrap_err().to_string().contains("panicked"));
        let old = Tokens::of(Arc::new(|| Ok(Token::new("old", "web", SystemTime::UNIX_EPOCH))));
        assert!(old.token().unwrap_err().to_string().contains("expired"));
        let empty = || Ok(Token::new("", "web", SystemTime::now() + Duration::from_secs(60)));
        assert!(Tokens::of(Arc::new(empty)).token().unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn the_same_provider_is_one_and_another_is_another() {
        let provider: Arc<dyn TokenProvider> = Arc::new(|| Err(Error::new(ErrorKind::Denied, "")));
        let (a, b) = (Tokens::of(provider.clone()), Tokens::of(provider));
        assert!(Arc::ptr_eq(&a, &b));
        let id = a.id();
        drop((a, b));
        let other = Tokens::of(Arc::new(|| Err(Error::new(ErrorKind::Denied, ""))));
        assert_ne!(other.id(), id, "also where it has the address of one that is gone");
    }
}
