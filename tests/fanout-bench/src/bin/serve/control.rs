//! The connection that events come on.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::{Buf as _, Bytes, BytesMut};
use tidewater_fanout_bench::payload;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
};

/// Takes connections, and hands on each event's key and data.
pub(crate) async fn run(address: SocketAddr, publish: impl Fn(u32, Bytes)) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (connection, _) = listener.accept().await?;
        if let Err(error) = read(connection, &publish).await {
            eprintln!("the control connection failed: {error}");
        }
    }
}

async fn read(mut connection: TcpStream, publish: &impl Fn(u32, Bytes)) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut buffer = BytesMut::with_capacity(64 << 10);
    while connection.read_buf(&mut buffer).await? > 0 {
        while let Some((key, data)) = payload::first_frame(&buffer)? {
            let frame = buffer.split_to(data.end);
            // A copy of its own, as from a broker's client, so that no event keeps its neighbours' buffer.
            let mut frame = &frame[..];
            frame.advance(data.start);
            publish(key, Bytes::copy_from_slice(frame));
        }
        buffer.reserve(64 << 10);
    }
    Ok(())
}
