//! Each message once, in its place.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use tidewater_core::{ErrorKind, Retry};
use tokio::time::Instant;

use super::super::{
    Failure,
    context::{Context, Writer},
    feed::Feed,
};
use crate::source::context::{by, same};

pub(super) async fn in_order(context: &Context<'_>) -> Result<(), Failure> {
    let feed = Feed::new("order");
    let mut writer = context.writer("order")?;
    writer.resume_at(feed, 0).await?;
    for at in (0..300).step_by(25) {
        writer.write(feed, at..at + 25).await??;
    }
    context.holds(feed, 0..300).await
}

pub(super) async fn resumed(context: &Context<'_>) -> Result<(), Failure> {
    let feed = Feed::new("resumed");
    for end in [7, 7, 8, 40, 40, 41] {
        context.elsewhere("resumed")?.write_to(feed, end, 10).await?;
        context.writer("resumed")?.write_to(feed, end, 10).await?;
    }
    context.holds(feed, 0..41).await
}

/// Rounds of [`dropped`].
const ROUNDS: usize = 40;

pub(super) async fn dropped(context: &Context<'_>) -> Result<(), Failure> {
    let feed = Feed::new("dropped");
    // The same in every run: what a broker does meanwhile is chance enough.
    let mut chance = fastrand::Rng::with_seed(7);
    let began = Instant::now();
    context.writer("dropped")?.write_to(feed, 40, 40).await?;
    let whole = began.elapsed();
    let mut written = 40;
    for round in 0..ROUNDS {
        let mut writer =
            if round % 2 == 0 { context.writer("dropped")? } else { context.elsewhere("dropped")? };
        let at = writer.resume(feed).await?;
        if at < written {
            return Err(format!("round {round}: {written} were written, and {at} are told").into());
        }
        written = at;
        let end = at + chance.usize(1..=40);
        let given_up = give_up(chance.bool(), chance.f64(), whole);
        let write = pin!(writer.write(feed, at..end));
        match select(write, pin!(given_up)).await {
            Either::Left((done, _)) => match done? {
                Ok(()) => written = end,
                Err(error) if error.retry() == Retry::Later => {}
                Err(error) => return Err(format!("round {round}: {error}").into()),
            },
            Either::Right(_) => {}
        }
    }
    // Twice, so that what dropped writers may still have had on its way is there.
    let mut end = written;
    for _ in 0..2 {
        end += 50;
        context.elsewhere("dropped")?.write_to(feed, end, 20).await?;
    }
    context.holds(feed, 0..end).await
}

/// Resolves after some polls, or after some of the time that a whole write took.
async fn give_up(polls: bool, part: f64, whole: Duration) {
    if polls {
        for _ in 0..(part * 24.0) as usize {
            tokio::task::yield_now().await;
        }
    } else {
        tokio::time::sleep(whole.mul_f64(part)).await;
    }
}

pub(super) async fn taken_over(context: &Context<'_>) -> Result<(), Failure> {
    let feed = Feed::new("over");
    let mut older = context.writer("over")?;
    older.write_to(feed, 10, 10).await?;
    let mut newer = context.elsewhere("over")?;
    newer.resume_at(feed, 10).await?;
    newer.write(feed, 10..20).await??;
    // It doesn't know, and goes on from where it was.
    refused_or_there(older.write(feed, 10..20).await?)?;
    context.elsewhere("over")?.resume_at(feed, 20).await?;
    context.holds(feed, 0..20).await?;
    let mut newest = context.elsewhere("over")?;
    newest.write_to(feed, 30, 5).await?;
    refused_or_there(newer.write(feed, 20..30).await?)?;
    context.holds(feed, 0..30).await?;
    // Who resumes is the newest again.
    older.write_to(feed, 40, 10).await?;
    context.holds(feed, 0..40).await
}

