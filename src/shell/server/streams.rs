//! Streams: answers whose pieces come later.

use super::Server;
use crate::core::ids::ConnId;
use crate::core::time::Now;

impl Server {
    /// Adds a piece to a stream. `false`: its reader is gone or has too much to read already, see
    /// [`Connection::push`].
    pub fn push(&mut self, now: Now, id: ConnId, bytes: &[u8]) -> bool {
        let Some(place) = self.table.find(id) else { return false };
        let taken = self.table.get(place).is_some_and(|client| client.http.push(now, bytes));
        self.write(place, now);
        self.settle(place);
        taken
    }

    /// Ends a stream.
    pub fn finish(&mut self, now: Now, id: ConnId) {
        let Some(place) = self.table.find(id) else { return };
        if let Some(client) = self.table.get(place) {
            client.http.finish(now);
        }
        self.write(place, now);
        self.settle(place);
    }

    /// Whether a connection is still there.
    pub fn is_open(&self, id: ConnId) -> bool {
        self.table.find(id).is_some()
    }

    /// Whether a stream is being answered on this connection.
    pub fn is_streaming(&mut self, id: ConnId) -> bool {
        let Some(place) = self.table.find(id) else { return false };
        self.table.get(place).is_some_and(|client| client.http.is_streaming())
    }
}
