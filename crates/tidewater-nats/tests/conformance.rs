//! The source suite over core NATS and over JetStream, with a filter and without.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;

use async_nats::Client;
use async_trait::async_trait;
use tidewater_core::{Source, plugin};
use tidewater_testkit::source::{self, Failure, Harness, Record, Topic};

use crate::common::TestStream;

struct JetStream {
    filtered: bool,
}

#[async_trait]
impl Harness for JetStream {
    async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
        let stream = TestStream::new(&common::url(), |_| {}).await;
        Ok(Box::new(if self.filtered { stream.filtered() } else { stream }))
    }

    fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
        let text = ("8d", "headers of NATS, where the key stands too, are text");
        let live = ("1e", "without a filter a reader at the end sees every message before it can be deleted");
        if self.filtered { vec![text] } else { vec![text, live] }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_stream_keeps_the_contract() {
    source::run(&JetStream { filtered: false }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_filtered_stream_keeps_the_contract() {
    source::run(&JetStream { filtered: true }).await;
}

struct Core;

struct Subject(String, Client);

#[async_trait]
impl Harness for Core {
    async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
        Ok(Box::new(Subject(common::unique("core"), common::client(&common::url()).await)))
    }

    fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
        let replay = ["1b", "1c", "1d", "1e", "1f", "2c", "2d", "2e", "3c", "3d", "3f"];
        let mut all: Vec<_> = replay.map(|name| (name, "core NATS keeps no messages")).into();
        all.extend(["6a", "6b"].map(|name| (name, "a subject is not made, so it can't be made again")));
        all.push(("8d", "headers of NATS, where the key stands too, are text"));
        all
    }
}

#[async_trait]
impl Topic for Subject {
    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        Ok(plugin::open_source(&format!("nats://{}/{}.>", common::host(), self.0))?)
    }

    async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
        for record in records {
            let headers = common::headers(&record);
            self.1.publish_with_headers(self.published_to().unwrap(), headers, record.payload).await?;
        }
        Ok(self.1.flush().await?)
    }

    fn published_to(&self) -> Option<String> {
        Some(format!("{}.x.y", self.0))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS: run cargo xtask test"]
async fn a_subject_keeps_the_contract() {
    source::run(&Core).await;
}
