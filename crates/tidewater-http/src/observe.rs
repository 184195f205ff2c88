//! What becomes of requests, for who wants to know: an access log, say.

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc, time::Instant};

use http::{Response, StatusCode, request::Parts};
use tidewater_hub::{Begins, Ended, Ending, OnEnd};

use crate::{
    Body, LAST_EVENT_ID, Peer, Reply, names,
    query::{Pair, pairs},
};

/// Is told of each request to a channel when it is answered, and of each stream when it has ended: see
/// [`Endpoint::observe`](crate::Endpoint::observe).
///
/// ```
/// use tidewater_http::{Answered, Exchange, Observer, OnEnd};
///
/// #[derive(Debug)]
/// struct Print;
///
/// impl Observer for Print {
///     fn answered(&self, exchange: &Exchange<'_>, answered: &Answered) -> Option<OnEnd> {
///         let channel = exchange.channel.to_owned();
///         println!("{} {channel}: {}", exchange.request.method, answered.status);
///         // Whatever is to be known at the end of a stream is kept by what is called then.
///         Some(Box::new(move |ended| println!("{channel}: {}, {} events", ended.why, ended.events)))
///     }
/// }
/// ```
///
/// It is called by who answers and who writes streams, so it must neither wait nor take long.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// A request has been answered; the head of the answer is about to be sent. What this gives is called when the stream
    /// has ended, if one was opened. A stream for which no observer gives anything counts nothing.
    fn answered(&self, exchange: &Exchange<'_>, answered: &Answered) -> Option<OnEnd>;
}

/// A request to a channel.
///
/// In the open form the handler makes one:
///
/// ```
/// # use tidewater_http::{Exchange, Observer, Rejection, Reply, Resume};
/// # use tidewater_hub::{Channel, Select};
/// async fn handler(request: http::Request<()>, channel: Channel, log: &dyn Observer) -> Result<Reply, Rejection> {
///     let (parts, ()) = request.into_parts();
///     let exchange = Exchange::new(channel.name(), &parts).subject("ada");
///     let reply = Resume::from_parts(&parts)?.open_selected(&channel, Select::key("ada")).await;
///     Ok(exchange.answered(reply, log))
/// }
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Exchange<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// The request's head. It holds secrets: tokens stand in its headers and in its query, of which
    /// [`known_query`](Self::known_query) gives what can be shown.
    pub request: &'a Parts,
    /// The address of its client, as limits see it.
    pub client: Option<IpAddr>,
    /// Whom it is from, if somebody has found that out.
    pub subject: Option<&'a str>,
    /// When it came.
    pub since: Instant,
}

/// What a request was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// Of a stream, where it begins; or why it says nothing but when to come back. `None` for every other answer.
    pub stream: Option<Result<Begins, Ending>>,
}

impl<'a> Exchange<'a> {
    /// A request that comes now, from where its extension [`Peer`] says.
    pub fn new(channel: &'a str, request: &'a Parts) -> Self {
        let peer: Option<&Peer> = request.extensions.get();
        let client = peer.and_then(|peer| peer.address()).map(|address| address.ip());
        Self { channel, request, client, subject: None, since: Instant::now() }
    }

    /// The address of its client, where that is known better: [`Resume::client`](crate::Resume::client),
    /// [`Limits::client`](crate::Limits::client).
    #[must_use]
    pub fn client(self, client: Option<IpAddr>) -> Self {
        Self { client, ..self }
    }

    /// Whom it is from.
    #[must_use]
    pub fn subject(self, subject: &'a str) -> Self {
        Self { subject: Some(subject), ..self }
    }

    /// The id of the last event that its client has, as it came: it may be anything. The header wins over the query.
    pub fn last_event_id(&self) -> Option<Cow<'a, str>> {
        let header = self.request.headers.get(LAST_EVENT_ID);
        let header = header.map(|id| String::from_utf8_lossy(id.as_bytes()));
        let query = || {
            let mut ids = self.pairs().filter(|pair| matches!(&*pair.name, "last_event_id" | "lastEventId"));
            Some(Cow::Owned(ids.next()?.lossy()))
        };
        header.filter(|id| !id.is_empty()).or_else(query).filter(|id| !id.is_empty())
    }

    /// The parameters of the query that are Tidewater's, but for ids; and nothing of others, which may hold tokens.
    pub fn known_query(&self) -> impl Iterator<Item = (&'static str, String)> + use<'a> {
        let known = |pair: Pair<'_>| {
            let name = names::SHOWN.iter().find(|name| **name == pair.name)?;
            Some((*name, pair.lossy()))
        };
        self.pairs().filter_map(known)
    }

    /// Tells an observer that it is answered; of the stream in the answer it is told when that ends.
    #[must_use = "this is the answer"]
    pub fn answered(&self, mut reply: Reply, observer: &dyn Observer) -> Reply {
        self.tell([observer], &mut reply.0);
        reply
    }

    pub(crate) fn tell<'o>(
        &self,
        observers: impl IntoIterator<Item = &'o dyn Observer>,
        response: &mut Response<Body>,
    ) {
        let status = response.status();
        let stream = match response.body() {
            Body::Events(events) => Some(events.begins()),
            Body::Full(_) => None,
        };
        let answered = Answered { status, stream };
        let ends: Vec<OnEnd> =
            observers.into_iter().filter_map(|observer| observer.answered(self, &answered)).collect();
        if let (Body::Events(events), Some(Ok(_)), false) = (response.body_mut(), stream, ends.is_empty()) {
            events.observe(all(ends));
        }
    }

    /// What is no query says nothing.
    fn pairs(&self) -> impl Iterator<Item = Pair<'a>> + use<'a> {
        pairs(self.request.uri.query()).into_iter().flatten()
    }
}

/// Shows neither the query nor the headers.
impl fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("channel", &self.channel)
            .field("method", &self.request.method)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// Who observes an endpoint.
pub(crate) type Observers = Vec<Arc<dyn Observer>>;

/// One for all of them.
fn all(mut ends: Vec<OnEnd>) -> OnEnd {
    if ends.len() == 1
        && let Some(one) = ends.pop()
    {
        return one;
    }
    Box::new(move |ended: Ended| ends.into_iter().for_each(|on_end| on_end(ended.clone())))
}
