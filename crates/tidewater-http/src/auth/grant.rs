//! What a request is granted.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tidewater_hub::{Pattern, Select};

use super::Refusal;

/// What a request may do on a channel, until when, and who it is from. Nothing, unless it is said.
///
/// ```
/// use tidewater_http::Grant;
/// use tidewater_hub::{Pattern, Select};
///
/// let grant = Grant::new()
///     .reading(Select::any([Select::tag("public"), Select::key("ada")]))
///     .publishing_keys([Pattern::exact("ada")])
///     .with_subject("ada");
/// assert!(grant.may_publish(Some(b"ada")) && !grant.may_publish(Some(b"bob")) && !grant.may_publish(None));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    read: Option<Select>,
    publish: Publish,
    until: Option<SystemTime>,
    subject: Option<Arc<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Publish {
    #[default]
    Nothing,
    Keys(Vec<Pattern>),
    Anything,
}

impl Grant {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reading what this selects, of which a request may select less.
    #[must_use]
    pub fn reading(mut self, select: Select) -> Self {
        self.read = Some(select);
        self
    }

    /// Publishing, with any key or none.
    #[must_use]
    pub fn publishing(mut self) -> Self {
        self.publish = Publish::Anything;
        self
    }

    /// Publishing with a key that fits one of these; beside those that were granted before.
    #[must_use]
    pub fn publishing_keys(mut self, keys: impl IntoIterator<Item = Pattern>) -> Self {
        match &mut self.publish {
            Publish::Anything => {}
            Publish::Keys(granted) => granted.extend(keys),
            Publish::Nothing => self.publish = Publish::Keys(keys.into_iter().collect()),
        }
        self
    }

    /// When it is over: a stream ends then, with a time to come back, and is asked for anew. Nothing is granted from then on.
    #[must_use]
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// Who it is for, as limits count it.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<Arc<str>>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// What may be read, if anything.
    pub fn select(&self) -> Option<&Select> {
        self.read.as_ref()
    }

    /// Whether a message with this key may be published. Where only some keys are granted, one without a key may not.
    pub fn may_publish(&self, key: Option<&[u8]>) -> bool {
        match &self.publish {
            Publish::Nothing => false,
            Publish::Anything => true,
            Publish::Keys(granted) => key.is_some_and(|key| granted.iter().any(|one| one.matches(key))),
        }
    }

    /// Whether anything may be published.
    pub fn publishes(&self) -> bool {
        match &self.publish {
            Publish::Nothing => false,
            Publish::Anything => true,
            Publish::Keys(granted) => !granted.is_empty(),
        }
    }

    /// When it is over, if it ever is.
    pub fn expiry(&self) -> Option<SystemTime> {
        self.until
    }

    /// Who it is for, if that is known.
    pub fn subject(&self) -> Option<&Arc<str>> {
        self.subject.as_ref()
    }

    /// What to answer who has been granted something that is over by now: whoever asks again is told anew.
    pub(crate) fn check_time(&self, now: SystemTime) -> Result<(), Refusal> {
        match self.time_left(now) {
            Some(Duration::ZERO) => Err(Refusal::unavailable("what was granted is over: ask again")),
            _ => Ok(()),
        }
    }

    /// What is left of its time; `None` if it has no end.
    pub(crate) fn time_left(&self, now: SystemTime) -> Option<Duration> {
        Some(self.until?.duration_since(now).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_unless_it_is_said() {
        let grant = Grant::new();
        assert!(grant.select().is_none() && !grant.may_publish(None) && !grant.may_publish(Some(b"k")));
        assert!(!Grant::new().reading(Select::all()).may_publish(None));
        assert!(Grant::new().publishing().select().is_none());
        assert!(!Grant::new().publishing_keys([]).publishes());
    }

    #[test]
    fn keys_are_added_to_what_was_granted() {
        let grant = Grant::new()
            .publishing_keys([Pattern::exact("a")])
            .publishing_keys([Pattern::parse("b.*").unwrap()]);
        for (key, expected) in [(Some("a"), true), (Some("b.1"), true), (Some("c"), false), (None, false)] {
            assert_eq!(grant.may_publish(key.map(str::as_bytes)), expected, "{key:?}");
        }
        assert!(grant.publishing().publishing_keys([Pattern::exact("a")]).may_publish(None));
    }

    #[test]
    fn time_that_is_over_is_none_left() {
        let now = SystemTime::now();
        let second = Duration::from_secs(1);
        assert_eq!(Grant::new().time_left(now), None);
        assert_eq!(Grant::new().until(now - second).time_left(now), Some(Duration::ZERO));
        assert_eq!(Grant::new().until(now + second).time_left(now), Some(second));
    }
}
