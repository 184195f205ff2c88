//! Rules 2 and 3: where a subscription starts.

use std::time::{Duration, SystemTime};

use tidewater_core::{Epoch, Next, Subscription, TopicCursor, TopicTag};

use super::super::{
    Failure,
    context::{Context, cursor, end, first, same},
};

pub(super) async fn idle(context: &mut Context) -> Result<(), Failure> {
    for subscription in [Subscription::latest(), Subscription::earliest()] {
        let bounds = context.bounds().await?;
        let follower = context.open(subscription).await?;
        same("the start", &follower.start, &end(&bounds))?;
        let numbers = follower.start.topic(bounds.tag).map_or(0, |topic| topic.offsets().len());
        same("numbers in the start", &numbers, &(context.partitions() as usize))?;
    }
    Ok(())
}

pub(super) async fn latest(context: &mut Context) -> Result<(), Failure> {
    context.publish(5).await?;
    let bounds = context.bounds().await?;
    let mut follower = context.open(Subscription::latest()).await?;
    same("the start", &follower.start, &end(&bounds))?;
    context.publish(5).await?;
    context.read_all(&mut follower, 5).await
}

pub(super) async fn earliest(context: &mut Context) -> Result<(), Failure> {
    context.publish(5).await?;
    let mut follower = context.open(Subscription::earliest()).await?;
    same("the start", &follower.start, &first(&context.bounds().await?))?;
    context.read_all(&mut follower, 0).await
}

pub(super) async fn at_a_time(context: &mut Context) -> Result<(), Failure> {
    let mut all = context.open(Subscription::earliest()).await?;
    context.publish(5).await?;
    // Only so that times of broker's clocks that count milliseconds differ.
    tokio::time::sleep(Duration::from_millis(50)).await;
    context.publish(5).await?;
    context.read(&mut all, 0..10).await?;
    let times: Option<Vec<SystemTime>> = (0..context.partitions())
        .map(|partition| {
            all.messages
                .iter()
                .filter(|message| message.partition == partition)
                .nth(5)
                .and_then(|sixth| sixth.timestamp)
        })
        .collect();
    let time = times.and_then(|times| times.into_iter().min());
    let time = time.ok_or("a source that can start at a time gives every message one")?;
    let mut follower = context.open(Subscription::at(time)).await?;
    context.read_all(&mut follower, 5).await
}

pub(super) async fn at_times_outside(context: &mut Context) -> Result<(), Failure> {
    let hour = Duration::from_secs(3600);
    for empty in [true, false] {
        if !empty {
            context.publish(3).await?;
        }
        let bounds = context.bounds().await?;
        let follower = context.open(Subscription::at(SystemTime::now() - hour)).await?;
        same("the start of a time before everything", &follower.start, &first(&bounds))?;
        let follower = context.open(Subscription::at(SystemTime::now() + hour)).await?;
        same("the start of a time to come", &follower.start, &end(&bounds))?;
    }
    let mut follower = context.open(Subscription::at(SystemTime::now() + hour)).await?;
    context.read_all(&mut follower, 3).await
}

pub(super) async fn past_the_end(context: &mut Context) -> Result<(), Failure> {
    context.publish(3).await?;
    let bounds = context.bounds().await?;
    let ahead = bounds.partitions.iter().map(|range| range.end + 1000).collect();
    let mut follower = context.open(Subscription::after(cursor(&bounds, ahead))).await?;
    same("the start", &follower.start, &end(&bounds))?;
    context.read_all(&mut follower, 3).await
}

pub(super) async fn unknown_epoch(context: &mut Context) -> Result<(), Failure> {
    context.publish(3).await?;
    let bounds = context.bounds().await?;
    let other = [TopicCursor {
        tag: bounds.tag,
        epoch: Epoch(bounds.epoch.0 ^ 1).tag(),
        next: Next::Offsets(vec![2; context.partitions() as usize]),
    }];
    let mut follower = context.open(Subscription::after(other.into_iter().collect())).await?;
    same("the start", &follower.start, &first(&bounds))?;
    let from = if context.source.capabilities().replay { 0 } else { 3 };
    context.read_all(&mut follower, from).await
}

pub(super) async fn removed_before(context: &mut Context) -> Result<(), Failure> {
    context.publish(10).await?;
    let before = context.bounds().await?;
    let wanted: Vec<_> = before.partitions.iter().map(|range| range.start + 2).collect();
    for (partition, range) in (0..).zip(&before.partitions) {
        context.topic.remove_before(partition, range.start + 7).await?;
    }
    let bounds = context.bounds().await?;
    let mut follower = context.open(Subscription::after(cursor(&before, wanted))).await?;
    same("the start", &follower.start, &first(&bounds))?;
    let kept: Vec<_> = before.partitions.iter().map(|range| range.start + 7).collect();
    same("the first that is kept", &follower.start, &cursor(&before, kept))?;
    context.read_all(&mut follower, 7).await
}

pub(super) async fn recreated_between(context: &mut Context) -> Result<(), Failure> {
    context.publish(5).await?;
    let old = context.bounds().await?;
    context.recreate().await?;
    context.publish(3).await?;
    let bounds = context.bounds_when("a new epoch", |bounds| bounds.epoch != old.epoch).await?;
    let wanted = old.partitions.iter().map(|range| range.start + 2).collect();
    let mut follower = context.open(Subscription::after(cursor(&old, wanted))).await?;
    same("the start", &follower.start, &first(&bounds))?;
    context.read_all(&mut follower, 0).await?;
    same("epochs told of what happened before", &follower.incarnations, &0)
}

pub(super) async fn foreign_topics(context: &mut Context) -> Result<(), Failure> {
    context.publish(3).await?;
    let bounds = context.bounds().await?;
    let mut wanted = end(&bounds);
    wanted.raise(TopicTag(!bounds.tag.0), Epoch(7).tag(), 3, 12);
    let mut follower = context.open(Subscription::after(wanted)).await?;
    same("the start", &follower.start, &end(&bounds))?;
    context.read_all(&mut follower, 3).await
}

pub(super) async fn absent_partitions(context: &mut Context) -> Result<(), Failure> {
    context.publish(3).await?;
    let bounds = context.bounds().await?;
    let mut follower = context.open(Subscription::after(cursor(&bounds, Vec::new()))).await?;
    same("the start", &follower.start, &first(&bounds))?;
    context.read_all(&mut follower, 0).await
}
