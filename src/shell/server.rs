//! The sockets of the web: what [`crate::core::http::Connection`] decides, done with mio.
//!
//! The loop owns the `mio::Poll` and drives the server, each turn in this order:
//!
//! ```text
//! poll (no longer than until next_deadline_ms) → ready(event) for each event of the server's
//! tokens → expire → next_request / respond until there is none → flush
//! ```
//!
//! Sockets are registered once, edge-triggered, for both directions; what is left to read or write
//! is remembered. A read that does not fill the buffer has drained the socket (epoll(7)), so a
//! request costs one read and one write. No client gets more than a piece of a turn.
//!
//! Invariants:
//! - A client that can't be served now is answered or closed, never left hanging.
//! - Whatever a client does, the others are served and the listener does not spin.
//! - An idle connection owns no buffer; they all share one for reading.

mod budget;
mod crowd;
mod handover;
mod listen;
mod stats;
mod streams;
mod table;
mod turns;

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use self::crowd::Crowd;
use self::listen::{Accepted, Reserve};
use self::table::Table;
use self::turns::Turns;
use crate::core::http::{Body, Connection, Ledger, Limits, Request, Response};
use crate::core::ids::ConnId;
use crate::core::places::{Peer, Places};
use crate::core::time::Now;

pub use self::listen::{BindError, addresses};
pub use self::stats::Stats;

/// Clients accepted in a turn; the rest wait for the next one.
const ACCEPT_BATCH: usize = 64;
/// The shared buffer for reading, bytes.
const SCRATCH_BYTES: usize = 16_384;
/// Bytes read from a client in a turn.
const READ_BYTES: usize = 65_536;
/// Bytes written to a client in a turn.
const WRITE_BYTES: usize = 1_048_576;
/// Bytes written in a turn to those who could not be sent all of it before; the rest of them wait
/// for the next turn, and what is new comes before.
const TURN_BYTES: usize = 4 * WRITE_BYTES;
/// A pause in accepting when the kernel is out of memory or descriptors, milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;
/// The trouble of accepting is logged once in this time, milliseconds.
const COMPLAIN_MS: u64 = 60_000;

/// The listening socket and its clients.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    registry: Registry,
    first_token: usize,
    limits: Rc<Limits>,
    /// Places beyond the limit, for clients that are told there is none.
    refusals: usize,
    table: Table,
    /// Places with a complete request.
    ready: Turns,
    /// Places with more to read or write than a turn allows, or with answers held for one write.
    again: VecDeque<u32>,
    ledger: Rc<Ledger>,
    /// So many bytes held are more than the last relief left.
    relief_at: usize,
    /// Clients that want the next piece of a body.
    hungry: VecDeque<ConnId>,
    /// Clients of streams.
    streams: Places<usize>,
    /// Clients that wait no more for what the core was asked.
    gone: VecDeque<ConnId>,
    crowd: Crowd,
    /// Bytes written in this turn.
    written: usize,
    scratch: Box<[u8]>,
    reserve: Reserve,
    /// Somebody may wait to be accepted.
    knocking: bool,
    accept_paused_ms: Option<u64>,
    /// No new requests are begun.
    paused: bool,
    complained_ms: Option<u64>,
    stats: Stats,
}

impl Server {
    /// Listens on `host` (a name, an address, `*` for all) and `port` (0: any free one). The
    /// server's tokens are `first_token` and everything above it.
    ///
    /// # Errors
    /// The name has no address, the address can't be had, or the queue is broken.
    pub fn bind(
        host: &str,
        port: u16,
        registry: &Registry,
        first_token: Token,
        limits: Limits,
    ) -> Result<Server, BindError> {
        Ok(Server::new(listen::bind(host, port)?, registry, first_token, limits)?)
    }

