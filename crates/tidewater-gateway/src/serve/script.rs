//! Modules for pages: the browser helpers, which are anybody's to load.

use super::built_in::{BuiltIn, SCRIPT};

/// What is at `path`, if it is one of them: files of `clients/js`.
pub(super) fn at(path: &str) -> Option<BuiltIn> {
    let text = match path {
        "/tidewater.js" => include_str!("script/tidewater.js"),
        "/tidewater-shared.js" => include_str!("script/tidewater-shared.js"),
        _ => return None,
    };
    Some(BuiltIn { content_type: SCRIPT, text })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn the_helper_is_small() {
        let BuiltIn { text, .. } = at("/tidewater.js").unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        let size = encoder.finish().unwrap().len();
        assert!(size <= 3 << 10, "{size} bytes in gzip");
    }
}
