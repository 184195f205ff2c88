//! Where a request has its token.

use http::{HeaderMap, header};
use tidewater_core::Result;

use super::key::wrong;
use crate::{
    auth::{Head, Refusal},
    names,
    query::pairs,
};

/// Where tokens are looked for. `Authorization` always.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    cookie: Option<String>,
    query: Option<String>,
}

impl Places {
    pub(super) fn cookie(&mut self, name: &str) -> Result<()> {
        // RFC 6265 §4.1.1: a token of RFC 9110.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(fits) {
            return Err(wrong(format!("{name:?} is no name of a cookie")));
        }
        self.cookie = Some(name.to_owned());
        Ok(())
    }

    pub(super) fn query(&mut self, name: &str) -> Result<()> {
        if name.is_empty() || names::NAMES.contains(&name) || names::meant(name).is_some() {
            let what = "is, or looks like, a parameter of streams: name the token's otherwise (access_token)";
            return Err(wrong(format!("{name:?} {what}")));
        }
        self.query = Some(name.to_owned());
        Ok(())
    }

    /// The request's token.
    ///
    /// # Errors
    /// 401 without one, 400 with several.
    pub(super) fn find(&self, head: &Head<'_>) -> std::result::Result<String, Refusal> {
        let bearer = bearer(head.headers)?;
        let query = self.query.as_ref().map(|name| in_query(head.query, name)).transpose()?.flatten();
        if bearer.is_some() && query.is_some() {
            return Err(Refusal::invalid_request(
                "the token is in the Authorization header and in the query: send it once",
            ));
        }
        if let Some(token) = bearer.or(query) {
            return Ok(token);
        }
        let cookie = self.cookie.as_ref().map(|name| in_cookie(head.headers, name)).transpose()?.flatten();
        cookie.ok_or_else(|| {
            let places = match (&self.query, &self.cookie) {
                (None, None) => "in the header Authorization: Bearer",
                (None, Some(_)) => "in the header Authorization: Bearer, or the cookie",
                (Some(_), None) => "in the header Authorization: Bearer, or the query",
                (Some(_), Some(_)) => "in the header Authorization: Bearer, the query, or the cookie",
            };
            Refusal::unauthenticated(format!("there is no token: send one {places}"))
        })
    }
}

/// RFC 6750 §2.1. The scheme is case-insensitive (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> std::result::Result<Option<String>, Refusal> {
    let mut found = None;
    for value in headers.get_all(header::AUTHORIZATION) {
        let Some((scheme, token)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
            continue;
        };
        if scheme.eq_ignore_ascii_case("bearer") && found.replace(token.trim().to_owned()).is_some() {
            return Err(Refusal::invalid_request(
                "there are two Authorization headers with a token: send one",
            ));
        }
    }
    Ok(found.filter(|token| !token.is_empty()))
}

fn in_query(query: Option<&str>, name: &str) -> std::result::Result<Option<String>, Refusal> {
    let mut found = None;
    let pairs = pairs(query).map_err(|refused| Refusal::invalid_request(refused.message().to_owned()))?;
    for pair in pairs.filter(|pair| pair.name == name) {
        if found.replace(pair.lossy()).is_some() {
            return Err(Refusal::invalid_request("the token is in the query twice: send it once"));
        }
    }
    Ok(found.filter(|token| !token.is_empty()))
}

/// A cookie that is there twice was set by two parties, of which one may be another subdomain.
fn in_cookie(headers: &HeaderMap, name: &str) -> std::result::Result<Option<String>, Refusal> {
    let mut found = None;
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    for (other, value) in lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('=')) {
        if other.trim() == name && found.replace(value.trim().trim_matches('"').to_owned()).is_some() {
            return Err(Refusal::invalid_request(
                "the token's cookie is there twice: clear the site's cookies",
            ));
        }
    }
    Ok(found.filter(|token| !token.is_empty()))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn found(uri: &str, headers: &[(&str, &str)]) -> std::result::Result<String, u16> {
        let mut places = Places::default();
        places.cookie("s").unwrap();
        places.query("t").unwrap();
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        places.find(&Head::from(&parts)).map_err(|refusal| refusal.status().as_u16())
    }

    #[test]
    fn a_token_is_found_where_it_may_be_and_once() {
        let bearer = ("authorization", "bearer  b ");
        let cookie = ("cookie", "x=1; s=\"c\"; ss=2");
        assert_eq!(found("/", &[bearer, cookie]).as_deref(), Ok("b"));
        assert_eq!(found("/?t=q", &[cookie]).as_deref(), Ok("q"));
        assert_eq!(found("/?t=&T=x", &[cookie]).as_deref(), Ok("c"));
        assert_eq!(found("/", &[("authorization", "Basic eA=="), cookie]).as_deref(), Ok("c"));
        assert_eq!(found("/", &[("cookie", "a=b"), cookie]).as_deref(), Ok("c"));
        for (uri, headers, status) in [
            ("/", &[][..], 401),
            ("/", &[("authorization", "Bearer ")], 401),
            ("/", &[("authorization", "Bearer")], 401),
            ("/?t=q", &[bearer], 400),
            ("/", &[bearer, bearer], 400),
            ("/?t=a&t=b", &[], 400),
            ("/", &[cookie, cookie], 400),
            ("/", &[("cookie", "s=a; s=b")], 400),
        ] {
            assert_eq!(found(uri, headers), Err(status), "{uri} {headers:?}");
        }
    }

    #[test]
    fn the_query_and_cookies_are_off_unless_they_are_named() {
        let request = Request::get("/?access_token=q&t=q").header("cookie", "s=c; t=c");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert!(Places::default().find(&Head::from(&parts)).is_err());
        for name in ["", "topic", "topics", "last_event_id"] {
            assert!(Places::default().query(name).is_err(), "{name}");
        }
        for name in ["", "a b", "a=b", "a;b", "é"] {
            assert!(Places::default().cookie(name).is_err(), "{name}");
        }
    }
}
