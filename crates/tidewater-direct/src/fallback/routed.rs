//! The routes, and the application's own service behind them.

use std::{convert::Infallible, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, service::Service};
use tidewater_http::Body;

use super::{
    BoxError,
    activity::{Activity, Answered},
};
use crate::{
    Peer,
    routes::{Answering, Route, Routes},
};

/// The routes, and the application's service for the rest.
pub(super) struct Routed<S> {
    routes: Routes,
    peer: Peer,
    service: Arc<S>,
    activity: Activity,
}

impl<S> Routed<S> {
    pub(super) fn new(routes: Routes, peer: Peer, service: S, activity: Activity) -> Self {
        Self { routes, peer, service: Arc::new(service), activity }
    }
}

impl<S> Clone for Routed<S> {
    fn clone(&self) -> Self {
        Self {
            routes: self.routes.clone(),
            peer: self.peer,
            service: self.service.clone(),
            activity: self.activity.clone(),
        }
    }
}

impl<S, B> Service<Request<Incoming>> for Routed<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = Response<Answered<Either<Body, B>>>;
    type Error = S::Error;
    // hyper keeps the room of what answers for as long as the connection lives.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = self.activity.begin();
        let (mut head, body) = request.into_parts();
        head.extensions.insert(self.peer);
        let answer: Answering = match self.routes.route(&head) {
            Some(Route::Handler(answer)) => answer,
            Some(Route::Endpoint(endpoint)) => {
                Box::pin(async move { endpoint.respond(Request::from_parts(head, body)).await })
            }
            None => {
                let answer = self.service.call(Request::from_parts(head, body));
                return Box::pin(async move {
                    Ok(answer.await?.map(|body| Answered::new(Either::Right(body), busy)))
                });
            }
        };
        Box::pin(async move { Ok(answer.await.map(|body| Answered::new(Either::Left(body), busy))) })
    }
}

/// What answers where there is no fallback.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotFound;

impl Service<Request<Incoming>> for NotFound {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let message = format!("there is nothing at {}\n", request.uri().path());
        let mut response = Response::new(Full::from(message));
        *response.status_mut() = StatusCode::NOT_FOUND;
        let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        std::future::ready(Ok(response))
    }
}
