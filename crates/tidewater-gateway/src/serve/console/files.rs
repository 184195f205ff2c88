//! The page's files: built in, so that there is nothing to install and nothing to fetch from elsewhere.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};

use crate::serve::built_in::{BuiltIn, SCRIPT};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// What the page may do: its own scripts and style, and requests to where it came from. Nothing that a payload holds
/// could load or run anything, even if it became markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// Files of the folder `page`, below `/console/`.
macro_rules! files {
    ($($content_type:ident: $($name:literal),+;)+) => {
        &[
            ("/", BuiltIn { content_type: HTML, text: include_str!("page/index.html") }),
            $($((
                concat!("/console/", $name),
                BuiltIn { content_type: $content_type, text: include_str!(concat!("page/", $name)) },
            ),)+)+
        ]
    };
}

/// By path.
const FILES: &[(&str, BuiltIn)] = files! {
    CSS: "style.css";
    SVG: "icon.svg";
    SCRIPT:
        "channels.js", "copies.js", "cursor.js", "detail.js", "dom.js", "events.js", "keys.js",
        "live.js", "main.js", "notices.js", "overview.js", "plot.js", "publish.js", "selection.js",
        "session.js", "sources.js", "sse.js", "stream.js", "tabs.js", "theme.js", "words.js";
};

/// The file at this path, if there is one.
pub(in crate::serve) fn file(path: &str, request: &HeaderMap) -> Option<Response<Bytes>> {
    let (_, file) = FILES.iter().find(|(own, _)| *own == path)?;
    let mut response = file.response(request);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Some(response)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_page_makes_no_markup_and_asks_nobody_else() {
        for (path, BuiltIn { text, .. }) in FILES {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "setHTMLUnsafe",
                "createContextualFragment",
                "DOMParser",
                "document.write",
                "eval(",
                "new Function",
                "https://",
                "//cdn",
                " style=",
                " onclick=",
            ] {
                assert!(!text.contains(forbidden), "{path}: {forbidden}");
            }
            // The namespace of SVG is a name, not an address.
            let addresses = text.matches("http://").count();
            assert_eq!(addresses, text.matches("http://www.w3.org/2000/svg").count(), "{path}");
        }
    }

    #[test]
    fn each_file_of_the_folder_is_there() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/serve/console/page");
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = if name == "index.html" { "/".to_owned() } else { format!("/console/{name}") };
            assert!(FILES.iter().any(|(own, _)| *own == path), "{name} is not among the files");
        }
    }

    /// A module that is not loaded ahead is found one round trip later for each that names it.
    #[test]
    fn each_module_is_named_in_the_head() {
        for (path, BuiltIn { content_type, .. }) in FILES {
            let named = format!("\"{}\"", path.trim_start_matches('/'));
            assert!(*content_type == HTML || FILES[0].1.text.contains(&named), "{path}");
        }
    }
}
