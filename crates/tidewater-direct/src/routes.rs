//! Which requests are streams, and who answers them.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use http::{Method, Response, request::Parts};
use tidewater_http::{Body, Endpoint, Reply};
use tidewater_hub::Channel;

/// Which requests are a channel's: looked at in the order in which they were added.
///
/// An [`Endpoint`] or a [`Channel`] alone is asked for every path.
#[derive(Clone, Default)]
pub struct Routes(Vec<Arc<dyn Find>>);

/// An answer in the making.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Who answers a request.
pub(crate) enum Route {
    /// An endpoint, whatever the method.
    Endpoint(Endpoint),
    /// A handler of the application's.
    Handler(Answering),
}

trait Find: Send + Sync {
    fn find(&self, head: &Parts) -> Option<Route>;
}

impl<F: Fn(&Parts) -> Option<Route> + Send + Sync> Find for F {
    fn find(&self, head: &Parts) -> Option<Route> {
        self(head)
    }
}

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An endpoint at a path, byte for byte as the request has it.
    #[must_use]
    pub fn at(self, path: impl Into<String>, endpoint: impl Into<Endpoint>) -> Self {
        let (path, endpoint) = (path.into(), endpoint.into());
        self.find(move |other| (other == path).then(|| endpoint.clone()))
    }

    /// Endpoints that are looked up by the request's path.
    #[must_use]
    pub fn find(self, find: impl Fn(&str) -> Option<Endpoint> + Send + Sync + 'static) -> Self {
        self.with(move |head: &Parts| find(head.uri.path()).map(Route::Endpoint))
    }

    /// The open form: the application's own handler makes the stream of a `GET`, or leaves the request to others.
    ///
    /// ```
    /// # use tidewater_direct::Routes;
    /// # use tidewater_http::{Reply, Resume};
    /// # use tidewater_hub::{Channel, Select};
    /// # fn routes(channel: Channel) -> Routes {
    /// Routes::new().open(move |head| {
    ///     let user = head.uri.path().strip_prefix("/users/")?.to_owned();
    ///     let (channel, resume) = (channel.clone(), Resume::from_parts(head));
    ///     Some(async move {
    ///         match resume {
    ///             Ok(resume) => Reply::from(channel.stream(resume, Select::key(user)).await),
    ///             Err(rejection) => rejection.into(),
    ///         }
    ///     })
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn open<H, F>(self, handler: H) -> Self
    where
        H: Fn(&Parts) -> Option<F> + Send + Sync + 'static,
        F: Future<Output: Into<Reply>> + Send + 'static,
    {
        self.with(move |head: &Parts| {
            let answer = (head.method == Method::GET).then(|| handler(head))??;
            Some(Route::Handler(Box::pin(async move { answer.await.into().into_response() })))
        })
    }

    pub(crate) fn route(&self, head: &Parts) -> Option<Route> {
        self.0.iter().find_map(|routes| routes.find(head))
    }

    fn with(mut self, find: impl Fn(&Parts) -> Option<Route> + Send + Sync + 'static) -> Self {
        self.0.push(Arc::new(find));
        self
    }
}

impl From<Endpoint> for Routes {
    fn from(endpoint: Endpoint) -> Self {
        Self::new().find(move |_| Some(endpoint.clone()))
    }
}

impl From<Channel> for Routes {
    fn from(channel: Channel) -> Self {
        Endpoint::new(channel).into()
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Routes").field(&self.0.len()).finish()
    }
}