    fn new(
        mut listener: TcpListener,
        registry: &Registry,
        first_token: Token,
        mut limits: Limits,
    ) -> io::Result<Server> {
        registry.register(&mut listener, first_token, Interest::READABLE)?;
        let (connections, refusals) = listen::affordable(limits.connections);
        limits.connections = connections;
        limits.streams = limits.streams.min(limits.connections / 4 * 3);
        let held = limits.held_bytes;
        Ok(Server {
            ledger: Rc::new(Ledger::new(held)),
            relief_at: held,
            hungry: VecDeque::new(),
            listener,
            registry: registry.try_clone()?,
            first_token: first_token.0,
            limits: Rc::new(limits),
            refusals,
            table: Table::new(),
            ready: Turns::default(),
            crowd: Crowd::default(),
            written: 0,
            again: VecDeque::new(),
            streams: Places::default(),
            gone: VecDeque::new(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            reserve: Reserve::new(),
            // Of an adopted socket, clients may wait that no edge will tell of.
            knocking: true,
            accept_paused_ms: None,
            paused: false,
            complained_ms: None,
            stats: Stats::default(),
        })
    }

    /// The address listened on.
    ///
    /// # Errors
    /// The kernel does not know; does not happen with a socket that listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The limits in force: as given, less what the process can't afford.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The figures.
    pub fn stats(&self) -> Stats {
        Stats { connections: self.table.len(), streams: self.streams.len(), ..self.stats }
    }

    /// The address of a client that is still there.
    pub fn peer(&mut self, id: ConnId) -> Option<SocketAddr> {
        let place = self.table.find(id)?;
        self.table.get(place)?.stream.peer_addr().ok()
    }

    /// Whether an event with this token is the server's.
    pub fn owns(&self, token: Token) -> bool {
        token.0 >= self.first_token
    }

    /// Takes an event of one of the server's tokens.
    pub fn ready(&mut self, event: &Event, now: Now) {
        let Some(place) = event.token().0.checked_sub(self.first_token + 1) else {
            self.knocking = true;
            return self.accept(now);
        };
        let Some(client) = self.table.get(place) else { return };
        client.readable |= event.is_readable() || event.is_read_closed();
        client.writable |= event.is_writable();
        client.peer_closed |= event.is_read_closed();
        if event.is_error() || (event.is_write_closed() && event.is_read_closed()) {
            // Reset: nothing can be read or written any more.
            return self.remove(place);
        }
        self.serve(place, now);
    }

    /// The next complete request, the addresses and their connections in turn. Answer it with
    /// [`Server::respond`], in this turn or later.
    pub fn next_request(&mut self) -> Option<(ConnId, Request)> {
        while let Some(place) = self.ready.pop() {
            let Some(client) = self.table.get(place as usize) else { continue };
            client.queued = false;
            if let Some(mut request) = client.http.next_request() {
                client.engaged = true;
                request.peer = client.peer;
                self.stats.requests += 1;
                return Some((client.id, request));
            }
        }
        None
    }

    /// Answers the request last taken of this connection. Returns `false` if nobody waits for it
    /// any more.
    pub fn respond(&mut self, now: Now, id: ConnId, response: Response) -> bool {
        let Some(place) = self.table.find(id) else { return false };
        if matches!(response.body(), Body::Stream | Body::Begun(..)) {
            self.make_room_for_stream(now, place);
        }
        let Some(client) = self.table.get(place) else { return false };
        let wanted = client.http.respond(now, response);
        client.engaged = client.http.is_engaged();
        if !client.http.has_request() {
            self.write(place, now);
        }
        self.settle(place);
        wanted
    }

    /// When the server must be called again even if nothing happens, monotonic milliseconds; 0 =
    /// at once, `None` = never.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let waits = self.knocking && !self.paused && self.accept_paused_ms.is_none();
        let news = !(self.ready.is_empty() && self.gone.is_empty() && self.hungry.is_empty());
        if waits || news || !self.again.is_empty() {
            return Some(0);
        }
        match (self.table.first_deadline(), self.accept_paused_ms) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Does what is due, and what the turn before had to leave.
    pub fn expire(&mut self, now: Now) {
        if self.accept_paused_ms.is_some_and(|until| until <= now.mono_ms) {
            self.accept_paused_ms = None;
        }
        self.accept(now);
        for _ in 0..self.again.len() {
            if self.written >= TURN_BYTES {
                break;
            }
            let Some(place) = self.again.pop_front() else { break };
            let Some(client) = self.table.get(place as usize) else { continue };
            client.again = false;
            self.serve(place as usize, now);
        }
        while let Some(place) = self.table.next_due(now.mono_ms) {
            self.stats.timed_out += 1;
            if let Some(client) = self.table.get(place) {
                client.http.timed_out(now);
            }
            self.write(place, now);
            self.settle(place);
        }
    }

    /// Sends answers that were held to share a write with a later one; ends the turn.
    pub fn flush(&mut self, now: Now) {
        for at in 0..self.again.len() {
            if self.written >= TURN_BYTES {
                break;
            }
            let place = self.again[at] as usize;
            if self.table.get(place).is_some_and(|client| client.http.output_bytes() > 0) {
                self.write(place, now);
                self.settle(place);
            }
        }
        self.written = 0;
        self.table.end_turn();
    }

    /// Closes what is idle, and each other connection after the answer it waits for: the daemon is
    /// about to end. Streams are ended.
    pub fn close_idle(&mut self, now: Now) {
        for place in self.table.taken() {
            if let Some(client) = self.table.get(place) {
                client.http.drain(now);
            }
            self.write(place, now);
            self.settle(place);
        }
    }

    /// Accepts a batch of those who wait.
    fn accept(&mut self, now: Now) {
        for _ in 0..ACCEPT_BATCH {
            if !self.knocking || self.paused || self.accept_paused_ms.is_some() {
                return;
            }
            match listen::accept(&self.listener) {
                Accepted::Client(stream, peer) => self.admit(stream, peer, now),
                Accepted::Nobody => self.knocking = false,
                Accepted::NoDescriptor => self.make_room(now),
                Accepted::Trouble(error) => self.pause_accepting(&error, now),
            }
        }
    }

    /// Gives a new client a place, at the expense of the one that waits longest if need be.
    fn admit(&mut self, stream: TcpStream, peer: Peer, now: Now) {
        self.stats.accepted += 1;
        let full =
            self.table.places_taken() >= self.limits.connections && !self.give_way(now, Some(peer));
        self.stats.refused += u64::from(full);
        if full && self.table.refused() >= self.refusals {
            return listen::dismiss(stream, &self.limits, now);
        }
        let http = match full {
            true => Connection::refused(&self.limits, now),
            false => Connection::counted(&self.limits, &self.ledger, now),
        };
        match self.seat(stream, peer, http) {
            // The request usually is there already; this saves a turn of the queue.
            Ok(place) => {
                if full {
                    self.table.refuse(place);
                }
                self.serve(place, now);
            }
            Err(error) => self.pause_accepting(&error, now),
        }
    }

    /// Watches a client and gives it a place. If the kernel is out of memory (epoll_ctl(2)) it is
    /// closed.
    fn seat(&mut self, mut stream: TcpStream, peer: Peer, http: Connection) -> io::Result<usize> {
        let token = Token(self.first_token + 1 + self.table.next_place());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut stream, token, both)?;
        Ok(self.table.insert(stream, peer, http))
    }

