//! Places of one kind: how many are taken in all, by each address, and by each subject.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{
    counts::Counts,
    full::{Full, Which},
    returns::{self, Returns},
    status::RoomStatus,
};

/// How many places there are. `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Most {
    pub(super) in_all: Option<usize>,
    pub(super) per_address: Option<usize>,
    pub(super) per_subject: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    /// What its places are of, in words.
    of: &'static str,
    /// `usize::MAX`: no limit.
    most: AtomicUsize,
    taken: AtomicUsize,
    returns: Mutex<Returns>,
    /// Made with the first limit, and never unmade: what is counted is given back.
    addresses: OnceLock<Counts<IpAddr>>,
    subjects: OnceLock<Counts<Arc<str>>>,
    /// How many were turned away, by [`Which`].
    refused: [AtomicU64; 3],
}

impl Room {
    pub(super) fn new(of: &'static str, most: Most) -> Self {
        let room = Self { of, ..Self::default() };
        room.set_most(most);
        room
    }

    /// From now on it is so many. Who has a place keeps it.
    pub(super) fn set_most(&self, most: Most) {
        self.most.store(most.in_all.unwrap_or(usize::MAX), Ordering::Relaxed);
        set_most(&self.addresses, most.per_address);
        set_most(&self.subjects, most.per_subject);
    }

    /// Takes a place.
    pub(super) fn enter(
        room: &Arc<Self>,
        address: Option<IpAddr>,
        subject: Option<&str>,
        now: Instant,
    ) -> Result<Permit, Full> {
        let mut permit = room.enter_at_all(now)?;
        // What was taken is given back with the permit, if there is none of the next.
        if let (Some(counts), Some(address)) = (room.addresses.get(), address) {
            let taken = counts.take(address, now);
            permit.address = Some(taken.map_err(|turn| room.full(Which::Address, counts.most(), turn))?);
        }
        if let (Some(counts), Some(subject)) = (room.subjects.get(), subject) {
            let taken = counts.take(subject.into(), now);
            permit.subject = Some(taken.map_err(|turn| room.full(Which::Subject, counts.most(), turn))?);
        }
        Ok(permit)
    }

    fn enter_at_all(self: &Arc<Self>, now: Instant) -> Result<Permit, Full> {
        let most = self.most.load(Ordering::Relaxed);
        let more = |taken: usize| (taken < most).then(|| taken + 1);
        if self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            let mut returns = self.returns.lock().unwrap_or_else(PoisonError::into_inner);
            return Err(self.full(Which::All, most, returns.next(now, returns::OF_ALL)));
        }
        Ok(Permit { room: self.clone(), address: None, subject: None })
    }

    fn full(&self, which: Which, most: usize, turn: std::time::Duration) -> Full {
        self.refused[which as usize].fetch_add(1, Ordering::Relaxed);
        let full = Full { which, of: self.of, most, retry: returns::spread(turn, fastrand::f64()) };
        tracing::debug!("{full}");
        full
    }

    pub(super) fn is_per_address(&self) -> bool {
        self.addresses.get().is_some_and(|counts| counts.most() < usize::MAX)
    }

    pub(super) fn status(&self) -> RoomStatus {
        let refused = |which: Which| self.refused[which as usize].load(Ordering::Relaxed);
        RoomStatus {
            open: self.taken.load(Ordering::Relaxed),
            most: Some(self.most.load(Ordering::Relaxed)).filter(|most| *most < usize::MAX),
            addresses: self.addresses.get().map_or(0, Counts::len),
            subjects: self.subjects.get().map_or(0, Counts::len),
            refused: refused(Which::All),
            refused_by_address: refused(Which::Address),
            refused_by_subject: refused(Which::Subject),
        }
    }
}

fn set_most<K: Clone + Eq + std::hash::Hash>(counts: &OnceLock<Counts<K>>, most: Option<usize>) {
    match (counts.get(), most) {
        (None, None) => {}
        (None, Some(most)) => counts.get_or_init(|| Counts::new(most)).set_most(most),
        (Some(counts), most) => counts.set_most(most.unwrap_or(usize::MAX)),
    }
}

/// A place that is taken, until it is dropped.
#[must_use = "the place is free again as soon as it is dropped"]
pub struct Permit {
    room: Arc<Room>,
    address: Option<IpAddr>,
    subject: Option<Arc<str>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Room { taken, addresses, subjects, .. } = &*self.room;
        if let (Some(counts), Some(address)) = (addresses.get(), &self.address) {
            counts.give(address);
        }
        if let (Some(counts), Some(subject)) = (subjects.get(), &self.subject) {
            counts.give(subject);
        }
        taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("of", &self.room.of)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
