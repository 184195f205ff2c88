//! The endpoint on plain hyper, which mounts it as it is.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use std::io;

use async_trait::async_trait;
use tidewater_testkit::web::{Mount, Running, Server};

#[derive(Debug)]
struct Hyper;

#[async_trait]
impl Server for Hyper {
    async fn start(&self, mount: Mount) -> io::Result<Running> {
        support::serve(mount, support::route).await
    }
}

tidewater_testkit::web_suite!(Hyper);
