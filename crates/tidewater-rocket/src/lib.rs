//! Tidewater channels as event streams in [rocket].
//!
//! A handler of the application's own makes the stream, beside guards of its own:
//!
//! ```no_run
//! # use rocket::{State, get, routes};
//! use tidewater_hub::{Channel, Select};
//! use tidewater_rocket::{EventStream, Resume};
//!
//! #[get("/events")]
//! async fn events(resume: Resume, channel: &State<Channel>) -> EventStream {
//!     resume.open(channel).await
//! }
//!
//! #[get("/users/<user>/events")]
//! async fn of_user(user: String, resume: Resume, channel: &State<Channel>) -> EventStream {
//!     channel.stream(resume, Select::key(user)).await.into()
//! }
//!
//! # fn build(channel: Channel) -> rocket::Rocket<rocket::Build> {
//! rocket::build()
//!     .attach(tidewater_rocket::drain(channel.hub()))
//!     .manage(channel)
//!     .mount("/", routes![events, of_user])
//! # }
//! ```
//!
//! [`routes`] is the closed form: every method of a channel's endpoint, with CORS and publishing.
//!
//! What rocket does differently: it notices that a client has gone at its next write, so within a heartbeat; it copies
//! what it writes; it drops headers that are not UTF-8; it runs a `#[get]` for `HEAD` too, as a `GET`; and from the
//! moment of a shutdown it accepts no connection.

mod body;
mod routes;

use std::time::Duration;

use rocket::{
    Orbit, Request, Rocket,
    fairing::{Fairing, Info, Kind},
    http::Status,
    request::{FromRequest, Outcome},
    response::{self, Responder},
};
use tidewater_http::{DRAIN_DEADLINE, Limits, Rejection};
use tidewater_hub::{Channel, Hub, Select};

pub use routes::{answer, routes};

/// What the request asks for, as a guard: to open, or to hand to `channel.stream`.
///
/// Fails with 400 for what can't be read and with 406 where `Accept` excludes event streams; the answer is then the
/// application's catcher's. An id is never refused.
#[derive(Clone, Debug)]
pub struct Resume(tidewater_http::Resume);

impl Resume {
    /// Answers the request: the events, or the channel's cursor if that is what it asks for.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open(self, channel: &Channel) -> EventStream {
        self.open_selected(channel, Select::all()).await
    }

    /// [`open`](Self::open), of what the application selects *and* the request selects.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open_selected(self, channel: &Channel, select: Select) -> EventStream {
        EventStream(self.0.open_selected(channel, select).await.into_response())
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
    ) -> EventStream {
        EventStream(self.0.open_limited(channel, select, limits, subject).await.into_response())
    }
}

impl From<Resume> for tidewater_hub::Resume {
    fn from(resume: Resume) -> Self {
        resume.0.into()
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Resume {
    type Error = Rejection;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Rejection> {
        let parts = routes::parts(request);
        match tidewater_http::Resume::from_parts(&parts) {
            Ok(resume) => Outcome::Success(Self(resume)),
            Err(rejection) => Outcome::Error((Status::new(rejection.status().as_u16()), rejection)),
        }
    }
}

/// The answer: a channel's events, or its cursor.
#[derive(Debug)]
pub struct EventStream(http::Response<tidewater_http::Body>);

impl From<tidewater_hub::EventStream> for EventStream {
    fn from(stream: tidewater_hub::EventStream) -> Self {
        Self(tidewater_http::Reply::from(stream).into_response())
    }
}

impl<'r> Responder<'r, 'static> for EventStream {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Ok(body::response(self.0))
    }
}

/// A fairing that ends every stream with a time to come back when rocket shuts down.
///
/// Streams end within three quarters of rocket's own grace period (2 s unless configured), and within 5 s.
pub fn drain(hub: &Hub) -> impl Fairing {
    Drain(hub.clone())
}

struct Drain(Hub);

#[rocket::async_trait]
impl Fairing for Drain {
    fn info(&self) -> Info {
        Info { name: "Tidewater drain", kind: Kind::Shutdown }
    }

    async fn on_shutdown(&self, rocket: &Rocket<Orbit>) {
        // rocket counts its grace period from the same moment, and then cuts connections anywhere.
        let grace = Duration::from_secs(rocket.config().shutdown.grace.into());
        self.0.drain(DRAIN_DEADLINE.min(grace * 3 / 4)).await;
    }
}
