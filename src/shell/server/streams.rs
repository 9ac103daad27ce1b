//! Streams: answers whose pieces come later.

use super::Server;
use crate::core::ids::ConnId;
use crate::core::time::Now;
use crate::core::web::DISPLACED;

impl Server {
    /// Adds a piece to a stream. `false`: its reader is gone or has too much to read already, see
    /// [`Connection::push`].
    pub fn push(&mut self, now: Now, id: ConnId, bytes: &[u8]) -> bool {
        let Some(place) = self.table.find(id) else { return false };
        let taken = self.table.get(place).is_some_and(|client| {
            // That was what it wanted; a socket that takes all of it at once wants more at once.
            client.asked = false;
            client.http.push(now, bytes)
        });
        self.write(place, now);
        self.settle(place);
        taken
    }

    /// A client of a stream, or of a request that was handed out and not answered, that waits no
    /// more. Ask before [`Server::next_request`]: the connection may go on with another request.
    pub fn next_gone(&mut self) -> Option<ConnId> {
        self.gone.pop_front()
    }

    /// Where all places of streams are taken, one is given up for the client at `place`.
    pub(super) fn make_room_for_stream(&mut self, now: Now, place: usize) {
        if self.streams.len() < self.limits.streams {
            return;
        }
        let Some(peer) = self.table.get(place).map(|client| client.peer) else { return };
        let Some(victim) = self.streams.gives_way_to(peer) else { return };
        if let Some(client) = self.table.get(victim) {
            client.http.push(now, DISPLACED);
            client.http.finish(now);
        }
        self.write(victim, now);
        self.settle(victim);
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
