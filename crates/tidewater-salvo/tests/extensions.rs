//! What a hoop puts beside a request is there for the endpoint's authorizer.

#![allow(clippy::unwrap_used, missing_docs)]

use async_trait::async_trait;
use salvo::{conn::Acceptor, prelude::*};
use tidewater_http::{Ask, Authorizer, Endpoint, Grant, Refusal};
use tidewater_hub::{Hub, Select};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[derive(Clone)]
struct User;

#[derive(Debug)]
struct Sessions;

#[async_trait]
impl Authorizer for Sessions {
    async fn authorize(&self, ask: Ask<'_>) -> Result<Grant, Refusal> {
        let user: Option<&User> = ask.extension();
        user.map(|_| Grant::new().reading(Select::all())).ok_or(Refusal::unauthenticated("log in"))
    }
}

#[handler]
async fn log_in(req: &mut Request) {
    req.extensions_mut().insert(User);
}

#[tokio::test]
async fn an_authorizer_sees_what_a_hoop_has_found_out() {
    let channel = Hub::new().channel("c").source("memory:extensions").open().unwrap();
    channel.cursor().await.unwrap();
    let sse = || tidewater_salvo::sse(Endpoint::new(channel.clone()).authorize(Sessions));
    let router = Router::new()
        .push(Router::with_path("known").hoop(log_in).goal(sse()))
        .push(Router::with_path("unknown").goal(sse()));
    let acceptor = TcpListener::new("127.0.0.1:0").try_bind().await.unwrap();
    let address = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
    tokio::spawn(salvo::Server::new(acceptor).serve(router));
    for (path, expected) in [("known", "200"), ("unknown", "401")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("HEAD /{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(expected), "{path}: {answer}");
    }
}
