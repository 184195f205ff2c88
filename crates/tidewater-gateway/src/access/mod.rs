//! The access log: a line for each request to a channel when it is answered, and one for each stream when it has ended.
//!
//! | file | holds |
//! |---|---|
//! | `record` | what a line says of a request and of a stream |
//! | `line` | a line as text and as JSON, in which nothing from outside can make another one: pure |
//! | `lines` | a thread that writes them to standard output, so that nobody else waits for who reads it |

mod line;
mod lines;
mod record;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

pub(crate) use line::Format;
use lines::Lines;
use tidewater::{
    OnEnd,
    http::{Answered, Exchange, Observer},
};

/// The log of this process. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct AccessLog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Started with the first channel that has a log; `None` if there can't be a thread.
    lines: OnceLock<Option<Lines>>,
    /// Requests so far.
    requests: AtomicU64,
}

/// Writes what it observes in one format.
#[derive(Debug)]
struct Writer {
    log: AccessLog,
    format: Format,
}

impl AccessLog {
    /// Who writes lines in this format.
    pub(crate) fn observer(&self, format: Format) -> Arc<dyn Observer> {
        Arc::new(Writer { log: self.clone(), format })
    }

    fn lines(&self) -> Option<&Lines> {
        let start = || {
            Lines::start(std::io::stdout()).inspect_err(|error| {
                tracing::error!("there is no access log: its thread can't be started: {error}");
            })
        };
        self.0.lines.get_or_init(|| start().ok()).as_ref()
    }

    fn put(&self, format: Format, what: &'static str, parts: &[&str]) {
        if let Some(lines) = self.lines() {
            lines.put(format, format.line(SystemTime::now(), what, parts));
        }
    }

    /// Waits until all lines are written, so long at most.
    pub(crate) fn finish(&self, longest: Duration) {
        if let Some(Some(lines)) = self.0.lines.get() {
            lines.flush(longest);
        }
    }
}

impl Observer for Writer {
    fn answered(&self, exchange: &Exchange<'_>, answered: &Answered) -> Option<OnEnd> {
        let number = self.log.0.requests.fetch_add(1, Ordering::Relaxed) + 1;
        // What both lines of a stream say: made once, and all that is kept as long as it lasts.
        let (log, format) = (self.log.clone(), self.format);
        let common = format.fields(&record::request(number, exchange, answered));
        let took = format.fields(&record::answered(exchange.since.elapsed()));
        log.put(format, "answered", &[&common, &took]);
        let is_open = answered.stream.is_some_and(|stream| stream.is_ok());
        is_open.then(|| -> OnEnd {
            Box::new(move |ended| {
                let end = format.fields(&record::ended(&ended));
                log.put(format, "ended", &[&common, &end]);
            })
        })
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessLog")
    }
}
