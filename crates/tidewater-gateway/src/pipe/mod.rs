//! Moving every message of a source into a sink.
//!
//! | file | holds |
//! |---|---|
//! | `start` | where to begin, of all that is known |
//! | `checkpoint` | the file that says how far it has come |
//! | `engine`, `write` | the way of the messages, and of one batch |
//! | `ahead` | what is read while the sink is being written to |
//! | `target` | the sink, or its writer that writes each message once |
//! | `outage`, `stop`, `missing` | waiting for what is away; being asked to end; gaps in words |
//! | `progress`, `lag`, `display` | how far it is, for those who look on |

mod ahead;
mod checkpoint;
mod display;
mod engine;
mod lag;
mod missing;
mod outage;
mod progress;
mod start;
mod stop;
mod target;
#[cfg(test)]
mod tests;
mod write;

use std::{
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::Instant,
};

use tidewater::{
    Sink, Source, SourceUrl, check_writer_id,
    plugin::{open_sink, open_source},
};

pub(crate) use self::start::From;
use self::{
    checkpoint::{Checkpoint, CheckpointFile, Counts, Promise},
    engine::{Ended, Engine, Options},
    stop::{Asked, Stop},
    target::Target,
};
use crate::{
    config::Url,
    failure::{Failure, warn},
    signals::Signals,
};

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) source: Url,
    pub(crate) sink: Url,
    pub(crate) checkpoint: Option<PathBuf>,
    pub(crate) id: Option<String>,
    pub(crate) from: Option<From>,
    pub(crate) at_least_once: bool,
    pub(crate) until_caught_up: bool,
    pub(crate) skip_gaps: bool,
    pub(crate) skip_rejected: bool,
}

/// Pipes until it has caught up, if that is wanted, or a signal ends it.
pub(crate) async fn run(pipe: Pipe) -> Result<(), Failure> {
    pipe.check_urls()?;
    let (source, sink) = (open_source(pipe.source.secret())?, open_sink(pipe.sink.secret())?);
    let mut engine = pipe.engine(&source, &sink)?;
    let (asked, stop) = Stop::new();
    let signals = Signals::new()
        .map_err(|error| Failure::runtime(format_args!("signals can't be listened for: {error}")))?;
    tokio::spawn(on_signals(signals, asked));
    let (progress, began, before) = (engine.progress.clone(), Instant::now(), engine.checkpoint.counts);
    let ended = tokio::select! {
        ended = engine.run(&stop) => ended,
        never = lag::watch(&*source, &progress) => match never {},
        never = display::show(&progress) => match never {},
    };
    let how = match &ended {
        Ok(Ended::CaughtUp) => "caught up: ",
        Ok(Ended::Stopped) => "stopped: ",
        Err(_) => "",
    };
    let through = display::Through(since(before, engine.checkpoint.counts));
    display::summary(&format_args!("{how}{through} in {:.1?}", began.elapsed()));
    ended.map(|_| ())
}

/// The first signal asks the pipe to end, the second one ends it.
async fn on_signals(mut signals: Signals, asked: Asked) {
    signals.next().await;
    asked.now();
    signals.again().await;
    process::exit(1);
}

/// What went through in this run.
fn since(before: Counts, now: Counts) -> Counts {
    Counts {
        messages: now.messages - before.messages,
        bytes: now.bytes - before.bytes,
        gaps: now.gaps - before.gaps,
        rejected: now.rejected - before.rejected,
    }
}

impl Pipe {
    /// # Errors
    /// For what would never bring anything, or never end.
    fn check_urls(&self) -> Result<(), Failure> {
        for (url, what) in [(&self.source, "read"), (&self.sink, "written")] {
            if url.scheme() == Url::MEMORY {
                return Err(Failure::usage(format_args!(
                    "{url}: a log in memory is one process's own, so what is {what} here nobody else has. For a channel of a \
                     running gateway, its URL is a source: sse+http://HOST:PORT/channels/NAME"
                )));
            }
        }
        let (source, sink): (SourceUrl, SourceUrl) =
            (self.source.secret().parse()?, self.sink.secret().parse()?);
        if is_loop(&source, &sink) {
            return Err(Failure::usage(format_args!(
                "{} and {} are the same: the pipe would read what it has written, without an end",
                self.source, self.sink
            )));
        }
        Ok(())
    }

