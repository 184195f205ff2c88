//! `tidewater_core::sse`, by each of its ways out.

use bytes::BytesMut;
use tidewater_core::sse::Frame;

/// Into one buffer that is used again and again.
pub(super) fn encode_into(payloads: &[String], sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let mut out = BytesMut::new();
    for payload in payloads {
        out.clear();
        Frame::new().data(payload).encode_into(&mut out).map_err(|error| error.to_string())?;
        sink(&out);
    }
    Ok(())
}

/// Into bytes of its own each.
pub(super) fn to_bytes(payloads: &[String], sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    for payload in payloads {
        sink(&Frame::new().data(payload).to_bytes().map_err(|error| error.to_string())?);
    }
    Ok(())
}
