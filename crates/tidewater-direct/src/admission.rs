//! Whether one more connection is let in.

use std::{any::Any, fmt, sync::Arc};

use crate::Peer;

/// What is kept as long as a connection that was let in lives: [`Direct::admit`](crate::Direct::admit).
pub struct Admitted {
    _kept: Box<dyn Any + Send + Sync>,
}

impl Admitted {
    /// Dropped when the connection ends, whoever has it by then.
    pub fn new(kept: impl Any + Send + Sync) -> Self {
        Self { _kept: Box::new(kept) }
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admitted")
    }
}

/// Says whether a peer's connection is let in.
pub(crate) type Admit = Arc<dyn Fn(Peer) -> Option<Admitted> + Send + Sync>;

/// How many connections there are, and may be.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    /// Each connection has a clone of it: there are as many as it is shared by.
    place: Arc<Place>,
}

impl Connections {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, place: Arc::default() }
    }

    /// One more, unless there are as many as there may be.
    pub(crate) fn hold(&mut self) -> Option<Held> {
        let there_are = Arc::strong_count(&self.place) - 1;
        (there_are < self.most).then(|| Held(self.place.clone()))
    }
}

/// One connection's place: a pointer alone, because a stream has it as long as it lives.
#[derive(Debug)]
pub(crate) struct Held(Arc<Place>);

/// What all connections share, or what one keeps.
#[derive(Debug, Default)]
struct Place {
    _shared: Option<Arc<Place>>,
    _admitted: Option<Admitted>,
}

impl Held {
    pub(crate) fn keep(self, admitted: Admitted) -> Self {
        Self(Arc::new(Place { _shared: Some(self.0), _admitted: Some(admitted) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_there_may_be() {
        let mut connections = Connections::new(2);
        let (one, two) = (connections.hold(), connections.hold());
        assert!(one.is_some() && two.is_some() && connections.hold().is_none());
        drop(one);
        let kept = Arc::new(());
        let three = connections.hold().unwrap().keep(Admitted::new(kept.clone()));
        assert_eq!(Arc::strong_count(&kept), 2);
        assert!(connections.hold().is_none(), "what is kept has a place, too");
        drop(three);
        assert_eq!(Arc::strong_count(&kept), 1);
        assert!(connections.hold().is_some());
        assert_eq!(size_of::<Held>(), size_of::<usize>());
    }
}
