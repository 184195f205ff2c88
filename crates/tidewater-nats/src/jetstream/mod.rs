//! JetStream: streams that the server keeps.

mod address;
mod mark;
mod pull;
mod reader;
mod single;
mod sink;
mod source;
mod start;
mod stream;
mod writer;

pub use self::{sink::JetStreamSink, source::JetStreamSource};
