//! All places are taken: who gives way to a newcomer. An idle connection, of the address that has
//! most of them the one that waits longest. Where there is none, one of the address that has most,
//! whose client takes nothing of what it asked for: so no address can keep all others out by
//! requests whose answers it does not read. Nor by ever more requests: where it has most of all
//! places, those go whose turn has not come. Then it pays first, and loses nobody else an idle one.

use std::collections::BTreeMap;

use super::Server;
use crate::core::ids::ConnId;
use crate::core::places::Peer;
use crate::core::time::Now;

/// Stands for the time since when a client keeps the daemon waiting where it is the client that
/// waits.
const WAITS_FOR_US: u64 = u64::MAX;

/// Who may go, as it was at the beginning of this turn.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    seen_ms: u64,
    /// Those that may go, and since when they keep the daemon waiting; longest last, after those
    /// ([`WAITS_FOR_US`]) that wait for it.
    may_go: BTreeMap<Peer, Vec<(u64, ConnId)>>,
}

impl Server {
    /// Closes a connection for a newcomer, whose address is not known before it is let in. `false`:
    /// there is none that should give way.
    pub(super) fn give_way(&mut self, now: Now, newcomer: Option<Peer>) -> bool {
        let Some(place) = self.who_gives_way(now, newcomer) else { return false };
        self.remove(place);
        self.stats.gave_way += 1;
        true
    }

    fn who_gives_way(&mut self, now: Now, newcomer: Option<Peer>) -> Option<usize> {
        let most = self.table.who_has_most_of(self.limits.connections);
        if let Some(most) = most {
            let idle = self.table.oldest_idle_of(most);
            let gives = idle.or_else(|| self.busy(now, newcomer?, |peer| peer == most));
            if gives.is_some() || newcomer == Some(most) {
                return gives;
            }
        }
        let idle = self.table.oldest_idle(newcomer.unwrap_or_default());
        idle.or_else(|| self.busy(now, newcomer?, |_| true))
    }

    /// The one to go of the address that has most; see above.
    fn busy(&mut self, now: Now, newcomer: Peer, of: impl Fn(Peer) -> bool) -> Option<usize> {
        if self.crowd.seen_ms != now.mono_ms {
            self.look_at_crowd(now);
        }
        let all = self.crowd.may_go.iter_mut();
        let those = all.filter(|(peer, may_go)| of(**peer) && !may_go.is_empty());
        let (&peer, may_go) = those.max_by_key(|(peer, _)| self.table.of(**peer))?;
        // Behind a proxy all have one address, and a slow reader can't be told from one who reads
        // nothing: there the newcomer is told to come again.
        if newcomer == peer {
            return None;
        }
        let has = self.table.of(peer);
        if has <= self.table.of(newcomer) + 1 {
            return None;
        }
        while let Some((since_ms, id)) = may_go.pop() {
            if since_ms == WAITS_FOR_US && has <= self.limits.connections / 2 {
                return None;
            }
            // Some have gone meanwhile.
            if let Some(place) = self.table.find(id) {
                return Some(place);
            }
        }
        None
    }

    /// Once in a turn: there may be thousands.
    fn look_at_crowd(&mut self, now: Now) {
        let mut may_go: BTreeMap<Peer, Vec<(u64, ConnId)>> = BTreeMap::new();
        for place in self.table.taken() {
            let Some(client) = self.table.get(place) else { continue };
            let unread = client.http.kept_waiting_since_ms().filter(|_| !client.writable);
            let asks = client.http.has_request().then_some(WAITS_FOR_US);
            if let Some(since) = unread.or(asks) {
                may_go.entry(client.peer).or_default().push((since, client.id));
            }
        }
        may_go.values_mut().for_each(|it| it.sort_unstable_by(|a, b| b.cmp(a)));
        self.crowd = Crowd { seen_ms: now.mono_ms, may_go };
    }
}
