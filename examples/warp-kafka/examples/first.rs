//! The first program of the README.

use tidewater::{
    Hub, Select,
    warp::{reply, resume},
};
use warp::Filter;

#[tokio::main]
async fn main() -> Result<(), tidewater::Error> {
    let hub = Hub::new();
    let orders = hub.channel("orders").source("kafka://localhost:9092/orders").open()?;

    // Each user sees what has the user's name as its key, and comes back to where they were.
    let events = warp::path!("users" / String / "events").and(resume()).then(move |user: String, resume| {
        let orders = orders.clone();
        async move { reply(orders.stream(resume, Select::key(user)).await) }
    });
    warp::serve(events.recover(tidewater::warp::recover)).run(([127, 0, 0, 1], 8080)).await;
    Ok(())
}
