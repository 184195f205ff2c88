//! Messages are what they were.

use bytes::Bytes;
use tidewater_core::{Headers, Message, Transfer};

use super::super::{
    Failure,
    context::Context,
    feed::{Feed, with_headers},
};
use crate::source::context::by;

pub(super) async fn bytes(context: &Context<'_>) -> Result<(), Failure> {
    let every: Bytes = (0..=255).collect();
    let payloads = [every, Bytes::new(), Bytes::from_static(b"\r\n\0\n data: x")];
    round_trip(context, payloads.map(|payload| Message::new("feed", payload)).into()).await
}

pub(super) async fn text(context: &Context<'_>) -> Result<(), Failure> {
    let messages = vec![
        with_headers("0", &[]),
        with_headers("1", &[("Content-Type", "application/json"), ("content-type", "text/plain")]),
        with_headers("2", &[("twice", "1"), ("other", "grün; q=\"x\": ok"), ("twice", "2")])
            .with_key("user-7"),
        with_headers("3", &[("empty", "")]).with_key("grüne Ware: 3/4"),
    ];
    round_trip(context, messages).await
}

pub(super) async fn tombstones(context: &Context<'_>) -> Result<(), Failure> {
    let tombstone = || Message { payload: None, ..with_headers("", &[("why", "gone")]) }.with_key("user-7");
    round_trip(context, vec![tombstone(), Message::new("feed", "x").with_key("user-7"), tombstone()]).await
}

pub(super) async fn binary(context: &Context<'_>) -> Result<(), Failure> {
    let every: Bytes = (0..=255).collect();
    let headers: Headers = [("binary", every.clone())].into_iter().collect();
    let message = Message::new("feed", "x").with_key(every).with_headers(headers);
    round_trip(context, vec![message]).await
}

pub(super) async fn chained(context: &Context<'_>) -> Result<(), Failure> {
    let (feed, second) = (Feed::new("first"), Context::new(context.harness).await?);
    let mut writer = context.writer("chain")?;
    writer.resume_at(feed, 0).await?;
    writer.write(feed, 0..10).await??;
    // As the first one left them, positions kept with them and all; this feed is the first one's target.
    let (feed, held) = (Feed::new("second"), context.held().await?);
    let mut writer = second.writer("chain")?;
    writer.resume_at(feed, 0).await?;
    let batch = held
        .iter()
        .enumerate()
        .map(|(n, message)| Transfer { message: feed.carrying(n, message.clone()), next: feed.at(n + 1) });
    let next = feed.at(held.len());
    by(context.deadline, "writing on", writer.inner.write(batch.collect(), &next)).await??;
    second.elsewhere("chain")?.resume_at(feed, held.len()).await?;
    second.same(&sorted(second.held().await?), &sorted(held))
}

/// Writes these, which differ in their payloads, one in a batch, and reads them back.
async fn round_trip(context: &Context<'_>, messages: Vec<Message>) -> Result<(), Failure> {
    let feed = Feed::new("content");
    let mut writer = context.writer("content")?;
    writer.resume_at(feed, 0).await?;
    for (n, message) in messages.iter().enumerate() {
        let next = feed.at(n + 1);
        let batch = vec![Transfer { message: feed.carrying(n, message.clone()), next: next.clone() }];
        by(context.deadline, "writing", writer.inner.write(batch, &next)).await??;
    }
    context.same(&sorted(context.held().await?), &sorted(messages))
}

/// By payload: partitions come in any order.
fn sorted(mut messages: Vec<Message>) -> Vec<Message> {
    messages.sort_by_key(|message| message.payload.clone());
    messages
}