    /// Out of descriptors: somebody gives way, or the new client is told there is no place.
    fn make_room(&mut self, now: Now) {
        if self.give_way(now, None) {
            return;
        }
        match self.reserve.accept(&self.listener) {
            Accepted::Client(stream, _) => {
                self.stats.accepted += 1;
                self.stats.refused += 1;
                listen::dismiss(stream, &self.limits, now);
            }
            Accepted::Nobody => self.knocking = false,
            Accepted::NoDescriptor | Accepted::Trouble(_) => {
                self.pause_accepting(&io::Error::from_raw_os_error(libc::EMFILE), now);
            }
        }
        self.reserve.refill();
    }

    fn pause_accepting(&mut self, error: &io::Error, now: Now) {
        self.accept_paused_ms = Some(now.mono_ms + ACCEPT_PAUSE_MS);
        if self.complained_ms.is_none_or(|last| now.mono_ms >= last + COMPLAIN_MS) {
            self.complained_ms = Some(now.mono_ms);
            log::warn!("cannot accept web clients: {error}; they wait, jobs go on");
        }
    }

    /// Writes, reads and writes again, as far as the socket and the turn allow.
    fn serve(&mut self, place: usize, now: Now) {
        self.write(place, now);
        self.read(place, now);
        self.write(place, now);
        self.settle(place);
    }

