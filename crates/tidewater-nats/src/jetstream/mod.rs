//! JetStream: streams that the server keeps.

mod pull;
mod reader;
mod single;
mod sink;
mod source;
mod start;
mod stream;

pub use self::{sink::JetStreamSink, source::JetStreamSource};
