//! One socket and its stream.

use std::{
    io::{self, IoSlice, Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use tidewater_hub::EventStream;

use super::{
    inbox::{Arrival, Call},
    socket::Socket,
};
use crate::admission::Held;

/// How many pieces go into one write, and from how many bytes on no more are added to it.
const PIECES: usize = 16;
const WRITE_BYTES: usize = 64 << 10;
/// How much is written before others get their turn.
const TURN_BYTES: usize = 256 << 10;
/// How much of a client that is full is copied, so that it holds nothing of the log.
const COPIED_BYTES: usize = 4 << 10;
/// How much a client may send at once that nobody asked for.
const STRAY_BYTES: usize = 64 << 10;

/// A stream that is written to its socket.
pub(super) struct Client {
    socket: Socket,
    stream: EventStream,
    call: Arc<Call>,
    waker: Waker,
    /// What the socket did not take.
    left: Option<Box<Left>>,
    /// The last pass in which it had a turn.
    pub(super) pass: u32,
    /// Whether its socket has ever taken no more.
    was_full: bool,
    ended: bool,
    /// It counts as long as it lives.
    _held: Held,
}

/// Bytes that wait until the socket takes more, and since when it has taken none.
struct Left {
    pieces: Vec<Bytes>,
    since: Instant,
}

/// What a turn comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is written to again when something comes for it, or when its socket takes more.
    Waits,
    /// It has more to write, after others have had their turn.
    Again,
    /// It is over.
    Over,
}

impl Client {
    /// A client whose first bytes are these.
    pub(super) fn new(arrival: Arrival, call: Call) -> Self {
        let Arrival { socket, head, stream, held } = arrival;
        let call = Arc::new(call);
        let waker = Waker::from(call.clone());
        let left = Some(Box::new(Left { pieces: vec![head], since: Instant::now() }));
        Self { socket, stream, call, waker, left, pass: 0, was_full: false, ended: false, _held: held }
    }

    /// Whether it waits for its socket.
    pub(super) fn is_stalled(&self) -> bool {
        self.left.is_some()
    }

    /// Whether its stream has ended, and only its socket is waited for.
    pub(super) fn is_ending(&self) -> bool {
        self.ended && self.is_stalled()
    }

    /// Whether its socket has taken nothing for so long.
    pub(super) fn is_stuck(&self, now: Instant, timeout: Duration) -> bool {
        self.left.as_ref().is_some_and(|left| now.saturating_duration_since(left.since) >= timeout)
    }

    /// Something came for it. One that waits for its socket goes on when that is ready.
    pub(super) fn called(&mut self, pieces: &mut Vec<Bytes>) -> Turn {
        self.call.answered();
        if self.is_stalled() { Turn::Waits } else { self.write(pieces) }
    }

    /// Writes all that it is behind, as far as the socket takes it. `pieces` is room that is used again.
    pub(super) fn write(&mut self, pieces: &mut Vec<Bytes>) -> Turn {
        pieces.clear();
        let since = self.left.take().map(|left| {
            let Left { pieces: old, since } = *left;
            pieces.extend(old);
            since
        });
        let mut turn = 0;
        loop {
            let waits = self.gather(pieces);
            if pieces.is_empty() {
                return if self.ended { Turn::Over } else { Turn::Waits };
            }
            match send(&mut self.socket, pieces) {
                Ok(0) => return Turn::Over,
                Ok(length) => {
                    turn += length;
                    advance(pieces, length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !std::mem::replace(&mut self.was_full, true) {
                        self.socket.unset_patience();
                    }
                    let since = since.filter(|_| turn == 0).unwrap_or_else(Instant::now);
                    let pieces = self.give_back(pieces);
                    self.left = Some(Box::new(Left { pieces, since }));
                    return Turn::Waits;
                }
                Err(error) => {
                    tracing::debug!(%error, "a stream's client is gone");
                    return Turn::Over;
                }
            }
            if !pieces.is_empty() {
                // A socket that takes a part is full: the next write says so.
                continue;
            }
            if waits {
                return if self.ended { Turn::Over } else { Turn::Waits };
            }
            if turn >= TURN_BYTES {
                return Turn::Again;
            }
        }
    }

    /// Takes what there is from the stream. Answers whether that is all for now.
    fn gather(&mut self, pieces: &mut Vec<Bytes>) -> bool {
        let mut context = Context::from_waker(&self.waker);
        let mut length: usize = pieces.iter().map(Bytes::len).sum();
        while !self.ended && pieces.len() < PIECES && length < WRITE_BYTES {
            match Pin::new(&mut self.stream).poll_next(&mut context) {
                Poll::Ready(Some(bytes)) if bytes.is_empty() => {}
                Poll::Ready(Some(bytes)) => {
                    length += bytes.len();
                    pieces.push(bytes);
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Pending => return true,
            }
        }
        self.ended
    }

    /// Gives the stream back what waits in the log as well, so that a client that does not read holds no more than an
    /// event of it. What has to go out first.
    fn give_back(&mut self, pieces: &mut Vec<Bytes>) -> Vec<Bytes> {
        while let Some(last) = pieces.last_mut() {
            let kept = self.stream.give_back(last);
            if kept > 0 {
                last.truncate(kept);
                if kept <= COPIED_BYTES {
                    *last = Bytes::copy_from_slice(last);
                }
                break;
            }
            pieces.pop();
        }
        std::mem::take(pieces)
    }

    /// Reads what nobody asked for. Answers whether the client is still there: one that says no more has gone.
    pub(super) fn read(&mut self) -> bool {
        let mut buffer = [0; 4 << 10];
        let mut length = 0;
        while length < STRAY_BYTES {
            match self.socket.read(&mut buffer) {
                Ok(0) => return false,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        tracing::debug!("a stream's client sends what nobody asked for");
        false
    }

    /// It has more to write than a turn takes.
    pub(super) fn call_again(&self) {
        self.waker.wake_by_ref();
    }
}

/// One write of all pieces.
fn send(socket: &mut Socket, pieces: &[Bytes]) -> io::Result<usize> {
    if let [one] = pieces {
        return socket.write(one);
    }
    let mut slices = [IoSlice::new(&[]); PIECES];
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
    }
    socket.write_vectored(&slices[..pieces.len().min(PIECES)])
}

/// Lets go of what was written.
fn advance(pieces: &mut Vec<Bytes>, mut length: usize) {
    let whole = pieces.iter().take_while(|piece| {
        let is_whole = piece.len() <= length;
        length -= if is_whole { piece.len() } else { 0 };
        is_whole
    });
    let whole = whole.count();
    pieces.drain(..whole);
    if let Some(first) = pieces.first_mut() {
        first.advance(length);
    }
}
