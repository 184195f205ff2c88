//! The adapter in a warp server.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io;

use async_trait::async_trait;
use tidewater_hub::Select;
use tidewater_testkit::web::{Mount, Running, Server};
use tokio::net::TcpListener;
use warp::Filter;

#[derive(Debug)]
struct Warp;

#[async_trait]
impl Server for Warp {
    async fn start(&self, mount: Mount) -> io::Result<Running> {
        let Mount { endpoint, channel, limits, stop } = mount;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let with_channel = {
            let channel = channel.clone();
            warp::any().map(move || channel.clone())
        };
        let closed = warp::path("closed").and(tidewater_warp::sse(endpoint));
        let open = warp::path!("open")
            .and(warp::get())
            .and(tidewater_warp::resume())
            .and(with_channel.clone())
            .then(|resume: tidewater_http::Resume, channel| async move {
                tidewater_warp::reply(resume.open(&channel).await)
            });
        let limited = warp::path!("limited")
            .and(warp::get())
            .and(tidewater_warp::resume())
            .and(with_channel.clone())
            .then(move |resume: tidewater_http::Resume, channel| {
                let limits = limits.clone();
                async move {
                    tidewater_warp::reply(resume.open_limited(&channel, Select::all(), &limits, None).await)
                }
            });
        let keys = warp::path!("keys" / String)
            .and(warp::get())
            .and(tidewater_warp::resume())
            .and(with_channel)
            .then(|key: String, resume, channel: tidewater_hub::Channel| async move {
                tidewater_warp::reply(channel.stream(resume, Select::key(key)).await)
            });
        let routes = closed.or(open.or(limited).or(keys).recover(tidewater_warp::recover));
        let stop = tidewater_warp::graceful(channel.hub(), stop);
        let done = tokio::spawn(warp::serve(routes).incoming(listener).graceful(stop).run());
        Ok(Running { address, done })
    }
}

tidewater_testkit::web_suite!(Warp);
