//! Answers whose pieces come later, and what a connection holds.

use super::{Connection, State};
use crate::core::http::encode;
use crate::core::time::Now;

impl Connection {
    /// Adds a piece to the stream or to the body being answered. `false`: it was not taken, because
    /// there is none or its reader has enough to read already: [`super::Limits::stream_bytes`] of a
    /// stream; send it the whole state once it has caught up. Of a body a piece is taken when the
    /// one before it was: [`Connection::wants_piece`].
    pub fn push(&mut self, now: Now, bytes: &[u8]) -> bool {
        match self.state {
            State::Streaming if self.output.len() + bytes.len() <= self.limits.stream_bytes => {
                // A chunk of no bytes would end the stream.
                if !bytes.is_empty() {
                    let chunk = encode::chunk(bytes, &self.exchange);
                    self.note_queueing(now);
                    self.output.bytes(chunk);
                }
                true
            }
            State::Sending(left) if self.output.is_empty() => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.note_queueing(now);
                self.output.bytes(bytes[..count].to_vec());
                match left - count as u64 {
                    0 => self.answered(now),
                    left => self.enter(now, State::Sending(left)),
                }
                true
            }
            _ => false,
        }
    }

    /// Ends the stream being answered. A body that is not whole can only be broken off: so its
    /// reader knows.
    pub fn finish(&mut self, now: Now) {
        match self.state {
            State::Streaming => {
                if !self.exchange.old {
                    self.note_queueing(now);
                    self.output.bytes(b"0\r\n\r\n".to_vec());
                }
                self.answered(now);
            }
            State::Sending(_) => self.close(),
            _ => {}
        }
    }

    /// Whether the next piece of a body is wanted: those before it were sent.
    pub fn wants_piece(&self) -> bool {
        matches!(self.state, State::Sending(_)) && self.output.is_empty()
    }

    /// Whether an answer is under way whose pieces come later.
    pub fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming | State::Sending(_))
    }

    /// Bytes that this connection alone holds.
    pub fn held_bytes(&self) -> usize {
        let request = match &self.state {
            State::Body(pair) => pair.0.held_bytes(),
            State::Ready(request) => request.held_bytes(),
            _ => 0,
        };
        self.input.capacity() + request + self.output.held_bytes()
    }

    /// Since when (monotonic ms) its client has kept it waiting while it holds something: to take
    /// what is queued, or to send the rest of a request. `None`: it does not.
    pub fn kept_waiting_since_ms(&self) -> Option<u64> {
        match self.state {
            _ if !self.output.is_empty() => Some(self.write_since_ms),
            State::Head | State::Body(_) if self.held_bytes() > 0 => Some(self.since_ms),
            _ => None,
        }
    }

    /// The answer is queued wholly.
    fn answered(&mut self, now: Now) {
        match self.exchange.keep_alive && !self.draining {
            true => self.await_next(now),
            false => self.last(now),
        }
    }
}
