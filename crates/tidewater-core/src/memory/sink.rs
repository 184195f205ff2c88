//! Publishing into a memory log.

use std::fmt;

use async_trait::async_trait;

use super::MemoryLog;
use crate::{Message, Receipt, Result, Sink};

/// The sink of a [`MemoryLog`]: every message is accepted at once.
#[derive(Clone, Debug)]
pub struct MemorySink(pub(super) MemoryLog);

#[async_trait]
impl Sink for MemorySink {
    async fn send(&self, message: Message) -> Result<Receipt> {
        let place = self.0.publish(message);
        Ok(Receipt { topic: self.0.name().clone(), place: Some(place) })
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}

impl fmt::Display for MemorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
