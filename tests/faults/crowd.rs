//! Clients that come back with their last id, as an `EventSource` does, and keep [`Books`].

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tidewater_tests::SseClient;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::books::{Books, Goal};

/// They begin one after the other, so far apart: the queue of a listener does not hold ten thousand at once.
const APART: Duration = Duration::from_micros(200);
/// How long an answer may take before a client tries again.
const ANSWER: Duration = Duration::from_secs(10);

/// What the clients shall do.
#[derive(Clone, Debug, Default)]
struct Orders {
    /// Cut their connections, and stay away.
    away: bool,
    /// Keep them, and read nothing.
    deaf: bool,
    /// When the fault was over.
    over: Option<Instant>,
}

/// Any number of clients of one channel. Dropping it cuts them.
#[derive(Debug)]
pub(crate) struct Crowd {
    orders: watch::Sender<Orders>,
    clients: Vec<Arc<Mutex<Books>>>,
    shared: Arc<Shared>,
    tasks: JoinSet<Result<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    connections: AtomicU64,
    recoveries: Mutex<Vec<Duration>>,
}

impl Crowd {
    /// Starts them. Every tenth, the first too, begins 15 seconds ago if `some_earlier`, the others now. Before they
    /// come back they wait as long as `retry:` says, and never longer than `retry`.
    pub(crate) fn open(
        to: SocketAddr,
        path: &str,
        count: usize,
        some_earlier: bool,
        retry: Duration,
    ) -> Self {
        let (orders, _) = watch::channel(Orders::default());
        let mut crowd =
            Self { orders, clients: Vec::new(), shared: Arc::default(), tasks: JoinSet::default() };
        for number in 0..count {
            let books = Arc::new(Mutex::new(Books::default()));
            let earlier = some_earlier && number % 10 == 0;
            let client = Client {
                to,
                path: if earlier { format!("{path}?since=15s") } else { path.to_owned() },
                id: None,
                books: books.clone(),
                orders: crowd.orders.subscribe(),
                shared: crowd.shared.clone(),
                recovered: None,
                longest: retry,
                retry,
            };
            crowd.clients.push(books);
            let begins = Instant::now() + APART * u32::try_from(number).unwrap_or(u32::MAX);
            crowd.tasks.spawn(async move {
                sleep_until(begins).await;
                client.run().await.with_context(|| format!("client {number}"))
            });
        }
        crowd
    }

    /// Waits until each has its first cursor.
    ///
    /// # Errors
    /// If one hasn't, or has failed.
    pub(crate) async fn begun(&mut self, patience: Duration) -> Result<()> {
        self.until(patience, "began", Books::has_begun).await
    }

    /// Waits until each has had everything.
    ///
    /// # Errors
    /// If one hasn't, or has failed.
    pub(crate) async fn reach(&mut self, goal: &Goal, patience: Duration) -> Result<()> {
        let told = self.until(patience, "have everything", |books| books.has_reached(goal)).await;
        told.with_context(|| format!("on the way to {:?}", goal))
    }

    async fn until(&mut self, patience: Duration, what: &str, ready: impl Fn(&Books) -> bool) -> Result<()> {
        let deadline = Instant::now() + patience;
        let mut waiting = self.clients.clone();
        loop {
            self.check()?;
            // Who is ready stays it: nothing more is written meanwhile.
            waiting.retain(|books| !ready(&lock(books)));
            let Some(one) = waiting.first() else { return Ok(()) };
            if Instant::now() > deadline {
                bail!(
                    "{} of {} clients {what} within {patience:?}; one of the others stands at {:?}",
                    self.clients.len() - waiting.len(),
                    self.clients.len(),
                    lock(one).place()
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// An error if a client has failed.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.tasks.try_join_next() {
            None => Ok(()),
            Some(ended) => {
                ended??;
                bail!("a client has ended")
            }
        }
    }

    /// How many streams they have had so far, all together.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Cuts all connections, and stays away till [`back`](Self::back).
    pub(crate) fn away(&self) {
        self.orders.send_modify(|orders| orders.away = true);
    }

    /// Comes back.
    pub(crate) fn back(&self) {
        self.orders.send_modify(|orders| orders.away = false);
    }

    /// Reads nothing any more, with connections open, or reads on.
    pub(crate) fn deaf(&self, deaf: bool) {
        self.orders.send_modify(|orders| orders.deaf = deaf);
    }

    /// The fault is over: from now on until its next message each is recovering.
    pub(crate) fn over(&self) {
        self.orders.send_modify(|orders| orders.over = Some(Instant::now()));
    }

    /// The same, unless that has been said.
    pub(crate) fn over_at_last(&self) {
        if self.orders.borrow().over.is_none() {
            self.over();
        }
    }

    /// Cuts all, for good; answers their books, how often they connected, and how long they took to recover.
    ///
    /// # Errors
    /// If one has failed.
    pub(crate) async fn close(mut self) -> Result<(Vec<Books>, u64, Vec<Duration>)> {
        self.check()?;
        self.tasks.shutdown().await;
        let books = self.clients.iter().map(|books| lock(books).clone()).collect();
        let recoveries = self.shared.recoveries.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((books, self.connections(), recoveries))
    }
}

struct Client {
    to: SocketAddr,
    path: String,
    id: Option<String>,
    books: Arc<Mutex<Books>>,
    orders: watch::Receiver<Orders>,
    shared: Arc<Shared>,
    /// From the fault that was over then.
    recovered: Option<Instant>,
    /// The longest wait before it comes back.
    longest: Duration,
    /// The wait that the server has told last.
    retry: Duration,
}

impl Client {
    async fn run(mut self) -> Result<()> {
        loop {
            self.orders.wait_for(|orders| !orders.away).await?;
            let connect = SseClient::connect(self.to, &self.path, self.id.as_deref());
            // Else nobody listens, or who did has died.
            if let Ok(Ok(stream)) = timeout(ANSWER, connect).await {
                self.read(stream).await?;
            }
            if self.orders.borrow().away {
                continue;
            }
            sleep(self.retry.min(self.longest).mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }

    /// One connection.
    async fn read(&mut self, mut stream: SseClient) -> Result<()> {
        ensure!(stream.status() == 200, "status {} (I10)", stream.status());
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        loop {
            let orders = self.orders.borrow_and_update().clone();
            if orders.away {
                return Ok(());
            }
            if orders.deaf {
                self.orders.changed().await?;
                continue;
            }
            tokio::select! {
                event = stream.next() => {
                    self.retry = stream.retry().unwrap_or(self.retry);
                    let Ok(Some(event)) = event else { return Ok(()) };
                    lock(&self.books).take(&event)?;
                    self.id = stream.last_event_id().map(str::to_owned);
                    if let Some(over) = orders.over
                        && self.recovered != Some(over)
                        && !event.event_type.starts_with("tidewater.")
                    {
                        self.recovered = Some(over);
                        let mut all = self.shared.recoveries.lock().unwrap_or_else(PoisonError::into_inner);
                        all.push(over.elapsed());
                    }
                }
                changed = self.orders.changed() => changed?,
            }
        }
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}
