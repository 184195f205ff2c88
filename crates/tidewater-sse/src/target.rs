//! URLs: parsed once at the edge, resolved at redirects, shown without their secrets.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri};
use iri_string::types::{UriAbsoluteStr, UriReferenceStr, UriStr};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

/// What no URL may hold, so that it is escaped, as browsers do.
const IN_AUTHORITY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// Behind the authority brackets are no part of an address.
const IN_PATH: &AsciiSet = &IN_AUTHORITY.add(b'[').add(b']');

/// Where an event stream is: `http` or `https`, a host, a port, a path and perhaps a query.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    uri: Uri,
    is_https: bool,
    /// In small letters; an IPv6 address in its brackets.
    host: String,
    port: u16,
}

/// A URL's user and password, as `Authorization` has them.
pub(crate) type Login = Option<HeaderValue>;

impl Target {
    /// Reads a URL. User and password are taken out of it; a fragment is dropped.
    ///
    /// # Errors
    /// What is wrong with it, in words without any part of it that may be secret.
    pub(crate) fn parse(url: &str) -> Result<(Self, Login), String> {
        Self::read(&escaped(url.as_bytes()))
    }

    /// Reads the value of a `Location` header, which may be relative to this URL (RFC 3986 §5.2).
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse).
    pub(crate) fn resolve(&self, location: &[u8]) -> Result<(Self, Login), String> {
        let location = escaped(location);
        let base = self.uri.to_string();
        let base = UriAbsoluteStr::new(&base).map_err(|_| NO_URL.to_owned())?;
        let reference = UriReferenceStr::new(&location).map_err(|_| NO_URL.to_owned())?;
        Self::read(&reference.resolve_against(base).to_string())
    }

    fn read(url: &str) -> Result<(Self, Login), String> {
        let url = UriStr::new(url).map_err(|_| NO_URL.to_owned())?;
        let is_https = match url.scheme_str().to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => return Err(format!("its scheme is {other}, not http or https")),
        };
        let authority = url.authority_components().ok_or(NO_HOST)?;
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() {
            return Err(NO_HOST.to_owned());
        }
        if host.contains('%') {
            return Err("its host is not ASCII: write it in the form that DNS has (xn--…)".to_owned());
        }
        let usual = if is_https { 443 } else { 80 };
        let port = match authority.port().unwrap_or_default() {
            "" => usual,
            text => text.parse().map_err(|_| format!("its port {text} is not between 0 and 65535"))?,
        };
        let mut text = format!("{}://{host}", if is_https { "https" } else { "http" });
        if port != usual {
            text.push_str(&format!(":{port}"));
        }
        text.push_str(if url.path_str().is_empty() { "/" } else { url.path_str() });
        if let Some(query) = url.query_str() {
            text.push_str(&format!("?{query}"));
        }
        let uri = text.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let login = authority.userinfo().map(login).transpose()?;
        Ok((Self { uri, is_https, host, port }, login.flatten()))
    }

    /// The whole URL, without user and password.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host's name or address, without brackets.
    #[cfg(feature = "tls")]
    pub(crate) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Where to connect to.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether both are of the same scheme, host and port.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        (self.is_https, &self.host, self.port) == (other.is_https, &other.host, other.port)
    }
}

/// Scheme, host and path: a query may hold a token.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{scheme}://{authority}{}", self.uri.path())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What can be shown of a URL that could not be read: nothing behind `?` or `#`, and nothing before an `@`.
pub(crate) fn redacted(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (scheme, rest) = match url[..end].split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), &url[..end]),
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    format!("{scheme}{rest}")
}

const NO_URL: &str = "it is no URL such as http://HOST:PORT/PATH";
const NO_HOST: &str = "it has no host: http://HOST:PORT/PATH";

/// Without white space around it and without its fragment; what may not stand in a URL is escaped.
fn escaped(url: &[u8]) -> String {
    let url = url.trim_ascii();
    let url = url.split(|byte| *byte == b'#').next().unwrap_or_default();
    let authority = match url.windows(2).position(|pair| pair == b"//") {
        // `//HOST` or `SCHEME://HOST`; elsewhere two slashes are part of a path.
        Some(at) if url[..at].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.:".contains(byte)) => {
            let rest = &url[at + 2..];
            at + 2 + rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len())
        }
        _ => 0,
    };
    let (authority, path) = url.split_at(authority);
    format!("{}{}", percent_encode(authority, IN_AUTHORITY), percent_encode(path, IN_PATH))
}

