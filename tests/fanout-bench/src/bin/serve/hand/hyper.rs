//! hyper, with each event encoded once and its bytes shared.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::Result;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response, header};
use http_body_util::StreamBody;
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::broadcast::Sender;
use tokio_stream::wrappers::BroadcastStream;

use crate::listen;

pub(super) fn encode(id: u64, data: &[u8]) -> Bytes {
    let mut event = format!("id: {id}\ndata: ").into_bytes();
    event.extend(data);
    event.extend(b"\n\n");
    event.into()
}

pub(super) async fn serve(address: SocketAddr, sender: Sender<Bytes>) -> Result<()> {
    let listener = listen::bind(address)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let sender = sender.clone();
        let answer = move |_: Request<Incoming>| {
            let events = BroadcastStream::new(sender.subscribe());
            let events = events.filter_map(async |event| Some(Ok::<_, Infallible>(Frame::data(event.ok()?))));
            async move {
                Response::builder()
                    .header(header::CONTENT_TYPE, "text/event-stream")
                    .header(header::CACHE_CONTROL, "no-store")
                    .body(StreamBody::new(events))
            }
        };
        tokio::spawn(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer)),
        );
    }
}
