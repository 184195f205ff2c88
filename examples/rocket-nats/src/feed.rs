//! Thermometers. Anything else that publishes to `climate.ROOM` would do.

use std::time::Duration;

use rocket::tokio;
use serde_json::json;
use tidewater::{Message, plugin::open_sink};

const ROOMS: [(&str, f64); 3] = [("kitchen", 21.0), ("bedroom", 18.5), ("attic", 26.0)];

/// Starts one in each room.
pub(crate) fn start(nats: &str) -> tidewater::Result<()> {
    for (room, normal) in ROOMS {
        // A sink writes to one subject. Nothing is connected before the first message.
        let sink = open_sink(&format!("{nats}/climate.{room}"))?;
        tokio::spawn(async move {
            for second in 0_u32.. {
                let celsius = normal + (f64::from(second) / 10.0).sin();
                let payload = json!({ "celsius": (celsius * 10.0).round() / 10.0 }).to_string();
                if let Err(error) = sink.send(Message::new(room, payload)).await {
                    eprintln!("not published: {error}");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    Ok(())
}