/// `Basic` of RFC 7617, from `user:password` with its escapes.
fn login(userinfo: &str) -> Result<Login, String> {
    if userinfo.is_empty() || userinfo == ":" {
        return Ok(None);
    }
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let user = decoded(user);
    if user.contains(&b':') {
        return Err(
            "its user has a colon, which Basic authorization can't tell from the password's".to_owned()
        );
    }
    let pair = [&user[..], b":", &decoded(password)].concat();
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair)))
        .map_err(|_| "its user and password make no header".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap().0
    }

    fn uri(url: &str) -> String {
        target(url).uri().to_string()
    }

    #[test]
    fn urls_are_taken_as_browsers_take_them() {
        for (url, read) in [
            ("http://a", "http://a/"),
            ("HTTP://Example.COM:80/A?b#c", "http://example.com/A?b"),
            ("https://a:443", "https://a/"),
            ("https://a:80?x", "https://a:80/?x"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x"),
            ("http://a:/x", "http://a/x"),
            (" http://a/b c?f[x]=\u{fc}&{}\n", "http://a/b%20c?f%5Bx%5D=%C3%BC&%7B%7D"),
            ("http://a/b//c?u=http://d", "http://a/b//c?u=http://d"),
            ("http://u:p@a/x", "http://a/x"),
            ("http://a#[b]", "http://a/"),
        ] {
            assert_eq!(uri(url), read, "{url}");
        }
        assert_eq!(target("http://[::1]/").address(), "[::1]:80");
        assert_eq!(target("https://a/").address(), "a:443");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told() {
        for (url, what) in [
            ("", "no URL"),
            ("orders", "no URL"),
            ("/x", "no URL"),
            ("http:///x", "no host"),
            ("http:x", "no host"),
            ("ftp://a/", "its scheme is ftp"),
            ("http://a:99999/", "port 99999"),
            ("http://a:x/", "no URL"),
            ("http://caf\u{e9}.example/", "xn--"),
            ("http://[::1/", "no URL"),
            ("http://a/%zz", "no URL"),
            ("http://us%3Aer:p@a/", "a colon"),
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(error.contains(what), "{url}: {error}");
        }
    }

    #[test]
    fn a_user_and_a_password_are_a_header_that_is_never_shown() {
        let (target, login) = Target::parse("http://ada:p%40ss%3A@a/x?token=1").unwrap();
        let login = login.unwrap();
        assert_eq!(login, format!("Basic {}", BASE64_STANDARD.encode("ada:p@ss:")));
        assert!(login.is_sensitive());
        assert_eq!(format!("{target} {target:?}"), "http://a/x http://a/x");
        assert_eq!(Target::parse("http://ada@a/").unwrap().1.unwrap(), "Basic YWRhOg==");
        assert!(Target::parse("http://:@a/").unwrap().1.is_none());
    }

    #[test]
    fn what_could_not_be_read_is_shown_without_what_may_be_secret() {
        for (url, shown) in [
            ("http://ada:pass/word@a:x/p?token=1#f", "http://a:x/p"),
            ("ada:pass@a", "a"),
            ("orders?key=1", "orders"),
            ("http://a b/", "http://a b/"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }

    #[test]
    fn locations_are_resolved() {
        let base = target("http://a:8080/b/c/d?q");
        for (location, resolved) in [
            ("e", "http://a:8080/b/c/e"),
            ("../e?x=[1]", "http://a:8080/b/e?x=%5B1%5D"),
            ("/e", "http://a:8080/e"),
            ("//f/e", "http://f/e"),
            ("?r", "http://a:8080/b/c/d?r"),
            ("https://f/../../g", "https://f/g"),
            ("\u{e9}", "http://a:8080/b/c/%C3%A9"),
        ] {
            assert_eq!(
                base.resolve(location.as_bytes()).unwrap().0.uri().to_string(),
                resolved,
                "{location}"
            );
        }
        assert_eq!(base.resolve(b"/\xff").unwrap().0.uri().to_string(), "http://a:8080/%FF");
        assert!(base.resolve(b"mailto:x").is_err());
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let a = target("http://a/x");
        assert!(a.same_origin(&target("http://A:80/y?z")));
        for other in ["https://a/", "http://b/", "http://a:81/"] {
            assert!(!a.same_origin(&target(other)), "{other}");
        }
    }
}
