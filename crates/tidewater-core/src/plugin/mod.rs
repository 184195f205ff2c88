//! Plugins: sources and sinks that are found by the scheme of a URL.
//!
//! ```
//! let source = tidewater_core::plugin::open_source("memory:demo")?;
//! assert_eq!(source.to_string(), "memory:demo");
//!
//! let error = tidewater_core::plugin::open_source("carrier-pigeon://loft").unwrap_err();
//! assert!(error.to_string().contains("memory"), "{error}");
//! # Ok::<(), tidewater_core::Error>(())
//! ```
//!
//! A crate registers its plugin with one `inventory::submit!` of a [`Plugin`]. A crate that nothing refers to is
//! never linked, and its plugin isn't there: say `extern crate its_name as _;` where you want it.

mod env;
mod url;

use std::sync::Arc;

use crate::{Capabilities, Error, ErrorKind, Result, Sink, Source};

pub use env::expand;
pub use url::{Params, SourceUrl};

/// One kind of source and sink, as a crate registers it.
///
/// ```
/// use std::sync::Arc;
/// use tidewater_core::{Capabilities, Plugin, memory::MemoryLog};
///
/// tidewater_core::inventory::submit! {
///     Plugin {
///         name: "scratch",
///         schemes: &["scratch"],
///         about: "a log that nobody else knows",
///         example: "scratch:anything",
///         capabilities: Capabilities { replay: true, from_time: true, partitioned: false, mergeable: true },
///         source: Some(|_url| Ok(Arc::new(MemoryLog::new("scratch").source()))),
///         sink: None,
///     }
/// }
/// # assert!(tidewater_core::plugin::open_source("scratch:x").is_ok());
/// ```
#[derive(Debug)]
pub struct Plugin {
    /// Its name: `kafka`.
    pub name: &'static str,
    /// The URL schemes it answers to, in lower case.
    pub schemes: &'static [&'static str],
    /// What it is, in a line.
    pub about: &'static str,
    /// A URL of it, as an example.
    pub example: &'static str,
    /// What its source can do.
    pub capabilities: Capabilities,
    /// Makes a source. It only reads the URL: the broker is looked for when the source is used.
    pub source: Option<MakeSource>,
    /// Makes a sink. It only reads the URL, as for the source.
    pub sink: Option<MakeSink>,
}

inventory::collect!(Plugin);

/// What makes a source of a URL.
pub type MakeSource = fn(&SourceUrl) -> Result<Arc<dyn Source>>;

/// What makes a sink of a URL.
pub type MakeSink = fn(&SourceUrl) -> Result<Arc<dyn Sink>>;

/// A scheme that a cargo feature would add: for the error that names it.
#[derive(Debug)]
pub struct SchemeHint {
    /// The scheme.
    pub scheme: &'static str,
    /// What to do to have it: `enable the feature "kafka" of the crate tidewater`.
    pub advice: &'static str,
}

inventory::collect!(SchemeHint);

/// Every plugin that is linked in, sorted by name.
///
/// # Errors
/// [`ErrorKind::Config`] if two of them answer to one scheme.
pub fn plugins() -> Result<Vec<&'static Plugin>> {
    sorted(inventory::iter::<Plugin>.into_iter().collect())
}

/// Makes the source that a URL names. Nothing is connected yet.
///
/// # Errors
/// [`ErrorKind::UnknownScheme`], listing the schemes there are; [`ErrorKind::Config`] for a malformed URL;
/// [`ErrorKind::Unsupported`] for a plugin without a source.
pub fn open_source(url: &str) -> Result<Arc<dyn Source>> {
    let url = url.parse()?;
    let plugin = find(&url)?;
    let make = plugin.source.ok_or_else(|| unsupported(plugin, "read from"))?;
    make(&url).map_err(|error| error.context(format!("source {url}")))
}

/// Makes the sink that a URL names. Nothing is connected yet.
///
/// # Errors
/// As [`open_source`].
pub fn open_sink(url: &str) -> Result<Arc<dyn Sink>> {
    let url = url.parse()?;
    let plugin = find(&url)?;
    let make = plugin.sink.ok_or_else(|| unsupported(plugin, "written to"))?;
    make(&url).map_err(|error| error.context(format!("sink {url}")))
}

fn sorted(mut plugins: Vec<&'static Plugin>) -> Result<Vec<&'static Plugin>> {
    plugins.sort_by_key(|plugin| plugin.name);
    let mut schemes: Vec<_> = plugins
        .iter()
        .flat_map(|plugin| plugin.schemes.iter().map(|scheme| (*scheme, plugin.name)))
        .collect();
    schemes.sort_unstable();
    match schemes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(Error::new(
            ErrorKind::Config,
            format!(
                "two plugins answer to the scheme {:?}: {:?} and {:?}; link only one of them",
                pair[0].0, pair[0].1, pair[1].1
            ),
        )),
        None => Ok(plugins),
    }
}

fn find(url: &SourceUrl) -> Result<&'static Plugin> {
    let plugins = plugins()?;
    if let Some(plugin) = plugins.iter().find(|plugin| plugin.schemes.contains(&url.scheme())) {
        return Ok(plugin);
    }
    let schemes: Vec<_> = plugins.iter().flat_map(|plugin| plugin.schemes).copied().collect();
    let advice = inventory::iter::<SchemeHint>
        .into_iter()
        .find(|hint| hint.scheme == url.scheme())
        .map(|hint| format!("; to have it, {}", hint.advice))
        .unwrap_or_default();
    Err(Error::new(
        ErrorKind::UnknownScheme,
        format!(
            "{url}: no plugin here answers to the scheme {:?} (there are: {}){advice}",
            url.scheme(),
            schemes.join(", ")
        ),
    ))
}

fn unsupported(plugin: &Plugin, what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{:?} can't be {what}", plugin.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Capabilities =
        Capabilities { replay: false, from_time: false, partitioned: false, mergeable: false };

    const fn plugin(name: &'static str, schemes: &'static [&'static str]) -> Plugin {
        Plugin { name, schemes, about: "", example: "", capabilities: NOTHING, source: None, sink: None }
    }

    static A: Plugin = plugin("a", &["x", "y"]);
    static B: Plugin = plugin("b", &["z"]);
    static C: Plugin = plugin("c", &["y"]);

    #[test]
    fn the_registry_is_sorted() {
        let names: Vec<_> = sorted(vec![&B, &A]).unwrap().iter().map(|plugin| plugin.name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn one_scheme_twice_is_an_error_that_names_both() {
        let error = sorted(vec![&C, &B, &A]).unwrap_err().to_string();
        assert!(error.contains("\"y\"") && error.contains("\"a\"") && error.contains("\"c\""), "{error}");
    }

    #[test]
    fn an_unknown_scheme_lists_those_there_are() {
        let error = open_source("kafak://localhost/orders").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownScheme);
        assert!(error.to_string().contains("memory"), "{error}");
    }
}
