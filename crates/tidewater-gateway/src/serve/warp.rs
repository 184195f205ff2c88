//! warp: channels through its adapter's filter, the rest behind it.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http::{HeaderMap, Method};
use tokio::time::timeout;
use warp::{Filter, filters::path::FullPath};

use super::{
    ServerKind, announce_one, listen,
    shutdown::{LINGER, Shutdown},
    site::Site,
};
use crate::failure::Failure;

pub(super) async fn serve(site: Arc<Site>, address: SocketAddr, shutdown: Shutdown) -> Result<(), Failure> {
    let listener = listen::bind(address)?;
    announce_one(ServerKind::Warp, listener.local_addr().unwrap_or(address));
    let server = warp::serve(routes(site)).incoming(listener).graceful(shutdown.clone().drained()).run();
    tokio::select! {
        () = server => {}
        _ = async { shutdown.drained().await; timeout(LINGER, std::future::pending::<()>()).await } => {
            tracing::warn!("connections that did not end are cut");
        }
    }
    Ok(())
}

fn routes(site: Arc<Site>) -> impl Filter<Extract = impl warp::Reply, Error = Infallible> + Clone {
    let plain = {
        let site = site.clone();
        warp::method().and(warp::path::full()).and(warp::header::headers_cloned()).map(
            move |method: Method, path: FullPath, headers: HeaderMap| -> warp::reply::Response {
                site.plain(&method, path.as_str(), &headers).map(Into::into)
            },
        )
    };
    tidewater::warp::sse_by(move |path| site.endpoint(path)).or(plain).unify()
}
