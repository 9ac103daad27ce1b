//! The memory that clients take: counted for all together, and given back by those who keep the
//! daemon waiting longest.

use super::Server;
use crate::core::ids::ConnId;

/// When too much is held, an eighth of what may be is freed at once, so that this is rare.
const RELIEF_PARTS: usize = 8;

impl Server {
    /// Counts what a client holds, and notes whether it wants a piece of a body.
    pub(super) fn weigh(&mut self, place: usize) {
        let Some(client) = self.table.get(place) else { return };
        let held = client.http.held_bytes();
        self.ledger.change(client.held, held);
        client.held = held;
        let wants = client.http.wants_piece();
        if wants && !client.asked {
            self.hungry.push_back(client.id);
        }
        client.asked = wants;
        if self.ledger.held() > self.relief_at {
            self.relieve();
        }
    }

    /// A client that has taken what it got of a body, and wants the next piece.
    pub fn next_hungry(&mut self) -> Option<ConnId> {
        self.hungry.pop_front()
    }

    /// Bytes that all clients hold.
    pub fn held_bytes(&self) -> usize {
        self.ledger.held()
    }

    /// Closes those who keep the daemon waiting longest until enough is free. Where that is not
    /// enough, the next attempt is made when there is clearly more.
    fn relieve(&mut self) {
        let part = self.ledger.limit() / RELIEF_PARTS;
        let goal = self.ledger.limit() - part;
        let mut waiting = Vec::new();
        for place in self.table.taken() {
            let since = self.table.get(place).and_then(|it| it.http.kept_waiting_since_ms());
            waiting.extend(since.map(|since| (since, place)));
        }
        waiting.sort_unstable();
        for (_, place) in waiting {
            if self.ledger.held() <= goal {
                break;
            }
            self.remove(place);
            self.stats.gave_way += 1;
        }
        self.relief_at = self.ledger.limit().max(self.ledger.held() + part);
        if self.ledger.held() <= self.ledger.limit() {
            self.relief_at = self.ledger.limit();
        }
    }
}
