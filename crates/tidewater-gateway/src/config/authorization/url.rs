//! `[authorization.url]`: an application that is asked.

use std::{fmt, sync::Arc, time::Duration};

use tidewater::http::{AuthorizeUrl, Authorizer};

use super::super::{
    given::{Given, Wrong},
    reader::Reader,
    setting::{Setting, quoted},
};

/// Who is asked, and how.
#[derive(Clone, Debug)]
pub(super) struct UrlConfig {
    url: Url,
    timeout: Duration,
    cache: Duration,
    asks: Option<AuthorizeUrl>,
}

impl UrlConfig {
    pub(super) fn read(table: &mut Reader<'_>) -> Option<Self> {
        let url: Option<Url> = table.find("url");
        let timeout = table.within(
            "timeout",
            Duration::from_secs(2),
            Duration::from_millis(10),
            Duration::from_secs(60),
        );
        let cache = table.within("cache", Duration::from_secs(5), Duration::ZERO, Duration::from_secs(3600));
        if !table.has("url") {
            table.refuse(
                "",
                "it needs the URL of the application: write url = \"http://127.0.0.1:3000/authorize\"",
            );
        }
        let url = url?;
        let asks = AuthorizeUrl::at(&url.0).timeout(timeout).cache(cache).build();
        // Its errors hold nothing of the URL.
        let asks = asks.map_err(|error| table.refuse("url", error)).ok();
        Some(Self { url, timeout, cache, asks })
    }

    pub(super) fn authorizer(&self) -> Option<Arc<dyn Authorizer>> {
        Some(Arc::new(self.asks.clone()?))
    }
}

impl PartialEq for UrlConfig {
    fn eq(&self, other: &Self) -> bool {
        (&self.url, self.timeout, self.cache) == (&other.url, other.timeout, other.cache)
    }
}

/// A URL of which the query is not shown: it may hold a secret.
#[derive(Clone, PartialEq, Eq)]
struct Url(String);

impl Setting for Url {
    const REDACTED: bool = true;

    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Ok(Self(given.expanded("a URL, such as \"http://127.0.0.1:3000/authorize\"")?))
    }

    fn show(&self) -> String {
        match self.0.split_once('?') {
            Some((place, _)) => quoted(&format!("{place}?…")),
            None => quoted(&self.0),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}
