//! Who may do what on one channel.

use std::sync::Arc;

use async_trait::async_trait;
use tidewater::{
    Select,
    http::{Action, Ask, Authorizer, Grant, Refusal},
};

/// The authorizer of a channel. Everybody reads it if it is public; else, and for publishing, the gateway's is asked.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) public: bool,
    pub(super) authorizer: Arc<dyn Authorizer>,
}

#[async_trait]
impl Authorizer for Gate {
    async fn authorize(&self, ask: Ask<'_>) -> Result<Grant, Refusal> {
        match ask.action {
            Action::Read(_) if self.public => Ok(Grant::new().reading(Select::all())),
            _ => self.authorizer.authorize(ask).await,
        }
    }
}
