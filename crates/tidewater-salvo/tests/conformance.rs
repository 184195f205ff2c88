//! The adapter in a salvo server.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io;

use async_trait::async_trait;
use salvo::{conn::Acceptor, prelude::*};
use tidewater_http::Limits;
use tidewater_hub::{Channel, Select};
use tidewater_salvo::{Reply, Resume};
use tidewater_testkit::web::{Mount, Running, Server};

#[derive(Debug)]
struct Salvo;

#[async_trait]
impl Server for Salvo {
    async fn start(&self, mount: Mount) -> io::Result<Running> {
        let Mount { endpoint, channel, limits, stop } = mount;
        let acceptor = TcpListener::new("127.0.0.1:0").try_bind().await.map_err(io::Error::other)?;
        let address = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
        let hub = channel.hub().clone();
        let router = Router::new()
            .push(Router::with_path("closed").goal(tidewater_salvo::sse(endpoint)))
            .push(Router::with_path("open").get(Open(channel.clone())))
            .push(Router::with_path("limited").get(Limited(channel.clone(), limits)))
            .push(Router::with_path("keys/{key}").get(Keys(channel)));
        let server = salvo::Server::new(acceptor);
        tokio::spawn(tidewater_salvo::graceful(&hub, server.handle(), stop));
        Ok(Running { address, done: tokio::spawn(server.serve(router)) })
    }
}

struct Open(Channel);

#[handler]
impl Open {
    async fn handle(&self, resume: Resume) -> Reply {
        resume.open(&self.0).await
    }
}

struct Limited(Channel, Limits);

#[handler]
impl Limited {
    async fn handle(&self, resume: Resume) -> Reply {
        resume.open_limited(&self.0, Select::all(), &self.1, None).await
    }
}

struct Keys(Channel);

#[handler]
impl Keys {
    async fn handle(&self, resume: Resume, req: &mut Request, _depot: &mut Depot) -> Reply {
        let key: String = req.param("key").unwrap();
        self.0.stream(resume, Select::key(key)).await.into()
    }
}

tidewater_testkit::web_suite!(Salvo);
