//! Where a vehicle is, as it stands in the topic and as it goes out.

use serde::{Deserialize, Serialize};
use tidewater::{Error, ErrorKind, Message, Outgoing, Result};

/// A message of the topic; its key is the vehicle.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Place {
    pub(crate) company: String,
    pub(crate) vehicle: String,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// The channel's step, run once for each message: whom it is for becomes a tag, which a handler selects by.
pub(crate) fn step(message: &Message) -> Result<Option<Outgoing>> {
    let payload = message.payload.as_deref().unwrap_or_default();
    let place: Place = serde_json::from_slice(payload)
        .map_err(|error| Error::new(ErrorKind::Rejected, "no place of a vehicle").with_source(error))?;
    let Place { company, vehicle, x, y } = place;
    let data = serde_json::json!({ "vehicle": vehicle, "x": x, "y": y });
    Ok(Some(Outgoing::new(data.to_string()).tag(company)))
}
