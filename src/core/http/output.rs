//! Bytes on their way to the client: a queue of pieces, the shared ones not copied.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

use super::Ledger;
use super::shared::Shared;

/// Up to this size a body is copied behind its head: cheaper than a second piece.
pub(super) const COPY_BYTES: usize = 4_096;
/// A piece does not grow past this by appending.
const PIECE_BYTES: usize = 65_536;

#[derive(Debug)]
enum Piece {
    Owned(Vec<u8>),
    Plain(Queued),
    Gzip(Queued),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Owned(bytes) => bytes,
            Piece::Plain(queued) => queued.shared.plain(),
            Piece::Gzip(queued) => queued.shared.gzip().unwrap_or_default(),
        }
    }
}

/// A shared body as long as it is queued.
#[derive(Debug)]
struct Queued {
    shared: Rc<Shared>,
    ledger: Rc<Ledger>,
}

impl Queued {
    fn new(shared: Rc<Shared>, ledger: &Rc<Ledger>) -> Queued {
        shared.queued_once_more(ledger);
        Queued { shared, ledger: Rc::clone(ledger) }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.shared.queued_once_less(&self.ledger);
    }
}

/// The queue. Empty, it owns no memory.
#[derive(Debug, Default)]
pub(super) struct Output {
    pieces: VecDeque<Piece>,
    sent: usize,
    queued: usize,
    answers: usize,
}

impl Output {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.queued
    }

    /// Bytes held for this queue alone, those already sent of its first piece included.
    pub(super) fn held_bytes(&self) -> usize {
        let of = |piece: &Piece| match piece {
            Piece::Owned(bytes) => bytes.capacity(),
            Piece::Plain(_) | Piece::Gzip(_) => 0,
        };
        self.pieces.iter().map(of).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// Answers queued since the queue was last empty.
    pub(super) fn answers(&self) -> usize {
        self.answers
    }

    /// Counts the answer that was queued.
    pub(super) fn count_answer(&mut self) {
        self.answers += 1;
    }

    /// Queues bytes.
    pub(super) fn bytes(&mut self, bytes: Vec<u8>) {
        self.queued += bytes.len();
        match self.pieces.back_mut() {
            Some(Piece::Owned(last)) if last.len() + bytes.len() <= PIECE_BYTES => {
                last.extend_from_slice(&bytes);
            }
            _ if bytes.is_empty() => {}
            _ => self.pieces.push_back(Piece::Owned(bytes)),
        }
    }

    /// Queues a head and a body made for it.
    pub(super) fn owned(&mut self, mut head: Vec<u8>, body: Vec<u8>) {
        if body.len() <= COPY_BYTES {
            head.extend_from_slice(&body);
            return self.bytes(head);
        }
        self.bytes(head);
        self.queued += body.len();
        self.pieces.push_back(Piece::Owned(body));
    }

    /// Queues a head and a body that others use too.
    pub(super) fn shared(
        &mut self,
        mut head: Vec<u8>,
        body: Rc<Shared>,
        gzip: bool,
        ledger: &Rc<Ledger>,
    ) {
        let body = Queued::new(body, ledger);
        let piece = if gzip { Piece::Gzip(body) } else { Piece::Plain(body) };
        let length = piece.bytes().len();
        if length <= COPY_BYTES {
            head.extend_from_slice(piece.bytes());
            return self.bytes(head);
        }
        self.bytes(head);
        self.queued += length;
        self.pieces.push_back(piece);
    }

    /// The bytes that are next, at most one piece.
    pub(super) fn front(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| &piece.bytes()[self.sent..])
    }

    /// Fills `slices` with what is next and returns how many it filled.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let count = self.pieces.len().min(slices.len());
        for (at, (slice, piece)) in slices.iter_mut().zip(&self.pieces).enumerate() {
            let skip = if at == 0 { self.sent } else { 0 };
            *slice = IoSlice::new(&piece.bytes()[skip..]);
        }
        count
    }

    /// Takes `count` bytes off, which the client's socket has taken.
    pub(super) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.queued, "more was sent than was queued");
        self.queued = self.queued.saturating_sub(count);
        self.sent += count;
        while let Some(length) = self.pieces.front().map(|piece| piece.bytes().len()) {
            if self.sent < length {
                break;
            }
            self.sent -= length;
            self.pieces.pop_front();
        }
        if self.queued == 0 {
            *self = Output::default();
        }
    }
}
