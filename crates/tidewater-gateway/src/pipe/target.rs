//! Where a pipe writes to: a sink, or a writer of it that keeps the position.

use std::sync::Arc;

use tidewater::{Cursor, ExactlyOnce, Result, Sink, Transfer};

/// Where a pipe writes to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) sink: Arc<dyn Sink>,
    /// That writes each message once.
    pub(super) writer: Option<Box<dyn ExactlyOnce>>,
}

impl Target {
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
