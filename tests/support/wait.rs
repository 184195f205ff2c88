//! Waiting for conditions, and what runs once at a time.

use std::{future::Future, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep},
};

/// How long something may take that should take a moment: only what is broken takes as long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks every 50 ms until the answer is `Ok`, for [`PATIENCE`] at most.
///
/// # Errors
/// The last answer, with `what` was waited for.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("waited {PATIENCE:?} for {what}"));
            }
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Held by tests that load the machine: they run one after the other.
pub async fn heavy() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::const_new(());
    HEAVY.lock().await
}

/// How often a test that can be repeated runs: `TIDEWATER_REPEAT`, by default once.
///
/// # Panics
/// If it is not a number.
pub fn repeat() -> usize {
    number("TIDEWATER_REPEAT").unwrap_or(1) as usize
}

/// What randomness starts from: `TIDEWATER_SEED`, by default another one each time. Printed, so that a run which
/// failed can be had again.
///
/// # Panics
/// If it is not a number.
pub fn seed() -> u64 {
    let seed = number("TIDEWATER_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("TIDEWATER_SEED={seed}");
    seed
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{name}={text:?} is not a number"),
    }
}
