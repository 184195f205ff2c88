//! The way of spans to the collector: the SDK's, with a client of our own.
//!
//! The SDK's thread takes them from a bounded queue (`OTEL_BSP_MAX_QUEUE_SIZE`), and what there is no room for is left out: nobody who
//! serves waits for a collector, and one that is down costs no more memory than the queue.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use opentelemetry::{InstrumentationScope, Key, KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider},
};
use tokio::runtime::Handle;
use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use super::{
    client::{Client, place},
    environment::Wanted,
    variable,
};

/// What it is called, unless the environment says something else.
const SERVICE: &str = "tidewater";
const SERVICE_NAME: Key = Key::from_static_str("service.name");

/// Spans on their way.
pub(super) struct Export {
    provider: SdkTracerProvider,
    runtime: Arc<OnceLock<Handle>>,
    place: String,
    service: String,
}

impl Export {
    /// Starts the SDK's thread. What is passed over of what is wanted comes with it.
    ///
    /// # Errors
    /// Why there can be none.
    pub(super) fn open(wanted: Wanted) -> Result<(Self, Vec<String>), String> {
        let runtime = Arc::new(OnceLock::new());
        let client = Client::new(&wanted.endpoint, wanted.timeout, runtime.clone())?;
        // Where to and with which headers it reads from the environment.
        let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
        let exporter = exporter.map_err(|error| error.to_string())?;
        let resource = resource();
        let service = resource.get(&SERVICE_NAME).map_or_else(String::new, |name| name.to_string());
        let queue = BatchConfigBuilder::default()
            .with_max_queue_size(wanted.queue)
            .with_max_export_batch_size(wanted.batch)
            .with_scheduled_delay(wanted.delay)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(queue).build();
        let provider =
            SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource).build();
        Ok((Self { provider, runtime, place: place(&wanted.endpoint), service }, wanted.wrong))
    }

    /// The collector, as it may stand in a log.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// What the gateway is called there.
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    pub(super) fn run_on(&self, runtime: Handle) {
        // There is one, and it is named once.
        self.runtime.set(runtime).ok();
    }

    /// Makes traces of our spans, whatever the log shows.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let scope = InstrumentationScope::builder(SERVICE).with_version(env!("CARGO_PKG_VERSION")).build();
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer_with_scope(scope))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(is_ours).with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends what is left, for so long at most.
    pub(super) fn finish(&self, longest: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(longest) {
            tracing::warn!("the last traces are lost: {} did not take them in time: {error}", self.place);
        }
    }
}

/// Spans of this workspace, and no lines of the log.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::DEBUG && metadata.target().starts_with("tidewater")
}

/// What the environment says of this process, and what it doesn't.
fn resource() -> Resource {
    let known =
        || Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    // The SDK lets OTEL_RESOURCE_ATTRIBUTES win over it, and the specification says the opposite.
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        return known().with_service_name(name).build();
    }
    let resource = known().build();
    let named = resource.get(&SERVICE_NAME).is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if named { resource } else { known().with_service_name(SERVICE).build() }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("place", &self.place).finish_non_exhaustive()
    }
}
