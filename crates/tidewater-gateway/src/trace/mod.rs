//! Traces: what `serve` does, as spans that go to a collector of OpenTelemetry. On where the environment names one.
//!
//! ```text
//! spans of tracing (tidewater-*, DEBUG) ─> layer ─> queue (bounded) ─> a thread of the SDK ─> client ─> collector
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `environment` | what the environment says of them: pure |
//! | `export` | the way to the collector |
//! | `client` | the SDK's client over hyper, which says once that nobody takes them |
//! | `propagation` | whose child a request is, and what goes with a message |
//! | `ends` | a span for each stream that has ended |
//!
//! Whatever a span holds leaves the machine, so only spans of ours do, and no line of the log: fields are written with that in mind,
//! and lines are not.

#[cfg(feature = "otel")]
mod client;
#[cfg(feature = "otel")]
mod ends;
mod environment;
#[cfg(feature = "otel")]
mod export;
#[cfg(feature = "otel")]
mod propagation;

use std::{sync::Arc, time::Duration};

use tidewater::http::{Observer, Propagator};
use tokio::runtime::Handle;
#[cfg(feature = "otel")]
use tracing::Subscriber;
#[cfg(feature = "otel")]
use tracing_subscriber::{Layer, registry::LookupSpan};

#[cfg(feature = "otel")]
use export::Export;

/// The traces of this process, if there are any. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces {
    #[cfg(feature = "otel")]
    export: Option<Arc<Export>>,
    /// What is not as the environment has it, to be told once there is a log.
    wrong: Vec<String>,
}

impl Traces {
    /// Says what is wrong, and where they go.
    pub(crate) fn tell(&self) {
        for wrong in &self.wrong {
            tracing::warn!("{wrong}");
        }
        #[cfg(feature = "otel")]
        if let Some(export) = &self.export {
            tracing::info!("traces go to {}, as the service {:?}", export.place(), export.service());
        }
    }
}

#[cfg(feature = "otel")]
impl Traces {
    /// What the environment wants of a server.
    pub(crate) fn of_environment() -> Self {
        let wanted = environment::read(variable);
        match wanted.and_then(|wanted| wanted.map(Export::open).transpose()) {
            Ok(None) => Self::default(),
            Ok(Some((export, wrong))) => Self { export: Some(Arc::new(export)), wrong },
            Err(error) => Self { export: None, wrong: vec![format!("no traces: {error}")] },
        }
    }

    /// What makes them of spans.
    pub(crate) fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        self.export.as_ref().map(|export| export.layer())
    }

    /// The runtime that sends them: before that nothing is sent.
    pub(crate) fn run_on(&self, runtime: &Handle) {
        if let Some(export) = &self.export {
            export.run_on(runtime.clone());
        }
    }

    /// How traces of requests go on elsewhere.
    pub(crate) fn propagator(&self) -> Option<Arc<dyn Propagator>> {
        self.export
            .as_ref()
            .map(|_| -> Arc<dyn Propagator> { Arc::new(propagation::TraceContext::default()) })
    }

    /// What makes a span of a stream's end.
    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.export.as_ref().map(|_| -> Arc<dyn Observer> { Arc::new(ends::Ends) })
    }

    /// Sends what is left, for so long at most.
    pub(crate) fn finish(&self, longest: Duration) {
        if let Some(export) = &self.export {
            export.finish(longest);
        }
    }
}

/// There are none.
#[cfg(not(feature = "otel"))]
impl Traces {
    /// Finds out whether somebody waits for them.
    pub(crate) fn of_environment() -> Self {
        let wrong = environment::not_built_in(variable);
        Self { wrong: wrong.into_iter().collect() }
    }

    pub(crate) fn run_on(&self, _: &Handle) {}

    pub(crate) fn propagator(&self) -> Option<Arc<dyn Propagator>> {
        None
    }

    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        None
    }

    pub(crate) fn finish(&self, _: Duration) {}
}

/// What a variable holds; one that is empty is none, as the specification has it.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
