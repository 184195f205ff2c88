//! A log, as it is opened and shared.

use std::{
    collections::HashMap,
    fmt,
    path::{Component, Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Sender},
    },
    thread,
};

use tidewater_core::{Error, ErrorKind, Message, Result, SourceUrl, TopicName};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    EmbeddedSink, EmbeddedSource, KIND, MAX_MESSAGE, Settings,
    failure::{self, Failure},
    requests::{Answer, Append, Appended, Request, WriterCursor},
    store::Store,
    tail::{Place, Tail},
    writer,
};

/// What waits to be written, at most: bytes, where each message counts for its size and this.
const WAITING: usize = 64 << 20;
const EACH: usize = 1 << 10;
/// What is given to the writer at once, of more than one message.
const AT_ONCE: usize = 4 << 20;

/// How many logs there have been.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// A durable log with one partition. Cloning shares it.
#[derive(Clone)]
pub struct EmbeddedLog(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    log: Identity,
    /// Tells this log from every other of this process.
    pub(crate) number: u64,
    pub(crate) tail: Arc<Tail>,
    gate: Arc<Mutex<()>>,
    /// Of the thread that writes, once there is one.
    writer: Mutex<Option<Sender<Request>>>,
    waiting: Arc<Semaphore>,
}

/// What tells a log from others.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// As it was written.
    shown: String,
    pub(crate) path: PathBuf,
    pub(crate) settings: Settings,
}

/// A path that is open here, or was until a moment ago.
struct Known {
    log: Weak<Shared>,
    /// Whoever writes it has this locked.
    gate: Arc<Mutex<()>>,
}

