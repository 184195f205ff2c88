//! What the harness is told: one callback after the other, each with its number.

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, header};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tidewater_sse::{EventSource, Signal};

/// Follows a stream to its end, telling all that it says.
pub(crate) async fn follow(mut source: EventSource, callback_url: String) -> Result<()> {
    let mut callbacks = Callbacks::new(callback_url);
    while let Some(signal) = source.next().await {
        if let Some(message) = message(signal) {
            callbacks.send(&message).await?;
        }
    }
    Ok(())
}

fn message(signal: Result<Signal, tidewater_sse::Error>) -> Option<Value> {
    match signal {
        Ok(Signal::Event(event)) => Some(json!({
            "kind": "event",
            "event": { "type": &*event.event_type, "data": &*event.data, "id": &*event.last_event_id },
        })),
        Ok(Signal::Comment(comment)) => Some(json!({ "kind": "comment", "comment": &*comment })),
        Ok(Signal::Reconnecting { error, .. }) | Err(error) => {
            Some(json!({ "kind": "error", "error": error.to_string() }))
        }
        Ok(_) => None,
    }
}

struct Callbacks {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    sent: u64,
}

impl Callbacks {
    fn new(url: String) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), url, sent: 0 }
    }

    async fn send(&mut self, message: &Value) -> Result<()> {
        self.sent += 1;
        let url = format!("{}/{}", self.url, self.sent);
        let request = Request::post(&url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(message.to_string()))
            .with_context(|| format!("{url} is no URL"))?;
        let response = self.client.request(request).await.with_context(|| url.clone())?;
        anyhow::ensure!(response.status().is_success(), "{url} answers {}", response.status());
        Ok(())
    }
}
