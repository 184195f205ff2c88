//! What a batch becomes in each encoding: made once, by the first client that wants it, and not under the channel's lock.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

#[cfg(feature = "zstd")]
use bytes::Bytes;
use tidewater_core::Cursor;

#[cfg(feature = "gzip")]
use super::gzip::{self, Deflated};
#[cfg(feature = "zstd")]
use super::zstd;

/// The compressed forms of one piece of bytes.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    #[cfg(feature = "gzip")]
    gzip: OnceLock<Deflated>,
    #[cfg(feature = "zstd")]
    zstd: OnceLock<Bytes>,
    /// How much that is in all cells of a log.
    meter: Arc<AtomicUsize>,
}

impl Cells {
    fn of(meter: Arc<AtomicUsize>) -> Self {
        Self {
            meter,
            #[cfg(feature = "gzip")]
            gzip: OnceLock::new(),
            #[cfg(feature = "zstd")]
            zstd: OnceLock::new(),
        }
    }

    #[cfg(feature = "gzip")]
    pub(crate) fn gzip(&self, bytes: &[u8]) -> &Deflated {
        self.gzip.get_or_init(|| {
            let deflated = gzip::deflate(bytes);
            self.meter.fetch_add(deflated.bytes.len(), Ordering::Relaxed);
            deflated
        })
    }

    #[cfg(feature = "gzip")]
    pub(crate) fn has_gzip(&self) -> Option<&Deflated> {
        self.gzip.get()
    }

    #[cfg(feature = "zstd")]
    pub(crate) fn zstd(&self, bytes: &[u8]) -> &Bytes {
        self.zstd.get_or_init(|| {
            let frame = zstd::frame(bytes);
            self.meter.fetch_add(frame.len(), Ordering::Relaxed);
            frame
        })
    }

    #[cfg(feature = "zstd")]
    pub(crate) fn has_zstd(&self) -> Option<&Bytes> {
        self.zstd.get()
    }

    fn size(&self) -> usize {
        let sizes: &[usize] = &[
            #[cfg(feature = "gzip")]
            self.gzip.get().map_or(0, |deflated| deflated.bytes.len()),
            #[cfg(feature = "zstd")]
            self.zstd.get().map_or(0, Bytes::len),
        ];
        sizes.iter().sum()
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        self.meter.fetch_sub(self.size(), Ordering::Relaxed);
    }
}

/// The compressed forms of a batch. Nothing is kept for one that no client has wanted compressed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    whole: OnceLock<Arc<Cells>>,
    /// Of the batches that it was put together from: whoever has come as far as one of them goes on with what it had
    /// become, instead of compressing the rest for itself.
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug)]
struct Piece {
    /// The entries of the batch before its end.
    end: usize,
    /// The node's cursor there.
    cursor: Arc<Cursor>,
    cells: Arc<Cells>,
}

/// What a client takes at once.
#[derive(Debug)]
pub(crate) struct Unit {
    /// The entries of the batch before its end.
    pub(crate) end: usize,
    /// The node's cursor there, unless that is the batch's own end.
    pub(crate) cursor: Option<Arc<Cursor>>,
    /// Where its compressed forms are, if it is not one client's own rest of something.
    pub(crate) cells: Option<Arc<Cells>>,
}

impl Unit {
    /// All that there is of a batch, for one client.
    pub(crate) fn rest(entries: usize) -> Self {
        Self { end: entries, cursor: None, cells: None }
    }
}

impl Packed {
    /// Of a batch that is put together from these, each with its number of entries and the cursor at its end. They are
    /// remembered if any of them was wanted: whoever follows will want the others.
    pub(crate) fn of<'a>(parts: impl Iterator<Item = (&'a Self, usize, &'a Arc<Cursor>)> + Clone) -> Self {
        let Some(meter) = parts.clone().find_map(|(part, ..)| part.whole.get()).map(|cells| &cells.meter)
        else {
            return Self::default();
        };
        let mut end = 0;
        let pieces = parts.map(|(part, entries, cursor)| {
            end += entries;
            Piece { end, cursor: cursor.clone(), cells: part.whole(meter).clone() }
        });
        Self { whole: OnceLock::new(), pieces: pieces.collect() }
    }

    /// What a client takes that has everything before the entry `from`, of `entries`.
    pub(crate) fn unit(&self, from: usize, entries: usize, meter: &Arc<AtomicUsize>) -> Unit {
        #[cfg(all(test, any(feature = "gzip", feature = "zstd")))]
        let from = if crate::model::broken::is(crate::model::broken::Fault::RestAsWhole) { 0 } else { from };
        if from == 0 {
            return Unit { end: entries, cursor: None, cells: Some(self.whole(meter).clone()) };
        }
        let at = self.pieces.partition_point(|piece| piece.end <= from);
        let Some(piece) = self.pieces.get(at) else {
            return Unit::rest(entries);
        };
        let is_start = at.checked_sub(1).is_some_and(|before| self.pieces[before].end == from);
        Unit {
            end: piece.end,
            cursor: Some(piece.cursor.clone()),
            cells: is_start.then(|| piece.cells.clone()),
        }
    }

    /// Where units begin that end before the entry `end`, of `entries`, and their compressed forms.
    pub(crate) fn ending(&self, end: usize, entries: usize) -> impl Iterator<Item = (usize, &Arc<Cells>)> {
        let whole = self.whole.get().filter(|_| end == entries).map(|cells| (0, cells));
        let at = self.pieces.iter().position(|piece| piece.end == end);
        let piece = at.map(|at| {
            let start = at.checked_sub(1).map_or(0, |before| self.pieces[before].end);
            (start, &self.pieces[at].cells)
        });
        whole.into_iter().chain(piece)
    }

    fn whole(&self, meter: &Arc<AtomicUsize>) -> &Arc<Cells> {
        self.whole.get_or_init(|| Arc::new(Cells::of(meter.clone())))
    }
}