impl EmbeddedLog {
    /// The log in this folder: in this process the same path is the same log, as long as anybody holds it. A relative path
    /// is one of the working directory.
    ///
    /// Nothing is opened yet, nor made: that is done when something is first asked.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is open here with other settings, for a path that is none, and for settings out of their
    /// bounds.
    pub fn open(path: impl AsRef<Path>, settings: Settings) -> Result<Self> {
        static KNOWN: LazyLock<Mutex<HashMap<PathBuf, Known>>> = LazyLock::new(Mutex::default);

        let path = path.as_ref();
        let shown = path.display().to_string();
        settings.check().map_err(|error| error.context(format!("{KIND}:{shown}")))?;
        let canonical = canonical(path).map_err(|error| {
            Error::new(ErrorKind::Config, format!("{KIND}:{shown}: it is no path of a folder: {error}"))
        })?;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| known.log.strong_count() > 0 || Arc::strong_count(&known.gate) > 1);
        let gate = match known.get(&canonical) {
            Some(known) => match known.log.upgrade() {
                Some(shared) if shared.log.settings == settings => return Ok(Self(shared)),
                Some(shared) => {
                    return Err(Error::new(
                        ErrorKind::Config,
                        format!(
                            "{KIND}:{shown} is open with other settings ({}, and now {settings}): say the same wherever it \
                             is named, or restart to change them",
                            shared.log.settings
                        ),
                    ));
                }
                None => known.gate.clone(),
            },
            None => Arc::default(),
        };
        let shared = Arc::new(Shared {
            log: Identity { shown, path: canonical.clone(), settings },
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            tail: Arc::new(Tail::new()),
            gate: gate.clone(),
            writer: Mutex::new(None),
            waiting: Arc::new(Semaphore::new(WAITING)),
        });
        known.insert(canonical, Known { log: Arc::downgrade(&shared), gate });
        Ok(Self(shared))
    }

    /// The log of a URL: `embedded:PATH?PARAMETERS`.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`ErrorKind::Config`] for what is no such URL.
    pub fn from_url(url: &SourceUrl) -> Result<Self> {
        let config = |message: String| Error::new(ErrorKind::Config, message);
        let settings = Settings::from_url(url)?;
        if url.has_authority() {
            let (host, path) = (url.authority(), url.path());
            let meant = if host.is_empty() { format!("/{path}") } else { format!("./{host}/{path}") };
            return Err(config(format!(
                "a log in a folder has no host: write {KIND}:{} (a path behind one \":\", {KIND}:/var/lib/x or {KIND}:./x)",
                meant.trim_end_matches('/')
            )));
        }
        let path = url.decoded_path()?;
        if path.is_empty() {
            return Err(config(format!(
                "{KIND}: names no folder: write {KIND}:./data or {KIND}:/var/lib/data"
            )));
        }
        if path.contains('\0') {
            return Err(config(format!("{KIND}:{}: a path holds no NUL", url.path())));
        }
        Self::open(path, settings)
    }

    /// Its source. Each call gives another view of the same log.
    pub fn source(&self) -> EmbeddedSource {
        EmbeddedSource(self.clone())
    }

    /// Its sink.
    pub fn sink(&self) -> EmbeddedSink {
        EmbeddedSink(self.clone())
    }

    /// Removes everything before `offset`, as retention would, and resolves when it is gone for readers. The room on the
    /// disk is given back part by part.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] where a retry can help, and whatever keeps the log from being opened.
    ///
    /// # Cancel safety
    /// A call that is dropped may or may not have removed it.
    pub async fn truncate_before(&self, offset: u64) -> Result<()> {
        self.ask(|answer| Request::Remove(offset, answer)).await
    }

    /// Where it is now, from the writer.
    pub(crate) async fn place(&self) -> Result<Arc<Place>> {
        self.ask(Request::Place).await
    }

    /// Writes these in their order, in one batch, and with them the cursor of a writer.
    pub(crate) async fn append(
        &self,
        messages: Vec<Message>,
        writer: Option<WriterCursor>,
    ) -> Result<Appended> {
        let mut cost = 0;
        for message in &messages {
            let size = message.size();
            if size > MAX_MESSAGE {
                return Err(Error::new(
                    ErrorKind::Rejected,
                    format!("{self}: a message of {size} bytes: at most {MAX_MESSAGE} are taken"),
                ));
            }
            cost += size + EACH;
        }
        let cost = u32::try_from(cost.clamp(EACH, WAITING)).unwrap_or(u32::MAX);
        let permit = self.0.waiting.clone().acquire_many_owned(cost).await;
        let permit = permit.map_err(|_| self.failed(&Failure::new(ErrorKind::Closed, "it is closed")))?;
        self.ask(|answer| Request::Append(Append { messages, writer, answer, permit })).await
    }

    /// Reads in the store, on a thread that may block. `None` while it is not open.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> failure::Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let tail = self.0.tail.clone();
        let task = tokio::task::spawn_blocking(move || {
            let store = tail.store.read().unwrap_or_else(PoisonError::into_inner);
            store.as_ref().map(read).transpose()
        });
        match task.await {
            Ok(read) => read.map_err(|failure| self.failed(&failure)),
            Err(error) if error.is_panic() => {
                let what = "reading it failed an assertion of its own, which was printed";
                Err(self.failed(&Failure::damaged(what)))
            }
            Err(_) => Err(self.failed(&Failure::new(ErrorKind::Closed, "the runtime is shutting down"))),
        }
    }

    /// Asks the writer, which is started if there is none.
    pub(crate) async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.give(request(answer)).map_err(|failure| self.failed(&failure))?;
        match answered.await {
            Ok(answer) => answer.map_err(|failure| self.failed(&failure)),
            Err(_) => Err(self.failed(&Failure::unavailable("its writer has failed; it is started again"))),
        }
    }

    fn give(&self, request: Request) -> failure::Result<()> {
        let mut writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let request = match &*writer {
            Some(requests) => match requests.send(request) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(request)) => request,
            },
            None => request,
        };
        let (requests, received) = mpsc::channel();
        let (log, gate, tail) = (self.0.log.clone(), self.0.gate.clone(), self.0.tail.clone());
        thread::Builder::new()
            .name("tidewater-embedded".to_owned())
            .spawn(move || writer::run(log, &gate, tail, &received))
            .map_err(|error| Failure::unavailable(format!("no thread could be started: {error}")))?;
        drop(requests.send(request));
        *writer = Some(requests);
        Ok(())
    }

    pub(crate) fn failed(&self, failure: &Failure) -> Error {
        failure.error().context(self.to_string())
    }
}

/// How many of these are given to the writer at once: one at least.
pub(crate) fn at_once<T>(items: &[T], size: impl Fn(&T) -> usize) -> usize {
    let mut bytes = 0;
    let fit = items.iter().take_while(|item| {
        bytes += size(item) + EACH;
        bytes <= AT_ONCE
    });
    fit.count().max(1).min(items.len())
}

impl Identity {
    /// The name of a topic that is not there yet.
    pub(crate) fn new_topic(&self) -> TopicName {
        self.settings.topic.clone().unwrap_or_else(|| {
            let name = self.path.file_name().map(|name| name.to_string_lossy());
            name.map_or_else(|| TopicName::new(KIND), TopicName::new)
        })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}:{}", self.shown)
    }
}

impl fmt::Display for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.log.fmt(f)
    }
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddedLog({self})")
    }
}

/// The one path of a folder, whether or not it is there yet: links are followed as far as there is something.
fn canonical(path: &Path) -> std::io::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    for there in whole.ancestors() {
        if let Ok(found) = there.canonicalize() {
            return Ok(match whole.strip_prefix(there) {
                Ok(rest) => joined(found, rest),
                Err(_) => found,
            });
        }
    }
    Ok(whole)
}

/// What is not there yet can't be a link, so `..` is what is before it.
fn joined(mut there: PathBuf, rest: &Path) -> PathBuf {
    for part in rest.components() {
        match part {
            Component::ParentDir => _ = there.pop(),
            other => there.push(other),
        }
    }
    there
}
