//! One message by JetStream's API, which answers in JSON: the way past headers that the client can't read.
//!
//! A server stores whatever a publisher writes where headers stand. The client gives up its connection when it can't read
//! them (or dies of a lone CR in a value), so a consumer would never get past such a message.

use std::time::SystemTime;

use async_nats::jetstream::{response::Response, stream::RawMessage};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};
use tidewater_core::{Message, Result};

use super::stream::StreamRef;
use crate::{convert, error};

/// The API's code for a sequence that has no message at it or behind it.
const NO_MESSAGE: u64 = 10_037;

/// A message as the stream has it.
pub(super) struct Single {
    pub(super) sequence: u64,
    subject: String,
    pub(super) head: Vec<u8>,
    payload: Bytes,
    published: SystemTime,
}

impl StreamRef {
    /// The first message from a sequence on that the filter lets through, with its sequence; `None` if there is none.
    ///
    /// # Errors
    /// As [`held`](Self::held); [`Denied`](tidewater_core::ErrorKind::Denied) if the user may not ask for messages.
    pub(super) async fn message(&self, from: u64) -> Result<Option<(u64, Message)>> {
        let subject = self.filter.as_deref().unwrap_or(">");
        let found = self.single(json!({ "seq": from, "next_by_subj": subject })).await?;
        Ok(found.map(|found| {
            let Single { sequence, subject, head, payload, published } = found;
            let message =
                convert::taken_by_hand(&subject, self.tag, sequence, &head, payload, Some(published));
            (sequence, message)
        }))
    }

    /// The last message of a subject.
    ///
    /// # Errors
    /// As [`message`](Self::message).
    pub(super) async fn last_of(&self, subject: &str) -> Result<Option<Single>> {
        self.single(json!({ "last_by_subj": subject })).await
    }

    /// The first message of a subject from a sequence on.
    ///
    /// # Errors
    /// As [`message`](Self::message).
    pub(super) async fn next_of(&self, subject: &str, from: u64) -> Result<Option<Single>> {
        self.single(json!({ "seq": from, "next_by_subj": subject })).await
    }

    async fn single(&self, wanted: Value) -> Result<Option<Single>> {
        let link = self.connection.link().await?;
        let (api, profile) = (self.connection.api(), &self.connection.profile);
        let context = link.jetstream(self.connection.api_prefix.as_deref());
        let question = format!("STREAM.MSG.GET.{}", self.name);
        let answer: Result<Response<Value>, _> =
            link.ask(&format!("{api}.{question}"), context.request(question.clone(), &wanted)).await?;
        let mut found = match answer.map_err(|error| error::request(profile, api, error))? {
            Response::Err { error } if error.error_code().0 == NO_MESSAGE => return Ok(None),
            Response::Err { error } => return Err(error::api(profile, &self.name, error)),
            Response::Ok(found) => found,
        };
        let unreadable = |what: &str| {
            error::unavailable(format!("stream {:?}, message {wanted}: {what} can't be read", self.name))
        };
        let raw: RawMessage = serde_json::from_value(found["message"].take())
            .map_err(|error| unreadable("the API's answer").with_source(error))?;
        let bytes = |what: &str, text: &str| STANDARD.decode(text).map_err(|_| unreadable(what));
        Ok(Some(Single {
            sequence: raw.sequence,
            head: bytes("the headers' base64", raw.headers.as_deref().unwrap_or_default())?,
            payload: bytes("the payload's base64", &raw.payload)?.into(),
            published: SystemTime::from(raw.time),
            subject: raw.subject,
        }))
    }
}
