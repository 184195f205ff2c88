//! The conformance suite over the plugin: what every source has to keep, checked by somebody else.

#![allow(clippy::unwrap_used)]

use std::{fs, io::Write as _, path::PathBuf, sync::Arc};

use custom_source as _;
use tempfile::TempDir;
use tidewater::{Source, plugin::open_source};
use tidewater_testkit::source::{self, Failure, Harness, Record, Topic};

struct Files;

/// A file of its own for each check.
struct LogFile {
    folder: TempDir,
}

impl LogFile {
    fn path(&self) -> PathBuf {
        self.folder.path().join("a.log")
    }
}

#[async_trait::async_trait]
impl Harness for Files {
    async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
        let file = LogFile { folder: tempfile::tempdir()? };
        fs::write(file.path(), "")?;
        Ok(Box::new(file))
    }

    fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
        let removed = "nothing is ever removed from the front of a file";
        let hidden = "a file holds nothing that its source leaves out";
        let time = "lines have no time";
        vec![
            ("1d", removed),
            ("3c", removed),
            ("1e", hidden),
            ("1f", hidden),
            ("2d", time),
            ("2e", time),
            ("8a", "a line can't hold a line break; what it can hold is tested below"),
            ("8b", "lines have no headers"),
            ("8c", "lines have no keys"),
            ("8d", "lines have neither keys nor headers"),
        ]
    }
}

#[async_trait::async_trait]
impl Topic for LogFile {
    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        Ok(open_source(&format!("lines:{}", self.path().display()))?)
    }

    async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
        let mut file = fs::OpenOptions::new().append(true).open(self.path())?;
        for record in records {
            file.write_all(&record.payload)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    }

    fn published_to(&self) -> Option<String> {
        Some(self.path().display().to_string())
    }

    /// As log rotation does it: a new file takes the place of the old one.
    async fn recreate(&self) -> Result<(), Failure> {
        let new = self.folder.path().join("new");
        fs::write(&new, "")?;
        Ok(fs::rename(new, self.path())?)
    }
}

#[tokio::test]
async fn the_plugin_keeps_the_contract() {
    source::run(&Files).await;
}
