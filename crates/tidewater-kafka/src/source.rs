//! The source: bounds, and subscriptions that each read with a consumer of their own.

use std::{fmt, sync::Arc, thread};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tidewater_core::{
    Bounds, Capabilities, Deliveries, Error, Result, Retry, ShareKey, Source, Subscribed, Subscription,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    CAPABILITIES, KIND, KafkaConfig,
    client::{Metadata, TIMEOUT},
    error,
    reader::{Batch, Reader},
};

/// The source of Kafka topics. Cloning shares its metadata client.
#[derive(Clone)]
pub struct KafkaSource(Arc<Metadata>);

impl KafkaSource {
    /// The source of these topics. Nothing is connected before it is used.
    pub fn new(config: KafkaConfig) -> Self {
        Self(Arc::new(Metadata::new(config)))
    }

    /// What it reads.
    pub fn config(&self) -> &KafkaConfig {
        self.0.config()
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn bounds(&self) -> Result<Bounds> {
        let metadata = self.0.clone();
        tokio::task::spawn_blocking(move || metadata.bounds(TIMEOUT)).await.map_err(error::thread)?
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        let metadata = self.0.clone();
        let (started, start) = oneshot::channel();
        let (batches, deliveries) = mpsc::channel(1);
        let read = move || match Reader::open(metadata, &subscription, batches) {
            Ok(reader) => {
                if started.send(Ok(reader.cursor())).is_ok() {
                    reader.run();
                }
            }
            Err(error) => {
                // Nobody waits for the error of a subscription that was dropped.
                started.send(Err(error)).ok();
            }
        };
        // A thread of its own: it lives as long as the stream, and the runtime's blocking threads are for short work.
        thread::Builder::new().name("tidewater-kafka".to_owned()).spawn(read).map_err(error::thread)?;
        let start = start.await.map_err(error::thread)??;
        Ok(Subscribed { start, deliveries: flatten(deliveries) })
    }

    fn share_key(&self) -> Option<ShareKey> {
        Some(self.config().share_key())
    }
}

impl fmt::Display for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config().fmt(f)
    }
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KafkaSource").field(self.config()).finish()
    }
}

/// What comes after the last batch of a reader that died: a stream never ends without a word.
fn died() -> Error {
    error::thread("the thread that reads for this stream has died").with_retry(Retry::Later)
}

fn flatten(batches: mpsc::Receiver<Batch>) -> Deliveries {
    let (batch, over) = (Batch::new().into_iter(), false);
    stream::unfold((batches, batch, over), async |(mut batches, mut batch, mut over)| {
        loop {
            if let Some(delivery) = batch.next() {
                over |= delivery.is_err();
                return Some((delivery, (batches, batch, over)));
            }
            batch = match batches.recv().await {
                Some(batch) => batch.into_iter(),
                None if over => return None,
                None => vec![Err(died())].into_iter(),
            };
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_dies_is_an_error_and_one_that_ends_is_not_another() {
        for (batches, errors) in [(vec![], 1), (vec![vec![Err(died())]], 1)] {
            let (out, stream) = mpsc::channel(1);
            for batch in batches {
                out.send(batch).await.unwrap();
            }
            drop(out);
            let all: Vec<_> = flatten(stream).collect().await;
            assert_eq!(all.iter().filter(|delivery| delivery.is_err()).count(), errors);
            assert_eq!(all.len(), errors);
        }
    }
}
