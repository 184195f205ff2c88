//! Where a subscription starts, as a sequence number.

use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::{datetime, jetstream::consumer::DeliverPolicy};
use tidewater_core::{Error, ErrorKind, Result, Start, Subscription};

use super::stream::{Held, StreamRef};

/// The sequence that a subscription starts at in what the stream holds.
pub(super) async fn resolve(stream: &StreamRef, held: &Held, subscription: &Subscription) -> Result<u64> {
    let wanted = subscription.after.as_ref().and_then(|cursor| cursor.topic(stream.tag));
    match (wanted, subscription.start) {
        (Some(wanted), _) if wanted.epoch == held.epoch.tag() => {
            Ok(wanted.offset(0).clamp(held.first, held.end))
        }
        (Some(_), _) | (None, Start::Earliest) => Ok(held.first),
        (None, Start::Latest) => Ok(held.end),
        (None, Start::Time(time)) => Ok(at(stream, time).await?.clamp(held.first, held.end)),
    }
}

/// The sequence of the first message of this time or later. The server finds it when it makes a consumer, and the
/// consumer's description tells what would come before it.
async fn at(stream: &StreamRef, time: SystemTime) -> Result<u64> {
    let nanos = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let start_time = i128::try_from(nanos).ok().and_then(|nanos| datetime::from_nanos(nanos).ok());
    let start_time = start_time.ok_or_else(|| {
        Error::new(ErrorKind::Config, format!("{time:?} is past the times that JetStream knows"))
    })?;
    let link = stream.connection.link().await?;
    let consumer = stream.consumer(&link, DeliverPolicy::ByStartTime { start_time }).await?;
    let info = consumer.cached_info();
    let context = link.jetstream(stream.connection.api_prefix.as_deref());
    // If it fails or is refused, the server removes it by itself, later.
    let subject = format!("{}.CONSUMER.DELETE.{}.{}", stream.connection.api(), stream.name, info.name);
    link.ask(&subject, context.delete_consumer_from_stream(&info.name, stream.name.as_str())).await.ok();
    Ok(info.delivered.stream_sequence + 1)
}
