//! warp: channels through its adapter's filter, the rest behind it.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http::{HeaderMap, Method};
use tidewater::http::Head;
use tokio::time::timeout;
use warp::{Filter, filters::path::FullPath};

use super::{
    ServerKind, announce_one, listen,
    routes::Viewer,
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
        let query = warp::query::raw().map(Some).or(warp::any().map(|| None)).unify();
        warp::method().and(warp::path::full()).and(query).and(warp::header::headers_cloned()).then(
            move |method: Method, path: FullPath, query: Option<String>, headers: HeaderMap| {
                let site = site.clone();
                async move {
                    let head = Head {
                        method: &method,
                        query: query.as_deref(),
                        headers: &headers,
                        extensions: None,
                    };
                    let answer: warp::reply::Response =
                        site.plain(Viewer::Anybody, path.as_str(), head).await.map(Into::into);
                    answer
                }
            },
        )
    };
    tidewater::warp::sse_by(move |path| site.endpoint(Viewer::Anybody, path)).or(plain).unify()
}
