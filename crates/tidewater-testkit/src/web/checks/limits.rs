//! How much one client may take, and which client it is.

use std::time::Duration;

use tidewater_http::{Limits, LimitsConfig, Proxies, Rate};

use crate::web::{
    Checked, Failure, SOON, Server,
    checks::lifecycle::comes_back,
    client::{Events, Request},
    ensure,
    site::{Site, first_block},
};

/// Every path on which streams are limited.
const LIMITED: [&str; 2] = ["/closed", "/limited"];

/// Who has as many streams as it may is told to come back: 200, a time, the end. A place is free again when its client
/// goes. Whose a stream is, is what a trusted proxy says.
pub async fn i10_a_stream_over_the_limit_is_told_to_come_back(server: &dyn Server) -> Checked {
    for path in LIMITED {
        let config = LimitsConfig { streams_per_address: Some(2), ..LimitsConfig::default() };
        let limits = Limits::new(config, Proxies::trust(["127.0.0.1"])?);
        let heartbeat =
            |channel: tidewater_hub::ChannelBuilder| channel.heartbeat(Duration::from_millis(400));
        let site = Site::start_limited(server, heartbeat, &limits).await?;
        let of = |client: &str| site.get(path).header("x-forwarded-for", format!("192.0.2.1, {client}"));

        let mut clients = vec![first_block(of("203.0.113.1")).await?, first_block(of("203.0.113.1")).await?];
        comes_back(path, of("203.0.113.1").send().await?.events()?).await?;
        let json = of("203.0.113.1").header("accept", "application/json").send().await?;
        ensure!(json.status == 200, "{path}: who asks for the cursor needs no place: {}", json.status);
        clients.push(first_block(of("203.0.113.2")).await?);
        ensure!(limits.status().streams.open == 3, "{path}: {:?}", limits.status());

        drop(clients.remove(0));
        clients.push(until_in(|| of("203.0.113.1")).await?);
        comes_back(path, of("203.0.113.1").send().await?.events()?).await?;
        for client in &mut clients {
            site.write("for all");
            client.seen().await?;
        }
        drop(clients);
        nothing_is_left(&limits).await?;
        let refused = limits.status().streams.refused_by_address;
        ensure!(refused >= 2, "{path}: {refused} were turned away");
    }
    Ok(())
}

/// While nobody is trusted a client is its peer, whatever it says; and a peer that is this machine and says so is most
/// likely a proxy, so nothing is limited by address from then on.
pub async fn a_proxy_that_is_not_trusted_puts_limits_per_address_off(server: &dyn Server) -> Checked {
    for path in LIMITED {
        let config = LimitsConfig { streams_per_address: Some(1), ..LimitsConfig::default() };
        let limits = Limits::new(config, Proxies::default());
        let site = Site::start_limited(server, |channel| channel, &limits).await?;
        let _first = site.open(path).await?;
        comes_back(path, site.get(path).send().await?.events()?).await?;
        ensure!(limits.status().suspicion.is_none(), "{path}: {:?}", limits.status());
        let _proxied = first_block(site.get(path).header("x-forwarded-for", "203.0.113.1")).await?;
        let suspicion = limits.status().suspicion.unwrap_or_default();
        ensure!(
            suspicion.contains("127.0.0.1") && suspicion.contains("x-forwarded-for"),
            "{path}: {suspicion:?}"
        );
        let _another = site.open(path).await?;
    }
    Ok(())
}

/// 429, with the time to wait; another client may go on.
pub async fn a_post_over_the_rate_is_refused(server: &dyn Server) -> Checked {
    let config = LimitsConfig { publish: Some(Rate::per_hour(2)), ..LimitsConfig::default() };
    let limits = Limits::new(config, Proxies::trust(["127.0.0.1"])?);
    let site = Site::start_limited(server, |channel| channel, &limits).await?;
    let post = |client: &str| site.request("POST", "/closed").body("x").header("x-forwarded-for", client);
    for n in 0..2 {
        let evil = post("203.0.113.1").header("origin", "https://evil.example").send().await?;
        ensure!(evil.status == 403, "another origin's page: {}", evil.status);
        let answer = post("203.0.113.1").send().await?;
        ensure!(answer.status == 202, "message {n}: {}", answer.status);
    }
    let answer = post("203.0.113.1").send().await?;
    ensure!(answer.status == 429, "{} instead of 429", answer.status);
    let wait = answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
    ensure!(wait.is_some_and(|wait| (1..=1800).contains(&wait)), "retry-after: {wait:?}");
    let error = answer.json().await?;
    ensure!(error["error"].as_str().is_some_and(|text| text.contains("wait")), "{error}");
    let other = post("203.0.113.2").send().await?;
    ensure!(other.status == 202, "another client: {}", other.status);
    Ok(())
}

/// A stream, as soon as there is a place.
async fn until_in(request: impl Fn() -> Request) -> Result<Events, Failure> {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        match first_block(request()).await {
            Err(_) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
            result => return result,
        }
    }
}

async fn nothing_is_left(limits: &Limits) -> Checked {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let streams = limits.status().streams;
        if (streams.open, streams.addresses) == (0, 0) {
            return Ok(());
        }
        ensure!(tokio::time::Instant::now() < deadline, "places are still taken: {streams:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
