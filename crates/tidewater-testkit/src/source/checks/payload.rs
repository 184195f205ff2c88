//! What a message says of itself.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tidewater_core::{Headers, Message, Subscription};

use super::super::{
    Failure, Record,
    context::{Context, by_name, same},
};

pub(super) async fn bytes(context: &mut Context) -> Result<(), Failure> {
    let every: Bytes = (0..=255).collect();
    let large: Bytes = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let payloads = [every, Bytes::new(), large, Bytes::from_static(b"\r\n\0\n data: x")];
    let records = payloads.iter().map(|payload| Record { payload: payload.clone(), ..Record::default() });
    let messages = round_trip(context, records.collect()).await?;
    for (message, payload) in messages.iter().zip(payloads) {
        if message.payload.as_ref() != Some(&payload) {
            let came = message.payload.as_ref().map(Bytes::len);
            return Err(
                format!("a payload of {} bytes came otherwise ({came:?} bytes)", payload.len()).into()
            );
        }
    }
    Ok(())
}

pub(super) async fn text_headers(context: &mut Context) -> Result<(), Failure> {
    let headers: Vec<Headers> = vec![
        Headers::default(),
        [("Content-Type", "application/json"), ("content-type", "text/plain")].into_iter().collect(),
        [("twice", "1"), ("other", "grün; q=\"x\": ok"), ("twice", "2")].into_iter().collect(),
        [("empty", "")].into_iter().collect(),
    ];
    let records = headers.iter().map(|headers| Record {
        headers: headers.clone(),
        payload: "x".into(),
        ..Record::default()
    });
    for (message, headers) in round_trip(context, records.collect()).await?.iter().zip(&headers) {
        same("headers", &by_name(&message.headers), &by_name(headers))?;
    }
    Ok(())
}

pub(super) async fn text_keys(context: &mut Context) -> Result<(), Failure> {
    keys(context, [None, Some("user-7".into()), Some("grüne Ware: 3/4".into())]).await
}

pub(super) async fn binary(context: &mut Context) -> Result<(), Failure> {
    let every: Bytes = (0..=255).collect();
    keys(context, [Some(every.clone()), Some(Bytes::new())]).await?;
    let headers: Headers = [("binary", every)].into_iter().collect();
    let record = Record { headers: headers.clone(), payload: "x".into(), ..Record::default() };
    let messages = round_trip(context, vec![record]).await?;
    same("headers", &by_name(&messages[0].headers), &by_name(&headers))
}

pub(super) async fn says_of_itself(context: &mut Context) -> Result<(), Failure> {
    let (before, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let messages = round_trip(context, vec![Record { payload: "x".into(), ..Record::default() }]).await?;
    let message = &messages[0];
    if let Some(topic) = context.topic.published_to() {
        same("the topic", &message.topic.as_str(), &topic.as_str())?;
    }
    same("its tag", &message.tag, &context.bounds().await?.tag)?;
    match message.timestamp {
        // The broker's clock may be another one; a wrong unit is what this is about.
        Some(time) if time < before - hour || time > SystemTime::now() + hour => {
            Err(format!("written now, and it says {time:?}").into())
        }
        None if context.source.capabilities().from_time => {
            Err("a source that can start at a time gives every message one".into())
        }
        _ => Ok(()),
    }
}

async fn keys<const N: usize>(context: &mut Context, keys: [Option<Bytes>; N]) -> Result<(), Failure> {
    let records =
        keys.iter().map(|key| Record { key: key.clone(), payload: "x".into(), ..Record::default() });
    for (message, key) in round_trip(context, records.collect()).await?.iter().zip(&keys) {
        same("a key", &message.key, key)?;
    }
    Ok(())
}

async fn round_trip(context: &mut Context, records: Vec<Record>) -> Result<Vec<Message>, Failure> {
    let mut follower = context.open(Subscription::latest()).await?;
    let count = records.len();
    context.topic.publish(records).await?;
    follower.until("every message", |seen| seen.messages.len() >= count).await?;
    same("messages", &follower.messages.len(), &count)?;
    Ok(follower.messages)
}
