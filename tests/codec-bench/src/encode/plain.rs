//! The least that makes events of payloads, written by hand; and what nothing can do without.

/// `data: ` before every line, an empty line behind; a buffer for each event.
pub(super) fn lines(payloads: &[String], sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    for payload in payloads {
        let mut out = Vec::with_capacity(payload.len() + 8);
        let mut rest = payload.as_bytes();
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            line(&mut out, &rest[..end]);
            rest = &rest[end + 1..];
        }
        line(&mut out, rest);
        out.push(b'\n');
        sink(&out);
    }
    Ok(())
}

#[inline]
fn line(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// A scan for line ends, and a copy into one buffer that is used again and again.
pub(super) fn floor(payloads: &[String], sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let mut out = Vec::new();
    for payload in payloads {
        out.clear();
        std::hint::black_box(memchr::memchr2_iter(b'\n', b'\r', payload.as_bytes()).count());
        out.extend_from_slice(payload.as_bytes());
        sink(&out);
    }
    Ok(())
}
