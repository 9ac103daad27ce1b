//! All places are taken: who gives way to a newcomer. An idle connection, the one that waits
//! longest. Where there is none, one of the address that has most, whose client takes nothing of
//! what it asked for: so no address can keep all others out by requests whose answers it does not
//! read. Nor by ever more requests: where it has most of all places, those go whose turn has not
//! come.

use std::collections::BTreeMap;

use super::Server;
use crate::core::ids::ConnId;
use crate::core::places::Peer;
use crate::core::time::Now;

/// Stands for the time since when a client keeps the daemon waiting where it is the client that
/// waits.
const WAITS_FOR_US: u64 = u64::MAX;

/// Who has places, as it was at the beginning of this turn.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    seen_ms: u64,
    peers: BTreeMap<Peer, OfPeer>,
}

#[derive(Debug, Default)]
struct OfPeer {
    count: usize,
    /// Those that may go, and since when they keep the daemon waiting; longest last, after those
    /// ([`WAITS_FOR_US`]) that wait for it.
    may_go: Vec<(u64, ConnId)>,
}

impl Server {
    /// Closes a connection for a newcomer, whose address is not known before it is let in. `false`:
    /// there is none that should give way.
    pub(super) fn give_way(&mut self, now: Now, newcomer: Option<Peer>) -> bool {
        let idle = self.table.oldest_idle();
        let place = idle.or_else(|| newcomer.and_then(|newcomer| self.of_the_most(now, newcomer)));
        let Some(place) = place else { return false };
        self.remove(place);
        self.stats.gave_way += 1;
        true
    }

    /// The one to go of the address that has most; see above.
    fn of_the_most(&mut self, now: Now, newcomer: Peer) -> Option<usize> {
        if self.crowd.seen_ms != now.mono_ms {
            self.look_at_crowd(now);
        }
        let own = self.crowd.peers.get(&newcomer).map_or(0, |it| it.count);
        let most = self.crowd.peers.iter_mut().filter(|(_, it)| !it.may_go.is_empty());
        let (&peer, of_peer) = most.max_by_key(|(_, it)| it.count)?;
        // Behind a proxy all have one address, and a slow reader can't be told from one who reads
        // nothing: there the newcomer is told to come again.
        if newcomer == peer {
            return None;
        }
        while of_peer.count > own + 1 {
            let (since_ms, id) = of_peer.may_go.pop()?;
            if since_ms == WAITS_FOR_US && of_peer.count <= self.limits.connections / 2 {
                return None;
            }
            of_peer.count -= 1;
            // Some have gone meanwhile.
            if let Some(place) = self.table.find(id) {
                return Some(place);
            }
        }
        None
    }

    /// Once in a turn: there may be thousands.
    fn look_at_crowd(&mut self, now: Now) {
        let mut peers: BTreeMap<Peer, OfPeer> = BTreeMap::new();
        for place in self.table.taken() {
            let Some(client) = self.table.get(place) else { continue };
            let of_peer = peers.entry(client.peer).or_default();
            of_peer.count += 1;
            let unread = client.http.kept_waiting_since_ms().filter(|_| !client.writable);
            let asks = client.http.has_request().then_some(WAITS_FOR_US);
            of_peer.may_go.extend(unread.or(asks).map(|since| (since, client.id)));
        }
        peers.values_mut().for_each(|it| it.may_go.sort_unstable_by(|a, b| b.cmp(a)));
        self.crowd = Crowd { seen_ms: now.mono_ms, peers };
    }
}
