//! That there is no place.

use std::{error::Error, fmt, time::Duration};

use tidewater_hub::{Ending, EventStream};

use crate::Reply;

/// There is no place for a client: as many are taken as there may be.
///
/// As a [`Reply`] and as an [`EventStream`] it is what an `EventSource` has to be told: 200, a time to come back, and the
/// end (I10). Who would be told by a status gives up for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    pub(super) which: Which,
    pub(super) of: &'static str,
    pub(super) most: usize,
    pub(super) retry: Duration,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// That of all clients together.
    All,
    /// That of the client's address.
    Address,
    /// That of the client's subject.
    Subject,
}

impl Full {
    /// Which limit is reached.
    pub fn which(&self) -> Which {
        self.which
    }

    /// When to come back: 500 ms at least, another time for each client, and the longer the more are turned away; some
    /// 5 minutes at most.
    pub fn retry(&self) -> Duration {
        self.retry
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { which, of, most, retry } = self;
        let whose = match which {
            Which::All => "in all",
            Which::Address => "for one address",
            Which::Subject => "for one subject",
        };
        write!(f, "there may be {most} {of} {whose}, and there are: come back in {retry:.1?}")
    }
}

impl Error for Full {}

impl From<Full> for EventStream {
    fn from(full: Full) -> Self {
        Self::closed(Ending::Full, full.retry)
    }
}

impl From<Full> for Reply {
    fn from(full: Full) -> Self {
        EventStream::from(full).into()
    }
}
