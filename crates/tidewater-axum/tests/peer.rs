//! Where a request comes from, in both forms: what a layer has said, else what axum knows.

#![allow(clippy::unwrap_used, missing_docs)]

use std::net::SocketAddr;

use async_trait::async_trait;
use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{Request, connect_info::MockConnectInfo},
    http::StatusCode,
    routing::get,
};
use tidewater_axum::Resume;
use tidewater_http::{Ask, Authorizer, Endpoint, Grant, Peer, Proxies, Refusal};
use tidewater_hub::Hub;
use tower::ServiceExt as _;

const KNOWN: &str = "192.0.2.1:5000";
const SAID: &str = "198.51.100.7:6000";

/// Refuses everybody, with the address of who asks.
#[derive(Debug)]
struct Tells;

#[async_trait]
impl Authorizer for Tells {
    async fn authorize(&self, ask: Ask<'_>) -> Result<Grant, Refusal> {
        let peer: Option<&Peer> = ask.extension();
        Err(Refusal::forbidden(format!("{:?}", peer.and_then(|peer| peer.address()))))
    }
}

fn app() -> Router {
    let channel = Hub::new().channel("c").source("memory:peer").open().unwrap();
    let open = |Resume(resume): Resume| async move { format!("{:?}", resume.client(&Proxies::default())) };
    let closed = tidewater_axum::sse(Endpoint::new(channel).authorize(Tells));
    Router::new().route("/open", get(open)).route("/closed", closed)
}

async fn told(app: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    (head.status, String::from_utf8(to_bytes(body, 4096).await.unwrap().to_vec()).unwrap())
}

async fn check(app: Router, address: Option<&str>) {
    let address = address.map(|address| address.parse::<SocketAddr>().unwrap());
    let (_, open) = told(&app, "/open").await;
    assert_eq!(open, format!("{:?}", address.map(|address| address.ip())));
    let (status, closed) = told(&app, "/closed").await;
    assert_eq!((status, closed), (StatusCode::FORBIDDEN, format!(r#"{{"error":"{address:?}"}}"#)));
}

#[tokio::test]
async fn axum_knows_it() {
    check(app().layer(MockConnectInfo(KNOWN.parse::<SocketAddr>().unwrap())), Some(KNOWN)).await;
}

#[tokio::test]
async fn a_layer_knows_it_better() {
    let known = app().layer(MockConnectInfo(KNOWN.parse::<SocketAddr>().unwrap()));
    check(known.layer(Extension(Peer::Address(SAID.parse().unwrap()))), Some(SAID)).await;
}

#[tokio::test]
async fn nobody_knows_it() {
    check(app(), None).await;
}