    /// Finds out what is known of it, and says what it promises.
    fn engine(&self, source: &Arc<dyn Source>, sink: &Arc<dyn Sink>) -> Result<Engine, Failure> {
        if let Some(id) = &self.id {
            check_writer_id(id).map_err(|error| Failure::usage(format_args!("--id: {error}")))?;
        }
        let capabilities = source.capabilities();
        if self.until_caught_up && !(capabilities.replay && capabilities.mergeable) {
            return Err(Failure::usage(format_args!(
                "--until-caught-up: {source} does not say where its end is; leave it out"
            )));
        }
        let (shown_source, shown_sink) = (source.to_string(), sink.to_string());
        let derived = start::derived_id(&shown_source, &shown_sink);
        let path = match &self.checkpoint {
            Some(path) => path.clone(),
            None => PathBuf::from(format!("tidewater-{}.json", self.id.as_ref().unwrap_or(&derived))),
        };
        let (file, found) = CheckpointFile::open(&path)?;
        let mut checkpoint = match &found {
            Some(found) => {
                self.check(found, &path, &shown_source, &shown_sink)?;
                found.clone()
            }
            None => Checkpoint::new(self.id.clone().unwrap_or(derived), source, sink),
        };
        let writer = if capabilities.replay && !self.at_least_once {
            sink.exactly_once(&checkpoint.id)?
        } else {
            None
        };
        checkpoint.promise = match (&writer, capabilities.replay) {
            (_, false) => Promise::AtMostOnce,
            (Some(_), true) => Promise::ExactlyOnce,
            (None, true) => Promise::AtLeastOnce,
        };
        let place = path.display();
        warn(match checkpoint.promise {
            Promise::ExactlyOnce => format!(
                "exactly once: {sink} keeps with the messages how far the pipe {:?} has come; checkpoint {place}",
                checkpoint.id
            ),
            Promise::AtLeastOnce => {
                format!(
                    "at least once: after a crash the last messages may be written again; checkpoint {place}"
                )
            }
            Promise::AtMostOnce => format!(
                "at most once: {source} keeps nothing, so what it does not deliver while the pipe is away is lost; \
                 checkpoint {place}"
            ),
        });
        let options = Options {
            from: self.from.clone(),
            until_caught_up: self.until_caught_up,
            skip_gaps: self.skip_gaps,
            skip_rejected: self.skip_rejected,
        };
        let target = Target { sink: sink.clone(), writer };
        Ok(Engine::new(source.clone(), target, options, file, found, checkpoint))
    }

    /// # Errors
    /// For the checkpoint of another pipe.
    fn check(&self, found: &Checkpoint, path: &Path, source: &str, sink: &str) -> Result<(), Failure> {
        let place = path.display();
        for (what, theirs, ours) in [("source", &*found.source, source), ("sink", &*found.sink, sink)] {
            if theirs != ours {
                return Err(Failure::usage(format_args!(
                    "the checkpoint {place} is that of another pipe: its {what} is {theirs}, and this one's {ours}. Give this \
                     pipe another file by --checkpoint FILE. If they are the same under two names, change {what:?} in the file"
                )));
            }
        }
        match &self.id {
            Some(id) if *id != found.id => Err(Failure::usage(format_args!(
                "the checkpoint {place} is that of the pipe {:?}, and --id says {id:?}: leave --id out to go on with it, or \
                 give the other pipe another file by --checkpoint FILE",
                found.id
            ))),
            _ => Ok(()),
        }
    }
}

/// Whether a sink's topic is one of the source's, as URLs tell it: `kafka://HOST/a,b`, `jetstream://HOST/STREAM/subject`,
/// `embedded:PATH`.
fn is_loop(source: &SourceUrl, sink: &SourceUrl) -> bool {
    let first = |url: &SourceUrl| url.path().split('/').next().unwrap_or_default().to_owned();
    let same = source.scheme() == sink.scheme() && source.authority() == sink.authority();
    if source.authority().is_empty() {
        return same && source.path() == sink.path();
    }
    same && first(source).split(',').any(|topic| topic == first(sink))
}

#[cfg(test)]
mod url_tests {
    use super::*;

    #[test]
    fn a_loop_is_seen() {
        for (source, sink, is) in [
            ("kafka://h/a", "kafka://h/a", true),
            ("kafka://h/a,b", "kafka://h/b?acks=1", true),
            ("kafka://h/a", "kafka://other/a", false),
            ("kafka://h/a", "kafka://h/ab", false),
            ("jetstream://h/S/a.>", "jetstream://h/S/a.b", true),
            ("jetstream://h/S", "jetstream://h/T/a.b", false),
            ("embedded:./a", "embedded:./a?sync=always", true),
            ("embedded:./a", "embedded:./b", false),
        ] {
            assert_eq!(is_loop(&source.parse().unwrap(), &sink.parse().unwrap()), is, "{source} {sink}");
        }
    }
}
