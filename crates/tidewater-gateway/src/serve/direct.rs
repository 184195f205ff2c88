//! Direct streams; what is no stream goes by hyper.

use std::{convert::Infallible, future::ready, net::SocketAddr, sync::Arc};

use http::Request;
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use tidewater::direct::{Direct, Routes};

use super::{ServerKind, announce, listen, shutdown::Shutdown, site::Site};
use crate::failure::Failure;

pub(super) async fn serve(site: Arc<Site>, address: SocketAddr, shutdown: Shutdown) -> Result<(), Failure> {
    let listener = listen::bind(address)?;
    announce(listener.local_addr().unwrap_or(address), ServerKind::Direct);
    let channels = site.clone();
    let routes = Routes::new().find(move |path| channels.endpoint(path));
    let plain = move |_| {
        let site = site.clone();
        service_fn(move |request: Request<Incoming>| {
            let answer = site.plain(request.method(), request.uri().path(), request.headers());
            ready(Ok::<_, Infallible>(answer.map(Full::new)))
        })
    };
    let server = Direct::new(routes).fallback_hyper(plain).serve(listener, shutdown.drained());
    server.await.map_err(|error| Failure::runtime(format_args!("no threads can be started: {error}")))
}
