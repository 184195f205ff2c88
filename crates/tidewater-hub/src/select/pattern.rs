//! Topics by pattern, as NATS writes them: `*` stands for one token, `>` at the end for the rest. Pure.

use tidewater_core::{Error, ErrorKind, Result};

use super::clause::Facet;

/// What one token of a pattern stands for.
pub(crate) const ANY: &str = "*";
pub(crate) const REST: &str = ">";
/// A topic's tokens stand between dots.
pub(crate) const DOT: char = '.';
/// More tokens than any topic has: a Kafka name is at most 249 characters long, and a NATS subject of 16 tokens is a
/// long one.
const MOST_TOKENS: usize = 128;

/// The topics that somebody wants: one by its name, or all that fit a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TopicFilter {
    Name(Box<str>),
    /// Its tokens are checked: `*` and `>` stand alone, and `>` last.
    Pattern(Box<str>),
}

impl TopicFilter {
    /// Reads a name or a pattern.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for what is neither.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            let how = "give a topic, or a pattern of tokens between dots where \"*\" stands for one token and \">\" \
                       at the end for the rest: orders.*, orders.>";
            Err(Error::new(ErrorKind::Config, format!("{what}: {how}")))
        };
        if text.is_empty() {
            return wrong("it is empty");
        }
        if !text.contains(ANY) && !text.contains(REST) {
            return Ok(Self::Name(text.into()));
        }
        let tokens = text.split(DOT).count();
        if tokens > MOST_TOKENS {
            return wrong(&format!("it has {tokens} tokens, and may have {MOST_TOKENS}"));
        }
        for (token, left) in text.split(DOT).zip((0..tokens).rev()) {
            match token {
                "" => return wrong("a token is empty"),
                REST if left > 0 => return wrong("\">\" stands before the end"),
                ANY | REST => {}
                token if token.contains(ANY) || token.contains(REST) => {
                    return wrong(&format!("the token {token:?} is no name and no wildcard"));
                }
                _ => {}
            }
        }
        Ok(Self::Pattern(text.into()))
    }

    /// The same; what is neither a name nor a pattern is taken as a name, which no topic has.
    pub(crate) fn literal(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|_| Self::Name(text.into()))
    }

    /// As an index has it.
    pub(crate) fn facet(&self) -> Facet<'_> {
        match self {
            Self::Name(name) => Facet::Topic(name),
            Self::Pattern(pattern) => Facet::Pattern(pattern),
        }
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        let pattern = match self {
            Self::Name(name) => return **name == *topic,
            Self::Pattern(pattern) => pattern,
        };
        let mut tokens = topic.split(DOT);
        for wanted in pattern.split(DOT) {
            match (wanted, tokens.next()) {
                (_, None) => return false,
                (REST, Some(_)) => return true,
                (ANY, Some(_)) => {}
                (name, Some(token)) if name == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_nats_has_them() {
        for (pattern, fits, fits_not) in [
            ("a.b", &["a.b"][..], &["a", "a.b.c", "a.c", "A.b"][..]),
            ("a.*", &["a.b", "a.c"], &["a", "a.b.c", "b.b"]),
            ("*.b", &["a.b", "x.b"], &["b", "a.b.b"]),
            ("*", &["a"], &["a.b"]),
            (">", &["a", "a.b.c"], &[]),
            ("a.>", &["a.b", "a.b.c"], &["a", "b.a"]),
            ("*.b.>", &["a.b.c", "x.b.c.d"], &["a.b", "a.c.c"]),
        ] {
            let filter = TopicFilter::parse(pattern).unwrap();
            for topic in fits {
                assert!(filter.matches(topic), "{pattern} and {topic}");
            }
            for topic in fits_not {
                assert!(!filter.matches(topic), "{pattern} and not {topic}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        let deep = [ANY; MOST_TOKENS + 1].join(".");
        for (text, why) in [
            ("", "empty"),
            ("a*b", "\"a*b\""),
            ("a.>.b", "before the end"),
            (">>", "\">>\""),
            ("a..*", "a token is empty"),
            ("*.", "a token is empty"),
            (&deep, "129 tokens"),
        ] {
            let error = TopicFilter::parse(text).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("orders.*"), "{text}: {error}");
            assert_eq!(TopicFilter::literal(text), TopicFilter::Name(text.into()));
        }
        assert!(TopicFilter::literal("a*b").matches("a*b"), "a name that holds one, if somebody has it");
        assert!(TopicFilter::parse("a..b").unwrap().matches("a..b"), "a name of Kafka's");
    }
}
