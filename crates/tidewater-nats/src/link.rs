//! Connections that are shared by all who have the same servers, settings and runtime.
//!
//! A hundred channels of streams on one server have one connection. That they can't hold each other up is seen to in
//! two places: the client never waits for a reader (each has a queue of its own), and what readers ask for at a time
//! is bounded for all of them together ([`Link::budget`]), as the server cuts off a connection for which more than
//! 64 MiB wait.
//!
//! The connection belongs to the runtime that it was made on, and ends with it; so it isn't shared beyond that.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use async_nats::{Client, Event, jetstream};
use tidewater_core::{Error, ErrorKind, Result, Retry};
use tokio::{
    runtime,
    sync::Semaphore,
    time::{Duration, Instant, timeout},
};

use crate::{
    config::Profile,
    connect::{REQUEST_TIMEOUT, connect},
    refusal::{Listener, Refusal, Refusals},
};

/// Kibibytes that may be asked for in large requests of all readers of a connection at a time: half of what a server
/// lets wait for a connection by default.
pub(crate) const BUDGET: u32 = 32 << 10;

/// How long a refusal may be on its way from the client's one task to the other.
const GRACE: Duration = Duration::from_millis(20);

/// What a source or a sink has of a connection. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) profile: Arc<Profile>,
    /// Where the API of JetStream is, if not at `$JS.API`.
    pub(crate) api_prefix: Option<String>,
    held: Arc<Mutex<Option<Arc<Link>>>>,
}

impl Connection {
    pub(crate) fn new(profile: Profile, api_prefix: Option<String>) -> Self {
        Self { profile: Arc::new(profile), api_prefix, held: Arc::default() }
    }

    /// The connection, made if there is none that works.
    ///
    /// # Errors
    /// As [`connect`]. The next call tries again.
    pub(crate) async fn link(&self) -> Result<Arc<Link>> {
        let runtime = runtime::Handle::current().id();
        let held = self.held().clone();
        if let Some(link) = held.filter(|link| link.runtime == runtime && link.works() && !link.is_doubted())
        {
            return Ok(link);
        }
        let link = slot(runtime, &self.profile).link(&self.profile).await?;
        *self.held() = Some(link.clone());
        Ok(link)
    }

    /// Where JetStream's API is.
    pub(crate) fn api(&self) -> &str {
        self.api_prefix.as_deref().unwrap_or("$JS.API")
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<Link>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    profile: Arc<Profile>,
    client: Client,
    runtime: runtime::Id,
    refusals: Refusals,
    /// A subscription that was refused and may be the client's own, which it makes once.
    inbox: Arc<Mutex<Option<Refusal>>>,
    /// The client has given up, or can't be used any more.
    over: Arc<AtomicBool>,
    /// Something was refused: the file of the login may be another by now, that allows it.
    doubted: AtomicBool,
    login: Option<u64>,
    contexts: Mutex<HashMap<Option<String>, jetstream::Context>>,
    budget: Arc<Semaphore>,
}

impl Link {
    async fn open(profile: Arc<Profile>) -> Result<Self> {
        let (refusals, over) = (Refusals::new(), Arc::new(AtomicBool::new(false)));
        let (told, ends) = (refusals.clone(), Ends(over.clone()));
        let inbox = Arc::new(Mutex::new(None));
        let seen = inbox.clone();
        // Before it is used: a change in between is seen as one.
        let login = profile.login.fingerprint().await;
        let client = connect(&profile, |options| {
            options.event_callback(move |event| {
                // The callback goes when the client has given up.
                let _ends = &ends;
                if let Event::ServerError(error) = event {
                    let refusal = told.take(&error.to_string());
                    if let Some(refusal @ Refusal::Subscribe(_)) = refusal.filter(Refusal::may_be_inbox) {
                        *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                    }
                }
                std::future::ready(())
            })
        })
        .await?;
        let runtime = runtime::Handle::current().id();
        Ok(Self {
            profile,
            client,
            runtime,
            refusals,
            inbox,
            over,
            doubted: AtomicBool::new(false),
            login,
            contexts: Mutex::default(),
            budget: Arc::new(Semaphore::new(BUDGET as usize)),
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The client's JetStream side.
    pub(crate) fn jetstream(&self, api_prefix: Option<&str>) -> jetstream::Context {
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let builder = jetstream::ContextBuilder::new().timeout(REQUEST_TIMEOUT);
            match api_prefix {
                Some(prefix) => builder.api_prefix(prefix).build(self.client.clone()),
                None => builder.build(self.client.clone()),
            }
        };
        contexts.entry(api_prefix.map(str::to_owned)).or_insert_with(make).clone()
    }

    /// Kibibytes for large requests.
    pub(crate) fn budget(&self) -> Arc<Semaphore> {
        self.budget.clone()
    }

    /// What is refused from now on.
    pub(crate) fn listen(&self) -> Listener {
        self.refusals.listen()
    }

    /// The error of a refusal. When answers can't come in, nothing works here, and the permission that may be given
    /// later is looked at only when the client subscribes again: so the connection is not used any more.
    pub(crate) fn refused(&self, refusal: &Refusal) -> Error {
        self.doubted.store(true, SeqCst);
        if self.is_inbox(refusal) {
            self.over.store(true, SeqCst);
        }
        refusal.error(&self.profile)
    }

    /// Does something whose message to this subject, or whose answer, may be refused.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] as soon as it is.
    pub(crate) async fn ask<T>(&self, subject: &str, asked: impl Future<Output = T>) -> Result<T> {
        let mut refusals = self.listen();
        if let Some(refusal) = self.without_inbox() {
            return Err(self.refused(&refusal));
        }
        let meant = |refusal: &Refusal| {
            self.is_inbox(refusal) || matches!(refusal, Refusal::Publish(refused) if refused == subject)
        };
        tokio::select! {
            answer = asked => Ok(answer),
            refusal = refusals.meant(meant) => Err(self.refused(&refusal)),
        }
    }

    /// That no answers come in, if that is known: the client subscribes to them once, with the first request.
    pub(crate) fn without_inbox(&self) -> Option<Refusal> {
        let seen = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone().filter(|refusal| self.is_inbox(refusal))
    }

    /// Whether this is of the subject that the client takes all answers from.
    fn is_inbox(&self, refusal: &Refusal) -> bool {
        let inbox = self.client.new_inbox();
        let prefix = inbox.rsplit_once('.').map_or(&*inbox, |(prefix, _)| prefix);
        let of = |subject: &str| {
            subject.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".*"))
        };
        matches!(refusal, Refusal::Subscribe(subject) if of(subject))
    }

