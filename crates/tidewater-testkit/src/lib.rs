//! Conformance suites for Tidewater sources, sinks and web adapters: ours, and other people's.
//!
//! | to test … | see | feature |
//! |---|---|---|
//! | a source | [`source`] | |
//! | that a sink's writers write each message once | [`exactly_once`] | |
//! | against a broker that is killed and restarted | [`broker`] | |
//! | that no secret is shown | [`secret`](mod@secret) | |
//! | a web adapter | `web` | `web` |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod broker;
pub mod exactly_once;
mod report;
pub mod secret;
pub mod source;
#[cfg(feature = "web")]
pub mod web;

pub use self::secret::secret;
