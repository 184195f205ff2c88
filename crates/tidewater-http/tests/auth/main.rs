//! Authorization: what each request gets by what its authorizer says.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod endpoint;
#[cfg(feature = "jwks")]
mod jwks;
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(any(feature = "jwks", feature = "authorize-url"))]
mod other;
mod site;
#[cfg(feature = "authorize-url")]
mod url;
