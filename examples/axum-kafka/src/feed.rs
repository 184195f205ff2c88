//! Two companies' vehicles on their rounds, so that the page has something to show. Any other producer would do.

use std::time::Duration;

use tidewater::{Channel, Message};

use crate::{TOPIC, place::Place};

/// How many vehicles each company has.
const VEHICLES: u32 = 5;

/// Publishes where each vehicle is, ten times a second. A broker that is away is a line in the log, and the next try.
pub(crate) async fn run(places: Channel) {
    for tick in 0_u32.. {
        for (company, direction) in [("north", 1.0), ("south", -1.0)] {
            for number in 0..VEHICLES {
                let radius = 0.2 + 0.15 * f64::from(number);
                let angle = direction * f64::from(tick) * 0.02 / radius + f64::from(number);
                let place = Place {
                    company: company.to_owned(),
                    vehicle: format!("{company}-{number}"),
                    x: radius * angle.cos(),
                    y: radius * angle.sin(),
                };
                if let Err(error) = publish(&places, &place).await {
                    eprintln!("not published: {error}");
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The key keeps a vehicle in one partition, and so in order; and it is what a slow client gets the newest of.
pub(crate) async fn publish(places: &Channel, place: &Place) -> anyhow::Result<()> {
    let message = Message::new(TOPIC, serde_json::to_string(place)?).with_key(place.vehicle.clone());
    places.publish(message).await?;
    Ok(())
}
