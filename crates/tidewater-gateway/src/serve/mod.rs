//! What `tidewater serve` is made of.
//!
//! ```text
//! Config ─> Site (channels, console, scripts, health: what is answered; SIGHUP changes it) ─> direct (and hyper) | warp | rocket | salvo (who answers)
//! ```
//!
//! [`Site`] knows every route and is written once. The web servers differ in who carries the request to it: a channel's
//! requests go through the adapter of that framework, as an application's would; everything else is a small answer that
//! [`Site::plain`] makes.

mod built_in;
mod console;
mod direct;
mod gate;
mod health;
mod kind;
mod listen;
mod metrics;
mod reload;
#[cfg(feature = "rocket")]
mod rocket;
mod routes;
#[cfg(feature = "salvo")]
mod salvo;
mod script;
mod shutdown;
mod site;
#[cfg(feature = "warp")]
mod warp;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use console::Feed;
pub(crate) use kind::ServerKind;
use routes::Viewer;
use shutdown::Shutdown;
use site::{Served, Site};

use crate::{
    access::AccessLog,
    config::{Config, Flags, Listen, Listening},
    failure::{Failure, warn},
    output::Output,
    trace::Traces,
};

/// How long what was published may take until it is safe, at the end.
const FLUSH: Duration = Duration::from_secs(2);
/// How long the last traces may take to be sent.
const LAST_TRACES: Duration = Duration::from_secs(2);

/// Serves until a signal ends it, then drains.
pub(crate) fn run(config: Config, flags: Flags, traces: Traces) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::runtime(format_args!("no threads can be started: {error}")))?;
    traces.run_on(runtime.handle());
    let access = AccessLog::default();
    let done = runtime.block_on(serve(config, flags, access.clone(), traces.clone()));
    // Over the runtime.
    traces.finish(LAST_TRACES);
    // What still runs (a broker's client that says goodbye) is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    access.finish(Duration::from_secs(1));
    done
}

async fn serve(config: Config, flags: Flags, access: AccessLog, traces: Traces) -> Result<(), Failure> {
    metrics::started();
    let server = config.server.listening.clone();
    let connections = listen::connections(server.max_connections.0);
    let site = Arc::new(Site::open(config, connections, access, traces)?);
    let done = listen(site.clone(), &server, connections, flags).await;
    // Nobody publishes any more.
    site.flush(FLUSH).await;
    done
}

/// Serves until it has drained.
async fn listen(
    site: Arc<Site>,
    server: &Listening,
    connections: usize,
    flags: Flags,
) -> Result<(), Failure> {
    Feed::run(&site);
    let shutdown = Shutdown::new(site.clone())?;
    reload::on_hangup(site.clone(), flags)?;
    if server.kind.counts_connections() {
        return direct::serve(site, server, connections, shutdown).await;
    }
    // The others listen on one address, as the configuration has made sure.
    let [Listen::Tcp { address, tls: false }] = server.listen.as_slice() else {
        return Err(Failure::usage(format_args!("{} can't listen there", server.kind)));
    };
    let address = listen::resolve(address).await?;
    if !address.ip().is_loopback() {
        exposure(&site, Viewer::Anybody, address, false).into_iter().for_each(warn);
    }
    match server.kind {
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

/// What anybody can do who reaches this address, if that is worth a warning.
fn exposure(site: &Site, viewer: Viewer, address: SocketAddr, secure: bool) -> Option<String> {
    let now = site.now();
    let names = |of: &dyn Fn(&&Served) -> bool| {
        let names: Vec<_> = now.channels.iter().filter(of).map(Served::name).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    if now.authorizer().is_none() {
        return Some(format!(
            "warning: {address} is beyond loopback, and there is no authorization. Anyone who can reach it can\n  \
             read:  {}\n  write: {}\nListen on 127.0.0.1, write [authorization], or let a firewall or a proxy say who may \
             reach it.",
            names(&|_| true),
            names(&|served| served.publishes()),
        ));
    }
    let is_public = |served: &&Served| served.gate().is_some_and(|gate| gate.public);
    let mut told = Vec::new();
    if now.channels.iter().any(|served| is_public(&served)) {
        told.push(format!("anyone who can reach it can read {}, and write nothing", names(&is_public)));
    }
    if viewer == Viewer::Operator {
        told.push(
            "anyone who can reach it sees the names of all channels, their brokers and counts".to_owned(),
        );
    }
    if !secure {
        told.push("tokens and cookies go over it in the clear, unless a proxy before it has TLS".to_owned());
    }
    (!told.is_empty()).then(|| format!("warning: {address} is beyond loopback: {}.", told.join("; ")))
}

/// Says where it listens: for people, and for programs that gave port 0. A line each.
fn announce<'a>(
    server: ServerKind,
    public: impl IntoIterator<Item = &'a str>,
    admin: impl IntoIterator<Item = &'a str>,
) {
    let mut output = Output::new();
    let mut tell = |what: &str, name: &str| {
        tracing::info!(address = name, %server, "{}", what.to_lowercase());
        output.line(format_args!("{what} on {name}"))
    };
    let told = public.into_iter().try_for_each(|name| tell("Serving", name));
    let told = told.and_then(|()| admin.into_iter().try_for_each(|name| tell("Administration", name)));
    // Who started it may not read.
    if let Err(error) = told.and_then(|()| output.flush()) {
        tracing::debug!(%error, "nobody reads standard output");
    }
}

/// The same where there is one address.
#[cfg(any(feature = "warp", feature = "rocket", feature = "salvo"))]
fn announce_one(server: ServerKind, address: SocketAddr) {
    announce(server, [format!("http://{address}/").as_str()], []);
}