/// What may come of the write of a writer that was taken over from.
fn refused_or_there(done: Result<(), tidewater_core::Error>) -> Result<(), Failure> {
    match done {
        Err(error) => same("the kind of the older writer's error", &error.kind(), &ErrorKind::Closed)
            .map_err(|failure| format!("{failure}: {error}").into()),
        Ok(()) => Ok(()),
    }
}

pub(super) async fn at_the_same_time(context: &Context<'_>) -> Result<(), Failure> {
    let feed = Feed::new("both");
    let mut end = 0;
    for _ in 0..5 {
        let (mut one, mut two) = (context.writer("both")?, context.elsewhere("both")?);
        let at = one.resume(feed).await?;
        two.resume_at(feed, at).await?;
        end = at + 30;
        let (one, two) = tokio::join!(batches(&mut one, feed, at, end), batches(&mut two, feed, at, end));
        one?;
        two?;
        context.writer("both")?.write_to(feed, end, 30).await?;
    }
    context.holds(feed, 0..end).await
}

/// Writes a few batches; stops at the first error.
async fn batches(writer: &mut Writer, feed: Feed, at: usize, end: usize) -> Result<(), Failure> {
    for from in (at..end).step_by(10) {
        if writer.write(feed, from..end.min(from + 10)).await?.is_err() {
            break;
        }
    }
    Ok(())
}

pub(super) async fn independent(context: &Context<'_>) -> Result<(), Failure> {
    let (a, b) = (Feed::new("a"), Feed::new("b"));
    let (mut of_a, mut of_b) = (context.writer("a")?, context.elsewhere("b")?);
    of_a.resume_at(a, 0).await?;
    of_b.resume_at(b, 0).await?;
    for round in 0..5 {
        going_on(&mut of_a, a, round * 10..round * 10 + 10).await?;
        going_on(&mut of_b, b, round * 7..round * 7 + 7).await?;
    }
    let both = async |writer: &mut Writer, feed, end| writer.write_to(feed, end, 10).await;
    let (first, second) = tokio::join!(both(&mut of_a, a, 150), both(&mut of_b, b, 150));
    first?;
    second?;
    context.elsewhere("a")?.resume_at(a, 150).await?;
    context.elsewhere("b")?.resume_at(b, 150).await?;
    context.holds_all(&[(a, (0..150).collect()), (b, (0..150).collect())]).await
}

/// Writes a batch without resuming first; only after an error that a retry can help.
async fn going_on(writer: &mut Writer, feed: Feed, range: std::ops::Range<usize>) -> Result<(), Failure> {
    match writer.write(feed, range.clone()).await? {
        Err(error) if error.retry() == Retry::Later => writer.write_to(feed, range.end, range.len()).await,
        done => Ok(done?),
    }
}

pub(super) async fn thousands(context: &Context<'_>) -> Result<(), Failure> {
    const COUNT: usize = 5000;
    let (small, large) = (Feed::new("small"), Feed::sized("large", 64 << 10));
    let mut writer = context.writer("small")?;
    writer.resume_at(small, 0).await?;
    writer.write(small, 0..COUNT).await??;
    let mut writer = context.writer("large")?;
    writer.resume_at(large, 0).await?;
    writer.write(large, 0..100).await??;
    context.elsewhere("small")?.resume_at(small, COUNT).await?;
    context.elsewhere("large")?.resume_at(large, 100).await?;
    context.holds_all(&[(small, (0..COUNT).collect()), (large, (0..100).collect())]).await
}

pub(super) async fn send_all(context: &Context<'_>) -> Result<(), Failure> {
    let feed = Feed::new("sent");
    for round in 0..3 {
        let messages = (round * 1000..round * 1000 + 1000).map(|n| feed.message(n)).collect();
        by(context.deadline, "sending", context.sink.send_all(messages)).await??;
    }
    by(context.deadline, "sending nothing", context.sink.send_all(Vec::new())).await??;
    context.holds(feed, 0..3000).await
}
