//! Applications of each kind as the fallback: their pages and a channel's streams on one port.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use support::{GET, Site};
use tidewater_direct::{Direct, Peer};
use warp::Filter as _;

const PAGE: &str = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n";

async fn pages_and_streams(fallback: impl FnOnce(Direct) -> Direct) {
    let site = Site::start_with(|channel| channel, fallback).await;
    let mut page = site.connect().await;
    page.send(PAGE).await;
    page.until("a page").await;
    let mut stream = site.connect().await;
    stream.send(GET).await;
    let head = stream.until("\r\n\r\n").await;
    assert!(head.contains("connection: close"), "{head}");
    // The channel's other methods need no route of the application's.
    page.send("HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n").await;
    page.until("tidewater-cursor: ").await;
    site.publish("one");
    stream.until("data: one\n").await;
}

#[tokio::test]
async fn axum() {
    use axum::{Extension, Router, routing::get};

    // What is asked for is the application's, who asks is the connection's.
    let page = |Extension(client): Extension<Peer>| async move {
        assert!(client.address().is_some_and(|client| client.ip().is_loopback()));
        "a page"
    };
    let app = Router::new().route("/page", get(page));
    pages_and_streams(|direct| direct.fallback(app)).await;
}

#[tokio::test]
async fn warp() {
    let app = warp::path!("page").map(|| "a page");
    pages_and_streams(|direct| direct.fallback(warp::service(app))).await;
}

#[tokio::test]
async fn salvo() {
    #[salvo::handler]
    async fn page() -> &'static str {
        "a page"
    }
    let app = salvo::Service::new(salvo::Router::with_path("page").get(page));
    pages_and_streams(|direct| {
        direct.fallback_hyper(move |client| {
            use salvo::conn::SocketAddr::Unknown;
            let (remote, control) =
                (client.address().map_or(Unknown, Into::into), salvo::conn::ConnCtrl::new());
            app.hyper_handler(Unknown, remote, http::uri::Scheme::HTTP, None, control, None)
        })
    })
    .await;
}
