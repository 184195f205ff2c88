//! A thread that writes lines, so that nobody else waits for who reads them.
//!
//! `tracing-appender` has one too; with its queue full it prints to standard output when it is dropped, and a gateway whose
//! reader has stopped would never end.

use std::{
    io::{self, ErrorKind, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;

use super::line::Format;

/// How many lines may wait. Each has some KiB at most.
const QUEUE: usize = 4096;
/// How many bytes are written at once, and one line more.
const BATCH: usize = 64 << 10;
/// How often a full queue is looked at by who waits for its end.
const LOOK: Duration = Duration::from_millis(10);

/// Takes lines for as long as somebody reads them. What there is no room for is left out, and counted.
#[derive(Debug)]
pub(super) struct Lines {
    queue: SyncSender<Put>,
    lost: Arc<AtomicU64>,
}

enum Put {
    Line(Format, String),
    /// To be answered when everything before it is written.
    Flush(SyncSender<()>),
}

impl Lines {
    /// Starts the thread.
    pub(super) fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = mpsc::sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let count = lost.clone();
        thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            if let Err(error) = write(&lines, &count, to) {
                tracing::warn!("the access log ends: nobody takes it any more: {error}");
            }
        })?;
        Ok(Self { queue, lost })
    }

    /// Never waits.
    pub(super) fn put(&self, format: Format, line: String) {
        // Once nobody reads any more there is nobody to be told.
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Put::Line(format, line))
            && self.lost.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::warn!("the access log is read too slowly: lines are left out, and counted in it");
        }
    }

    /// Waits until everything before is written, so long at most.
    pub(super) fn flush(&self, longest: Duration) {
        let until = Instant::now() + longest;
        let (done, written) = mpsc::sync_channel(1);
        while let Err(TrySendError::Full(_)) = self.queue.try_send(Put::Flush(done.clone())) {
            if Instant::now() >= until {
                return;
            }
            thread::sleep(LOOK);
        }
        // Without its thread nobody has the other end.
        drop(done);
        written.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
    }
}

/// Writes what comes, as much at once as there is, until there is nobody who sends or who reads.
///
/// Other errors (a disk that is full) pass by: what could not be written is lost and counted.
fn write(lines: &Receiver<Put>, lost: &AtomicU64, mut to: impl Write) -> io::Result<()> {
    let (mut batch, mut flushed) = (Vec::new(), Vec::new());
    let mut last = Format::Text;
    let mut failed = false;
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        let mut count = 0;
        while let Some(put) = next {
            match put {
                Put::Line(format, line) => {
                    batch.extend_from_slice(line.as_bytes());
                    (last, count) = (format, count + 1);
                }
                Put::Flush(done) => flushed.push(done),
            }
            next = if batch.len() < BATCH { lines.try_recv().ok() } else { None };
        }
        let left_out = lost.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let fields = last.fields(&[("lines", json!(left_out))]);
            batch.extend_from_slice(last.line(SystemTime::now(), "lost", &[&fields]).as_bytes());
        }
        match to.write_all(&batch).and_then(|()| to.flush()) {
            Ok(()) => {
                batch.clear();
                failed = false;
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Err(error),
            Err(error) => {
                lost.fetch_add(left_out + count, Ordering::Relaxed);
                if !failed {
                    tracing::warn!(
                        "the access log can't be written, its lines are lost until it can: {error}"
                    );
                }
                failed = true;
                batch.clear();
                // Part of a line may stand there.
                batch.push(b'\n');
            }
        }
        for done in flushed.drain(..) {
            // Who asked may have given up.
            done.try_send(()).ok();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Takes nothing until it may, and then all.
    struct Slow {
        gate: Receiver<()>,
        written: Arc<Mutex<String>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.gate.recv().ok();
            self.written.lock().unwrap().push_str(str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// How many lines were lost, as what is written tells.
    fn lost(written: &str) -> usize {
        let count = |line: &str| {
            line.rsplit_once("what=lost lines=").map(|(_, count)| count.parse::<usize>().unwrap())
        };
        written.lines().filter_map(count).sum()
    }

    #[test]
    fn who_reads_too_slowly_loses_lines_and_is_told_how_many() {
        let (open, gate) = mpsc::channel();
        let written = Arc::default();
        let lines = Lines::start(Slow { gate, written: Arc::clone(&written) }).unwrap();
        let all = QUEUE * 10;
        for _ in 0..all {
            lines.put(Format::Text, "x\n".to_owned());
        }
        lines.flush(Duration::from_millis(1));
        assert_eq!(*written.lock().unwrap(), "");
        drop(open);
        lines.flush(Duration::from_secs(60));
        let written = written.lock().unwrap();
        let lost = lost(&written);
        let kept = written.lines().filter(|line| *line == "x").count();
        assert!(lost > 0 && kept >= QUEUE, "{lost} {kept}");
        assert_eq!(lost + kept, all);
    }

    #[test]
    fn what_can_not_be_written_is_counted_and_the_log_goes_on() {
        struct Full(u32, Arc<Mutex<String>>);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0 > 0 {
                    self.0 -= 1;
                    return Err(ErrorKind::StorageFull.into());
                }
                self.1.lock().unwrap().push_str(str::from_utf8(bytes).unwrap());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let written = Arc::default();
        let lines = Lines::start(Full(2, Arc::clone(&written))).unwrap();
        for line in ["a\n", "b\n", "c\n"] {
            lines.put(Format::Text, line.to_owned());
            lines.flush(Duration::from_secs(60));
        }
        // A request to flush may be a write of its own: the second that fails, or the one that tells of the lines lost so far.
        let written = written.lock().unwrap();
        let kept = written.lines().filter(|line| ["a", "b", "c"].contains(line)).count();
        assert!(written.starts_with('\n') && written.lines().any(|line| line == "c"), "{written}");
        assert!(kept < 3 && kept + lost(&written) == 3, "{written}");
    }

    #[test]
    fn without_a_reader_nothing_waits() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::start(Gone).unwrap();
        for _ in 0..QUEUE * 2 {
            lines.put(Format::Json, "x\n".to_owned());
        }
        let began = Instant::now();
        lines.flush(Duration::from_secs(600));
        assert!(began.elapsed() < Duration::from_secs(300), "its end is not waited for");
    }
}
