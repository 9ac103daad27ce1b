//! Places that are few, and who gives one up to a newcomer: of the clients at the address that has
//! most, the one that has had it longest. So nobody is locked out by those who came first, and one
//! address can't take the places of all others; behind a proxy, where all have one address, the
//! newest have them.

use ::core::net::{IpAddr, Ipv6Addr};
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

    /// The address, or in IPv6 the network.
    pub fn address(self) -> IpAddr {
        Ipv6Addr::from_bits(self.0).to_canonical()
    }

    /// Whether it is this machine. (Of `::1` the network is left, and nobody else is in it.)
    pub fn is_loopback(self) -> bool {
        self.0 == 0 || self.address().is_loopback()
    }
}

/// What each address has, each thing with its number: the lower, the older. However many addresses
/// there are, who gives way is known at once: ever other ones must not cost the more.
#[derive(Debug)]
pub struct Shares<K> {
    peers: BTreeMap<Peer, BTreeSet<(u64, K)>>,
    /// By how much they have, and the number of the oldest of it.
    ranks: BTreeSet<(usize, Reverse<u64>, Peer)>,
    last: u64,
}

impl<K> Default for Shares<K> {
    fn default() -> Shares<K> {
        Shares { peers: BTreeMap::new(), ranks: BTreeSet::new(), last: 0 }
    }
}

impl<K: Ord + Copy> Shares<K> {
    /// Adds to what an address has. Returns the number it is known by.
    pub fn add(&mut self, peer: Peer, holder: K) -> u64 {
        self.last += 1;
        let number = self.last;
        self.change(peer, |of_peer| _ = of_peer.insert((number, holder)));
        number
    }

    /// Takes from what an address has.
    pub fn remove(&mut self, peer: Peer, holder: K, number: u64) {
        self.change(peer, |of_peer| _ = of_peer.remove(&(number, holder)));
    }

    /// The oldest that an address has.
    pub fn oldest_of(&self, peer: Peer) -> Option<K> {
        self.peers.get(&peer)?.first().map(|(_, holder)| *holder)
    }

    /// What is to go for a newcomer. Who has as many as the newcomer would have then loses none to
    /// it, if it has one itself.
    pub fn gives_way_to(&self, newcomer: Peer) -> Option<K> {
        let &(most, _, peer) = self.ranks.last()?;
        let own = self.peers.get(&newcomer).map_or(0, BTreeSet::len);
        self.oldest_of(if own > 0 && own + 1 >= most { newcomer } else { peer })
    }

    fn change(&mut self, peer: Peer, act: impl FnOnce(&mut BTreeSet<(u64, K)>)) {
        let of_peer = self.peers.entry(peer).or_default();
        let rank = |of_peer: &BTreeSet<(u64, K)>| {
            of_peer.first().map(|(oldest, _)| (of_peer.len(), Reverse(*oldest), peer))
        };
        let was = rank(of_peer);
        act(of_peer);
        let is = rank(of_peer);
        if let Some(was) = was {
            self.ranks.remove(&was);
        }
        match is {
            Some(is) => _ = self.ranks.insert(is),
            None => _ = self.peers.remove(&peer),
        }
    }
}

/// Who has places.
#[derive(Debug)]
pub struct Places<K> {
    holders: BTreeMap<K, (Peer, u64)>,
    shares: Shares<K>,
}

impl<K> Default for Places<K> {
    fn default() -> Places<K> {
        Places { holders: BTreeMap::new(), shares: Shares::default() }
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
        let shares = &mut self.shares;
        self.holders.entry(holder).or_insert_with(|| (peer, shares.add(peer, holder)));
    }

    /// Gives a place back. Returns whether there was one.
    pub fn leave(&mut self, holder: K) -> bool {
        let Some((peer, number)) = self.holders.remove(&holder) else { return false };
        self.shares.remove(peer, holder, number);
        true
    }

    /// Who is to leave if somebody comes for whom there is no place any more.
    pub fn gives_way_to(&self, newcomer: Peer) -> Option<K> {
        self.shares.gives_way_to(newcomer)
    }
}
