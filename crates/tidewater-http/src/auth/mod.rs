//! Who may read and publish what.
//!
//! An [`Endpoint`](crate::Endpoint) without an [`Authorizer`] answers everybody. With one, each request but a CORS preflight is
//! asked for first, and what the request selects only narrows what it was granted.
//!
//! ```
//! use tidewater_http::{Ask, Authorizer, Grant, Refusal};
//! use tidewater_hub::Select;
//!
//! /// Whoever a middleware has found out, each with the messages of their own key.
//! #[derive(Clone, Debug)]
//! struct User(String);
//!
//! #[derive(Debug)]
//! struct Sessions;
//!
//! #[async_trait::async_trait]
//! impl Authorizer for Sessions {
//!     async fn authorize(&self, ask: Ask<'_>) -> Result<Grant, Refusal> {
//!         let Some(User(name)) = ask.extension() else {
//!             return Err(Refusal::unauthenticated("log in first"));
//!         };
//!         Ok(Grant::new().reading(Select::key(name.clone())).with_subject(name.as_str()))
//!     }
//! }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `ask` | what is asked |
//! | `grant` | what is granted |
//! | `refusal` | why nothing is, and how a client is told |
//! | `rules`, `template` | from claims to grants: pure |
//! | `jwt` | JSON Web Tokens |
//! | `url` | an application that is asked |
//! | `client` | how other servers are asked |

mod ask;
#[cfg(any(feature = "jwks", feature = "authorize-url"))]
mod client;
mod grant;
#[cfg(feature = "jwt")]
pub mod jwt;
mod refusal;
mod rules;
mod template;
#[cfg(feature = "authorize-url")]
mod url;

use std::{fmt, sync::Arc};

use async_trait::async_trait;

pub use ask::{Action, Ask, Head, Selection};
pub use grant::Grant;
pub use refusal::Refusal;
pub use rules::{Rule, Rules};
pub use template::Claims;
#[cfg(feature = "authorize-url")]
pub use url::{AuthorizeUrl, AuthorizeUrlSettings};

/// Decides what a request may do.
///
/// It is asked once for each request, also when a stream comes back, and never again while a stream lasts: for how long that may
/// be is the grant's [expiry](Grant::until). Answers that take long hold the request up, so an authorizer has a time limit of its
/// own, and says [`unavailable`](Refusal::unavailable) then.
#[async_trait]
pub trait Authorizer: fmt::Debug + Send + Sync + 'static {
    /// What this request may do on this channel.
    ///
    /// # Errors
    /// A [`Refusal`]. What was granted and does not include what is asked for is refused with 403 by the caller.
    ///
    /// # Cancel safety
    /// It may be dropped at any time, when the client goes.
    async fn authorize(&self, ask: Ask<'_>) -> Result<Grant, Refusal>;
}

#[async_trait]
impl<A: Authorizer + ?Sized> Authorizer for Arc<A> {
    async fn authorize(&self, ask: Ask<'_>) -> Result<Grant, Refusal> {
        (**self).authorize(ask).await
    }
}
