//! What people write: a `tokio::sync::broadcast` channel, and the framework's own events.

mod axum;
mod hyper;
mod rocket;
mod salvo;
mod warp;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::broadcast;

use crate::{Args, Name, control};

/// How many events a receiver may be behind before it loses some.
const CAPACITY: usize = 1024;

/// An event, as it goes to each connection: an id, and a text that all of them share.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) data: Arc<str>,
}

pub(crate) async fn serve(args: Args) -> Result<()> {
    let next = AtomicU64::new(0);
    let id = move || next.fetch_add(1, Ordering::Relaxed);
    if args.name == Name::HandHyper {
        let (sender, _) = broadcast::channel(CAPACITY);
        feed(&args, sender.clone(), move |data| hyper::encode(id(), &data));
        return hyper::serve(args.listen, sender).await;
    }
    let (sender, _) = broadcast::channel(CAPACITY);
    feed(&args, sender.clone(), move |data| Event { id: id(), data: String::from_utf8_lossy(&data).into() });
    match args.name {
        Name::HandWarp => warp::serve(args.listen, sender).await,
        Name::HandRocket => rocket::serve(args.listen, sender).await,
        Name::HandSalvo => salvo::serve(args.listen, sender).await,
        _ => axum::serve(args.listen, sender).await,
    }
}

/// Sends what comes to all receivers.
fn feed<T: Clone + Send + 'static>(
    args: &Args,
    sender: broadcast::Sender<T>,
    make: impl Fn(Bytes) -> T + Send + Sync + 'static,
) {
    let Some(address) = args.control else { return };
    tokio::spawn(async move {
        // An error says that nobody listens.
        control::run(address, move |_, data| drop(sender.send(make(data)))).await
    });
}
