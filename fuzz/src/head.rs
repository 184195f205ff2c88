//! A request's head is taken for a stream's only where it can be read in one way.
//!
//! The input is two bytes that say where it is cut, and what a connection begins with.

use tidewater_direct::head::{Head, MAX_HEAD, PREFACE, Verdict};

/// Judges the bytes whole and cut, and reads what is taken line by line.
///
/// # Panics
/// If a cut makes a difference, or something is taken that the standard's grammar, read strictly, is not.
pub fn check(input: &[u8]) {
    let Some((cut, bytes)) = input.split_first_chunk::<2>() else { return };
    let whole = judge(&[bytes]);
    let cut = usize::from(u16::from_le_bytes(*cut)) % (bytes.len() + 1);
    match judge(&[&bytes[..cut]]) {
        Verdict::Partial => {
            let pieces = judge(&[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(shown(&pieces), shown(&whole), "cut at {cut}");
        }
        // What comes behind is for nobody to read.
        Verdict::Stream(_) => assert!(cut == bytes.len() || shown(&whole) == "other", "cut at {cut}"),
        Verdict::Other => assert_eq!(shown(&whole), "other", "cut at {cut}"),
    }
    match whole {
        Verdict::Stream(parts) => strict(bytes, &parts),
        Verdict::Partial => {
            assert!(PREFACE.starts_with(bytes) || bytes.len() <= MAX_HEAD && !bytes.ends_with(b"\n\r\n"))
        }
        Verdict::Other => {}
    }
}

fn judge(pieces: &[&[u8]]) -> Verdict {
    let mut head = Head::default();
    let mut verdict = Verdict::Partial;
    for piece in pieces {
        head.buffer().extend_from_slice(piece);
        verdict = head.judge();
    }
    assert_eq!(head.into_bytes(), pieces.concat());
    verdict
}

fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Partial => "partial".into(),
        Verdict::Stream(parts) => format!("{parts:?}"),
        Verdict::Other => "other".into(),
    }
}

/// RFC 9112, §2 and §5, as a reader has it that knows nothing else.
fn strict(bytes: &[u8], parts: &http::request::Parts) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let [first, fields @ .., end, behind] = &lines[..] else { panic!("no head") };
    assert!(behind.is_empty() && *end == b"\r");
    let line = |line: &[u8]| {
        let text = line.strip_suffix(b"\r").expect("a bare LF").to_vec();
        assert!(!text.contains(&b'\r') && !text.contains(&0), "{text:?}");
        text
    };
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    assert!(target.starts_with('/'));
    // A fragment is no part of a target; what reads it away reads the same.
    let first = line(first);
    let sent =
        first.strip_prefix(b"GET ").and_then(|rest| rest.strip_suffix(b" HTTP/1.1")).expect("a request line");
    assert!(sent.starts_with(target.as_bytes()) && !sent.contains(&b' '), "{sent:?} is not {target:?}");
    assert!(sent.len() == target.len() || sent[target.len()] == b'#', "{sent:?} is not {target:?}");
    let mut hosts = 0;
    assert_eq!(fields.len(), parts.headers.len());
    for field in fields {
        let field = line(field);
        let colon = field.iter().position(|byte| *byte == b':').expect("a field without a colon");
        let name = String::from_utf8(field[..colon].to_ascii_lowercase()).expect("a name");
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(is_token), "{name:?}");
        let value = field[colon + 1..].trim_ascii();
        assert!(
            parts.headers.get_all(&name).iter().any(|other| other.as_bytes() == value),
            "{name}: {value:?}"
        );
        hosts += usize::from(name == "host");
        assert!(!["content-length", "transfer-encoding", "upgrade", "expect"].contains(&&*name), "{name}");
    }
    assert_eq!(hosts, 1);
}
