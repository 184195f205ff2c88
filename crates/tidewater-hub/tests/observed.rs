//! What a stream comes to, for who observes it.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _};
use support::{Broker, TINY, channel, settle};
use tidewater_core::Start;
use tidewater_hub::{Begins, Channel, Ended, Ending, EventStream, LagPolicy, Resume, Select};

/// Observes a stream: what it came to, as soon as it has.
fn observe(stream: &mut EventStream) -> Arc<Mutex<Option<Ended>>> {
    let told = Arc::new(Mutex::new(None));
    let ended = told.clone();
    stream.observe(Box::new(move |now| assert!(ended.lock().unwrap().replace(now).is_none())));
    told
}

async fn open(channel: &Channel, resume: Resume) -> EventStream {
    channel.stream(resume, Select::all()).await
}

/// All that is ready, as bytes.
fn take(stream: &mut EventStream) -> usize {
    std::iter::from_fn(|| stream.next().now_or_never().flatten()).map(|bytes| bytes.len()).sum()
}

#[tokio::test(start_paused = true)]
async fn what_went_out_is_told_when_the_stream_is_dropped() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder);
    let mut stream = open(&channel, Resume::default()).await;
    let told = observe(&mut stream);
    let mut bytes = take(&mut stream);
    broker.grow(0, 3);
    settle().await;
    bytes += take(&mut stream);
    let lasted = Duration::from_secs(40);
    tokio::time::sleep(lasted).await;
    bytes += take(&mut stream);
    assert_eq!(*told.lock().unwrap(), None);
    let head = channel.cursor().await.unwrap();
    drop(stream);
    let ended = told.lock().unwrap().take().unwrap();
    assert_eq!((ended.why, ended.events, ended.bytes), (Ending::Left, 3, bytes as u64));
    assert_eq!(ended.cursor, Some(head));
    assert!(ended.lasted >= lasted && ended.lasted < lasted * 2, "{:?}", ended.lasted);
}

#[tokio::test(start_paused = true)]
async fn where_a_stream_begins_is_known_before_it_is_polled() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder.log(TINY));
    settle().await;
    let id = channel.cursor().await.unwrap().to_string();
    let resume = |id: &str| Resume { last_event_id: Some(id.to_owned()), ..Resume::default() };
    assert_eq!(open(&channel, Resume::default()).await.begins(), Ok(Begins::Latest));
    assert_eq!(open(&channel, resume(&id)).await.begins(), Ok(Begins::Log));
    assert_eq!(open(&channel, resume("nonsense")).await.begins(), Ok(Begins::Gap));
    for _ in 0..100 {
        broker.publish(0);
        tokio::task::yield_now().await;
    }
    settle().await;
    assert_eq!(open(&channel, resume(&id)).await.begins(), Ok(Begins::Broker));
    let earliest = Resume { start: Some(Start::Earliest), ..Resume::default() };
    assert_eq!(open(&channel, earliest).await.begins(), Ok(Begins::Broker));
    channel.hub().drain(Duration::from_secs(1)).await;
    assert_eq!(open(&channel, resume(&id)).await.begins(), Err(Ending::Drained));
    assert_eq!(channel.come_back().begins(), Err(Ending::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn why_a_stream_ends_is_told() {
    let broker = Broker::new(1);
    let lag = channel(&broker, |builder| builder.log(TINY).lag(LagPolicy::Disconnect));
    let mut lagged = open(&lag, Resume::default()).await;
    let mut expired = open(&lag, Resume::default()).await.ends_after(Duration::from_secs(1));
    let told = [observe(&mut lagged), observe(&mut expired)];
    take(&mut lagged);
    for _ in 0..100 {
        broker.publish(0);
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(take(&mut lagged) > 0 && take(&mut expired) > 0);
    drop((lagged, expired));
    assert_eq!(told.map(|told| told.lock().unwrap().take().unwrap().why), [Ending::Lagged, Ending::Expired]);

    let other = channel(&broker, |builder| builder);
    let mut drained = open(&other, Resume::default()).await;
    let told = observe(&mut drained);
    take(&mut drained);
    let drain = other.hub().drain(Duration::from_secs(60));
    let (bytes, ()) = tokio::join!(async { drained.next().await.unwrap().len() }, drain);
    assert!(bytes > 0);
    drop(drained);
    assert_eq!(told.lock().unwrap().take().unwrap().why, Ending::Drained);
}

/// Who looks for what a client has got finds where it was, also where it was read the past and that failed.
#[tokio::test(start_paused = true)]
async fn where_a_stream_was_is_told_when_the_past_can_not_be_had() {
    let broker = Broker::new(1);
    broker.grow(0, 100);
    let channel = channel(&broker, |builder| builder.log(TINY).prewarm(None));
    settle().await;
    let mut past = open(&channel, Resume { start: Some(Start::Earliest), ..Resume::default() }).await;
    let told = observe(&mut past);
    broker.set_away(true);
    let over = async { while past.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(3600), over).await.unwrap();
    drop(past);
    let ended = told.lock().unwrap().take().unwrap();
    assert_eq!(ended.why, Ending::Lagged);
    assert_ne!(ended.cursor, Some(tidewater_core::Cursor::default()), "{ended:?}");
}

/// However often bytes are given back, what has gone out counts once.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_has_not_gone_out() {
    let broker = Broker::new(1);
    let channel = channel(&broker, |builder| builder);
    for encoding in std::iter::once(None).chain(tidewater_hub::Encoding::ALL.iter().copied().map(Some)) {
        let mut stream = open(&channel, Resume::default()).await.encoded(encoding);
        let told = observe(&mut stream);
        let mut sent = take(&mut stream);
        broker.grow(0, 10);
        settle().await;
        let item = stream.next().await.unwrap();
        assert!(stream.give_back(&item) == 0, "{encoding:?}");
        let item = stream.next().await.unwrap();
        // One byte of the first event has been written, where an item need not be given back as a whole.
        let kept = if encoding.is_none() { 1 + stream.give_back(&item.slice(1..)) } else { item.len() };
        sent += kept + take(&mut stream);
        drop(stream);
        let ended = told.lock().unwrap().take().unwrap();
        assert_eq!((ended.events, ended.bytes), (10, sent as u64), "{encoding:?}");
    }
}
