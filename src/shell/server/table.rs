//! The table of connections: places, names, who waits longest, whose time is up.

use std::collections::{BTreeMap, BTreeSet};

use mio::net::TcpStream;

use crate::core::http::Connection;
use crate::core::ids::ConnId;
use crate::core::places::{Peer, Shares};

/// Bits of a [`ConnId`] that name the place; the rest count connections and never come again.
const PLACE_BITS: u32 = 20;
const NEVER: u64 = u64::MAX;

/// One connection. About 300 bytes while it is idle.
#[derive(Debug)]
pub(super) struct Client {
    pub id: ConnId,
    pub stream: TcpStream,
    pub http: Connection,
    /// There may be something to read; edge-triggered, so it is remembered.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The peer has closed: read to the end, no further edge will tell.
    pub peer_closed: bool,
    /// Waits in the queue of complete requests.
    pub queued: bool,
    /// Waits in the queue of those with more to do.
    pub again: bool,
    /// Counted as a stream.
    pub streaming: bool,
    /// Whose it is.
    pub peer: Peer,
    /// It has no place of those that are limited: it is being told that there is none.
    refused: bool,
    /// The core has a request of it to answer, or a stream to tell things to.
    pub engaged: bool,
    /// Bytes that were counted for it.
    pub held: usize,
    /// It was told that the next piece is wanted.
    pub asked: bool,
    armed_ms: u64,
    /// Its number among those that may give way.
    idle: Option<u64>,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Table {
    places: Vec<Option<Box<Client>>>,
    free: Vec<u32>,
    freed: Vec<u32>,
    count: usize,
    /// Those of them that are being refused.
    refused: usize,
    serial: u64,
    /// One entry for each client with a deadline; never later than its true deadline, which is
    /// looked up when the entry is due. Thus a busy connection does not touch this at all.
    deadlines: BTreeSet<(u64, u32)>,
    /// The clients that may give way, of each address the one that waits longest first.
    idle: Shares<u32>,
    /// How many each address has.
    peers: BTreeMap<Peer, usize>,
    /// The address that had most when a client of it came last: if one has more than half of all,
    /// it is this one.
    most: Peer,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            places: Vec::new(),
            free: Vec::new(),
            freed: Vec::new(),
            count: 0,
            refused: 0,
            serial: 0,
            deadlines: BTreeSet::new(),
            idle: Shares::default(),
            peers: BTreeMap::new(),
            most: Peer::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// How many are being refused.
    pub(super) fn refused(&self) -> usize {
        self.refused
    }

    /// How many places are taken.
    pub(super) fn places_taken(&self) -> usize {
        self.count - self.refused
    }

    /// The place the next client will get.
    pub(super) fn next_place(&self) -> usize {
        self.free.last().map_or(self.places.len(), |&place| place as usize)
    }

    /// Adds a client at [`Table::next_place`].
    pub(super) fn insert(&mut self, stream: TcpStream, peer: Peer, http: Connection) -> usize {
        let place = self.next_place();
        assert!(place < 1 << PLACE_BITS, "more connections than any limit of open files allows");
        self.free.pop();
        self.serial += 1;
        let client = Client {
            id: ConnId(self.serial << PLACE_BITS | place as u64),
            stream,
            http,
            readable: true,
            writable: true,
            peer_closed: false,
            queued: false,
            again: false,
            streaming: false,
            peer,
            refused: false,
            engaged: false,
            held: 0,
            asked: false,
            armed_ms: NEVER,
            idle: None,
        };
        if place == self.places.len() {
            self.places.push(None);
        }
        self.places[place] = Some(Box::new(client));
        self.count += 1;
        *self.peers.entry(peer).or_default() += 1;
        if self.of(peer) > self.of(self.most) {
            self.most = peer;
        }
        place
    }

    /// Closes a connection. Its place is used again only after [`Table::end_turn`]: until then an
    /// event of the old socket may still be on its way.
    pub(super) fn remove(&mut self, place: usize) {
        let Some(client) = self.places[place].take() else { return };
        if let Some(number) = client.idle {
            self.idle.remove(client.peer, place as u32, number);
        }
        match client.refused {
            true => self.refused -= 1,
            false => self.takes_less(client.peer),
        }
        self.deadlines.remove(&(client.armed_ms, place as u32));
        self.freed.push(place as u32);
        self.count -= 1;
    }

    /// The events of this turn have all been seen.
    pub(super) fn end_turn(&mut self) {
        debug_assert!(
            self.deadlines.len() <= self.count,
            "a deadline of a connection that is gone"
        );
        self.free.append(&mut self.freed);
        if self.count == 0 && self.places.len() > 1_024 {
            // After a flood; nothing refers to a place any more.
            self.places = Vec::new();
            self.free = Vec::new();
            self.freed = Vec::new();
        }
    }

    pub(super) fn get(&mut self, place: usize) -> Option<&mut Client> {
        self.places.get_mut(place)?.as_deref_mut()
    }

    /// The place of a connection that is still there.
    pub(super) fn find(&self, id: ConnId) -> Option<usize> {
        let place = (id.0 & ((1 << PLACE_BITS) - 1)) as usize;
        let client = self.places.get(place)?.as_deref()?;
        (client.id == id).then_some(place)
    }

    /// The places that are taken.
    pub(super) fn taken(&self) -> Vec<usize> {
        (0..self.places.len()).filter(|&place| self.places[place].is_some()).collect()
    }

    /// Brings deadline and waiting list up to date with a client's state.
    pub(super) fn settle(&mut self, place: usize) {
        let Some(client) = self.places[place].as_deref_mut() else { return };
        let deadline = client.http.deadline_ms().unwrap_or(NEVER);
        if deadline < client.armed_ms {
            self.deadlines.remove(&(client.armed_ms, place as u32));
            self.deadlines.insert((deadline, place as u32));
            client.armed_ms = deadline;
        }
        // It keeps its number: bytes that trickle in do not make a client younger, only an exchange
        // does.
        match (client.http.may_give_way() && !client.refused, client.idle) {
            (true, None) => client.idle = Some(self.idle.add(client.peer, place as u32)),
            (false, Some(number)) => {
                client.idle = None;
                self.idle.remove(client.peer, place as u32, number);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// The client is told that there is no place for it: what it has is none.
    pub(super) fn refuse(&mut self, place: usize) {
        let Some(client) = self.get(place).filter(|client| !client.refused) else { return };
        client.refused = true;
        let peer = client.peer;
        self.refused += 1;
        self.takes_less(peer);
    }

    fn takes_less(&mut self, peer: Peer) {
        match self.peers.get_mut(&peer) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => _ = self.peers.remove(&peer),
        }
    }

    /// How many places an address has.
    pub(super) fn of(&self, peer: Peer) -> usize {
        self.peers.get(&peer).copied().unwrap_or_default()
    }

    /// The address that has more than half of so many places.
    pub(super) fn who_has_most_of(&self, places: usize) -> Option<Peer> {
        (self.of(self.most) > places / 2).then_some(self.most)
    }

    /// Of the clients of an address, the one that waits longest without a complete request.
    pub(super) fn oldest_idle_of(&self, peer: Peer) -> Option<usize> {
        self.idle.oldest_of(peer).map(|place| place as usize)
    }

    /// The one of those to go for a newcomer.
    pub(super) fn oldest_idle(&self, newcomer: Peer) -> Option<usize> {
        self.idle.gives_way_to(newcomer).map(|place| place as usize)
    }

    /// When [`Table::next_due`] may have something, monotonic milliseconds.
    pub(super) fn first_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Takes out a client whose deadline has passed; [`Table::settle`] it afterwards.
    pub(super) fn next_due(&mut self, now_ms: u64) -> Option<usize> {
        while let Some(&(deadline, place)) = self.deadlines.first() {
            if deadline > now_ms {
                return None;
            }
            self.deadlines.pop_first();
            let client = self.places[place as usize].as_deref_mut()?;
            client.armed_ms = client.http.deadline_ms().unwrap_or(NEVER);
            if client.armed_ms <= now_ms {
                client.armed_ms = NEVER;
                return Some(place as usize);
            }
            if client.armed_ms != NEVER {
                self.deadlines.insert((client.armed_ms, place));
            }
        }
        None
    }
}
