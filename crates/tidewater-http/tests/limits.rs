//! Limits of an endpoint under a crowd.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{sync::Arc, time::Duration};

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use tidewater_core::memory::MemoryLog;
use tidewater_http::{Body, Endpoint, Limits, LimitsConfig, Peer, Proxies};
use tidewater_hub::{Hub, UpstreamState};
use tokio::{sync::Barrier, task::JoinSet, time::timeout};

const PLACES: usize = 100;
const DEADLINE: Duration = Duration::from_secs(60);

async fn endpoint(limits: &Limits) -> Endpoint {
    let channel = Hub::new().channel("crowd").source(MemoryLog::new("crowd").source()).open().unwrap();
    let live = async {
        while channel.status().upstream != UpstreamState::Live {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, live).await.unwrap();
    Endpoint::new(channel).limits(limits.clone())
}

/// The stream of a client, and whether it is in: its first block is then a cursor.
async fn ask(endpoint: &Endpoint, client: u32) -> (Body, bool) {
    let mut request = Request::new(Empty::<bytes::Bytes>::new());
    request.extensions_mut().insert(Peer::Address((client.to_be_bytes(), 1).into()));
    let response = endpoint.respond(request).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let is_in = String::from_utf8_lossy(&first).contains("tidewater.cursor");
    (body, is_in)
}

/// Threads at once, some of whom drop their stream where they are: never too many, and in the end nobody is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i10_a_thousand_clients_for_a_hundred_places_all_get_in() {
    let config = LimitsConfig {
        streams: Some(PLACES),
        streams_per_address: Some(5),
        streams_per_subject: Some(5),
        ..LimitsConfig::default()
    };
    let limits = Limits::new(config, Proxies::default());
    let endpoint = endpoint(&limits).await;
    let barrier = Arc::new(Barrier::new(1000));
    let mut clients = JoinSet::new();
    for client in 0..1000 {
        let (endpoint, limits, barrier) = (endpoint.clone(), limits.clone(), barrier.clone());
        clients.spawn(async move {
            barrier.wait().await;
            loop {
                let (mut body, is_in) = ask(&endpoint, client / 10).await;
                let status = limits.status().streams;
                assert!(status.open <= PLACES && status.addresses <= PLACES, "{status:?}");
                if is_in {
                    tokio::task::yield_now().await;
                    return;
                }
                assert!(body.frame().await.is_none(), "who is turned away has an end");
                // A browser waits for as long as it was told: here time is short.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    let all = async { while clients.join_next().await.transpose().unwrap().is_some() {} };
    timeout(DEADLINE, all).await.unwrap();
    let status = limits.status().streams;
    assert_eq!((status.open, status.addresses, status.subjects), (0, 0, 0));
    assert!(status.refused + status.refused_by_address > 0, "{status:?}");
    assert_eq!(endpoint.channel().status().clients, 0);
}

/// A place is held by the stream itself, wherever it is taken to.
#[tokio::test]
async fn a_place_goes_with_the_stream() {
    let limits =
        Limits::new(LimitsConfig { streams: Some(1), ..LimitsConfig::default() }, Proxies::default());
    let endpoint = endpoint(&limits).await;
    let (body, is_in) = ask(&endpoint, 1).await;
    assert!(is_in);
    let Body::Events(events) = body else { panic!("no stream") };
    let stream = tidewater_hub::EventStream::from(events);
    assert!(!ask(&endpoint, 2).await.1);
    drop(stream);
    assert!(ask(&endpoint, 2).await.1);
    assert_eq!(limits.status().streams.open, 0);
}
