//! What a source can no longer give, in words.

use std::fmt;

use tidewater::{Delivery, Gap, Message, Position, TopicCursor};

/// A gap, or a topic's new incarnation.
pub(super) struct Missing<'a>(pub(super) &'a Delivery);

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Delivery::Gap(Gap { topic, partition, missing: Some(missing), reason, .. }) => {
                let count = missing.end.saturating_sub(missing.start);
                write!(f, "topic {:?}, partition {partition}: ", topic.as_str())?;
                match count {
                    1 => write!(f, "offset {}", missing.start)?,
                    _ => write!(
                        f,
                        "the offsets {} to {} ({count})",
                        missing.start,
                        missing.end.saturating_sub(1)
                    )?,
                }
                write!(f, " can no longer be read (reason: {reason})")
            }
            Delivery::Gap(Gap { topic, partition, missing: None, reason, .. }) => write!(
                f,
                "topic {:?}, partition {partition}: the source can't say how much is missing (reason: {reason})",
                topic.as_str()
            ),
            Delivery::Epoch(new) => write!(
                f,
                "topic {:?}: it was removed and made again (reason: epoch); what it held before and was not read is gone, \
                 and it begins anew at {}",
                new.topic.as_str(),
                Offsets(&new.cursor())
            ),
            Delivery::Message(_) | Delivery::Progress(_) => Ok(()),
        }
    }
}

/// Where a message stands.
pub(super) struct Place<'a>(pub(super) &'a Message);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {:?}, partition {}, ", self.0.topic.as_str(), self.0.partition)?;
        match &self.0.position {
            Position::Offset(offset) => write!(f, "offset {offset}")?,
            Position::Opaque(id) => write!(f, "id {id:?}")?,
        }
        write!(f, " ({} bytes)", self.0.size())
    }
}

/// The positions of a topic: `0:17 1:20`.
pub(super) struct Offsets<'a>(pub(super) &'a TopicCursor);

impl fmt::Display for Offsets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (partition, next) in self.0.offsets().iter().enumerate() {
            write!(f, "{}{partition}:{next}", if partition > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}
