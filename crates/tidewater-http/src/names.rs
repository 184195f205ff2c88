//! Names of parameters that somebody meant for ours.
//!
//! A query belongs to the application too, so a name that isn't ours is nobody's business, unless it is one of ours
//! misspelled: a stream that silently selects everything because it was asked for `?topics=` is worse than a refusal.

/// The parameters of a stream.
pub(crate) const NAMES: [&str; 8] =
    ["last_event_id", "lastEventId", "since", "topic", "key", "tag", "event", "lag"];

/// Those of which logs may show what they hold. An id has a place of its own there.
pub(crate) const SHOWN: [&str; 6] = ["since", "topic", "key", "tag", "event", "lag"];

/// Names this short have too many neighbours that are words of their own (`tab`, `tags`, `kay`).
const LONG: usize = 5;

/// What is longer is not near to anything, and need not be measured.
const LONGEST: usize = 64;

/// Ours that this one was probably meant to be: the same but for case, separators and a plural; or, for long names,
/// but for one letter that is wrong, missing, too many or in the other's place.
pub(crate) fn meant(name: &str) -> Option<&'static str> {
    if name.len() > LONGEST {
        return None;
    }
    let bare = bare(name);
    let long = bare.chars().count() >= LONG;
    let near = |ours: &&&str| {
        let ours = self::bare(ours);
        bare == ours
            || bare.strip_suffix('s') == Some(&ours)
            || (long
                && ours.len() >= LONG
                && ours.len().abs_diff(bare.len()) <= 1
                && strsim::osa_distance(&bare, &ours) <= 1)
    };
    NAMES.iter().find(near).copied()
}

/// Without what only tells spellings apart.
fn bare(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_names_are_known() {
        for (given, ours) in [
            ("topics", "topic"),
            ("Topic", "topic"),
            ("TOPICS", "topic"),
            ("topic[]", "topic"),
            ("topci", "topic"),
            ("topicc", "topic"),
            ("keys", "key"),
            ("Key", "key"),
            ("tags", "tag"),
            ("events", "event"),
            ("Lag", "lag"),
            ("evnet", "event"),
            ("sinse", "since"),
            ("sincee", "since"),
            ("last-event-id", "last_event_id"),
            ("Last-Event-ID", "last_event_id"),
            ("LastEventId", "last_event_id"),
            ("lasteventid", "last_event_id"),
            ("last_evnt_id", "last_event_id"),
        ] {
            assert_eq!(meant(given), Some(ours), "{given}");
        }
    }

    #[test]
    fn the_applications_own_names_are_not_ours() {
        let long = "topic".repeat(1000);
        for name in [
            "", "_", "t", "token", "type", "tab", "id", "user", "kay", "ke", "tg", "taggs", "sine", "even",
            "event_id", "topic_id", "filter", "lang", "page", "limit", "q", "toptopic", "ts", "thema", "é",
            &long,
        ] {
            assert_eq!(meant(name), None, "{name}");
        }
    }
}
