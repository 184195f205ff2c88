//! The connection to the servers.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, jetstream};
use tidewater_core::Result;
use tokio::sync::OnceCell;

use crate::{
    config::{Login, Servers},
    error,
};

/// The longest that one server is waited for.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that a request to a server is waited for.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that is made when it is first needed and shared from then on. Cloning shares it.
///
/// Once made it is kept up by the client, which looks for a server for ever when it has lost one.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) servers: Arc<Servers>,
    client: Arc<OnceCell<Client>>,
}

impl Connection {
    pub(crate) fn new(servers: Servers) -> Self {
        Self { servers: Arc::new(servers), client: Arc::default() }
    }

    /// The client.
    ///
    /// # Errors
    /// As [`connect`]. The next call tries again.
    pub(crate) async fn client(&self) -> Result<&Client> {
        self.client.get_or_try_init(|| connect(&self.servers, options())).await
    }

    /// The client's JetStream side.
    pub(crate) async fn jetstream(&self) -> Result<jetstream::Context> {
        let context =
            jetstream::ContextBuilder::new().timeout(REQUEST_TIMEOUT).build(self.client().await?.clone());
        Ok(context)
    }
}

/// What every connection of this crate is made with.
pub(crate) fn options() -> ConnectOptions {
    ConnectOptions::new()
        .name("tidewater")
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
}

/// Connects to one of the servers.
///
/// # Errors
/// [`Unavailable`](tidewater_core::ErrorKind::Unavailable) when none answers within [`CONNECT_TIMEOUT`] each,
/// [`Denied`](tidewater_core::ErrorKind::Denied) when it lets us not in.
pub(crate) async fn connect(servers: &Servers, options: ConnectOptions) -> Result<Client> {
    let options = match servers.login.clone() {
        Login::Nobody => options,
        Login::Token(token) => options.token(token),
        Login::User { name, password } => options.user_and_password(name, password),
    };
    let longest = CONNECT_TIMEOUT * (servers.hosts.len() as u32) + Duration::from_secs(1);
    match tokio::time::timeout(longest, options.connect(servers.hosts.as_slice())).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(error::connect(&servers.to_string(), error)),
        Err(_) => Err(error::unavailable(format!("no NATS server answers at {servers}: it took too long"))),
    }
}

/// What a round trip to the server showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoundTrip {
    /// The server has seen everything that was sent before.
    Done,
    /// The connection held all the while, but there was no answer: the user may not publish to inboxes.
    Refused,
    /// The connection was lost meanwhile, and what was sent before may be, too.
    Lost,
}

/// Waits until the server has dealt with everything that was sent before. (The client's `flush` only waits until it is
/// written to the socket.) A request to a subject that nobody listens on is answered by the server itself, in order.
///
/// Cancel safe.
pub(crate) async fn round_trip(client: &Client) -> RoundTrip {
    let connects = || client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed);
    let before = connects();
    match client.request(client.new_inbox(), bytes::Bytes::new()).await {
        Ok(_) => RoundTrip::Done,
        Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => RoundTrip::Done,
        Err(_)
            if connects() == before
                && client.connection_state() == async_nats::connection::State::Connected =>
        {
            RoundTrip::Refused
        }
        Err(_) => RoundTrip::Lost,
    }
}
