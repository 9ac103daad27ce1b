//! Whose request is next: the addresses in turn, and the connections of each in turn. So who asks
//! once waits for one answer of each of the others, however many connections they have.

use std::collections::{BTreeMap, VecDeque};

use crate::core::places::Peer;

/// Places with a complete request.
#[derive(Debug, Default)]
pub(super) struct Turns {
    peers: VecDeque<Peer>,
    /// Of each of them, at least one place.
    places: BTreeMap<Peer, OfPeer>,
}

/// Who has sent one request, and who has sent several at once (pipelining): they take turns. All
/// may be clients of one proxy, and no browser does the latter.
#[derive(Debug, Default)]
struct OfPeer {
    queues: [VecDeque<u32>; 2],
    next: usize,
}

impl OfPeer {
    fn pop(&mut self) -> Option<u32> {
        let turn = if self.queues[self.next].is_empty() { 1 - self.next } else { self.next };
        self.next = 1 - turn;
        self.queues[turn].pop_front()
    }

    fn is_empty(&self) -> bool {
        self.queues.iter().all(VecDeque::is_empty)
    }
}

impl Turns {
    pub(super) fn push(&mut self, peer: Peer, place: u32, pipelines: bool) {
        let of_peer = self.places.entry(peer).or_default();
        if of_peer.is_empty() {
            self.peers.push_back(peer);
        }
        of_peer.queues[usize::from(pipelines)].push_back(place);
    }

    pub(super) fn pop(&mut self) -> Option<u32> {
        let peer = self.peers.pop_front()?;
        let of_peer = self.places.get_mut(&peer)?;
        let place = of_peer.pop();
        match of_peer.is_empty() {
            true => _ = self.places.remove(&peer),
            false => self.peers.push_back(peer),
        }
        place
    }

    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_address_in_turn() {
        let at = |last: u8| Peer::at([127, 0, 0, last].into());
        let mut turns = Turns::default();
        for place in 0..100 {
            turns.push(at(1), place, false);
        }
        turns.push(at(2), 200, true);
        turns.push(at(3), 300, false);
        turns.push(at(3), 301, true);
        let first: Vec<_> = (0..6).filter_map(|_| turns.pop()).collect();
        assert_eq!(first, [0, 200, 300, 1, 301, 2]);
        assert_eq!(
            (0..200).filter_map(|_| turns.pop()).collect::<Vec<_>>(),
            Vec::from_iter(3..100)
        );
        assert!(turns.is_empty());
    }

    #[test]
    fn who_asks_once_waits_for_few_who_ask_for_much() {
        let peer = Peer::default();
        let mut turns = Turns::default();
        (0..100).for_each(|place| turns.push(peer, place, true));
        turns.push(peer, 200, false);
        let first: Vec<_> = (0..3).filter_map(|_| turns.pop()).collect();
        assert_eq!(first, [200, 0, 1]);
    }
}
