//! What `tidewater serve` is made of.
//!
//! ```text
//! Config ─> Site (channels, page, health: what is answered; SIGHUP changes it) ─> direct | hyper | warp | rocket | salvo (who answers)
//! ```
//!
//! [`Site`] knows every route and is written once. The web servers differ in who carries the request to it: a channel's
//! requests go through the adapter of that framework, as an application's would; everything else is a small answer that
//! [`Site::plain`] makes.

mod direct;
mod health;
mod hyper;
mod kind;
mod listen;
mod page;
mod reload;
#[cfg(feature = "rocket")]
mod rocket;
mod routes;
#[cfg(feature = "salvo")]
mod salvo;
mod shutdown;
mod site;
#[cfg(feature = "warp")]
mod warp;

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

pub(crate) use kind::ServerKind;
use shutdown::Shutdown;
use site::{Served, Site};

use crate::{
    config::{Config, Flags},
    failure::Failure,
    output::Output,
};

/// Serves until a signal ends it, then drains.
pub(crate) fn run(config: Config, flags: Flags) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::runtime(format_args!("no threads can be started: {error}")))?;
    let done = runtime.block_on(serve(config, flags));
    // What still runs (a broker's client that says goodbye) is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn serve(config: Config, flags: Flags) -> Result<(), Failure> {
    let address = listen::resolve(&config.server.listen).await?;
    let kind = config.server.kind;
    let site = Arc::new(Site::open(config)?);
    if !address.ip().is_loopback() {
        // Nobody may read it.
        writeln!(io::stderr(), "{}", exposure(&site, address)).ok();
    }
    let shutdown = Shutdown::new(site.clone())?;
    reload::on_hangup(site.clone(), flags)?;
    match kind {
        ServerKind::Direct => direct::serve(site, address, shutdown).await,
        ServerKind::Hyper => hyper::serve(site, address, shutdown).await,
        #[cfg(feature = "warp")]
        ServerKind::Warp => warp::serve(site, address, shutdown).await,
        #[cfg(feature = "rocket")]
        ServerKind::Rocket => rocket::serve(site, address, shutdown).await,
        #[cfg(feature = "salvo")]
        ServerKind::Salvo => salvo::serve(site, address, shutdown).await,
        #[allow(unreachable_patterns, reason = "with every server built in there is no other")]
        other => Err(Failure::usage(format_args!("the web server {other} is not built in"))),
    }
}

/// What anybody can do who reaches this address.
fn exposure(site: &Site, address: SocketAddr) -> String {
    let names = |of: &dyn Fn(&&Served) -> bool| {
        let now = site.now();
        let names: Vec<_> = now.channels.iter().filter(of).map(Served::name).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    format!(
        "warning: {address} is beyond loopback, and there is no authentication. Anyone who can reach it can\n  \
         read:  {}\n  write: {}\nListen on 127.0.0.1, or let a firewall or a proxy say who may reach it.",
        names(&|_| true),
        names(&|served| served.publishes()),
    )
}

/// Says where it listens: for people, and for programs that gave port 0.
fn announce(address: SocketAddr, server: ServerKind) {
    tracing::info!(%address, %server, "serving");
    let mut output = Output::new();
    // Who started it may not read.
    if let Err(error) =
        output.line(format_args!("Serving on http://{address}/")).and_then(|()| output.flush())
    {
        tracing::debug!(%error, "nobody reads standard output");
    }
}
