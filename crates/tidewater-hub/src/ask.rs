//! What the source is asked while a client waits for its answer: bounded in time, and one question for all that ask at the
//! same time.

use std::{fmt, sync::Arc, time::Duration};

use tidewater_core::{Error, ErrorKind, Result};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// How long an answer of the broker is waited for while a client is being answered.
pub(crate) const ASK: Duration = Duration::from_secs(5);

/// The source's answer, or an error when it takes longer than a client can wait for.
pub(crate) async fn answered<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(ASK, answer).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Unavailable, format!("the source did not answer within {ASK:?}")))
    })
}

/// A question that many ask, and its last answer.
pub(crate) struct Question<T>(Mutex<Option<Answer<T>>>);

struct Answer<T> {
    began: Instant,
    ended: Instant,
    outcome: Result<T, Arc<Error>>,
}

impl<T: Clone> Question<T> {
    /// The answer to a question that began after this call did, or has been answered for no longer than `fresh`. Whoever
    /// comes while it is asked in vain shares the failure: else the last of a crowd would wait for all of them in turn.
    ///
    /// # Cancel safety
    /// Safe: the next one asks again.
    pub(crate) async fn ask(&self, fresh: Duration, ask: impl Future<Output = Result<T>>) -> Result<T> {
        let came = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(answer) = &*last {
            let good = match &answer.outcome {
                Ok(_) => answer.began > came || answer.ended.elapsed() < fresh,
                Err(_) => answer.ended > came,
            };
            if good {
                return answer.give();
            }
        }
        let began = Instant::now();
        let outcome = ask.await.map_err(Arc::new);
        last.insert(Answer { began, ended: Instant::now(), outcome }).give()
    }
}

impl<T: Clone> Answer<T> {
    fn give(&self) -> Result<T> {
        let again =
            |error: &Arc<Error>| Error::new(error.kind(), error.to_string()).with_retry(error.retry());
        self.outcome.clone().map_err(|error| again(&error))
    }
}

impl<T> Default for Question<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> fmt::Debug for Question<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    /// How long fifty that come within a second wait at most, and how often was asked.
    async fn crowd(outcome: fn() -> Result<u32>, fresh: Duration) -> (Duration, usize) {
        let (question, asked) = (Question::default(), AtomicUsize::new(0));
        let waits = (0..50).map(async |n| {
            sleep(Duration::from_millis(20 * n)).await;
            let came = Instant::now();
            let ask = async {
                asked.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_secs(3)).await;
                outcome()
            };
            assert_eq!(question.ask(fresh, ask).await.is_ok(), outcome().is_ok());
            came.elapsed()
        });
        let longest = join_all(waits).await.into_iter().max().unwrap_or_default();
        (longest, asked.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_answered_by_two_questions_at_most() {
        let lost = || Err(Error::new(ErrorKind::Unavailable, "it is away"));
        assert_eq!(crowd(|| Ok(1), Duration::from_secs(1)).await, (Duration::from_secs(3), 1));
        let (longest, asked) = crowd(|| Ok(1), Duration::ZERO).await;
        assert!(longest <= Duration::from_secs(6) && asked == 2, "{longest:?}, asked {asked} times");
        assert_eq!(crowd(lost, Duration::ZERO).await, (Duration::from_secs(3), 1));
    }
}
