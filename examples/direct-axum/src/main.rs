//! A poll in an axum application, whose streams cost a socket each: `cargo xtask examples direct-axum`.
//!
//! axum has the page and the API; `/votes/events` never reaches it, unless over HTTP/2 or with another method.

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::Html,
    routing::{get, post},
};
use serde_json::{Value, json};
use tidewater::{
    Channel, Hub, Message,
    direct::{Direct, Routes},
};
use tokio::signal;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let listen: SocketAddr = env::var("LISTEN").as_deref().unwrap_or("127.0.0.1:8080").parse()?;

    let hub = Hub::new();
    let votes = hub.channel("votes").source("memory:votes").sink("memory:votes").open()?;
    let streams = Routes::new().at("/votes/events", votes.clone());
    let shutdown = tidewater::direct::graceful(&hub, async {
        signal::ctrl_c().await.ok();
    });
    eprintln!("The page is at http://{listen}/");
    Direct::new(streams).fallback(app(votes)).listen(listen, shutdown).await?;
    Ok(())
}

/// The application, as it would be without streams.
fn app(votes: Channel) -> Router {
    Router::new()
        .route("/", get(Html(include_str!("page.html"))))
        .route("/votes", get(counts))
        .route("/votes/{choice}", post(vote))
        .with_state(Poll { votes, counts: Arc::default() })
}

#[derive(Clone)]
struct Poll {
    votes: Channel,
    counts: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Poll {
    fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, choice: &str) -> u64 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(choice.to_owned()).or_default();
        *count += 1;
        *count
    }
}

async fn counts(State(poll): State<Poll>) -> Json<BTreeMap<String, u64>> {
    Json(poll.counts())
}

/// `curl -X POST localhost:8080/votes/tea`
async fn vote(State(poll): State<Poll>, Path(choice): Path<String>) -> (StatusCode, Json<Value>) {
    if choice.len() > 40 {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "a choice has at most 40 bytes" })));
    }
    let told = json!({ "choice": choice, "votes": poll.count(&choice) });
    match poll.votes.publish(Message::new("votes", told.to_string()).with_key(choice)).await {
        Ok(_) => (StatusCode::OK, Json(told)),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": error.to_string() }))),
    }
}