    fn is_doubted(&self) -> bool {
        self.doubted.load(SeqCst)
    }

    /// Whether another connection would log in as this one did. If not, this one is not used any more.
    async fn is_good(&self) -> bool {
        if !self.works() {
            return false;
        }
        if self.doubted.swap(false, SeqCst) && self.profile.login.fingerprint().await != self.login {
            self.over.store(true, SeqCst);
        }
        self.works()
    }

    fn works(&self) -> bool {
        !self.over.load(SeqCst)
    }
}

/// Says that the client has given up.
#[derive(Debug)]
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What a round trip to the server showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoundTrip {
    /// The server has seen everything that was sent before.
    Done,
    /// The same, by its refusal: the user has no inbox.
    Refused,
    /// The connection was lost meanwhile, and what was sent before may be, too.
    Lost,
}

/// Waits until the server has dealt with everything that was sent before. (The client's `flush` only waits until it is
/// written to the socket.) A request to a subject that nobody listens on is answered by the server itself, in order;
/// and so it is refused, if it is.
///
/// Cancel safe.
pub(crate) async fn round_trip(client: &Client, refusals: &mut Listener) -> RoundTrip {
    let connects = || client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed);
    let before = connects();
    let inbox = client.new_inbox();
    let prefix = inbox.rsplit_once('.').map_or("", |(prefix, _)| prefix);
    let of_inboxes = |refusal: &Refusal| match refusal {
        Refusal::Publish(subject) => *subject == inbox,
        Refusal::Subscribe(subject) => subject.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')),
        Refusal::Limit(_) => false,
    };
    let answer = tokio::select! {
        answer = client.request(inbox.clone(), bytes::Bytes::new()) => answer,
        _ = refusals.meant(of_inboxes) => return RoundTrip::Refused,
    };
    match answer {
        Ok(_) => RoundTrip::Done,
        Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => RoundTrip::Done,
        Err(_)
            if connects() == before
                && client.connection_state() == async_nats::connection::State::Connected =>
        {
            RoundTrip::Refused
        }
        Err(_) => RoundTrip::Lost,
    }
}

/// A refusal of something that the server has dealt with. The client hands it from one of its tasks to another, which
/// may be behind us by some of its turns.
pub(crate) async fn refused_before(
    refusals: &mut Listener,
    mut meant: impl FnMut(&Refusal) -> bool,
) -> Option<Refusal> {
    timeout(GRACE, refusals.meant(&mut meant)).await.ok()
}

type Slots = HashMap<(runtime::Id, Arc<Profile>), Arc<Slot>>;

/// The connections there are. Weak: they go with those who use them.
static SLOTS: LazyLock<Mutex<Slots>> = LazyLock::new(Mutex::default);

fn slot(runtime: runtime::Id, profile: &Arc<Profile>) -> Arc<Slot> {
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.is_used());
    slots.entry((runtime, profile.clone())).or_default().clone()
}

/// The place of one connection. Who needs it while it is being made waits, and has the same outcome.
#[derive(Debug, Default)]
struct Slot(tokio::sync::Mutex<State>);

#[derive(Debug, Default)]
struct State {
    link: Weak<Link>,
    failed: Option<Failed>,
}

/// An attempt that failed, for those who waited for it.
#[derive(Debug)]
struct Failed {
    at: Instant,
    kind: ErrorKind,
    retry: Retry,
    text: String,
}

impl Slot {
    async fn link(&self, profile: &Arc<Profile>) -> Result<Arc<Link>> {
        let asked = Instant::now();
        let mut state = self.0.lock().await;
        if let Some(link) = state.link.upgrade()
            && link.is_good().await
        {
            return Ok(link);
        }
        if let Some(failed) = state.failed.as_ref().filter(|failed| failed.at >= asked) {
            return Err(Error::new(failed.kind, failed.text.clone()).with_retry(failed.retry));
        }
        match Link::open(profile.clone()).await {
            Ok(link) => {
                let link = Arc::new(link);
                *state = State { link: Arc::downgrade(&link), failed: None };
                Ok(link)
            }
            Err(error) => {
                let (kind, retry, text) = (error.kind(), error.retry(), error.to_string());
                state.failed = Some(Failed { at: Instant::now(), kind, retry, text });
                Err(error)
            }
        }
    }

    fn is_used(&self) -> bool {
        // Who holds the lock uses it.
        self.0.try_lock().map_or(true, |state| state.link.strong_count() > 0)
    }
}
