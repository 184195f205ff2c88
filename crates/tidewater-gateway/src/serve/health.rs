//! Whether it lives, and whether it should get requests.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use tidewater::{
    Channel, Hub, UpstreamState,
    http::{LimitsStatus, RoomStatus},
};

use super::routes::json_response;

/// 200 while the process runs.
pub(super) const LIVE: &str = "/health/live";
/// Whether requests should come here.
pub(super) const READY: &str = "/health/ready";

/// 503 only while draining. (Before the configuration is loaded nothing listens.)
///
/// A lost broker is 200 with `degraded`: it is lost for every node, so with a 503 all of them would leave their load
/// balancer at once, and each page that reconnects would meet its 503 and give up for good.
pub(super) fn ready(hub: &Hub, limits: &LimitsStatus) -> Response<Bytes> {
    let mut channels = Map::new();
    let mut degraded = Vec::new();
    for channel in hub.channels() {
        let status = channel.status();
        if status.upstream == UpstreamState::Degraded {
            degraded.push(channel.name().to_owned());
        }
        let error = status.error.map(|error| error.to_string());
        let told = json!({ "upstream": status.upstream.as_str(), "error": error, "clients": status.clients });
        channels.insert(channel.name().to_owned(), told);
    }
    let (code, status) = status(hub, degraded.is_empty());
    let body = json!({ "status": status, "degraded": degraded, "channels": Value::Object(channels), "limits": told(limits) });
    json_response(code, &body)
}

/// The same for whoever may not know of channels and clients.
pub(super) fn ready_in_a_word(hub: &Hub) -> Response<Bytes> {
    let is_degraded = |channel: &Channel| channel.status().upstream == UpstreamState::Degraded;
    let (code, status) = status(hub, !hub.channels().iter().any(is_degraded));
    json_response(code, &json!({ "status": status }))
}

fn status(hub: &Hub, all_live: bool) -> (StatusCode, &'static str) {
    match (hub.is_draining(), all_live) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, false) => (StatusCode::OK, "degraded"),
        (false, true) => (StatusCode::OK, "ready"),
    }
}

/// How much of the limits is taken. `warning` says why those per address are off.
fn told(limits: &LimitsStatus) -> Value {
    let room = |room: &RoomStatus| {
        json!({
            "open": room.open,
            "most": room.most,
            "addresses": room.addresses,
            "subjects": room.subjects,
            "refused": room.refused,
            "refused_by_address": room.refused_by_address,
            "refused_by_subject": room.refused_by_subject,
        })
    };
    json!({
        "streams": room(&limits.streams),
        "connections": room(&limits.connections),
        "refused_publishes": limits.refused_publishes,
        "warning": limits.suspicion,
    })
}
