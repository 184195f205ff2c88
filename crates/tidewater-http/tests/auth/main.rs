//! Authorization: what each request gets by what its authorizer says.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod endpoint;
#[cfg(feature = "jwt")]
mod jwt;
mod site;
