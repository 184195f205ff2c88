//! Rule 1: order, none lost, none twice.

use tidewater_core::{GapReason, Subscription};

use super::super::{
    Failure,
    context::{Context, end},
};

pub(super) async fn live(context: &mut Context) -> Result<(), Failure> {
    let mut follower = context.open(Subscription::latest()).await?;
    context.publish(200).await?;
    context.read_all(&mut follower, 0).await
}

pub(super) async fn history_into_live(context: &mut Context) -> Result<(), Failure> {
    context.publish(100).await?;
    let mut follower = context.open(Subscription::earliest()).await?;
    context.read(&mut follower, 0..20).await.or_else(more_is_fine)?;
    context.publish(100).await?;
    context.read_all(&mut follower, 0).await
}

/// Partitions don't come at the same pace: one may be further than asked when the last has come.
fn more_is_fine(failure: Failure) -> Result<(), Failure> {
    if failure.to_string().contains("should be nothing") { Ok(()) } else { Err(failure) }
}

pub(super) async fn after_every_cursor(context: &mut Context) -> Result<(), Failure> {
    const COUNT: usize = 8;
    context.publish(COUNT).await?;
    let mut follower = context.open(Subscription::earliest()).await?;
    // The cursor after each message, with what it leaves to be read.
    let mut splits = vec![(follower.cursor.clone(), vec![0; context.partitions() as usize])];
    while follower.messages.len() < COUNT * context.partitions() as usize {
        let before = follower.messages.len();
        follower.until("the next message", |seen| seen.messages.len() > before).await?;
        let read = (0..context.partitions()).map(|partition| follower.payloads(partition).len()).collect();
        splits.push((follower.cursor.clone(), read));
    }
    for (cursor, read) in splits {
        let mut follower = context.open(Subscription::after(cursor.clone())).await?;
        if follower.start != cursor {
            return Err(
                format!("wanted {cursor:?}, which can be read, and started at {:?}", follower.start).into()
            );
        }
        context.read_to_end(&mut follower).await?;
        for (partition, read) in (0..).zip(read) {
            let wanted = &context.published(partition)[read..];
            super::super::context::compare(partition, wanted, &follower.payloads(partition))
                .map_err(|error| format!("after {cursor:?}: {error}"))?;
        }
    }
    Ok(())
}

pub(super) async fn removed_while_subscribed(context: &mut Context) -> Result<(), Failure> {
    // More than a source reads ahead without being asked, most likely; what it did read, it may deliver.
    const KEPT_FROM: usize = 380;
    context.publish_sized(400, 4 << 10).await?;
    let first: Vec<_> = context.bounds().await?.partitions.iter().map(|range| range.start).collect();
    let mut follower = context.open(Subscription::earliest()).await?;
    follower.until("a first message", |seen| !seen.messages.is_empty()).await?;
    for (partition, first) in (0..).zip(&first) {
        context.topic.remove_before(partition, first + KEPT_FROM as u64).await?;
    }
    context.read_to_end(&mut follower).await?;

    for (partition, first) in (0..).zip(first) {
        let delivered = follower.payloads(partition);
        for (offset, payload) in (first..).zip(context.published(partition)) {
            let came = delivered.iter().filter(|came| *came == payload).count();
            let told = follower.gaps.iter().any(|gap| {
                gap.partition == partition
                    && gap.reason == GapReason::Retention
                    && gap.missing.as_ref().is_some_and(|missing| missing.contains(&offset))
            });
            let kept = offset >= first + KEPT_FROM as u64;
            if !matches!((came, told, kept), (1, false, _) | (0, true, false)) {
                return Err(format!(
                    "partition {partition}, offset {offset}: delivered {came} times, in a gap: {told}, still there: {kept}"
                )
                .into());
            }
        }
    }
    Ok(())
}

pub(super) async fn hidden_at_the_end(context: &mut Context) -> Result<(), Failure> {
    let mut follower = context.open(Subscription::latest()).await?;
    let before = end(&context.bounds().await?);
    context.topic.hide().await?;
    let bounds = context.bounds_when("move", |bounds| end(bounds) != before).await?;
    follower.until("progress up to the end", |seen| seen.cursor.dominates(&end(&bounds))).await?;
    if follower.progressed == 0 || !follower.messages.is_empty() {
        return Err("positions moved, but not by progress".into());
    }
    context.publish(3).await?;
    context.read_all(&mut follower, 0).await
}

pub(super) async fn hidden_between(context: &mut Context) -> Result<(), Failure> {
    for _ in 0..3 {
        context.publish(2).await?;
        context.topic.hide().await?;
    }
    let mut follower = context.open(Subscription::earliest()).await?;
    context.read_all(&mut follower, 0).await
}

pub(super) async fn two_subscriptions(context: &mut Context) -> Result<(), Failure> {
    let mut one = context.open(Subscription::latest()).await?;
    let mut two = context.open(Subscription::latest()).await?;
    context.publish(20).await?;
    context.read_all(&mut one, 0).await?;
    drop(one);
    context.publish(20).await?;
    context.read_all(&mut two, 0).await
}
