//! What the harness asks for.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use serde::Deserialize;
use tidewater_sse::EventSource;

/// Of a stream that is to be opened.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Create {
    pub(crate) stream_url: String,
    pub(crate) callback_url: String,
    #[serde(default)]
    pub(crate) tag: String,
    initial_delay_ms: Option<u64>,
    read_timeout_ms: Option<u64>,
    last_event_id: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    method: Option<String>,
    body: Option<String>,
}

impl Create {
    /// The client as it is asked for.
    pub(crate) fn source(&self) -> Result<EventSource> {
        let mut builder = EventSource::builder(&self.stream_url)
            .last_event_id(self.last_event_id.clone().unwrap_or_default())
            .read_timeout(self.read_timeout_ms.map(Duration::from_millis));
        if let Some(delay) = self.initial_delay_ms {
            builder = builder.initial_retry(Duration::from_millis(delay));
        }
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = &self.body {
            builder = builder.body(body.clone());
        }
        if let Some(method) = &self.method {
            builder = builder.method(method.parse().with_context(|| format!("{method:?} is no method"))?);
        }
        Ok(builder.build()?)
    }
}

/// What is to be done to a stream.
#[derive(Debug, Deserialize)]
pub(crate) struct Command {
    pub(crate) command: String,
}