    fn read(&mut self, place: usize, now: Now) {
        let Some(client) = self.table.get(place) else { return };
        if self.paused && !client.http.awaits_body() {
            return;
        }
        let mut left = READ_BYTES;
        while client.readable && left > 0 && client.http.wants_read() {
            match client.stream.read(&mut self.scratch) {
                Ok(0) => {
                    client.readable = false;
                    client.http.received_eof(now);
                }
                Ok(count) => {
                    client.readable = count == self.scratch.len() || client.peer_closed;
                    left = left.saturating_sub(count);
                    client.http.receive(now, &self.scratch[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => client.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.remove(place),
            }
        }
    }

    fn write(&mut self, place: usize, now: Now) {
        let Some(client) = self.table.get(place) else { return };
        let mut left = WRITE_BYTES;
        while client.writable && left > 0 && client.http.output_bytes() > 0 {
            match write_some(&mut client.stream, &client.http) {
                Ok(count) => {
                    client.http.sent(now, count);
                    self.written += count;
                    left = left.saturating_sub(count.max(1));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => client.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.remove(place),
            }
        }
        if client.http.take_half_close() {
            // Fails only if the peer has reset the connection; reading will tell.
            let _ = client.stream.shutdown(Shutdown::Write);
        }
    }

    /// Closes a client that is done; else notes what it waits for.
    fn settle(&mut self, place: usize) {
        let Some(client) = self.table.get(place) else { return };
        if client.http.should_close() {
            return self.remove(place);
        }
        if client.http.is_streaming() != client.streaming {
            client.streaming = !client.streaming;
            match client.streaming {
                true => self.streams.take(place, client.peer),
                false => _ = self.streams.leave(place),
            }
        }
        if client.engaged && !client.http.is_engaged() {
            client.engaged = false;
            self.gone.push_back(client.id);
        }
        if client.http.has_request() && !client.queued {
            client.queued = true;
            self.ready.push(client.peer, place as u32, client.http.pipelines());
        }
        let may_read = !self.paused || client.http.awaits_body();
        let unread = may_read && client.readable && client.http.wants_read();
        let unsent = client.writable && client.http.output_bytes() > 0;
        if (unread || unsent) && !client.again {
            client.again = true;
            self.again.push_back(place as u32);
        }
        self.table.settle(place);
        self.weigh(place);
    }

    fn remove(&mut self, place: usize) {
        if let Some(client) = self.table.get(place) {
            self.streams.leave(place);
            self.ledger.change(client.held, 0);
            if client.engaged {
                self.gone.push_back(client.id);
            }
            // Closing alone is not enough: a helper that was just forked has a copy of the socket
            // until its close-on-exec, and as long as there is one the queue goes on telling of it
            // (epoll(7), questions and answers): to the next client that has this place. That the
            // queue does not know it any more is no matter.
            let _ = self.registry.deregister(&mut client.stream);
        }
        self.table.remove(place);
    }
}

impl AsFd for Server {
    /// The listening socket, for handing it on over `exec`.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// One write of what is next, the pieces gathered.
fn write_some(stream: &mut TcpStream, http: &Connection) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); 8];
    match http.output_slices(&mut slices) {
        1 => stream.write(http.output()),
        count => stream.write_vectored(&slices[..count]),
    }
}
