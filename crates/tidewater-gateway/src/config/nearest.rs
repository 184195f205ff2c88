//! The name that was meant.

/// The nearest of these names, if it is near enough to be meant.
pub(crate) fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_ascii_lowercase().replace('-', "_");
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given, name), strsim::osa_distance(&given, name), name))
        // Two slips in a long name, one in a short; or the beginning is the same.
        .filter(|(alike, slips, name)| *slips <= (name.len() / 3).max(1) || *alike > 0.88)
        .min_by(|(alike, slips, _), (other_alike, other, _)| {
            slips.cmp(other).then(other_alike.total_cmp(alike))
        })
        .map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized_and_other_words_are_not() {
        let names = ["listen", "server", "drain_timeout", "heartbeat", "source"];
        for (given, meant) in [
            ("lisen", "listen"),
            ("listne", "listen"),
            ("drain-timeout", "drain_timeout"),
            ("DrainTimeout", "drain_timeout"),
            ("hartbeat", "heartbeat"),
            ("sources", "source"),
        ] {
            assert_eq!(nearest(given, names), Some(meant), "{given}");
        }
        for given in ["", "colour", "x", "tls"] {
            assert_eq!(nearest(given, names), None, "{given}");
        }
    }
}
