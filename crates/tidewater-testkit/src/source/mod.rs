//! What every source has to do, as checks that any source's tests can run.
//!
//! ```
//! use std::sync::Arc;
//! use async_trait::async_trait;
//! use tidewater_core::{Headers, Message, Source, memory::MemoryLog};
//! use tidewater_testkit::source::{self, Failure, Harness, Record, Topic};
//!
//! struct Memory;
//! struct Log(MemoryLog);
//!
//! #[async_trait]
//! impl Harness for Memory {
//!     async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
//!         Ok(Box::new(Log(MemoryLog::new("m"))))
//!     }
//! }
//!
//! #[async_trait]
//! impl Topic for Log {
//!     fn source(&self) -> Result<Arc<dyn Source>, Failure> {
//!         Ok(Arc::new(self.0.source()))
//!     }
//!     async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
//!         for record in records {
//!             self.0.publish(Message { key: record.key, ..Message::new("m", record.payload) });
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! // A real harness runs them all: `source::run(&Memory).await`.
//! let report = source::check_only(&Memory, &["1a", "2b"]).await;
//! assert!(report.passed(), "{report}");
//! # });
//! ```
//!
//! A check's number begins with the number of the rule in [`tidewater_core::Source`] that it holds a source to;
//! 8 is what a [`Message`] says of itself, 9 what bounds and capabilities say. Rule 7 has no check of its own: it is
//! looked at whenever a stream ends.
//!
//! Nothing passes in silence: a check either runs, or the harness has declared it
//! [not applicable](Harness::not_applicable) with a reason, which the report shows. A capability that the source
//! claims cannot be declared away.
//!
//! What the suite cannot see from outside: how many bytes are read ahead (rule 5) beyond that nothing is lost by it.

mod checks;
pub(crate) mod context;
pub(crate) mod follow;

use std::{error::Error as StdError, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tidewater_core::{Headers, Source};

#[cfg(doc)]
use tidewater_core::Message;

pub use self::checks::{CHECKS, Check};
pub use crate::report::{Outcome, Report};

/// Why a check failed, or a harness's broker.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// One kind of source with its broker, as the suite sees it.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Makes a topic (or what the source calls so) of its own, to which nothing was ever published. Each check gets one.
    async fn topic(&self) -> Result<Box<dyn Topic>, Failure>;

    /// The checks that this source can't be asked, by name, each with the reason.
    fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }

    /// How long one check may take before it has failed. Generous: it is waited for only when something is wrong.
    fn patience(&self) -> Duration {
        Duration::from_secs(45)
    }
}

/// A topic at the broker, with what a test may do to it. What a broker can't do is left as it is here, and the checks
/// that need it are declared [not applicable](Harness::not_applicable).
#[async_trait]
pub trait Topic: Send + Sync {
    /// A new source object of this topic.
    fn source(&self) -> Result<Arc<dyn Source>, Failure>;

    /// Publishes these in their order, and resolves when the broker has them all.
    async fn publish(&self, records: Vec<Record>) -> Result<(), Failure>;

    /// How many partitions it has.
    fn partitions(&self) -> u32 {
        1
    }

    /// What [`Message::topic`] has to be of what [`publish`](Self::publish) publishes; `None` doesn't look.
    fn published_to(&self) -> Option<String> {
        None
    }

    /// Removes what stands before `offset`, as retention would, and resolves when it is gone.
    async fn remove_before(&self, partition: u32, offset: u64) -> Result<(), Failure> {
        Err(missing(&format!("remove_before({partition}, {offset})")))
    }

    /// Removes the topic with everything in it and makes it again, empty.
    async fn recreate(&self) -> Result<(), Failure> {
        Err(missing("recreate()"))
    }

    /// Moves the position of at least one partition without a message that the source would deliver.
    async fn hide(&self) -> Result<(), Failure> {
        Err(missing("hide()"))
    }
}

/// What a check publishes.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The partition; 0 where the topic has one.
    pub partition: u32,
    /// The key.
    pub key: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
    /// The payload.
    pub payload: Bytes,
}

/// Runs every check and prints the report.
///
/// # Panics
/// If a check has failed: with the report.
pub async fn run(harness: &dyn Harness) {
    let report = check(harness).await;
    println!("{report}");
    assert!(report.passed(), "the source does not keep the contract:\n{report}");
}

/// Runs every check and tells what came of it.
pub async fn check(harness: &dyn Harness) -> Report {
    checks::run(harness, None).await
}

/// Runs the checks of these names only. A name that no check has is told as failed.
pub async fn check_only(harness: &dyn Harness, names: &[&str]) -> Report {
    checks::run(harness, Some(names)).await
}

pub(crate) fn missing(hook: &str) -> Failure {
    format!("this harness has no {hook}: implement it, or declare the check not applicable and say why")
        .into()
}
