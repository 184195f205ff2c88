//! The adapter in a rocket server.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io;

use async_trait::async_trait;
use rocket::{
    Config, Orbit, Rocket, State,
    config::{LogLevel, Shutdown},
    fairing::AdHoc,
    get, routes,
};
use tidewater_http::Limits;
use tidewater_hub::{Channel, Select};
use tidewater_rocket::{EventStream, Resume};
use tidewater_testkit::web::{Mount, Notices, Running, Server};
use tokio::sync::oneshot;

#[derive(Debug)]
struct Rocketed;

#[get("/open")]
async fn open(resume: Resume, channel: &State<Channel>) -> EventStream {
    resume.open(channel).await
}

#[get("/limited")]
async fn limited(resume: Resume, channel: &State<Channel>, limits: &State<Limits>) -> EventStream {
    resume.open_limited(channel, Select::all(), limits, None).await
}

#[get("/keys/<key>")]
async fn keys(key: String, resume: Resume, channel: &State<Channel>) -> EventStream {
    channel.stream(resume, Select::key(key)).await.into()
}

#[async_trait]
impl Server for Rocketed {
    async fn start(&self, mount: Mount) -> io::Result<Running> {
        let Mount { endpoint, channel, limits, stop } = mount;
        let config = Config {
            port: 0,
            log_level: LogLevel::Off,
            shutdown: Shutdown { ctrlc: false, signals: Default::default(), ..Default::default() },
            ..Config::debug_default()
        };
        let (up, address) = oneshot::channel();
        let up = std::sync::Mutex::new(Some(up));
        let rocket = rocket::custom(config)
            .attach(tidewater_rocket::drain(channel.hub()))
            .attach(AdHoc::on_liftoff("address", move |rocket: &Rocket<Orbit>| {
                let address = (rocket.config().address, rocket.config().port).into();
                up.lock().unwrap().take().unwrap().send(address).unwrap();
                Box::pin(async {})
            }))
            .manage(channel)
            .manage(limits)
            .mount("/closed", tidewater_rocket::routes(endpoint))
            .mount("/", routes![open, limited, keys])
            .ignite()
            .await
            .map_err(io::Error::other)?;
        let shutdown = rocket.shutdown();
        tokio::spawn(async move {
            stop.await;
            shutdown.notify();
        });
        let done = tokio::spawn(async move { drop(rocket.launch().await) });
        Ok(Running { address: address.await.map_err(io::Error::other)?, done })
    }

    fn adds(&self) -> &'static [&'static str] {
        // rocket's own name, and its shield.
        &["server", "x-content-type-options", "x-frame-options", "permissions-policy"]
    }

    fn notices(&self) -> Notices {
        Notices::AtTheNextWrite
    }

    fn wrong_method_in_the_open_form(&self) -> u16 {
        404
    }

    fn passes_any_header(&self) -> bool {
        false
    }
}

tidewater_testkit::web_suite!(Rocketed);
