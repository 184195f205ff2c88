//! Publishing into an embedded log.

use std::fmt;

use async_trait::async_trait;
use tidewater_core::{ExactlyOnce, Message, Position, Receipt, Result, Sink, check_writer_id};

use crate::{
    EmbeddedLog,
    exactly_once::Writer,
    log::at_once,
    requests::{Appended, Request},
};

/// The sink of an [`EmbeddedLog`].
#[derive(Clone, Debug)]
pub struct EmbeddedSink(pub(crate) EmbeddedLog);

#[async_trait]
impl Sink for EmbeddedSink {
    async fn send(&self, message: Message) -> Result<Receipt> {
        Ok(receipt(&self.0.append(vec![message], None).await?))
    }

    async fn send_all(&self, mut messages: Vec<Message>) -> Result<()> {
        while !messages.is_empty() {
            let rest = messages.split_off(at_once(&messages, Message::size));
            self.0.append(messages, None).await?;
            messages = rest;
        }
        Ok(())
    }

    fn exactly_once(&self, id: &str) -> Result<Option<Box<dyn ExactlyOnce>>> {
        check_writer_id(id)?;
        Ok(Some(Box::new(Writer::new(self.0.clone(), id))))
    }

    /// The same, and has it all synced, whatever the settings say.
    async fn flush(&self) -> Result<()> {
        self.0.ask(Request::Flush).await
    }
}

fn receipt(appended: &Appended) -> Receipt {
    let place = &appended.place;
    Receipt {
        topic: place.topic.clone(),
        place: Some(tidewater_core::Place {
            tag: place.tag,
            epoch: Some(place.epoch),
            partition: 0,
            position: Position::Offset(appended.offset),
        }),
    }
}

impl fmt::Display for EmbeddedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
