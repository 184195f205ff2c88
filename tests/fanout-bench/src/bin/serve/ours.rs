//! Tidewater, behind each of its servers.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rocket::config::{Config, Ident, LogLevel, Shutdown};
use salvo::{Router, Server, conn::tcp::TcpAcceptor};
use tidewater::{
    core::{Message, memory::MemoryLog},
    direct::Direct,
    http::{
        Body, Endpoint, Rule, Rules,
        jwt::{Jwt, Key, Keys},
    },
    hub::{Channel, Hub},
};
use tidewater_fanout_bench::{partitions::Partitions, payload::NO_KEY, token};
use tokio::net::TcpStream;
use warp::Filter as _;

use crate::{Args, Name, control, listen};

type Publish = Box<dyn Fn(u32, Bytes) + Send + Sync>;

pub(crate) async fn serve(args: Args) -> Result<()> {
    let (channel, publish) = channel(&args)?;
    if let Some(address) = args.control {
        tokio::spawn(async move { control::run(address, publish).await });
    }
    match args.name {
        Name::Direct => direct(Endpoint::new(channel), args.listen).await,
        Name::DirectTokens => direct(authorized(channel)?, args.listen).await,
        Name::Warp => warp(channel, args.listen).await,
        Name::Rocket => rocket(channel, args.listen).await,
        Name::Salvo => salvo(channel, args.listen).await,
        _ => hyper(channel, args.listen).await,
    }
}

fn channel(args: &Args) -> Result<(Channel, Publish)> {
    let builder = Hub::new().channel("events");
    if args.partitions > 0 {
        let (source, partitions) = Partitions::new(args.partitions);
        let publish: Publish = Box::new(move |partition, data| partitions.publish(partition, data));
        return Ok((builder.source(Arc::new(source)).open()?, publish));
    }
    let log = MemoryLog::new("events");
    let channel = builder.source(log.source()).open()?;
    let publish = move |key: u32, data: Bytes| {
        let mut message = Message::new("events", data);
        if key != NO_KEY {
            message = message.with_key(key.to_string());
        }
        log.publish(message);
    };
    Ok((channel, Box::new(publish)))
}

async fn direct(endpoint: Endpoint, address: SocketAddr) -> Result<()> {
    Ok(Direct::new(endpoint).listen(address, std::future::pending()).await?)
}

/// For clients with a token: each may read everything until it is over.
fn authorized(channel: Channel) -> Result<Endpoint> {
    let keys = Keys::new([Key::secret(token::SECRET)?])?;
    let rules = Rules::new([Rule::new([channel.name()])?])?;
    Ok(Endpoint::new(channel).authorize(Jwt::new(keys, rules)))
}

/// As the gateway does it.
async fn hyper(channel: Channel, address: SocketAddr) -> Result<()> {
    let endpoint = Endpoint::new(channel);
    let listener = listen::bind(address)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream, endpoint.clone()));
    }
}

async fn connection(stream: TcpStream, endpoint: Endpoint) -> Result<(), hyper::Error> {
    let answer = move |request: Request<Incoming>| {
        let endpoint = endpoint.clone();
        Box::pin(async move { Ok::<Response<Body>, Infallible>(endpoint.respond(request).await) })
    };
    http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await
}

async fn warp(channel: Channel, address: SocketAddr) -> Result<()> {
    let events = warp::path("events").and(tidewater::warp::sse(channel));
    warp::serve(events).incoming(listen::bind(address)?).run().await;
    Ok(())
}

async fn rocket(channel: Channel, address: SocketAddr) -> Result<()> {
    let rocket = rocket::custom(rocket_config(address)).mount("/events", tidewater::rocket::routes(channel));
    drop(rocket.launch().await?);
    Ok(())
}

/// It opens its own listener, whose queue is not ours to choose, and sets `TCP_NODELAY` by itself.
pub(crate) fn rocket_config(address: SocketAddr) -> Config {
    Config {
        address: address.ip(),
        port: address.port(),
        ident: Ident::none(),
        log_level: LogLevel::Off,
        // A signal ends the process, as it does the others'.
        shutdown: Shutdown { ctrlc: false, signals: Default::default(), ..Shutdown::default() },
        ..Config::release_default()
    }
}

async fn salvo(channel: Channel, address: SocketAddr) -> Result<()> {
    let acceptor = TcpAcceptor::try_from(listen::bind(address)?)?;
    let router = Router::with_path("events").goal(tidewater::salvo::sse(channel));
    Ok(Server::new(acceptor).try_serve(router).await?)
}
