//! Direct streams, and what is no stream by hyper; or all by hyper. On any number of listeners.

use std::{convert::Infallible, sync::Arc};

use http::Request;
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use tidewater::{
    direct::{Direct, Listener, Routes},
    http::Head,
};

use super::{ServerKind, announce, exposure, listen::Open, routes::Viewer, shutdown::Shutdown, site::Site};
use crate::{
    config::Listening,
    failure::{Failure, warn},
};

pub(super) async fn serve(
    site: Arc<Site>,
    server: &Listening,
    connections: usize,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let exposed = |viewer| {
        let site = &site;
        move |address, secure| exposure(site, viewer, address, secure).into_iter().for_each(warn)
    };
    let part = if server.admin_listen.is_empty() { Viewer::Anybody } else { Viewer::ChannelsOnly };
    let public = Open::all(&server.listen, server, server.proxies.as_ref(), &exposed(part)).await?;
    // Who asks whether it lives speaks HTTP alone.
    let admin = Open::all(&server.admin_listen, server, None, &exposed(Viewer::Operator)).await?;
    announce(
        server.kind,
        public.iter().map(|open| open.name.as_str()),
        admin.iter().map(|open| open.name.as_str()),
    );
    #[cfg(feature = "tls")]
    if let Some(tls) = &server.tls {
        super::listen::keep_fresh(tls.clone(), site.clone());
    }
    let direct = |part| {
        direct(site.clone(), part)
            .take_over(server.kind == ServerKind::Direct)
            .head_timeout(server.head_timeout)
            .idle_timeout(server.idle_timeout)
            .write_timeout(server.write_timeout)
    };
    let (public, _files) = split(public);
    let (admin, _more_files) = split(admin);
    let public = direct(part)
        .max_connections(connections)
        .limits(site.limits().clone())
        .serve_all(public, shutdown.clone().drained());
    // Of its own, so that it answers when there is no room for clients any more.
    let admin = async {
        match admin.is_empty() {
            true => Ok(()),
            false => direct(Viewer::Operator).shards(1).serve_all(admin, shutdown.drained()).await,
        }
    };
    let served = tokio::try_join!(public, admin).map(drop);
    served.map_err(|error| Failure::runtime(format_args!("no threads can be started: {error}")))
}

/// The listeners, and what has to live as long as they do.
fn split(open: Vec<Open>) -> (Vec<Listener>, impl Sized) {
    #[cfg(unix)]
    let parts = open.into_iter().map(|open| (open.listener, open.file));
    #[cfg(not(unix))]
    let parts = open.into_iter().map(|open| (open.listener, ()));
    let (listeners, files): (Vec<_>, Vec<_>) = parts.unzip();
    (listeners, files)
}

fn direct(site: Arc<Site>, viewer: Viewer) -> Direct {
    let channels = site.clone();
    let routes = Routes::new().find(move |path| channels.endpoint(viewer, path));
    let plain = move |_| {
        let site = site.clone();
        service_fn(move |request: Request<Incoming>| {
            let site = site.clone();
            async move {
                let (parts, _) = request.into_parts();
                let answer = site.plain(viewer, parts.uri.path(), Head::from(&parts)).await;
                Ok::<_, Infallible>(answer.map(Full::new))
            }
        })
    };
    Direct::new(routes).fallback_hyper(plain)
}
