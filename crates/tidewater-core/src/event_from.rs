//! What names a message's event.

use std::{borrow::Cow, fmt, str::FromStr};

use crate::{
    Error, ErrorKind, Message, Result,
    payload::{EVENT_HEADER, is_reserved},
    sse::EventName,
};

/// What names a message's event, so that a page listens for what concerns it.
///
/// As a text, which settings use: `header:NAME`, `topic`, `key`, `fixed:NAME`.
///
/// ```
/// use tidewater_core::{EventFrom, Message};
///
/// let message = Message::new("orders.paid", "{}").with_key("ada");
/// assert_eq!(EventFrom::Topic.name(&message).as_deref(), Some("orders.paid"));
/// assert_eq!("header:ce_type".parse::<EventFrom>()?, EventFrom::Header("ce_type".to_owned()));
/// # Ok::<(), tidewater_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventFrom {
    /// The value of the message header of this name, where the message has it.
    Header(String),
    /// The topic: a Kafka topic, a NATS subject.
    Topic,
    /// The key, where the message has one.
    Key,
    /// This name, whatever the message.
    Fixed(String),
}

impl EventFrom {
    /// The name of this message's event; `None` is `message`.
    ///
    /// It may be one that is illegal or reserved: such an event goes out as `message`, and is counted.
    pub fn name(&self, message: &Message) -> Option<Cow<'static, str>> {
        let lossy = |bytes: &[u8]| Cow::Owned(String::from_utf8_lossy(bytes).into_owned());
        match self {
            Self::Header(name) => message.headers.get(name).map(|value| lossy(value)),
            Self::Topic => Some(Cow::Owned(message.topic.as_str().to_owned())),
            Self::Key => message.key.as_deref().map(lossy),
            Self::Fixed(name) => Some(Cow::Owned(name.clone())),
        }
    }

    /// Checks that it can name anything.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a fixed name that is illegal or reserved, and for a header without a name.
    pub fn check(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::new(ErrorKind::Config, why));
        match self {
            Self::Header(name) if name.is_empty() => {
                refuse("the header that names events has no name".to_owned())
            }
            Self::Fixed(name) if is_reserved(name) => refuse(format!(
                "the event name {name:?} is reserved (so are tidewater.*, error and open): choose another"
            )),
            Self::Fixed(name) => match EventName::new(name) {
                Ok(_) => Ok(()),
                Err(error) => refuse(format!("the event name {name:?} can't be used: {error}")),
            },
            _ => Ok(()),
        }
    }
}

impl Default for EventFrom {
    /// The header `tidewater-event`.
    fn default() -> Self {
        Self::Header(EVENT_HEADER.to_owned())
    }
}

impl fmt::Display for EventFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Topic => f.write_str("topic"),
            Self::Key => f.write_str("key"),
            Self::Fixed(name) => write!(f, "fixed:{name}"),
        }
    }
}

impl FromStr for EventFrom {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let from = match text.split_once(':') {
            None if text == "topic" => Self::Topic,
            None if text == "key" => Self::Key,
            Some(("header", name)) => Self::Header(name.to_owned()),
            Some(("fixed", name)) => Self::Fixed(name.to_owned()),
            _ => {
                return Err(Error::new(
                    ErrorKind::Config,
                    "nothing of that name names an event (there are: topic, key, header:NAME, fixed:NAME)",
                ));
            }
        };
        from.check()?;
        Ok(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;

    fn name(from: &str, message: &Message) -> Option<String> {
        from.parse::<EventFrom>().unwrap().name(message).map(Cow::into_owned)
    }

    #[test]
    fn each_names_by_what_it_says() {
        let message = Message::new("orders.paid", "x").with_key(&b"a\xff"[..]);
        let message = message.with_headers([("ce_type", "paid")].into_iter().collect::<Headers>());
        assert_eq!(name("topic", &message).as_deref(), Some("orders.paid"));
        assert_eq!(name("key", &message).as_deref(), Some("a\u{fffd}"));
        assert_eq!(name("header:ce_type", &message).as_deref(), Some("paid"));
        assert_eq!(name("header:other", &message), None);
        assert_eq!(name("fixed:a:b", &message).as_deref(), Some("a:b"));
        assert_eq!(name("key", &Message::new("t", "x")), None);
    }

    #[test]
    fn its_text_is_read_again_and_what_can_name_nothing_is_refused() {
        for text in ["topic", "key", "header:ce_type", "fixed:tick"] {
            assert_eq!(text.parse::<EventFrom>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("", "there are: topic, key, header:NAME, fixed:NAME"),
            ("tick", "fixed:NAME"),
            ("header:", "no name"),
            ("fixed:error", "reserved"),
            ("fixed:tidewater.gap", "reserved"),
            ("fixed:a\nb", "can't be used"),
        ] {
            let error = text.parse::<EventFrom>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
