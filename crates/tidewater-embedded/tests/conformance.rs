//! The source suite over folders of a temporary one.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use tempfile::TempDir;
use tidewater_core::{Message, Result, Sink as _, Source};
use tidewater_embedded::{EmbeddedLog, Settings, SyncPolicy};
use tidewater_testkit::source::{self, Failure, Harness, Record, Topic};

struct Folders {
    folder: TempDir,
    count: AtomicU64,
    sync: SyncPolicy,
}

impl Folders {
    fn new(sync: SyncPolicy) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), count: AtomicU64::new(0), sync }
    }
}

struct Folder {
    path: PathBuf,
    log: EmbeddedLog,
}

#[async_trait]
impl Harness for Folders {
    async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
        let path = self.folder.path().join(format!("t{}", self.count.fetch_add(1, Ordering::Relaxed)));
        let settings = Settings { sync: self.sync, ..Settings::default() };
        let log = EmbeddedLog::open(&path, settings)?;
        Ok(Box::new(Folder { path, log }))
    }

    fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
        let reason = "an embedded log holds nothing that its source leaves out";
        vec![("1e", reason), ("1f", reason)]
    }
}

#[async_trait]
impl Topic for Folder {
    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        Ok(Arc::new(self.log.source()))
    }

    async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
        let messages = records
            .into_iter()
            .map(|record| Message {
                key: record.key,
                ..Message::new("", record.payload).with_headers(record.headers)
            })
            .collect();
        Ok(self.log.sink().send_all(messages).await?)
    }

    fn published_to(&self) -> Option<String> {
        Some(self.path.file_name()?.to_str()?.to_owned())
    }

    async fn remove_before(&self, _partition: u32, offset: u64) -> Result<(), Failure> {
        Ok(self.log.truncate_before(offset).await?)
    }

    /// As somebody does who wants to begin anew: the log makes the folder again.
    async fn recreate(&self) -> Result<(), Failure> {
        Ok(fs::remove_dir_all(&self.path)?)
    }
}

#[tokio::test]
async fn an_embedded_log_keeps_the_contract() {
    source::run(&Folders::new(SyncPolicy::Always)).await;
}

#[tokio::test]
async fn it_keeps_it_whatever_the_kernel_decides() {
    source::run(&Folders::new(SyncPolicy::Os)).await;
}
