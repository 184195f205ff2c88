//! Certificates that are renewed while it runs.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tidewater::direct::Tls;
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::serve::site::Site;

/// How often the files are looked at: who renews certificates seldom says so.
const LOOK: Duration = Duration::from_secs(60);

/// Reads the certificates again when their files change, for as long as the process runs.
pub(in crate::serve) fn keep_fresh(tls: Tls, site: Arc<Site>) {
    tokio::spawn(async move {
        let mut seen = changed(&tls);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let (tls, last, site) = (tls.clone(), seen.clone(), site.clone());
            let looked = spawn_blocking(move || {
                let is_well = site.certificates().last().succeeded;
                used(changed(&tls), last, is_well, || {
                    let succeeded = reload(&tls);
                    site.certificates().note(succeeded);
                    succeeded
                })
            });
            if let Ok(now) = looked.await {
                seen = now;
            }
        }
    });
}

/// What is in use after a look: what there is now, or still what was last, if that is the same or can't be used. Then it is
/// tried again at the next look: what was wrong (a file that may not be read, or was away) can be mended without writing it.
/// `is_well` says whether the last try could be used.
fn used<T: PartialEq>(now: T, last: T, is_well: bool, reload: impl FnOnce() -> bool) -> T {
    if (now == last && is_well) || !reload() { last } else { now }
}

/// Reads them again now. What can't be used is told, and what there was goes on. Answers whether they are
/// in use. Blocks for as long as the files take.
pub(in crate::serve) fn reload(tls: &Tls) -> bool {
    match tls.reload() {
        Ok(()) => tracing::info!(files = ?tls, "certificates are read again"),
        Err(ref error) => {
            tracing::error!(%error, "certificates are not changed: those there were go on");
            return false;
        }
    }
    true
}

/// When each file was written.
fn changed(tls: &Tls) -> Vec<Option<SystemTime>> {
    tls.files().map(|file| std::fs::metadata(file).and_then(|file| file.modified()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_used_is_tried_again() {
        let is_tried = |now, seen| {
            let mut tried = false;
            let used = used(now, seen, false, || {
                tried = true;
                true
            });
            assert_eq!(used, now);
            tried
        };
        assert_eq!(used(1, 1, true, || panic!("nothing has changed")), 1);
        let seen = used(2, 1, true, || false);
        assert!(is_tried(2, seen), "a file that may be read now is left alone");
        assert_eq!(used(2, 2, true, || panic!("it is in use")), 2);
        assert!(is_tried(2, 2), "that a file is as it was before is not found out");
    }
}
