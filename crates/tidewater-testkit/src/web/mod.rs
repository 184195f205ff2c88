//! The conformance suite for web adapters, over real sockets.
//!
//! An adapter's test implements [`Server`], which mounts a channel in both forms, and lets the suite run:
//!
//! ```no_run
//! use tidewater_testkit::web::{Mount, Running, Server};
//!
//! # async fn serve_with_mine(_: Mount) -> std::io::Result<Running> {
//! #     Err(std::io::ErrorKind::Unsupported.into())
//! # }
//! #[derive(Debug)]
//! struct Mine;
//!
//! #[async_trait::async_trait]
//! impl Server for Mine {
//!     async fn start(&self, mount: Mount) -> std::io::Result<Running> {
//!         serve_with_mine(mount).await
//!     }
//! }
//!
//! tidewater_testkit::web_suite!(Mine);
//! ```
//!
//! Every adapter gives the same bytes and the same headers, because the suite compares each with the hub itself and
//! with one list of headers. What a framework can't do differently is said by the methods of [`Server`], so that it
//! is known and not hidden.

mod checks;
mod client;
mod site;

use std::{fmt, io, net::SocketAddr, time::Duration};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tidewater_http::{Endpoint, Limits};
use tidewater_hub::Channel;
use tokio::task::JoinHandle;

pub use checks::*;

/// A web framework with the adapter mounted in it.
#[async_trait]
pub trait Server: fmt::Debug + Send + Sync {
    /// Starts the server on a free port of 127.0.0.1, with these routes:
    ///
    /// | path | what |
    /// |---|---|
    /// | `/closed` | the closed form of [`Mount::endpoint`] |
    /// | `/open` | `GET`: a handler that lets the request be answered: `resume.open(&channel)` |
    /// | `/limited` | `GET`: the same within limits: `resume.open_limited(&channel, Select::all(), &limits, None)` |
    /// | `/keys/KEY` | `GET`: a handler that makes the stream: `channel.stream(resume, Select::key(KEY))` |
    ///
    /// and with the adapter's graceful shutdown when [`Mount::stop`] resolves.
    async fn start(&self, mount: Mount) -> io::Result<Running>;

    /// The headers that the framework adds to every answer, in lower case (beyond `date` and those of the framing).
    fn adds(&self) -> &'static [&'static str] {
        &[]
    }

    /// When a client that has gone is noticed.
    fn notices(&self) -> Notices {
        Notices::AtOnce
    }

    /// What another method than `GET` gets from the open form: 405, unless the framework knows it as 404.
    fn wrong_method_in_the_open_form(&self) -> u16 {
        405
    }

    /// Whether headers that are not UTF-8 reach the adapter.
    fn passes_any_header(&self) -> bool {
        true
    }
}

/// What a [`Server`] mounts.
pub struct Mount {
    /// For the closed form.
    pub endpoint: Endpoint,
    /// For the open forms.
    pub channel: Channel,
    /// For the open form with limits.
    pub limits: Limits,
    /// Resolves when the server shall shut down gracefully.
    pub stop: BoxFuture<'static, ()>,
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Ends when the server has shut down.
    pub done: JoinHandle<()>,
}

/// When a server notices that a client has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notices {
    /// Within 100 ms.
    AtOnce,
    /// At its next write: within a heartbeat.
    AtTheNextWrite,
}

/// Why a check failed.
pub struct Failure(String);

/// What a check gives.
pub type Checked = Result<(), Failure>;

impl Failure {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As [`Display`](fmt::Display), so that a test that returns it reads well.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Fails unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err($crate::web::Failure::new(format!($($why)+)));
        }
    };
}
pub(crate) use ensure;

/// How long anything may take that should come at once.
const SOON: Duration = Duration::from_secs(10);

/// Waits for what should come at once.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(SOON, future)
        .await
        .map_err(|_| Failure::new(format!("{what}: nothing for {} s", SOON.as_secs())))
}

/// Writes one test for each check of the suite, for the [`Server`] that the expression gives.
#[macro_export]
macro_rules! web_suite {
    ($server:expr) => {
        $crate::web_suite! { $server =>
            the_bytes_are_the_hubs,
            the_headers_are_the_endpoints,
            a_compressed_stream_is_whole,
            head_and_json_answer_the_cursor,
            wrong_methods_are_refused,
            an_accept_that_excludes_streams_is_refused,
            i1_the_last_id_resumes_and_the_header_wins,
            i3_ids_that_cannot_be_served_are_gaps_never_errors,
            since_sets_the_start,
            selections_narrow_the_stream,
            a_post_publishes,
            a_post_is_refused_for_cause,
            cors_is_for_listed_origins,
            requests_get_what_they_are_granted,
            i10_a_stream_ends_when_its_grant_is_over,
            a_post_over_the_rate_is_refused,
            bad_input_is_refused_or_served,
            a_client_that_goes_is_noticed,
            i9_shutdown_ends_streams,
            i9_a_stream_while_draining_is_told_to_come_back,
            i10_a_source_that_is_down_turns_nobody_away,
            i10_a_stream_over_the_limit_is_told_to_come_back,
            a_proxy_that_is_not_trusted_puts_limits_per_address_off,
        }
    };
    ($server:expr => $($check:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() -> $crate::web::Checked {
                $crate::web::$check(&$server).await
            }
        )+
    };
}
