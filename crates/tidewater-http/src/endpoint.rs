//! A channel's endpoint: every method, CORS, publishing.

use std::{
    convert::Infallible,
    error::Error as StdError,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use tidewater_core::Message;
use tidewater_hub::{Channel, Encoding, Select};
use tower::Service;
use tracing::Instrument as _;

use crate::{
    Authorizer, Body, Cors, Exchange, Grant, Limits, Observer, Propagator, Rejection, Reply, Resume,
    SelectBy, Tally,
    observe::Observers,
    publish::{BodyBounds, Publishing, accepted, message, refusal},
    trace,
};

/// Serves one channel. Cloning shares it.
///
/// A `tower::Service` of any request whose body is an [`http_body::Body`]; the path is not looked at. What it answers
/// is in the [crate's table](crate).
#[derive(Clone, Debug)]
pub struct Endpoint(Arc<Settings>);

#[derive(Clone, Debug)]
struct Settings {
    channel: Channel,
    cors: Cors,
    authorizer: Option<Arc<dyn Authorizer>>,
    publish: bool,
    body: BodyBounds,
    limits: Option<Limits>,
    select_by: Vec<SelectBy>,
    compress: Vec<Encoding>,
    observers: Observers,
    propagator: Option<Arc<dyn Propagator>>,
    tally: Tally,
}

impl Endpoint {
    /// An endpoint that only reads, for pages of its own origin.
    pub fn new(channel: Channel) -> Self {
        Self(Arc::new(Settings {
            channel,
            cors: Cors::default(),
            authorizer: None,
            limits: None,
            publish: false,
            body: BodyBounds { bytes: 1 << 20, time: Duration::from_secs(30) },
            select_by: SelectBy::ALL.to_vec(),
            compress: Vec::new(),
            observers: Vec::new(),
            propagator: None,
            tally: Tally::default(),
        }))
    }

    /// The other origins whose pages may use it.
    #[must_use]
    pub fn cors(self, cors: Cors) -> Self {
        self.with(|settings| settings.cors = cors)
    }

    /// Who decides what a request may do: every request but a CORS preflight is asked for. Without one, everybody may read, and
    /// publish where that is [on](Self::publish).
    #[must_use]
    pub fn authorize(self, authorizer: impl Authorizer) -> Self {
        self.with(|settings| settings.authorizer = Some(Arc::new(authorizer)))
    }

    /// Whether `POST` publishes: whoever the [authorizer](Self::authorize) grants it; without one, whoever reaches the endpoint.
    #[must_use]
    pub fn publish(self, allowed: bool) -> Self {
        self.with(|settings| settings.publish = allowed)
    }

    /// The most bytes that a published body may have; the default is 1 MiB.
    #[must_use]
    pub fn max_body(self, bytes: usize) -> Self {
        self.with(|settings| settings.body.bytes = bytes)
    }

    /// How long a published body may take to arrive, from its first byte to its last; the default is 30 s.
    #[must_use]
    pub fn body_timeout(self, longest: Duration) -> Self {
        self.with(|settings| settings.body.time = longest)
    }

    /// How many streams there may be, and how often may be published: together with all else that has the same limits. None
    /// by default.
    ///
    /// Where a request comes from is its extension [`Peer`](crate::Peer). The adapters and `tidewater-direct` put it in;
    /// whoever mounts the endpoint himself, as a tower service, does so too, or limits per address are off.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        self.with(|settings| settings.limits = Some(limits))
    }

    /// What clients may select by; the default is everything that there is. A client that asks for something else is told
    /// so (400) when it first comes; with an id it is served as it asks ([`Resume::check_select`]). It bounds what
    /// clients can make of the channel, not what they may see: that is authorization's.
    #[must_use]
    pub fn select_by(self, by: impl IntoIterator<Item = SelectBy>) -> Self {
        self.with(|settings| settings.select_by = by.into_iter().collect())
    }

    /// How streams may be compressed for clients that ask for it; of what one likes equally, the first. None by default.
    ///
    /// Not for channels that mix secrets with what others can write: see [`EventStream::encoded`].
    ///
    /// [`EventStream::encoded`]: tidewater_hub::EventStream::encoded
    #[must_use]
    pub fn compress(self, encodings: impl IntoIterator<Item = Encoding>) -> Self {
        self.with(|settings| settings.compress = encodings.into_iter().collect())
    }

    /// Tells this observer, too, of each request that is answered, and of each stream that has ended. Where it is a client's
    /// address, it is the one that [`limits`](Self::limits) have.
    ///
    /// Whoever leaves before the answer is told of to nobody.
    #[must_use]
    pub fn observe(self, observer: Arc<dyn Observer>) -> Self {
        self.with(|settings| settings.observers.push(observer))
    }

    /// How the traces of its requests go on elsewhere: whose child a request's span is, and what goes with a message that is
    /// published. Without one each request begins a trace.
    #[must_use]
    pub fn propagate(self, propagator: Arc<dyn Propagator>) -> Self {
        self.with(|settings| settings.propagator = Some(propagator))
    }

    /// Where it counts what it answers: together with all else that has the same tally.
    #[must_use]
    pub fn tally(self, tally: Tally) -> Self {
        self.with(|settings| settings.tally = tally)
    }

    /// Its channel.
    pub fn channel(&self) -> &Channel {
        &self.0.channel
    }

    /// The most bytes that a published body may have.
    pub fn body_limit(&self) -> usize {
        self.0.body.bytes
    }

    /// Answers a request.
    ///
    /// # Cancel safety
    /// Safe, but for a `POST`: one that is dropped may or may not have published.
    pub fn respond<B>(&self, request: Request<B>) -> impl Future<Output = Response<Body>> + Unpin
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        // Servers keep the room of this future for as long as the connection lives, and a stream's connection lives long.
        Box::pin(self.answer(request))
    }

    async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let span = trace::request(self.0.channel.name(), &parts, self.0.propagator.as_deref());
        // In its place: to be put into what enters the span it would be copied, and it is some kilobytes.
        let answer = pin!(self.answer_and_tell(&parts, body));
        let response = answer.instrument(span.clone()).await;
        trace::answered(&span, &response);
        response
    }

    /// Observers are told within the request's span.
    async fn answer_and_tell<B>(&self, parts: &Parts, body: B) -> Response<Body>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let exchange = (!self.0.observers.is_empty()).then(|| Exchange::new(self.0.channel.name(), parts));
        let mut subject = None;
        let mut response = self.answer_to(parts, body, &mut subject).await;
        self.0.tally.answered(response.status());
        if let Some(exchange) = exchange {
            self.tell(Exchange { subject: subject.as_deref(), ..exchange }, &mut response);
        }
        response
    }

    /// Also tells the subject, as soon as it is known.
    async fn answer_to<B>(&self, parts: &Parts, body: B, subject: &mut Option<Arc<str>>) -> Response<Body>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut response = match parts.method {
            Method::GET | Method::HEAD => match Resume::from_parts(parts) {
                Ok(resume) => self.read(resume, parts, subject).await.into_response(),
                Err(rejection) => rejection.into_response(),
            },
            Method::POST => self.post(parts, body, subject).await.unwrap_or_else(Rejection::into_response),
            Method::OPTIONS => return self.options(parts),
            _ => self.method_not_allowed(&parts.method),
        };
        self.0.cors.apply(&parts.headers, response.headers_mut());
        response
    }

    fn tell(&self, exchange: Exchange<'_>, response: &mut Response<Body>) {
        let Settings { limits, observers, .. } = &*self.0;
        let Parts { extensions, headers, .. } = exchange.request;
        let exchange = match limits {
            Some(limits) => exchange.client(limits.client(extensions.get(), headers)),
            None => exchange,
        };
        exchange.tell(observers.iter().map(|observer| &**observer), response);
    }

    async fn read(&self, resume: Resume, parts: &Parts, subject: &mut Option<Arc<str>>) -> Reply {
        let Settings { channel, authorizer, limits, select_by, compress, .. } = &*self.0;
        let resume = resume.compress(compress.iter().copied());
        if let Err(rejection) = resume.check_select(select_by) {
            return rejection.into();
        }
        let grant = match authorizer {
            None => Grant::new().reading(Select::all()),
            Some(authorizer) => match resume.authorize(channel, authorizer, parts).await {
                Ok(grant) => grant,
                Err(refusal) => return resume.refused(channel, refusal),
            },
        };
        *subject = grant.subject().cloned();
        match limits {
            Some(limits) => resume.open_granted_within(channel, &grant, limits).await,
            None => resume.open_granted(channel, &grant).await,
        }
    }

    async fn post<B>(
        &self,
        parts: &Parts,
        body: B,
        subject: &mut Option<Arc<str>>,
    ) -> Result<Response<Body>, Rejection>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Settings { channel, propagator, tally, .. } = &*self.0;
        let message = self.message(parts, body, subject).await;
        let mut message = message.inspect_err(|refused| tally.refused(refused.status()))?;
        let span = trace::publish(channel.name(), &mut message, propagator.as_deref());
        let began = Instant::now();
        let publish = pin!(channel.publish(message));
        let published = publish.instrument(span.clone()).await;
        tally.sent(began.elapsed(), published.as_ref().err());
        trace::published(&span, &published);
        match published {
            Ok(published) => Ok(accepted(published)),
            Err(error) => {
                tracing::warn!(channel = channel.name(), %error, "could not publish");
                Err(refusal(&error))
            }
        }
    }

    /// What a request is to publish, if it may.
    async fn message<B>(
        &self,
        parts: &Parts,
        body: B,
        subject: &mut Option<Arc<str>>,
    ) -> Result<Message, Rejection>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Settings { channel, cors, authorizer, publish: allowed, body: bounds, limits, .. } = &*self.0;
        if !allowed {
            return Err(Rejection::new(
                StatusCode::FORBIDDEN,
                format!(
                    "publishing to the channel {:?} is off: the server has to allow it (Endpoint::publish, or --allow-publish {} of the gateway)",
                    channel.name(),
                    channel.name()
                ),
            ));
        }
        let to = Publishing {
            channel,
            cors,
            authorizer: authorizer.as_deref(),
            limits: limits.as_ref(),
            bounds: *bounds,
        };
        message(to, parts, body, subject).await
    }

    fn options(&self, parts: &Parts) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        if parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            self.0.cors.apply_preflight(&parts.headers, self.methods(), headers);
        } else {
            headers.insert(header::ALLOW, HeaderValue::from_static(self.methods()));
            self.0.cors.apply(&parts.headers, headers);
        }
        response
    }

    fn method_not_allowed(&self, method: &Method) -> Response<Body> {
        let message = format!("{method} is no method of a channel (there are: {})", self.methods());
        let mut response = Rejection::new(StatusCode::METHOD_NOT_ALLOWED, message).into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(self.methods()));
        response
    }

    fn methods(&self) -> &'static str {
        if self.0.publish { "GET, HEAD, POST, OPTIONS" } else { "GET, HEAD, OPTIONS" }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl From<Channel> for Endpoint {
    fn from(channel: Channel) -> Self {
        Self::new(channel)
    }
}

impl<B> Service<Request<B>> for Endpoint
where
    B: http_body::Body<Data: Send> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let endpoint = self.clone();
        Box::pin(async move { Ok(endpoint.respond(request).await) })
    }
}
