//! rocket: one handler for all; a channel's answer is its adapter's.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderName, HeaderValue};
use rocket::{
    Data, Request, Response, Route,
    config::{Config, Ident, LogLevel, Shutdown as RocketShutdown},
    error::ErrorKind,
    fairing::AdHoc,
    http::{Header, Method, Status},
    route::{Handler, Outcome},
};

use tidewater::http::Head;

use super::{ServerKind, announce_one, listen, routes::Viewer, shutdown::Shutdown, site::Site};
use crate::failure::Failure;

/// rocket 0.5 takes no listener: it opens its own, so the length of its queue is not ours to choose.
pub(super) async fn serve(site: Arc<Site>, address: SocketAddr, shutdown: Shutdown) -> Result<(), Failure> {
    let config = Config {
        address: address.ip(),
        port: address.port(),
        ident: Ident::none(),
        // It would write to standard output.
        log_level: LogLevel::Off,
        // The signals are ours: it would cut streams before they are drained.
        shutdown: RocketShutdown {
            ctrlc: false,
            #[cfg(unix)]
            signals: Default::default(),
            grace: 1,
            mercy: 1,
            ..RocketShutdown::default()
        },
        ..Config::release_default()
    };
    let rocket = rocket::custom(config).attach(AdHoc::on_liftoff("announce", |rocket| {
        let (ip, port): (IpAddr, u16) = (rocket.config().address, rocket.config().port);
        Box::pin(async move { announce_one(ServerKind::Rocket, (ip, port).into()) })
    }));
    let rocket = rocket.mount("/", routes(&site)).ignite().await.map_err(|error| refused(address, &error))?;
    let end = rocket.shutdown();
    tokio::spawn(async move {
        shutdown.drained().await;
        end.notify();
    });
    rocket.launch().await.map(drop).map_err(|error| refused(address, &error))
}

/// An error of rocket panics when it is dropped unread.
fn refused(address: SocketAddr, error: &rocket::Error) -> Failure {
    match error.kind() {
        ErrorKind::Bind(why) => {
            let why = io::Error::new(why.kind(), why.to_string());
            listen::refused(address, &why)
        }
        other => Failure::runtime(format_args!("rocket does not start: {other}")),
    }
}

/// Everything, of every method.
fn routes(site: &Arc<Site>) -> Vec<Route> {
    let methods = [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
        Method::Options,
        Method::Trace,
        Method::Connect,
    ];
    methods.into_iter().map(|method| Route::new(method, "/<path..>", Answers(site.clone()))).collect()
}

#[derive(Clone)]
struct Answers(Arc<Site>);

#[rocket::async_trait]
impl Handler for Answers {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        if let Some(endpoint) = self.0.endpoint(Viewer::Anybody, request.uri().path().as_str()) {
            return tidewater::rocket::answer(&endpoint, request, data).await;
        }
        let method = request.method().as_str().parse().unwrap_or_default();
        let mut headers = http::HeaderMap::new();
        for header in request.headers().iter() {
            let name = HeaderName::from_bytes(header.name().as_str().as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(header.value())) {
                headers.append(name, value);
            }
        }
        let query = request.uri().query().map(|query| query.as_str());
        let head = Head { method: &method, query, headers: &headers, extensions: None };
        let answer = self.0.plain(Viewer::Anybody, request.uri().path().as_str(), head).await;
        let (parts, body) = answer.into_parts();
        let mut response = Response::new();
        response.set_status(Status::new(parts.status.as_u16()));
        for (name, value) in &parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            response.adjoin_header(Header::new(name.as_str().to_owned(), value));
        }
        response.set_sized_body(body.len(), io::Cursor::new(body));
        Outcome::Success(response)
    }
}
