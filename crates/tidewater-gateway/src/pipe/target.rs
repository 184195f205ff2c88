//! Where a pipe writes to: a sink, or a writer of it that keeps the position.

use std::sync::Arc;

use tidewater::{Cursor, ExactlyOnce, Result, Sink, Transfer};

use super::checkpoint::{Checkpoint, Promise};

/// Where a pipe writes to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) sink: Arc<dyn Sink>,
    /// That writes each message once.
    writer: Option<Box<dyn ExactlyOnce>>,
    /// That wrote so in an earlier run, and does in this one no more: it is asked once where it stands.
    pub(super) former: Option<Box<dyn ExactlyOnce>>,
}

impl Target {
    /// A sink, and what keeps its position if it has that. `exact`: it is to be kept.
    pub(super) fn new(
        sink: Arc<dyn Sink>,
        keeper: Option<Box<dyn ExactlyOnce>>,
        exact: bool,
        found: Option<&Checkpoint>,
    ) -> Self {
        if exact {
            return Self { sink, writer: keeper, former: None };
        }
        let was_exact =
            found.is_some_and(|found| found.promise == Promise::ExactlyOnce || found.written.is_some());
        Self { sink, writer: None, former: keeper.filter(|_| was_exact) }
    }

    pub(super) fn is_exact(&self) -> bool {
        self.writer.is_some()
    }

    /// Where the sink stands, if it keeps that.
    pub(super) async fn resume(&mut self) -> Result<Option<Cursor>> {
        match &mut self.writer {
            Some(writer) => writer.resume().await,
            None => Ok(None),
        }
    }

    /// Resolves when the sink has these.
    pub(super) async fn write(
        &mut self,
        part: impl ExactSizeIterator<Item = &Transfer>,
        next: &Cursor,
    ) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.write(part.cloned().collect(), next).await,
            None => self.sink.send_all(part.map(|transfer| transfer.message.clone()).collect()).await,
        }
    }
}
