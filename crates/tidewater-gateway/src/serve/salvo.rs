//! salvo: one goal for all; a channel's is its adapter's.

use std::{net::SocketAddr, sync::Arc};

use salvo::{
    Depot, FlowCtrl, Handler, Request, Response, Router, Server, async_trait, conn::tcp::TcpAcceptor,
    http::ResBody,
};

use tidewater::http::Head;

use super::{
    ServerKind, announce_one, listen,
    routes::Viewer,
    shutdown::{LINGER, Shutdown},
    site::Site,
};
use crate::failure::Failure;

pub(super) async fn serve(site: Arc<Site>, address: SocketAddr, shutdown: Shutdown) -> Result<(), Failure> {
    let listener = listen::bind(address)?;
    let address = listener.local_addr().unwrap_or(address);
    let acceptor = TcpAcceptor::try_from(listener).map_err(|error| listen::refused(address, &error))?;
    announce_one(ServerKind::Salvo, address);
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
    Router::with_path("{**rest}").goal(Goal(site))
}

struct Goal(Arc<Site>);

#[async_trait]
impl Handler for Goal {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        if let Some(endpoint) = self.0.endpoint(Viewer::Anybody, req.uri().path()) {
            return tidewater::salvo::sse(endpoint).handle(req, depot, res, ctrl).await;
        }
        let head = Head {
            method: req.method(),
            query: req.uri().query(),
            headers: req.headers(),
            extensions: Some(req.extensions()),
        };
        let answer = self.0.plain(Viewer::Anybody, req.uri().path(), head).await;
        let (parts, body) = answer.into_parts();
        res.status_code(parts.status);
        res.headers_mut().extend(parts.headers);
        res.replace_body(ResBody::Once(body));
    }
}
