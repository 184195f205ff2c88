//! Pipes that would read what they have written.

use std::path::{PathBuf, absolute};

use tidewater::SourceUrl;

use super::nats::{is_nats, is_of};

/// Whether a sink's topic is one of the source's, as far as URLs tell it: `kafka://HOST/a,b`, `nats://HOST/SUBJECT`,
/// `jetstream://HOST/STREAM/SUBJECT`, `embedded:PATH`.
pub(super) fn is_loop(source: &SourceUrl, sink: &SourceUrl) -> bool {
    if let (Some(from), Some(to)) = (folder(source), folder(sink)) {
        return source.scheme() == sink.scheme() && from == to;
    }
    let same_kind = source.scheme() == sink.scheme() || (is_nats(source) && is_nats(sink));
    if !same_kind || !hosts(source).any(|host| hosts(sink).any(|other| other == host)) {
        return false;
    }
    let (from, to) = (path(source), path(sink));
    if is_nats(source) {
        return is_loop_of_subjects(Place::of(source, &from), Place::of(sink, &to));
    }
    let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    first(&from).split(',').any(|topic| topic == first(&to))
}

/// The folder or file that a URL without a host names, wherever the process stands.
pub(super) fn folder(url: &SourceUrl) -> Option<PathBuf> {
    let path = PathBuf::from(Some(url).filter(|url| !url.has_authority()).map(path)?);
    Some(absolute(&path).unwrap_or(path))
}

fn path(url: &SourceUrl) -> String {
    // What can't be decoded is refused by whoever opens it.
    url.decoded_path().unwrap_or_else(|_| url.path().to_owned())
}

/// The servers that are named, without a login and with their ports.
fn hosts(url: &SourceUrl) -> impl Iterator<Item = String> {
    let port = if is_nats(url) { 4222 } else { 9092 };
    let all = url.authority().rsplit('@').next().unwrap_or_default();
    all.split(',').map(move |host| {
        let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let host = host.to_ascii_lowercase();
        if has_port { host } else { format!("{host}:{port}") }
    })
}

/// A place in NATS.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// `None`: whatever is published, kept or not.
    stream: Option<&'a str>,
    /// `None`: whatever the stream takes.
    subject: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(url: &SourceUrl, path: &'a str) -> Self {
        if url.scheme() == "nats" {
            return Self { stream: None, subject: Some(path) };
        }
        match path.split_once('/') {
            Some((stream, subject)) => {
                Self { stream: Some(stream), subject: Some(subject).filter(|subject| !subject.is_empty()) }
            }
            None => Self { stream: Some(path), subject: None },
        }
    }
}

fn is_loop_of_subjects(source: Place<'_>, sink: Place<'_>) -> bool {
    match (source, sink) {
        // A subject belongs to one stream.
        (Place { stream: Some(from), .. }, Place { stream: Some(to), .. }) if from != to => false,
        (Place { subject: Some(pattern), .. }, Place { subject: Some(subject), .. }) => {
            is_of(subject, pattern)
        }
        (Place { subject: None, .. }, Place { stream, .. }) => stream.is_some(),
        (_, Place { subject: None, .. }) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_seen() {
        for (source, sink, is) in [
            ("kafka://h/a", "kafka://h/a", true),
            ("kafka://h/a", "kafka://H:9092/a", true),
            ("kafka://me:secret@h/a", "kafka://you@h/a", true),
            ("kafka://g,h:9092/a", "kafka://h/a", true),
            ("kafka://[::1]/a", "kafka://[::1]:9092/a", true),
            ("kafka://h/a,b", "kafka://h/b?acks=1", true),
            ("kafka://h/a", "kafka://other/a", false),
            ("kafka://h/a", "kafka://h:9093/a", false),
            ("kafka://h/a", "kafka://h/ab", false),
            ("kafka://h/a", "nats://h:9092/a", false),
            ("jetstream://h/S/a.%3E", "jetstream://h/S/a.b", true),
            ("jetstream://h/S", "jetstream://h/S/a.b", true),
            ("jetstream://h/S/a.%3E", "jetstream://h/S/b.x", false),
            ("jetstream://h/S", "jetstream://h/T/a.b", false),
            ("nats://h/orders.>", "nats://h:4222/orders.a", true),
            ("nats://h/orders.>", "nats://h/other.a", false),
            ("nats://h/orders.>", "jetstream://h/S/orders.new", true),
            ("jetstream://h/S/orders.>", "nats://h/orders.new", true),
            ("jetstream://h/S", "nats://h/orders.new", false),
            ("embedded:./a", "embedded:a?sync=always", true),
            ("embedded:./a", "embedded:./b", false),
        ] {
            assert_eq!(is_loop(&source.parse().unwrap(), &sink.parse().unwrap()), is, "{source} {sink}");
        }
    }
}
