//! The thread that writes a log: it alone changes the store.
//!
//! It takes all that waits, writes it as one batch, has it synced as the settings say, and answers all. Between times it
//! removes what retention lets go, and looks whether the folder is still there.

mod open;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};

use tidewater_core::ErrorKind;
use tracing::{info, warn};

use self::open::Open;
use crate::{
    failure::{Failure, Result},
    log::Identity,
    requests::{Answer, Append, Appended, Request, WriterCursor},
    settings::SyncPolicy,
    store::{Batch, Store},
    tail::{Place, Tail},
};

/// The most that one batch takes: requests, and bytes of messages, but for the last request's.
const BATCH_REQUESTS: usize = 4096;
const BATCH_BYTES: usize = 8 << 20;
/// How often it looks after what is kept and whether the folder is there, when nothing is asked; and at most, when much is.
const IDLE: Duration = Duration::from_millis(500);
const BUSY: Duration = Duration::from_millis(50);
/// How long it waits until it tries again to open what could not be opened.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the store's worker has to let go of its files, once it was closed for an error.
const LET_GO: Duration = Duration::from_millis(20);

/// The next number of a writer that takes over an id: none is given twice, whichever thread writes.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// What a thread of its own runs until nobody is left to ask.
pub(crate) fn run(log: Identity, gate: &Mutex<()>, tail: Arc<Tail>, requests: &Receiver<Request>) {
    // One of the same path that is just closing has it until it has.
    let _gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
    // One that has failed has left it open.
    tail.close();
    let mut writer = Writer {
        log,
        tail,
        open: None,
        opened: Instant::now(),
        failed: None,
        looked: Instant::now(),
        numbers: HashMap::new(),
    };
    loop {
        match requests.recv_timeout(writer.wait()) {
            Ok(first) => {
                let (mut batch, mut bytes) = (Vec::new(), size(&first));
                batch.push(first);
                while batch.len() < BATCH_REQUESTS && bytes < BATCH_BYTES {
                    let Ok(request) = requests.try_recv() else { break };
                    bytes += size(&request);
                    batch.push(request);
                }
                writer.serve(batch);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        writer.look_after();
    }
    writer.close();
}

fn size(request: &Request) -> usize {
    match request {
        Request::Append(append) => append.messages.iter().map(tidewater_core::Message::size).sum(),
        _ => 0,
    }
}

struct Writer {
    log: Identity,
    tail: Arc<Tail>,
    open: Option<Open>,
    /// When it was opened last.
    opened: Instant,
    /// Why it is not open, and since when.
    failed: Option<(Failure, Instant)>,
    /// When it last looked after what is there.
    looked: Instant,
    /// Who has taken over which id last, since it was opened. For this process: no other has the folder open.
    numbers: HashMap<String, u64>,
}

impl Writer {
    fn wait(&self) -> Duration {
        let due = self.open.as_ref().and_then(|open| open.sync_due(self.log.settings.sync));
        due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()).min(IDLE))
    }

    fn serve(&mut self, requests: Vec<Request>) {
        let mut appends = Vec::new();
        for request in requests {
            match request {
                Request::Append(append) => appends.push(append),
                other => {
                    // What came before it is done before it.
                    self.append(std::mem::take(&mut appends));
                    self.answer(other);
                }
            }
        }
        self.append(appends);
    }

    fn answer(&mut self, request: Request) {
        let ready = self.ready();
        match request {
            Request::Append(append) => self.append(vec![append]),
            Request::Place(answer) => tell(answer, ready.and_then(|()| self.place())),
            Request::Flush(answer) => tell(answer, ready.and_then(|()| self.with(Open::sync))),
            Request::Remove(before, answer) => {
                let tail = self.tail.clone();
                let remove = |open: &mut Open, store: &Store| open.retain_from(store, &tail, before);
                tell(answer, ready.and_then(|()| self.with(remove)));
            }
            Request::TakeOver(id, answer) => tell(answer, ready.and_then(|()| self.take_over(id))),
        }
    }

    /// Writes these as one batch, and answers them.
    fn append(&mut self, appends: Vec<Append>) {
        if appends.is_empty() {
            return;
        }
        let Err((mut rest, mut failure)) = self.try_append(appends) else { return };
        // Nothing was written by a store that had failed before: opened again it may take it.
        if failure.is_refused() {
            match self.try_append(rest) {
                Ok(()) => return,
                Err(again) => (rest, failure) = again,
            }
        }
        rest.into_iter().for_each(|append| tell(append.answer, Err(failure.clone())));
    }

    /// The same; gives back what it has not answered, and why.
    fn try_append(&mut self, appends: Vec<Append>) -> Result<(), (Vec<Append>, Failure)> {
        if let Err(failure) = self.ready() {
            return Err((appends, failure));
        }
        let mut writable = Vec::new();
        for append in appends {
            match append.writer.as_ref().map_or(Ok(()), |writer| self.may_write(writer)) {
                Ok(()) => writable.push(append),
                Err(failure) => tell(append.answer, Err(failure)),
            }
        }
        let written = self.write(&mut writable);
        written.map_err(|failure| (writable, failure))
    }

    /// Takes out of `appends` what it has answered: all, or nothing.
    fn write(&mut self, appends: &mut Vec<Append>) -> Result<()> {
        let (mut batch, now) = (Batch::default(), SystemTime::now());
        let count: u64 = appends.iter().map(|append| append.messages.len() as u64).sum();
        let sync = self.log.settings.sync == SyncPolicy::Always && count > 0;
        let tail = self.tail.clone();
        let written = self.with(|open, store| {
            open.make_room(store)?;
            let mut ends = open.ends;
            for append in appends.iter_mut() {
                for message in &mut append.messages {
                    batch.append(&mut ends, message, now);
                }
                if let Some(writer) = &append.writer {
                    batch.set_writer(&writer.id, writer.cursor.clone());
                }
            }
            store.write(batch, sync)?;
            open.wrote(ends, sync);
            Ok(ends)
        });
        let ends = written?;
        let messages = appends.iter().flat_map(|append| append.messages.iter().cloned());
        tail.append(messages, &ends);
        let place = self.place()?;
        let mut offset = ends.end - count;
        for append in appends.drain(..) {
            let written = append.messages.len() as u64;
            tell(append.answer, Ok(Appended { place: place.clone(), offset }));
            drop(append.permit);
            offset += written;
        }
        Ok(())
    }

    fn take_over(&mut self, id: String) -> Result<(Option<String>, u64)> {
        let cursor = self.with(|_, store| store.writer(&id))?;
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        self.numbers.insert(id, number);
        Ok((cursor, number))
    }

    fn may_write(&self, writer: &WriterCursor) -> Result<()> {
        match self.numbers.get(&writer.id) {
            Some(number) if *number == writer.number => Ok(()),
            Some(_) => Err(Failure::new(
                ErrorKind::Closed,
                format!("another writer of the id {:?} has taken over", writer.id),
            )),
            None => Err(Failure::unavailable(format!(
                "the log was opened again, and knows nothing of the writer {:?}: resume again",
                writer.id
            ))),
        }
    }

    fn place(&self) -> Result<Arc<Place>> {
        self.tail.place().ok_or_else(|| Failure::unavailable("it is not open"))
    }

    /// Opens the store, unless it is open and its folder is there.
    fn ready(&mut self) -> Result<()> {
        if self.open.as_ref().is_some_and(Open::is_there) {
            return Ok(());
        }
        if self.open.is_some() {
            warn!(log = %self.log, "the folder was removed or moved: beginning anew at its path");
            self.abandon();
        }
        if let Some((failure, since)) = &self.failed
            && since.elapsed() < PAUSE
        {
            return Err(failure.clone());
        }
        let before = self.tail.place();
        match Open::begin(&self.log) {
            Ok((open, store)) => {
                if let Some(before) = before.filter(|before| before.epoch != store.epoch) {
                    warn!(log = %self.log, epoch = %store.epoch, before = %before.epoch, "it is another log than before");
                }
                self.numbers.clear();
                let ends = open.ends;
                info!(log = %self.log, first = ends.first, end = ends.end, "opened");
                self.tail.open(store, &ends);
                self.open = Some(open);
                self.opened = Instant::now();
                self.failed = None;
                Ok(())
            }
            Err(failure) => {
                self.failed = Some((failure.clone(), Instant::now()));
                Err(failure)
            }
        }
    }

    /// Does something with the open store. What fails closes it: it is read anew, from what is on the disk.
    fn with<T>(&mut self, run: impl FnOnce(&mut Open, &Store) -> Result<T>) -> Result<T> {
        let store = self.tail.store.read().unwrap_or_else(PoisonError::into_inner);
        let (Some(open), Some(opened)) = (&mut self.open, store.as_ref()) else {
            return Err(Failure::unavailable("it is not open"));
        };
        let done = run(open, opened);
        drop(store);
        if let Err(failure) = &done {
            self.fail(failure);
        }
        done
    }

    fn fail(&mut self, failure: &Failure) {
        if failure.is_busy() {
            warn!(log = %self.log, "{}", failure.error());
            return;
        }
        warn!(log = %self.log, "{}; the store is opened again", failure.error());
        self.abandon();
        std::thread::sleep(LET_GO);
        // One that fails as soon as it is open (a disk that stays full) is not opened for each message.
        if self.opened.elapsed() < PAUSE {
            self.failed = Some((failure.clone(), Instant::now()));
        }
    }

    /// Keeps what is to be kept, has synced what is due, and looks whether the folder is there.
    fn look_after(&mut self) {
        let policy = self.log.settings.sync;
        if self.open.as_ref().and_then(|open| open.sync_due(policy)).is_some_and(|due| due <= Instant::now())
        {
            let _failed = self.with(Open::sync);
        }
        if self.looked.elapsed() < BUSY {
            return;
        }
        self.looked = Instant::now();
        // One that was never open is opened when somebody asks for it.
        let was_open = self.open.is_some() || self.tail.place().is_some();
        if was_open && self.ready().is_ok() {
            let (tail, retain) = (self.tail.clone(), self.log.settings.retain);
            let _failed = self.with(|open, store| open.retain(store, &tail, retain));
        }
    }

    /// Closes it as it is.
    fn abandon(&mut self) {
        self.tail.close();
        self.open = None;
    }

    fn close(&mut self) {
        let is_synced = self.open.as_ref().is_some_and(Open::is_there) && self.with(Open::sync).is_ok();
        self.tail.close();
        if let Some(mut open) = self.open.take().filter(|_| is_synced) {
            open.note_closed();
        }
    }
}

/// Whoever asked may have gone.
fn tell<T>(answer: Answer<T>, what: Result<T>) {
    drop(answer.send(what));
}
