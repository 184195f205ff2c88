//! The adapter's own server.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io;

use async_trait::async_trait;
use tidewater_direct::{Direct, Routes};
use tidewater_http::{Reply, Resume};
use tidewater_hub::Select;
use tidewater_testkit::web::{Mount, Running, Server};

#[derive(Debug)]
struct Own;

#[async_trait]
impl Server for Own {
    async fn start(&self, mount: Mount) -> io::Result<Running> {
        let Mount { endpoint, channel, limits, stop } = mount;
        let listener = tidewater_direct::bind(([127, 0, 0, 1], 0).into())?;
        let address = listener.local_addr()?;
        let stop = tidewater_direct::graceful(channel.hub(), stop);
        let (keyed, limited) = (channel.clone(), channel.clone());
        let routes = Routes::new()
            .at("/closed", endpoint)
            .open(move |head| {
                let channel = (head.uri.path() == "/open").then(|| channel.clone())?;
                let resume = Resume::from_parts(head);
                Some(async move {
                    match resume {
                        Ok(resume) => resume.open(&channel).await,
                        Err(rejection) => Reply::from(rejection),
                    }
                })
            })
            .open(move |head| {
                let channel = (head.uri.path() == "/limited").then(|| limited.clone())?;
                let (limits, resume) = (limits.clone(), Resume::from_parts(head));
                Some(async move {
                    match resume {
                        Ok(resume) => resume.open_limited(&channel, Select::all(), &limits, None).await,
                        Err(rejection) => Reply::from(rejection),
                    }
                })
            })
            .open(move |head| {
                let key = head.uri.path().strip_prefix("/keys/")?.to_owned();
                let (channel, resume) = (keyed.clone(), Resume::from_parts(head));
                Some(async move {
                    match resume {
                        Ok(resume) => channel.stream(resume, Select::key(key)).await.into(),
                        Err(rejection) => Reply::from(rejection),
                    }
                })
            });
        let server = Direct::new(routes).serve(listener, stop);
        let done = tokio::spawn(async move { server.await.unwrap() });
        Ok(Running { address, done })
    }

    fn wrong_method_in_the_open_form(&self) -> u16 {
        404
    }
}

tidewater_testkit::web_suite!(Own);
