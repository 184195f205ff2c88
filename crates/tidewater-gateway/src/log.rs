//! Logs: to standard error, so that standard output stays what a command is for.

use std::{
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt as _, filter_fn},
    fmt,
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::{cli::Command, failure::Failure, trace::Traces};

/// Starts logging with the filter that was given, or with what suits the command; and traces, if there are any.
pub(crate) fn init(filter: Option<&str>, command: &Command, traces: &Traces) -> Result<(), Failure> {
    let text = filter.filter(|filter| !filter.is_empty()).unwrap_or_else(|| default(command));
    let filter = EnvFilter::builder().parse(text).map_err(|error| {
        Failure::usage(format_args!(
            "{text:?} (from --log or RUST_LOG) is not a filter for logs: {error}. Write a level (error, warn, info, \
             debug, trace), or levels by module: \"info,tidewater_hub=debug\""
        ))
    })?;
    #[cfg(feature = "otel")]
    if let Some(layer) = traces.layer() {
        tracing_subscriber::registry().with(layer).with(lines(filter)).init();
        traces.tell();
        return Ok(());
    }
    tracing_subscriber::registry().with(lines(filter)).init();
    traces.tell();
    Ok(())
}

/// Lines of what this lets through. Spans are for traces alone: they would stand in each line, and cost each request something.
fn lines<S>(filter: EnvFilter) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    // Without a hint there would be none at all, and each line of a library that nobody wants would be looked at.
    let events = filter_fn(is_event).with_max_level_hint(LevelFilter::TRACE);
    fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| Below)
        // What reads standard error may end first. To say so there would panic in whatever had something to log.
        .log_internal_errors(false)
        .with_filter(filter.and(events))
}

fn is_event(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
}

/// A server tells what it does; the other commands only what goes wrong.
fn default(command: &Command) -> &'static str {
    match command {
        // The frameworks narrate each request, and warp calls each page that goes an error; what matters of theirs
        // comes back as an error. So does the store of embedded logs.
        Command::Serve(_) => "info,fjall=warn,lsm_tree=warn,rocket=error,salvo_core=warn,warp::server=off",
        // A pipe is a server without clients; what it promises is told all the same.
        Command::Pipe(_) => "warn,tidewater::pipe=info",
        _ => "warn",
    }
}

/// Whether the last line of the terminal is a drawn one.
static DRAWN: AtomicBool = AtomicBool::new(false);

/// Draws a line of standard error, a terminal, over the one that was drawn last. No log is written into it.
pub(crate) fn draw(line: &str) -> io::Result<()> {
    let mut to = io::stderr().lock();
    DRAWN.store(true, Ordering::Relaxed);
    write!(to, "\r\x1b[K{line}")?;
    to.flush()
}

/// Takes away what was drawn.
pub(crate) fn undraw() -> io::Result<()> {
    let mut to = io::stderr().lock();
    if DRAWN.swap(false, Ordering::Relaxed) {
        to.write_all(b"\r\x1b[K")?;
    }
    to.flush()
}

/// Standard error, below whatever was drawn there.
struct Below;

impl Write for Below {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        undraw()?;
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
