//! What another program has to know to go on with a client.

use super::{Connection, State, refuse};
use crate::core::time::Now;

/// What a client is told whose request was taken up.
const GIVEN_UP: &str = "The daemon ends or starts again before its answer. What was asked for may \
                        be done all the same: look before you ask again.";

/// The same of a request that was not taken up.
const NOT_BEGUN: &str = "The daemon ends or starts again, and the request was not taken up: \
                         nothing was done. Send it again.";

impl Connection {
    /// Who still waits for an answer, or still sends a request, gets none any more, and is told so.
    pub fn give_up(&mut self, now: Now) {
        match self.state {
            State::Answering => self.refuse(now, refuse(504, GIVEN_UP)),
            State::Body(_) | State::Ready(_) => self.refuse(now, refuse(503, NOT_BEGUN)),
            State::Head
            | State::Streaming
            | State::Sending(_)
            | State::Last
            | State::Linger
            | State::Closed => {}
        }
    }

    /// Whether nothing is under way that has to be answered first, before the program that serves
    /// it is replaced by another.
    pub fn is_settled(&self) -> bool {
        match self.state {
            State::Head => self.output.is_empty(),
            State::Streaming | State::Linger | State::Closed => true,
            State::Body(_) | State::Ready(_) | State::Answering => false,
            State::Sending(_) | State::Last => false,
        }
    }

    /// What another program needs to go on with this client, between two requests: the bytes of
    /// the next one. `None`: it can't go on.
    pub fn between_requests(&self) -> Option<&[u8]> {
        let between = matches!(self.state, State::Head) && self.output.is_empty();
        (between && !self.eof && !self.draining).then_some(&self.input)
    }

    /// Whether a request is complete but for its body.
    pub fn awaits_body(&self) -> bool {
        matches!(self.state, State::Body(_))
    }
}
