//! SIGHUP: the configuration is read again, and what can change changes.

use std::sync::Arc;

use super::site::Site;
use crate::config::{self, Flags};

/// Reads the configuration again whenever SIGHUP comes. The flags stay what they are.
#[cfg(unix)]
pub(super) fn on_hangup(site: Arc<Site>, flags: Flags) -> Result<(), crate::failure::Failure> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangups = signal(SignalKind::hangup()).map_err(|error| {
        crate::failure::Failure::runtime(format_args!("SIGHUP can't be listened for: {error}"))
    })?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let (site, flags) = (site.clone(), flags.clone());
            // Files are read. Opening channels needs the runtime, which such a thread is in too.
            if let Err(error) = tokio::task::spawn_blocking(move || reload(&site, &flags)).await {
                tracing::error!("the configuration was not reloaded: {error}");
            }
        }
    });
    Ok(())
}

/// There is no such signal.
#[cfg(not(unix))]
pub(super) fn on_hangup(_: Arc<Site>, _: Flags) -> Result<(), crate::failure::Failure> {
    Ok(())
}

/// All is checked before anything changes.
#[cfg(unix)]
fn reload(site: &Site, flags: &Flags) {
    if site.hub().is_draining() {
        tracing::warn!("not reloaded: it is draining");
        return;
    }
    let loaded = match config::load_again(flags) {
        Ok(loaded) => loaded,
        Err(findings) => {
            for finding in &findings {
                tracing::error!("{finding}");
            }
            tracing::error!("not reloaded: everything is as it was ({} findings)", findings.len());
            return;
        }
    };
    // A new certificate in the same files is no other configuration.
    #[cfg(feature = "tls")]
    if let Some(tls) = &site.now().listening().tls {
        super::listen::reload(tls);
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    match site.reload(loaded.config) {
        Ok(changes) if changes.restart.is_empty() => tracing::info!("reloaded: {changes}"),
        Ok(changes) => tracing::warn!("reloaded: {changes}"),
        Err(failure) => tracing::error!("not reloaded: everything is as it was: {failure}"),
    }
}
