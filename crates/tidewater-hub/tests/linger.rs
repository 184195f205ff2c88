//! A channel may hold messages back for a moment, so that what comes together is written together.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use support::{Books, Broker, at_end};
use tidewater_hub::{Channel, EventStream, Hub, Select};
use tokio::time::{Instant, sleep, timeout};

const LINGER: Duration = Duration::from_millis(50);

async fn client(broker: &Arc<Broker>, linger: Duration) -> (Channel, Books, EventStream) {
    let channel = Hub::new().channel("c").source(broker.source(1)).linger(linger).open().unwrap();
    let mut books = Books::default();
    let mut stream = books.open(&channel, Select::all()).await;
    assert!(books.read(&mut stream, 1, |books| books.cursors == 1).await);
    (channel, books, stream)
}

/// How many chunks bring all there is, and how long it takes.
async fn chunks(books: &mut Books, stream: &mut EventStream, broker: &Broker) -> (usize, Duration) {
    let began = Instant::now();
    let mut chunks = 0;
    while !at_end(books, broker) && chunks < 10 {
        timeout(Duration::from_secs(1), books.read(stream, 1, |_| false)).await.expect("it comes");
        chunks += 1;
    }
    (chunks, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn messages_wait_for_each_other_up_to_the_channel_s_linger() {
    for (linger, expected) in [(LINGER, 1), (Duration::ZERO, 4)] {
        let broker = Broker::new(2);
        let (_channel, mut books, mut stream) = client(&broker, linger).await;
        let published = tokio::spawn({
            let broker = broker.clone();
            async move {
                for n in 0..4 {
                    broker.publish(n % 2);
                    sleep(Duration::from_millis(10)).await;
                }
            }
        });
        sleep(Duration::from_millis(5)).await;
        let mut all = (0, Duration::ZERO);
        while books.got.len() < 4 {
            let (chunks, took) = chunks(&mut books, &mut stream, &broker).await;
            all = (all.0 + chunks, all.1 + took);
            sleep(Duration::from_millis(1)).await;
        }
        published.await.unwrap();
        books.assert_exact(&broker);
        assert_eq!(all.0, expected, "linger {linger:?}");
        assert!(all.1 <= linger + Duration::from_millis(40), "{all:?}");
    }
}

/// What is held back is not lost with the subscription.
#[tokio::test(start_paused = true)]
async fn what_is_held_back_goes_out_when_the_subscription_ends() {
    let broker = Broker::new(1);
    let (_channel, mut books, mut stream) = client(&broker, Duration::from_secs(3600)).await;
    broker.publish(0);
    sleep(Duration::from_secs(1)).await;
    let early = timeout(Duration::from_millis(1), stream.next()).await;
    assert!(early.is_err(), "{early:?}");
    broker.cut();
    broker.publish(0);
    assert!(books.read(&mut stream, 1, |books| !books.got.is_empty()).await);
    assert_eq!(books.of(1, 0), [0]);
}
