//! What an authorizer is asked.

use std::{any::Any, fmt};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, request::Parts};

use crate::SelectBy;

/// What a request wants to do on a channel. Its `Debug` shows no header and no query.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Ask<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// What is to be done.
    pub action: Action<'a>,
    /// The request's head.
    pub head: Head<'a>,
}

/// What is to be done on a channel.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Its events or its cursor are read. The request selects these; what it is granted is narrowed by it in any case.
    Read(&'a Selection),
    /// A message is published, with this key and this event name if it has them.
    Publish {
        /// The message's key.
        key: Option<&'a Bytes>,
        /// The event's name.
        event: Option<&'a str>,
    },
}

/// A request's head, as far as it says who asks. Its `Debug` shows no header and no query.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The query string, as it came.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What the server, or a middleware of the application, has found out about the request.
    pub extensions: Option<&'a Extensions>,
}

/// What a request's query selects: any of the values of one name, all of the names. Empty lists select everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `?topic=`: names and patterns.
    pub topics: Vec<String>,
    /// `?key=`.
    pub keys: Vec<Bytes>,
    /// `?tag=`.
    pub tags: Vec<String>,
    /// `?event=`.
    pub events: Vec<String>,
}

impl Selection {
    /// By what it selects.
    pub(crate) fn by(&self) -> impl Iterator<Item = SelectBy> {
        let named = [
            (SelectBy::Topic, self.topics.is_empty()),
            (SelectBy::Key, self.keys.is_empty()),
            (SelectBy::Tag, self.tags.is_empty()),
            (SelectBy::Event, self.events.is_empty()),
        ];
        named.into_iter().filter(|(_, empty)| !empty).map(|(by, _)| by)
    }
}

impl<'a> Ask<'a> {
    /// Something that a request wants to do on a channel.
    pub fn new(channel: &'a str, action: Action<'a>, head: impl Into<Head<'a>>) -> Self {
        Self { channel, action, head: head.into() }
    }

    /// What the server or a middleware of the application has put beside the request, of this type.
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<&'a T> {
        self.head.extensions?.get()
    }
}

impl<'a> From<&'a Parts> for Head<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            query: parts.uri.query(),
            headers: &parts.headers,
            extensions: Some(&parts.extensions),
        }
    }
}

impl fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("channel", &self.channel)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head").field("method", self.method).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use tidewater_testkit::secret;

    use super::*;

    #[test]
    fn what_says_who_asks_is_not_shown() {
        let token = secret::secret("asked");
        let request = Request::get(format!("/?access_token={token}"))
            .header("authorization", format!("Bearer {token}"))
            .header("cookie", format!("session={token}"));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let selection = Selection::default();
        let ask = Ask::new("orders", Action::Read(&selection), &parts);
        let shown = format!("{ask:?} {:?}", ask.head);
        assert!(shown.contains("orders"), "{shown}");
        secret::assert_hidden(&shown);
    }
}
