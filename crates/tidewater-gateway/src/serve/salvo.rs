//! salvo: each channel as its adapter's goal, the rest behind them.

use std::{net::SocketAddr, sync::Arc};

use salvo::{
    Depot, FlowCtrl, Handler, Request, Response, Router, Server, async_trait, conn::tcp::TcpAcceptor,
    http::ResBody,
};

use super::{
    ServerKind, announce, listen,
    routes::{CHANNELS, Site},
    shutdown::{LINGER, Shutdown},
};
use crate::failure::Failure;

pub(super) async fn serve(site: Arc<Site>, address: SocketAddr, shutdown: Shutdown) -> Result<(), Failure> {
    let listener = listen::bind(address)?;
    let address = listener.local_addr().unwrap_or(address);
    let acceptor = TcpAcceptor::try_from(listener).map_err(|error| listen::refused(address, &error))?;
    announce(address, ServerKind::Salvo);
    let server = Server::new(acceptor);
    let handle = server.handle();
    tokio::spawn(async move {
        shutdown.drained().await;
        handle.stop_graceful(LINGER);
    });
    server
        .try_serve(routes(site))
        .await
        .map_err(|error| Failure::runtime(format_args!("salvo ended: {error}")))
}

fn routes(site: Arc<Site>) -> Router {
    let channels = site.channels().iter().map(|served| {
        let path = format!("{}/{}", &CHANNELS[1..], served.name());
        Router::with_path(path).goal(tidewater::salvo::sse(served.endpoint().clone()))
    });
    let mut router = Router::new();
    for channel in channels {
        router = router.push(channel);
    }
    router.push(Router::with_path("{**rest}").goal(Plain(site)))
}

/// Everything but the channels.
struct Plain(Arc<Site>);

#[async_trait]
impl Handler for Plain {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let (parts, body) = self.0.plain(req.method(), req.uri().path(), req.headers()).into_parts();
        res.status_code(parts.status);
        res.headers_mut().extend(parts.headers);
        res.replace_body(ResBody::Once(body));
    }
}
