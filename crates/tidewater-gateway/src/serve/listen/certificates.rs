//! Certificates that are renewed while it runs.

use std::time::{Duration, SystemTime};

use tidewater::direct::Tls;
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

/// How often the files are looked at: who renews certificates seldom says so.
const LOOK: Duration = Duration::from_secs(60);

/// Reads the certificates again when their files change, for as long as the process runs.
pub(in crate::serve) fn keep_fresh(tls: Tls) {
    tokio::spawn(async move {
        let mut seen = changed(&tls);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let (tls, last) = (tls.clone(), seen.clone());
            let looked = spawn_blocking(move || {
                let now = changed(&tls);
                if now != last {
                    reload(&tls);
                }
                now
            });
            if let Ok(now) = looked.await {
                seen = now;
            }
        }
    });
}

/// Reads them again now. What can't be used is told, and what there was goes on. Blocks for as long as the files take.
pub(in crate::serve) fn reload(tls: &Tls) {
    match tls.reload() {
        Ok(()) => tracing::info!(files = ?tls, "certificates are read again"),
        Err(error) => tracing::error!(%error, "certificates are not changed: those there were go on"),
    }
}

/// When each file was written.
fn changed(tls: &Tls) -> Vec<Option<SystemTime>> {
    tls.files().map(|file| std::fs::metadata(file).and_then(|file| file.modified()).ok()).collect()
}
