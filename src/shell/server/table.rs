//! The table of connections: places, names, who waits longest, whose time is up.

use std::collections::BTreeSet;

use mio::net::TcpStream;

use crate::core::http::Connection;
use crate::core::ids::ConnId;
use crate::core::places::Peer;

/// Bits of a [`ConnId`] that name the place; the rest count connections and never come again.
const PLACE_BITS: u32 = 20;
const NONE: u32 = u32::MAX;
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
    /// The core has a request of it to answer, or a stream to tell things to.
    pub engaged: bool,
    /// Bytes that were counted for it.
    pub held: usize,
    /// It was told that the next piece is wanted.
    pub asked: bool,
    armed_ms: u64,
    linked: bool,
    before: u32,
    after: u32,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Table {
    places: Vec<Option<Box<Client>>>,
    free: Vec<u32>,
    freed: Vec<u32>,
    count: usize,
    serial: u64,
    /// One entry for each client with a deadline; never later than its true deadline, which is
    /// looked up when the entry is due. Thus a busy connection does not touch this at all.
    deadlines: BTreeSet<(u64, u32)>,
    /// A list through the clients that may give way, the one that waits longest first.
    first: u32,
    last: u32,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            places: Vec::new(),
            free: Vec::new(),
            freed: Vec::new(),
            count: 0,
            serial: 0,
            deadlines: BTreeSet::new(),
            first: NONE,
            last: NONE,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
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
            engaged: false,
            held: 0,
            asked: false,
            armed_ms: NEVER,
            linked: false,
            before: NONE,
            after: NONE,
        };
        if place == self.places.len() {
            self.places.push(None);
        }
        self.places[place] = Some(Box::new(client));
        self.count += 1;
        place
    }

    /// Closes a connection. Its place is used again only after [`Table::end_turn`]: until then an
    /// event of the old socket may still be on its way.
    pub(super) fn remove(&mut self, place: usize) {
        self.unlink(place);
        let Some(client) = self.places[place].take() else { return };
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
        // Once in the list it keeps its rank: bytes that trickle in do not make a client younger,
        // only an exchange does, which takes it out of the list and puts it at the end again.
        match (client.http.may_give_way(), client.linked) {
            (true, false) => self.link(place),
            (false, true) => self.unlink(place),
            _ => {}
        }
    }

    /// The client that waits longest without a complete request.
    pub(super) fn oldest_idle(&self) -> Option<usize> {
        (self.first != NONE).then_some(self.first as usize)
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

    fn link(&mut self, place: usize) {
        let last = self.last;
        let Some(client) = self.places[place].as_deref_mut() else { return };
        (client.linked, client.before, client.after) = (true, last, NONE);
        self.last = place as u32;
        match self.neighbour(last) {
            Some(previous) => previous.after = place as u32,
            None => self.first = place as u32,
        }
    }

    fn unlink(&mut self, place: usize) {
        let Some(client) = self.places[place].as_deref_mut().filter(|client| client.linked) else {
            return;
        };
        client.linked = false;
        let (before, after) = (client.before, client.after);
        match self.neighbour(before) {
            Some(previous) => previous.after = after,
            None => self.first = after,
        }
        match self.neighbour(after) {
            Some(next) => next.before = before,
            None => self.last = before,
        }
    }

    fn neighbour(&mut self, place: u32) -> Option<&mut Client> {
        self.places.get_mut(place as usize)?.as_deref_mut()
    }
}
