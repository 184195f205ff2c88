//! How many requests of a connection are being answered.
//!
//! hyper gives up an HTTP/1.1 connection that asks for nothing (`header_read_timeout`), an HTTP/2 connection never.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::{sync::watch, time::sleep};

/// Of one connection.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<watch::Sender<usize>>);

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Activity {
    /// One more request, until what this gives is dropped.
    pub(super) fn begin(&self) -> Busy {
        self.0.send_modify(|requests| *requests += 1);
        Busy(self.0.clone())
    }

    /// Resolves when there has been no request for so long.
    pub(super) async fn idle(&self, longest: Duration) {
        let mut requests = self.0.subscribe();
        loop {
            // Its sender is `self`'s.
            if requests.wait_for(|requests| *requests == 0).await.is_err() {
                return std::future::pending().await;
            }
            tokio::select! {
                _ = requests.changed() => {}
                () = sleep(longest) => return,
            }
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<watch::Sender<usize>>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|requests| *requests -= 1);
    }
}

pin_project! {
    /// An answer's body: its request is being answered until it is gone.
    pub(super) struct Answered<B> {
        #[pin]
        body: B,
        busy: Busy,
    }
}

impl<B> Answered<B> {
    pub(super) fn new(body: B, busy: Busy) -> Self {
        Self { body, busy }
    }
}

impl<B: Body> Body for Answered<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_idle_when_nothing_has_been_asked_for_so_long() {
        let activity = Activity::default();
        let longest = Duration::from_secs(75);
        let began = tokio::time::Instant::now();
        let (one, two) = (activity.begin(), activity.begin());
        let asking = async {
            sleep(Duration::from_secs(1000)).await;
            drop(one);
            sleep(Duration::from_secs(1000)).await;
            drop(two);
            sleep(Duration::from_secs(70)).await;
            drop(activity.begin());
        };
        tokio::join!(activity.idle(longest), asking);
        assert_eq!(began.elapsed(), Duration::from_secs(2070 + 75));
    }
}
