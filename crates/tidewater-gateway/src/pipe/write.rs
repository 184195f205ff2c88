//! Writing one batch, through everything that a sink can answer.

use std::collections::VecDeque;

use tidewater::{Cursor, Error, ErrorKind, Transfer};

use super::{
    ahead::Ahead,
    checkpoint::Promise,
    engine::{Engine, Fault, failed},
    missing::Place,
    nats::without_server_headers,
    stop::Stop,
};
use crate::failure::Failure;

impl Engine {
    /// Writes these, then stands at `next`. Answers whether it was stopped before it was done.
    ///
    /// # Errors
    /// [`Fault::Elsewhere`] where the source is to be read from another place than behind these.
    pub(super) async fn write(
        &mut self,
        ahead: &mut Ahead,
        batch: Vec<Transfer>,
        next: Cursor,
        stop: &Stop,
    ) -> Result<bool, Fault> {
        // Positions without messages are for the end, unless they are of another incarnation.
        let anew = |told: &Cursor| next.topics().iter().any(|topic| told.epoch(topic.tag) != topic.epoch);
        let tell = self.target.is_exact() && self.told_last.as_ref().is_some_and(anew);
        if batch.is_empty() && !tell {
            self.confirm(next)?;
            return Ok(false);
        }
        let mut left = VecDeque::from(batch);
        if self.options.without_server_headers {
            left.iter_mut().for_each(|transfer| without_server_headers(&mut transfer.message));
        }
        // The sink may have what stands behind one that it refused.
        let mut beyond = false;
        // How many are written at once: fewer while one is searched for that is refused.
        let mut limit = left.len();
        loop {
            let count = limit.min(left.len());
            let last = count.checked_sub(1).map(|last| &left[last].next).filter(|_| count < left.len());
            let to = last.unwrap_or(&next).clone();
            let bytes = left.range(..count).map(|transfer| transfer.message.size() as u64).sum();
            self.uncertain = true;
            let written = tokio::select! {
                written = ahead.beside(self.target.write(left.range(..count), &to)) => written,
                () = stop.overdue() => return Ok(true),
            };
            match written {
                Ok(()) => {
                    left.drain(..count);
                    limit = if limit == 1 { 1 } else { left.len() };
                    self.has(to, (count as u64, bytes))?;
                    self.uncertain = beyond && !left.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Rejected && count > 1 => {
                    // A sink that keeps positions writes nothing of a half that fails; others would write it again.
                    beyond = !self.target.is_exact();
                    limit = if beyond { 1 } else { count / 2 };
                    if self.again(ahead, &mut left, &next, stop).await? {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Rejected && count == 1 => {
                    let Some(refused) = left.pop_front() else { continue };
                    if self.again(ahead, &mut left, &next, stop).await? {
                        return Ok(true);
                    }
                    self.uncertain = beyond && !left.is_empty();
                    self.refused(&refused, &error)?;
                    self.confirm(to)?;
                    limit = left.len();
                }
                Err(error) if self.sink_outage.passes(&error) => {
                    if self.wait(ahead, &error, stop).await
                        || self.again(ahead, &mut left, &next, stop).await?
                    {
                        return Ok(true);
                    }
                }
                Err(error) => return Err(self.given_up(&error).into()),
            }
            if left.is_empty() {
                self.confirm(next)?;
                return Ok(false);
            }
            if stop.is_overdue() {
                return Ok(true);
            }
        }
    }

    /// The sink has what stands before this.
    fn has(&mut self, to: Cursor, (messages, bytes): (u64, u64)) -> Result<(), Failure> {
        self.uncertain = false;
        self.sink_outage.over();
        self.progress.away(None);
        self.checkpoint.counts.messages += messages;
        self.checkpoint.counts.bytes += bytes;
        if self.target.is_exact() {
            self.told_last = Some(to.clone());
            // A position alone it may have left for later.
            if messages > 0 {
                self.written = Some(to.clone());
            }
        }
        self.confirm(to)
    }

    /// Before another try: what the sink has of these already is left out. Answers whether it was stopped.
    async fn again(
        &mut self,
        ahead: &mut Ahead,
        left: &mut VecDeque<Transfer>,
        next: &Cursor,
        stop: &Stop,
    ) -> Result<bool, Fault> {
        if !self.target.is_exact() {
            return Ok(false);
        }
        let asked = loop {
            let asked = tokio::select! {
                asked = ahead.beside(self.target.resume()) => asked,
                () = stop.overdue() => return Ok(true),
            };
            match asked {
                Ok(position) => break position,
                Err(error) if self.sink_outage.passes(&error) => {
                    if self.wait(ahead, &error, stop).await {
                        return Ok(true);
                    }
                }
                Err(error) => return Err(self.given_up(&error).into()),
            }
        };
        self.uncertain = false;
        if asked == self.written {
            return Ok(false);
        }
        let Some(position) = asked else { return Err(self.forgotten().into()) };
        let behind = self.written.as_ref().is_some_and(|written| position.is_behind(written));
        self.written = Some(position.clone());
        let mut confirmed = self.confirmed.clone().unwrap_or_default();
        if behind || !next.dominates(&position) {
            // It has lost what it had, or has what was not read here: the source is read from there.
            tracing::warn!("{} stands elsewhere than the pipe, which goes on from there", self.target.sink);
            if behind {
                confirmed = position;
            } else {
                confirmed.merge(&position);
            }
            self.confirm(confirmed)?;
            return Err(Fault::Elsewhere);
        }
        let (mut messages, mut bytes) = (0, 0);
        left.retain(|transfer| {
            let there = position.dominates(next) || has(&position, transfer);
            if there {
                messages += 1;
                bytes += transfer.message.size() as u64;
            }
            !there
        });
        confirmed.merge(&position);
        self.has(confirmed, (messages, bytes))?;
        self.written = Some(position);
        Ok(false)
    }

    fn forgotten(&self) -> Failure {
        Failure::runtime(format_args!(
            "{} has lost the position of the pipe {:?}: it was emptied or made anew. To write everything anew, give another \
             --id and --checkpoint",
            self.target.sink, self.checkpoint.id
        ))
    }

    /// The sink is away. Answers whether it was stopped meanwhile.
    async fn wait(&mut self, ahead: &mut Ahead, error: &Error, stop: &Stop) -> bool {
        self.progress.away(Some("sink"));
        // What a source that keeps nothing has given is tried for a little longer.
        let gives_up = async {
            match self.checkpoint.promise {
                Promise::AtMostOnce => stop.overdue().await,
                _ => stop.wanted().await,
            }
        };
        tokio::select! {
            () = gives_up => true,
            () = ahead.beside(self.sink_outage.wait(error)) => false,
        }
    }

    /// One message that the sink does not take: whether that is the end.
    fn refused(&mut self, refused: &Transfer, error: &Error) -> Result<(), Failure> {
        let place = Place(&refused.message);
        if !self.options.skip_rejected {
            return Err(Failure::runtime(format_args!(
                "{} does not take a message of {}: {place}: {error}. The pipe stands before it. Let the sink take it, and go \
                 on; or --skip-rejected leaves such messages out",
                self.target.sink, self.source
            )));
        }
        tracing::warn!("left out (--skip-rejected): {place}: {error}");
        self.checkpoint.counts.rejected += 1;
        Ok(())
    }

    fn given_up(&self, error: &Error) -> Failure {
        let advice = match error.kind() {
            ErrorKind::Closed if self.target.is_exact() => {
                ". Two pipes with one id write in turn to nobody's good: end one of them, or give it another --id"
            }
            _ => self.without_positions(error),
        };
        failed("writing", error, advice)
    }
}

/// Whether what stands at this position has the message. Positions without an order don't tell.
fn has(position: &Cursor, transfer: &Transfer) -> bool {
    let message = &transfer.message;
    let (Some(own), Some(offset)) = (position.topic(message.tag), message.position.offset()) else {
        return false;
    };
    own.epoch == transfer.next.epoch(message.tag) && offset < own.offset(message.partition)
}
