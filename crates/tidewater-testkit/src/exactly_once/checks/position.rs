//! The position that a writer is told.

use tidewater_core::{
    Cursor, EpochTag, ErrorKind, MAX_WRITER_ID, Next, Retry, TopicCursor, TopicTag, Transfer,
};

use super::super::{Failure, context::Context, feed::Feed};
use crate::source::context::{by, same};

pub(super) async fn unknown(context: &Context<'_>) -> Result<(), Failure> {
    let (mine, others) = (Feed::new("mine"), Feed::new("others"));
    context.writer("first")?.resume_at(mine, 0).await?;
    by(context.deadline, "sending", context.sink.send(others.message(0))).await??;
    context.writer("other")?.write_to(others, 5, 5).await?;
    // An id that begins like a known one is another one.
    for id in ["first", "othe", "other-1"] {
        let position = by(context.deadline, "resuming", context.writer(id)?.inner.resume()).await??;
        same(&format!("the position of {id}"), &position, &None)?;
    }
    Ok(())
}

pub(super) async fn told(context: &Context<'_>) -> Result<(), Failure> {
    let feed = Feed::new("told");
    let mut writer = context.writer("told")?;
    writer.resume_at(feed, 0).await?;
    for end in [1, 2, 5, 30] {
        let at = writer.resume(feed).await?;
        writer.write(feed, at..end).await??;
        writer.resume_at(feed, end).await?;
        context.writer("told")?.resume_at(feed, end).await?;
        context.elsewhere("told")?.resume_at(feed, end).await?;
    }
    // Any number of batches between two questions.
    writer.resume_at(feed, 30).await?;
    for at in 30..40 {
        writer.write(feed, at..at + 1).await??;
    }
    context.elsewhere("told")?.resume_at(feed, 40).await
}

pub(super) async fn behind_the_last(context: &Context<'_>) -> Result<(), Failure> {
    let feed = Feed::new("behind");
    let mut writer = context.writer("behind")?;
    writer.resume_at(feed, 0).await?;
    // The rest of the ten was not to be written: a filter left it out.
    writer.inner.write(feed.batch(0..3), &feed.at(10)).await?;
    context.elsewhere("behind")?.resume_at(feed, 10).await?;
    context.writer("behind")?.write_to(feed, 12, 2).await?;
    context.holds_all(&[(feed, vec![0, 1, 2, 10, 11])]).await
}

pub(super) async fn without_messages(context: &Context<'_>) -> Result<(), Failure> {
    let feed = Feed::new("none");
    let mut writer = context.writer("none")?;
    let mut kept = writer.resume(feed).await?;
    for end in [4, 8] {
        by(context.deadline, "writing", writer.inner.write(Vec::new(), &feed.at(end))).await??;
        let at = context.elsewhere("none")?.resume(feed).await?;
        if at != end && at != kept {
            return Err(format!("moved from {kept} to {end} without a message, and {at} is told").into());
        }
        same("messages", &context.held().await?.len(), &0)?;
        kept = at;
        writer.resume(feed).await?;
    }
    writer.write(feed, 8..10).await??;
    context.elsewhere("none")?.resume_at(feed, 10).await?;
    context.holds(feed, 8..10).await
}

pub(super) async fn ids(context: &Context<'_>) -> Result<(), Failure> {
    for id in ["", "a b", "a.b", "\u{e4}"] {
        match context.sink.exactly_once(id) {
            Err(error) if error.kind() == ErrorKind::Config => {}
            other => return Err(format!("{id:?} can't be an id, and gave {other:?}").into()),
        }
    }
    let feed = Feed::new("ids");
    let longest = "x".repeat(MAX_WRITER_ID);
    context.writer(&longest)?.write_to(feed, 3, 3).await?;
    context.elsewhere(&longest)?.resume_at(feed, 3).await?;
    context.writer(&longest[1..])?.resume_at(feed, 0).await
}

pub(super) async fn large(context: &Context<'_>) -> Result<(), Failure> {
    for partitions in [16, 100, 1000] {
        let next = Next::Offsets((0..partitions).map(|n| u64::MAX / 4 + n).collect());
        let next: Cursor = [TopicCursor { tag: TopicTag(9), epoch: EpochTag(7), next }].into_iter().collect();
        let message = Feed::new("large").message(0);
        let id = format!("large-{partitions}");
        let mut writer = context.writer(&id)?;
        by(context.deadline, "resuming", writer.inner.resume()).await??;
        let batch = vec![Transfer { message, next: next.clone() }];
        match by(context.deadline, "writing", writer.inner.write(batch, &next)).await? {
            Ok(()) => {
                let told = by(context.deadline, "resuming", context.elsewhere(&id)?.inner.resume()).await??;
                same("a large position", &told, &Some(next))?;
            }
            Err(error) if error.kind() == ErrorKind::Unsupported && partitions > 16 => {
                same("whether a retry helps", &error.retry(), &Retry::Never)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(super) async fn among_others(context: &Context<'_>) -> Result<(), Failure> {
    let (feed, other) = (Feed::new("mine"), Feed::new("other"));
    let mut writer = context.writer("mine")?;
    writer.write_to(feed, 5, 5).await?;
    let sent = (0..20).map(|n| other.message(n)).collect();
    by(context.deadline, "sending", context.sink.send_all(sent)).await??;
    context.elsewhere("mine")?.resume_at(feed, 5).await?;
    writer.write_to(feed, 10, 5).await?;
    context.holds_all(&[(feed, (0..10).collect()), (other, (0..20).collect())]).await
}

pub(super) async fn unreadable(context: &Context<'_>) -> Result<(), Failure> {
    let feed = Feed::new("spoilt");
    context.writer("spoilt")?.write_to(feed, 5, 5).await?;
    let before = context.held().await?.len();
    context.target.spoil("spoilt").await?;
    let told = by(context.deadline, "resuming", context.elsewhere("spoilt")?.inner.resume()).await?;
    if let Ok(position) = told {
        return Err(
            format!("what is no position was read as {position:?}: all would be written again").into()
        );
    }
    let after = context.held().await?.len();
    if after < before { Err("messages have gone".into()) } else { Ok(()) }
}
