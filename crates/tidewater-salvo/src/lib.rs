//! Tidewater channels as event streams in [salvo].
//!
//! The closed form is a goal that answers every method of a channel's endpoint:
//!
//! ```no_run
//! # use tidewater_hub::Channel;
//! use salvo::prelude::*;
//!
//! # async fn run(channel: Channel) {
//! let router = Router::with_path("events").goal(tidewater_salvo::sse(channel.clone()));
//! let server = Server::new(TcpListener::new("127.0.0.1:8080").bind().await);
//! let signal = async { /* such as tokio::signal::ctrl_c() */ };
//! tokio::spawn(tidewater_salvo::graceful(channel.hub(), server.handle(), signal));
//! server.serve(router).await;
//! # }
//! ```
//!
//! In the open form a handler with extractors of the application's own makes the stream:
//!
//! ```
//! # use tidewater_hub::{Channel, Select};
//! use salvo::prelude::*;
//! use tidewater_salvo::{Reply, Resume};
//!
//! #[handler]
//! async fn events(resume: Resume, req: &mut Request, depot: &mut Depot) -> Option<Reply> {
//!     let channel = depot.get_typed::<Channel>().ok()?;
//!     let user: String = req.param("user")?;
//!     Some(channel.stream(resume, Select::key(user)).await.into())
//! }
//! ```
//!
//! Its methods and CORS are the application's, by salvo's own router and hoops.

use std::{convert::Infallible, time::Duration};

use http_body_util::BodyExt;
use salvo::{
    Depot, Extractible, FlowCtrl, Handler, Request, Response, Scribe, async_trait,
    conn::SocketAddr,
    extract::Metadata,
    http::{ResBody, header},
    server::ServerHandle,
};
use tidewater_http::{Body, Endpoint, Limits, Peer, Rejection};
use tidewater_hub::{Channel, EventStream, Hub, Select};

/// Serves a channel, or an [`Endpoint`] with CORS and publishing: every method.
pub fn sse(endpoint: impl Into<Endpoint>) -> Sse {
    Sse(endpoint.into())
}

/// A goal that answers every method of a channel's endpoint: see [`sse`].
#[derive(Clone, Debug)]
pub struct Sse(Endpoint);

#[async_trait]
impl Handler for Sse {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let mut request = http::Request::new(req.take_body());
        *request.method_mut() = req.method().clone();
        *request.uri_mut() = req.uri().clone();
        *request.headers_mut() = req.headers().clone();
        // An authorizer may want to see what a hoop has found out.
        *request.extensions_mut() = req.extensions().clone();
        if let Some(peer) = peer(req) {
            request.extensions_mut().insert(peer);
        }
        Reply(self.0.respond(request).await).render(res);
    }
}

/// What the request asks for, extracted by a handler: to hand to `channel.stream`, or to open.
///
/// What can't be read (400) and an `Accept` that excludes event streams (406) are answered before the handler runs.
/// An id is never refused.
#[derive(Clone, Debug)]
pub struct Resume(tidewater_http::Resume);

impl Resume {
    /// Answers the request: the events, or the channel's cursor if that is what it asks for.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open(self, channel: &Channel) -> Reply {
        self.open_selected(channel, Select::all()).await
    }

    /// [`open`](Self::open), of what the application selects *and* the request selects.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open_selected(self, channel: &Channel, select: Select) -> Reply {
        Reply(self.0.open_selected(channel, select).await.into_response())
    }

    /// [`open_selected`](Self::open_selected), if there is a place for one more stream of its client, and of a subject if it
    /// has one: see [`tidewater_http::Resume::open_limited`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open_limited(
        self,
        channel: &Channel,
        select: Select,
        limits: &Limits,
        subject: Option<&str>,
    ) -> Reply {
        Reply(self.0.open_limited(channel, select, limits, subject).await.into_response())
    }
}

impl From<Resume> for tidewater_hub::Resume {
    fn from(resume: Resume) -> Self {
        resume.0.into()
    }
}

impl<'ex> Extractible<'ex> for Resume {
    fn metadata() -> &'static Metadata {
        static METADATA: Metadata = Metadata::new("");
        &METADATA
    }

    #[allow(refining_impl_trait, reason = "the error is part of the contract: 400 or 406")]
    async fn extract(req: &'ex mut Request, _: &'ex mut Depot) -> Result<Self, Reply> {
        let resume = tidewater_http::Resume::from_head(req.method(), req.uri().query(), req.headers())?;
        Ok(Self(match peer(req) {
            Some(peer) => resume.from_peer(peer),
            None => resume,
        }))
    }
}

/// Where a request comes from: what a server before salvo has said in its extensions, else what salvo knows.
fn peer(req: &Request) -> Option<Peer> {
    req.extensions().get().copied().or_else(|| match req.remote_addr() {
        SocketAddr::IPv4(address) => Some(Peer::Address((*address).into())),
        SocketAddr::IPv6(address) => Some(Peer::Address((*address).into())),
        #[cfg(unix)]
        SocketAddr::Unix(_) => Some(Peer::Unix),
        _ => None,
    })
}

/// An answer: of a stream, of what [`Resume::open`] gives, or a refusal.
#[derive(Debug)]
pub struct Reply(http::Response<Body>);

impl From<EventStream> for Reply {
    fn from(stream: EventStream) -> Self {
        Self(tidewater_http::Reply::from(stream).into_response())
    }
}

impl From<Rejection> for Reply {
    fn from(rejection: Rejection) -> Self {
        Self(rejection.into_response())
    }
}

impl Scribe for Reply {
    fn render(self, res: &mut Response) {
        let (parts, body) = self.0.into_parts();
        res.status_code(parts.status);
        for (name, value) in &parts.headers {
            match name {
                &header::VARY => res.headers_mut().append(name, value.clone()),
                _ => res.headers_mut().insert(name, value.clone()).is_some(),
            };
        }
        res.replace_body(match body {
            Body::Full(bytes) if bytes.is_empty() => ResBody::None,
            Body::Full(bytes) => ResBody::Once(bytes),
            // Each slice goes to hyper as it is.
            Body::Events(events) => {
                ResBody::Boxed(Box::pin(events.map_err(|never: Infallible| match never {})))
            }
        });
    }
}

/// Waits for the signal, ends every stream with a time to come back, then lets the server go. Spawn it.
///
/// salvo alone would wait for open streams for ever. Connections that don't take their last bytes are closed after 5 s.
pub fn graceful<S>(hub: &Hub, server: ServerHandle, signal: S) -> impl Future<Output = ()> + Send + use<S>
where
    S: Future<Output = ()> + Send + 'static,
{
    let drained = tidewater_http::drained(hub.clone(), signal);
    async move {
        drained.await;
        server.stop_graceful(Duration::from_secs(5));
    }
}
