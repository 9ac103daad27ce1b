//! What another program has to know to go on with a client.

use super::{Connection, State};

impl Connection {
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
