//! Moving every message of a source into a sink.
//!
//! | file | holds |
//! |---|---|
//! | `start`, `begin` | where to begin, of all that is known; asking for it |
//! | `checkpoint` | the file that says how far it has come |
//! | `engine`, `write` | the way of the messages, and of one batch |
//! | `ahead` | what is read while the sink is being written to |
//! | `target` | the sink, or its writer that writes each message once |
//! | `loops`, `nats` | what would read what it writes; subjects and headers of NATS |
//! | `outage`, `stop`, `missing` | waiting for what is away; being asked to end; gaps in words |
//! | `progress`, `lag`, `display` | how far it is, for those who look on |

mod ahead;
mod begin;
mod checkpoint;
mod display;
mod engine;
mod lag;
mod loops;
mod missing;
mod nats;
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
    let urls = pipe.check_urls()?;
    let (source, sink) = (open_source(pipe.source.secret())?, open_sink(pipe.sink.secret())?);
    let mut engine = pipe.engine(&urls, &source, &sink)?;
    let (asked, stop) = Stop::new();
    let signals = Signals::new()
        .map_err(|error| Failure::runtime(format_args!("signals can't be listened for: {error}")))?;
    tokio::spawn(on_signals(signals, asked));
    let (progress, began) = (engine.progress.clone(), Instant::now());
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
    let through = engine.through();
    if ended.is_ok() || through != Counts::default() {
        display::summary(&format_args!("{how}{} in {:.1?}", display::Through(through), began.elapsed()));
    }
    ended.map(|_| ())
}

/// The first signal asks the pipe to end, the second one ends it.
async fn on_signals(mut signals: Signals, asked: Asked) {
    signals.next().await;
    asked.now();
    signals.again().await;
    process::exit(1);
}

impl Pipe {
    /// # Errors
    /// For what would never bring anything, or never end.
    fn check_urls(&self) -> Result<[SourceUrl; 2], Failure> {
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
        if loops::is_loop(&source, &sink) {
            return Err(Failure::usage(format_args!(
                "{} and {} are the same: the pipe would read what it has written, without an end",
                self.source, self.sink
            )));
        }
        Ok([source, sink])
    }

    /// Finds out what is known of it, and says what it promises.
    fn engine(
        &self,
        urls: &[SourceUrl; 2],
        source: &Arc<dyn Source>,
        sink: &Arc<dyn Sink>,
    ) -> Result<Engine, Failure> {
        if let Some(id) = &self.id {
            check_writer_id(id).map_err(|error| Failure::usage(format_args!("--id: {error}")))?;
        }
        let capabilities = source.capabilities();
        if self.until_caught_up && !(capabilities.replay && capabilities.mergeable) {
            return Err(Failure::usage(format_args!(
                "--until-caught-up: {source} does not say where its end is; leave it out"
            )));
        }
        if matches!(self.from, Some(From::Start(_))) && capabilities.replay && !capabilities.mergeable {
            return Err(Failure::usage(format_args!(
                "--from: {source} begins where its endpoint begins for a client without an id, and can't be asked for another \
                 place; leave --from out, or give the id of an event"
            )));
        }
        let (shown_source, shown_sink) = (source.to_string(), sink.to_string());
        let [from, to] = urls;
        let derived = start::derived_id(&start::named(from, &shown_source), &start::named(to, &shown_sink));
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
        let keeper = if capabilities.replay { sink.exactly_once(&checkpoint.id)? } else { None };
        let target = Target::new(sink.clone(), keeper, !self.at_least_once, found.as_ref());
        checkpoint.promise = match (target.is_exact(), capabilities.replay) {
            (_, false) => Promise::AtMostOnce,
            (true, true) => Promise::ExactlyOnce,
            (false, true) => Promise::AtLeastOnce,
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
        let unsure = found.as_ref().filter(|found| found.promise == Promise::AtLeastOnce && !found.complete);
        if unsure.is_some() && target.is_exact() {
            warn(format_args!(
                "the last run wrote at least once and did not end in order: what it wrote last may be written again"
            ));
        }
        let options = Options {
            from: self.from.clone(),
            until_caught_up: self.until_caught_up,
            skip_gaps: self.skip_gaps,
            skip_rejected: self.skip_rejected,
            without_server_headers: urls.iter().any(nats::is_nats),
        };
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
