//! SIGHUP: the configuration is read again, and what can change changes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use super::site::Site;
use crate::config::{self, Flags};

/// How reading something again went: the configuration, or the certificates.
#[derive(Debug)]
pub(super) struct Reloads(Mutex<LastReload>);

/// How it went the last time.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastReload {
    /// Whether what was read could be used.
    pub(super) succeeded: bool,
    /// When what is in use was read.
    pub(super) in_use_since: SystemTime,
}

impl Reloads {
    pub(super) fn last(&self) -> LastReload {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(any(unix, feature = "tls"))]
    pub(super) fn note(&self, succeeded: bool) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.succeeded = succeeded;
        if succeeded {
            last.in_use_since = SystemTime::now();
        }
    }
}

/// What was read at the start is in use.
impl Default for Reloads {
    fn default() -> Self {
        Self(Mutex::new(LastReload { succeeded: true, in_use_since: SystemTime::now() }))
    }
}

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
            let done = {
                let site = site.clone();
                tokio::task::spawn_blocking(move || traced(&site, &flags)).await
            };
            if let Err(error) = &done {
                tracing::error!("the configuration was not reloaded: {error}");
            }
            if let Some(succeeded) = done.unwrap_or(Some(false)) {
                site.configuration().note(succeeded);
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

/// [`reload`], in a span of its own.
#[cfg(unix)]
fn traced(site: &Site, flags: &Flags) -> Option<bool> {
    let span = tracing::debug_span!(
        "reload",
        otel.status_code = tracing::field::Empty,
        tidewater.reloaded = tracing::field::Empty
    );
    let done = span.in_scope(|| reload(site, flags));
    span.record("tidewater.reloaded", done == Some(true));
    if done == Some(false) {
        span.record("otel.status_code", "ERROR");
    }
    done
}

/// All is checked before anything changes. Answers whether that is in force now; `None`: it was not tried.
#[cfg(unix)]
fn reload(site: &Site, flags: &Flags) -> Option<bool> {
    if site.hub().is_draining() {
        tracing::warn!("not reloaded: it is draining");
        return None;
    }
    let loaded = match config::load_again(flags) {
        Ok(loaded) => loaded,
        Err(findings) => {
            for finding in &findings {
                tracing::error!("{finding}");
            }
            tracing::error!("not reloaded: everything is as it was ({} findings)", findings.len());
            return Some(false);
        }
    };
    // A new certificate in the same files is no other configuration.
    #[cfg(feature = "tls")]
    if let Some(tls) = &site.now().listening().tls {
        site.certificates().note(super::listen::reload(tls));
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    match site.reload(loaded.config) {
        Ok(changes) if changes.restart.is_empty() => tracing::info!("reloaded: {changes}"),
        Ok(changes) => tracing::warn!("reloaded: {changes}"),
        Err(failure) => {
            tracing::error!("not reloaded: everything is as it was: {failure}");
            return Some(false);
        }
    }
    Some(true)
}
