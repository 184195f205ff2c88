//! Notices for ada and bob. Anything else that publishes to `notices.…` with the header `tidewater-key` would do.

use std::time::Duration;

use async_nats::jetstream;
use serde_json::json;
use tidewater::{Channel, Message};

/// The stream that keeps them.
pub(crate) const STREAM: &str = "NOTICES";

/// Publishes a notice every 400 ms, for one and the other.
pub(crate) async fn run(nats: String, notices: Channel) {
    if let Err(error) = create_stream(&nats).await {
        eprintln!("The stream {STREAM} could not be made: {error:#}");
    }
    for number in 0_u64.. {
        let user = ["ada", "bob"][(number % 2) as usize];
        let payload = json!({ "to": user, "notice": format!("parcel {number} is on its way") }).to_string();
        // The key says whom it is for. NATS has no keys: it travels as a header.
        if let Err(error) = notices.publish(Message::new(STREAM, payload).with_key(user)).await {
            eprintln!("not published: {error}");
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

/// Makes the stream if it is missing.
async fn create_stream(nats: &str) -> anyhow::Result<()> {
    let config = jetstream::stream::Config {
        name: STREAM.to_owned(),
        subjects: vec!["notices.>".to_owned()],
        max_age: Duration::from_secs(3600),
        ..Default::default()
    };
    jetstream::new(async_nats::connect(nats).await?).get_or_create_stream(config).await?;
    Ok(())
}
