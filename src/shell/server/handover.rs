//! Giving the sockets to another program in the same process, and taking them over.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use mio::net::TcpStream;
use mio::{Registry, Token};

use super::{BindError, Server, Stats, listen};
use crate::core::http::{Connection, Limits, Response};
use crate::core::ids::ConnId;
use crate::core::places::Peer;
use crate::core::time::Now;
use crate::shell::handover::lasting;

/// A client, and what it has sent of its next request.
pub type HandedClient = (OwnedFd, Vec<u8>);

impl Server {
    /// Takes over a socket that listens already (a binary upgrade, socket activation).
    ///
    /// # Errors
    /// The descriptor is no listening socket, or the queue is broken.
    pub fn adopt(
        socket: OwnedFd,
        registry: &Registry,
        first_token: Token,
        limits: Limits,
    ) -> io::Result<Server> {
        Server::new(listen::adopt(socket)?, registry, first_token, limits)
    }

    /// Listens on `host` and `port` instead of on a socket that is taken over, and takes the
    /// clients that it had not accepted. The text says why the old address stays, where it does.
    ///
    /// # Errors
    /// The queue is broken, or even the old address can't be had again.
    pub fn instead_of(
        socket: OwnedFd,
        (host, port): (&str, u16),
        registry: &Registry,
        first_token: Token,
        limits: Limits,
    ) -> Result<(Server, Vec<HandedClient>, Option<String>), BindError> {
        let moved = listen::instead_of(socket, host, port)?;
        let server = Server::new(moved.listener, registry, first_token, limits)?;
        let clients = moved.waiting.into_iter().map(|socket| (socket, Vec::new())).collect();
        Ok((server, clients, moved.trouble.map(|why| why.to_string())))
    }

    /// Takes over clients, with what they have sent of their next requests, and the counts.
    pub fn adopt_clients(
        &mut self,
        now: Now,
        clients: impl Iterator<Item = HandedClient>,
        stats: Stats,
    ) {
        self.stats = Stats { connections: 0, streams: 0, ..stats };
        for (socket, input) in clients {
            let stream = std::net::TcpStream::from(socket);
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut http = Connection::counted(&self.limits, &self.ledger, now);
            if !input.is_empty() {
                http.receive(now, &input);
            }
            let peer = stream.peer_addr().map(|from| Peer::at(from.ip())).unwrap_or_default();
            if let Ok(place) = self.seat(TcpStream::from_std(stream), peer, http) {
                self.settle(place);
            }
        }
    }

    /// Begins no new requests, or does so again: what clients send waits in the kernel.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
        if paused {
            return;
        }
        self.knocking = true;
        for place in self.table.taken() {
            if let Some(client) = self.table.get(place) {
                client.readable = true;
            }
            self.settle(place);
        }
    }

    /// Whether every request that was begun is answered.
    pub fn is_settled(&mut self) -> bool {
        let taken = self.table.taken();
        taken
            .into_iter()
            .all(|place| self.table.get(place).is_none_or(|client| client.http.is_settled()))
    }

    /// Gives these answers, tells everybody else who waits that there is none, and sends all out as
    /// far as the sockets take it: nobody else will.
    pub fn answer_all(&mut self, now: Now, answers: Vec<(ConnId, Response)>) {
        for (conn, response) in answers {
            self.respond(now, conn, response);
        }
        for place in self.table.taken() {
            if let Some(client) = self.table.get(place) {
                client.http.give_up(now);
            }
            self.write(place, now);
            self.settle(place);
        }
    }

    /// Copies, that stay open over `execve`, of the listening socket and of the clients that are
    /// between two requests. Streams are ended: their readers come again.
    ///
    /// # Errors
    /// No descriptors left for the listening socket; a client without one is left behind.
    pub fn hand_over(&mut self, now: Now) -> io::Result<(OwnedFd, Vec<HandedClient>)> {
        let listener = lasting(self.listener.as_fd())?;
        let mut clients = Vec::new();
        for place in self.table.taken() {
            let Some(client) = self.table.get(place) else { continue };
            if let Some(input) = client.http.between_requests() {
                let input = input.to_vec();
                let copy = lasting(client.stream.as_fd());
                clients.extend(copy.ok().map(|copy| (copy, input)));
            } else if client.http.is_streaming() {
                client.http.finish(now);
                self.write(place, now);
            }
        }
        Ok((listener, clients))
    }
}
