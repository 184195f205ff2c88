//! Rule 6: a topic that is removed and made again.

use tidewater_core::Subscription;

use super::super::{
    Failure,
    context::{Context, first, same},
    follow::Follower,
};

pub(super) async fn recreated_while_idle(context: &mut Context) -> Result<(), Failure> {
    context.publish(3).await?;
    let mut follower = context.open(start(context)).await?;
    if context.source.capabilities().replay {
        context.read(&mut follower, 0..3).await?;
    }
    context.recreate().await?;
    told(&mut follower).await?;
    same("the start of the new epoch", &follower.cursor, &first(&context.bounds().await?))?;
    context.publish(3).await?;
    context.read_all(&mut follower, 0).await
}

pub(super) async fn recreated_and_published(context: &mut Context) -> Result<(), Failure> {
    context.publish(3).await?;
    let mut follower = context.open(start(context)).await?;
    for round in 1..=2 {
        context.recreate().await?;
        // More than there was before, so that the old position is one that the new incarnation has too.
        context.publish(10).await?;
        told(&mut follower).await?;
        context.read_all(&mut follower, 0).await?;
        same("epochs told", &follower.incarnations, &round)?;
    }
    Ok(())
}

fn start(context: &Context) -> Subscription {
    if context.source.capabilities().replay { Subscription::earliest() } else { Subscription::latest() }
}

async fn told(follower: &mut Follower) -> Result<(), Failure> {
    let before = follower.incarnations;
    follower.until("the new epoch", |seen| seen.incarnations > before).await
}
