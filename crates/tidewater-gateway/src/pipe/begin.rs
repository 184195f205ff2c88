//! Where a pipe begins: what the sink says is asked for, and what the source says to it is looked at.

use tidewater::{Bounds, Cursor, Error, ErrorKind, ExactlyOnce, Source, Start, Subscription, TopicCursor};
use tokio::time::timeout;

use super::{
    ahead::Ahead,
    engine::{Engine, Fault, failed},
    start::{First, Known},
    stop::{GRACE, Stop},
};
use crate::failure::Failure;

impl Engine {
    /// Where to begin; `None` if it is stopped before it knows.
    pub(super) async fn first(&mut self, stop: &Stop) -> Result<Option<First>, Failure> {
        let sink = loop {
            let asked = tokio::select! {
                () = stop.wanted() => return Ok(None),
                asked = self.target.resume() => asked,
            };
            match asked {
                Ok(position) => break position,
                Err(error) if self.sink_outage.passes(&error) => {
                    self.progress.away(Some("sink"));
                    tokio::select! {
                        () = stop.wanted() => return Ok(None),
                        () = self.sink_outage.wait(&error) => {}
                    }
                }
                Err(error) => {
                    return Err(failed("asking for the position", &error, self.without_positions(&error)));
                }
            }
        };
        if self.target.is_exact() {
            self.sink_outage.answers();
            self.progress.away(None);
        }
        let stood = self.found.as_ref().and_then(|found| found.written.clone());
        let (sink, written) = match self.target.former.take() {
            Some(former) => tokio::select! {
                () = stop.wanted() => return Ok(None),
                asked = self.former_position(former) => asked.map_or((None, stood), |sink| (sink.clone(), sink)),
            },
            None => (sink.clone(), sink),
        };
        let first = Known {
            from: self.options.from.as_ref(),
            promise: self.checkpoint.promise,
            file: self.found.as_ref(),
            sink: sink.as_ref(),
        }
        .first();
        self.told_last.clone_from(&sink);
        self.written = written;
        first.map(Some)
    }

    /// Where the sink stands that kept a position and shall do so no more. That it does not say so keeps nobody from writing
    /// at least once.
    async fn former_position(&self, mut former: Box<dyn ExactlyOnce>) -> Option<Option<Cursor>> {
        let why = match timeout(GRACE, former.resume()).await {
            Ok(Ok(position)) => return Some(position),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {GRACE:?}"),
        };
        tracing::warn!(
            "{} can't say how far it is, so what was written last may be written again: {why}",
            self.target.sink
        );
        None
    }

    /// What to do where the sink lets nobody keep a position.
    pub(super) fn without_positions(&self, error: &Error) -> &'static str {
        let refused = matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unsupported);
        if self.target.is_exact() && refused {
            ". --at-least-once goes on without keeping the position in the sink"
        } else {
            ""
        }
    }

    /// Without a checkpoint nothing says that the sink's position is one of this source, and not of another that has the
    /// same name elsewhere.
    pub(super) fn check_known(&self, begins: &Cursor) -> Result<(), Failure> {
        let (None, Some(known), false) = (&self.found, &self.written, self.begun) else { return Ok(()) };
        let foreign =
            |topic: &TopicCursor| known.topic(topic.tag).is_some_and(|own| own.epoch != topic.epoch);
        if !begins.topics().iter().any(foreign) {
            return Ok(());
        }
        Err(Failure::usage(format_args!(
            "{} knows a pipe {:?}, which stands at {known}: a position of another source than {}, or of this one before it \
             was made anew. There is no checkpoint here that could tell. Give this pipe an --id of its own; or, to go on with \
             that one, its --checkpoint",
            self.target.sink, self.checkpoint.id, self.source
        )))
    }
}

/// Subscribes, and compares the start with what was wanted. Answers what it holds, and where it begins if nothing was
/// wanted.
pub(super) async fn subscribe(
    source: &dyn Source,
    start: Start,
    wanted: Option<Cursor>,
) -> Result<(Ahead, Bounds, Cursor), Fault> {
    let bounds = source.bounds().await.map_err(Fault::Source)?;
    bounds.check().map_err(Fault::Source)?;
    let subscription = Subscription { start, after: wanted.clone() };
    let subscribed = source.subscribe(subscription).await.map_err(Fault::Source)?;
    let (begins, deliveries) = (subscribed.start, subscribed.deliveries);
    let Some(wanted) = wanted else { return Ok((Ahead::new(Vec::new(), deliveries), bounds, begins)) };
    if !wanted.is_empty() && begins.topics().iter().all(|topic| wanted.topic(topic.tag).is_none()) {
        return Err(Fault::Final(Failure::usage(format_args!(
            "the position {wanted} is one of other topics than those of {source}: see it by `tidewater cursor {wanted}`. Give \
             the source that it belongs to, or another --id and --checkpoint"
        ))));
    }
    if begins.is_behind(&wanted) {
        return Err(Fault::Final(Failure::runtime(format_args!(
            "{source} ends before the position that the pipe has come to ({wanted}; it would begin at {begins}): it has lost \
             its end, or is another one of the same name (reason: ahead). What it writes from here on has offsets that were \
             piped before. To pipe it anew, give another --id and --checkpoint, and say --from where"
        ))));
    }
    let told = bounds.told_by_start(&wanted, &begins).map_err(Fault::Source)?;
    Ok((Ahead::new(told, deliveries), bounds, begins))
}
