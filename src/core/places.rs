//! Places that are few, and who gives one up to a newcomer: of the clients at the address that has
//! most, the one that has had it longest. So nobody is locked out, whoever was first, and one
//! address can't take the places of all others; behind a proxy, where all have one address, the
//! newest have them.

use ::core::net::IpAddr;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Bits of an IPv6 address that are a client's own: the rest it can choose as it likes.
const HOST_BITS: u32 = 64;

/// Whose a connection is: clients at one address are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer(u128);

impl Peer {
    /// The client at this address; in IPv6 at this network.
    pub fn at(address: IpAddr) -> Peer {
        match address {
            IpAddr::V4(four) => Peer(four.to_ipv6_mapped().to_bits()),
            IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => Peer(six.to_bits()),
            IpAddr::V6(six) => Peer(six.to_bits() >> HOST_BITS << HOST_BITS),
        }
    }
}

/// Who has places.
#[derive(Debug)]
pub struct Places<K> {
    holders: BTreeMap<K, (Peer, u64)>,
    peers: BTreeMap<Peer, BTreeSet<(u64, K)>>,
    last: u64,
}

impl<K> Default for Places<K> {
    fn default() -> Places<K> {
        Places { holders: BTreeMap::new(), peers: BTreeMap::new(), last: 0 }
    }
}

impl<K: Ord + Copy> Places<K> {
    /// How many are taken.
    pub fn len(&self) -> usize {
        self.holders.len()
    }

    /// Whether none is taken.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    /// Takes a place; who has one keeps it.
    pub fn take(&mut self, holder: K, peer: Peer) {
        if !self.holders.contains_key(&holder) {
            self.last += 1;
            self.holders.insert(holder, (peer, self.last));
            self.peers.entry(peer).or_default().insert((self.last, holder));
        }
    }

    /// Gives a place back. Returns whether there was one.
    pub fn leave(&mut self, holder: K) -> bool {
        let Some((peer, since)) = self.holders.remove(&holder) else { return false };
        if let Some(of_peer) = self.peers.get_mut(&peer) {
            of_peer.remove(&(since, holder));
            if of_peer.is_empty() {
                self.peers.remove(&peer);
            }
        }
        true
    }

    /// Who is to leave if somebody comes for whom there is no place any more. Who has as many as
    /// the newcomer would have then loses none to it, if it has one itself.
    pub fn gives_way_to(&self, newcomer: Peer) -> Option<K> {
        let rank = |(peer, of_peer): &(&Peer, &BTreeSet<(u64, K)>)| {
            let own = **peer == newcomer;
            let oldest = of_peer.first().map_or(u64::MAX, |(since, _)| *since);
            (of_peer.len() + usize::from(own), own, Reverse(oldest))
        };
        let (_, of_peer) = self.peers.iter().max_by_key(rank)?;
        of_peer.first().map(|(_, holder)| *holder)
    }
}
