//! The adapter in an axum server.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{io, net::SocketAddr};

use async_trait::async_trait;
use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::get,
};
use tidewater_axum::{Resume, reply};
use tidewater_http::Limits;
use tidewater_hub::{Channel, Select};
use tidewater_testkit::web::{Mount, Running, Server};
use tokio::net::TcpListener;

#[derive(Debug)]
struct Axum;

#[async_trait]
impl Server for Axum {
    async fn start(&self, mount: Mount) -> io::Result<Running> {
        let Mount { endpoint, channel, limits, stop } = mount;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = tidewater_axum::graceful(channel.hub(), stop);
        let app = Router::new()
            .route("/closed", tidewater_axum::sse(endpoint))
            .route("/open", get(open))
            .route("/limited", get(limited))
            .route("/keys/{key}", get(keys))
            .with_state(Site { channel, limits })
            .into_make_service_with_connect_info::<SocketAddr>();
        let server = axum::serve(listener, app).with_graceful_shutdown(stop);
        let done = tokio::spawn(async move { server.await.unwrap() });
        Ok(Running { address, done })
    }
}

#[derive(Clone)]
struct Site {
    channel: Channel,
    limits: Limits,
}

async fn open(State(site): State<Site>, Resume(resume): Resume) -> Response {
    reply(resume.open(&site.channel).await)
}

async fn limited(State(site): State<Site>, Resume(resume): Resume) -> Response {
    reply(resume.open_limited(&site.channel, Select::all(), &site.limits, None).await)
}

async fn keys(State(site): State<Site>, Path(key): Path<String>, resume: Resume) -> Response {
    reply(site.channel.stream(resume, Select::key(key)).await)
}

tidewater_testkit::web_suite!(Axum);
