//! What every sink that offers [`Sink::exactly_once`] has to do, as checks that any sink's tests can run.
//!
//! ```
//! use std::sync::Arc;
//! use async_trait::async_trait;
//! use tidewater_core::{Sink, Source, memory::MemoryLog};
//! use tidewater_testkit::exactly_once::{self, Failure, Harness, Target};
//!
//! struct Memory;
//! struct Log(MemoryLog);
//!
//! #[async_trait]
//! impl Harness for Memory {
//!     async fn target(&self) -> Result<Box<dyn Target>, Failure> {
//!         Ok(Box::new(Log(MemoryLog::new("m"))))
//!     }
//! }
//!
//! impl Target for Log {
//!     fn sink(&self) -> Result<Arc<dyn Sink>, Failure> {
//!         Ok(Arc::new(self.0.sink()))
//!     }
//!     fn source(&self) -> Result<Arc<dyn Source>, Failure> {
//!         Ok(Arc::new(self.0.source()))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! // A real harness runs them all: `exactly_once::run(&Mine).await`. This log keeps no positions.
//! let report = exactly_once::check_only(&Memory, &["1a", "5a"]).await;
//! assert_eq!(report.failed(), ["1a"], "{report}");
//! # });
//! ```
//!
//! The suite plays a source of two partitions, whose positions are therefore no single number, and a caller that
//! does as it is told: it resumes after every error and reads its source from there. It reads back through the sink's own
//! source, up to the end that its bounds tell, and looks at every message.
//!
//! | checks | about |
//! |---|---|
//! | 1 | the position that a writer is told |
//! | 2 | each message once, in its place |
//! | 3 | messages are what they were |
//! | 4 | positions that can't be read |
//! | 5 | [`Sink::send_all`] |
//!
//! Nothing passes in silence: a check either runs, or the harness has declared it
//! [not applicable](Harness::not_applicable) with a reason, which the report shows.
//!
//! What the suite cannot see: a broker that dies. Kill yours in a test of your own.

mod checks;
mod context;
mod feed;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tidewater_core::{Sink, Source};

pub use self::checks::{CHECKS, Check};
pub use crate::{
    report::{Outcome, Report},
    source::Failure,
};

/// One kind of sink with its broker, as the suite sees it.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Makes a place of its own to write to, to which nothing was ever written. Each check gets one, one of them two.
    async fn target(&self) -> Result<Box<dyn Target>, Failure>;

    /// The checks that this sink can't be asked, by name, each with the reason.
    fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }

    /// How long one check may take before it has failed. Generous: it is waited for only when something is wrong.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// The headers that the sink puts on messages for itself. They are not compared.
    fn adds(&self) -> &'static [&'static str] {
        &[]
    }
}

/// A place at the broker that messages are written to.
#[async_trait]
pub trait Target: Send + Sync {
    /// A new sink object that writes there, as another process would have one.
    fn sink(&self) -> Result<Arc<dyn Sink>, Failure>;

    /// A source of all that it holds.
    fn source(&self) -> Result<Arc<dyn Source>, Failure>;

    /// Puts something that no cursor can be read from in the place of the position of this writer, which has written.
    async fn spoil(&self, id: &str) -> Result<(), Failure> {
        Err(crate::source::missing(&format!("spoil({id:?})")))
    }
}

/// Runs every check and prints the report.
///
/// # Panics
/// If a check has failed: with the report.
pub async fn run(harness: &dyn Harness) {
    let report = check(harness).await;
    println!("{report}");
    assert!(report.passed(), "the sink's writers do not keep the contract:\n{report}");
}

/// Runs every check and tells what came of it.
pub async fn check(harness: &dyn Harness) -> Report {
    checks::run(harness, None).await
}

/// Runs the checks of these names only. A name that no check has is told as failed.
pub async fn check_only(harness: &dyn Harness, names: &[&str]) -> Report {
    checks::run(harness, Some(names)).await
}
