//! Asking a daemon over HTTP: one request, one answer, by a socket that blocks, with a deadline.

use super::Groups;
use crate::shell::holder::Holder;
use crate::shell::notify::Note;
use crate::shell::server::addresses;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// An answer takes this long at the most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of an answer at the most.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

impl Groups {
    /// Where the daemon of a group listens, as it says itself; without its note, as the
    /// configuration says.
    pub(super) fn address(&self, id: u32, holder: &Holder) -> Option<SocketAddr> {
        if let Some(note) = Note::read(&self.state_dir(id, holder)) {
            return Some(reachable(note.address));
        }
        let server = self.config.servers.get(&id)?;
        let mut addresses = addresses(&server.host, server.port).ok()?.into_iter();
        addresses.find(|address| address.port() != 0).map(reachable)
    }

    /// What `/api/v1/status` says.
    pub(super) fn ask(&self, id: u32, holder: &Holder) -> Result<Value, String> {
        let address = self.address(id, holder).ok_or("where it listens is not known")?;
        let body = get(address, "/api/v1/status").map_err(|why| {
            // Why it can't answer, if it knows.
            let note = Note::read(&self.state_dir(id, holder));
            let said = note.map(|note| note.trouble).filter(|said| !said.is_empty());
            let said = said.map(|said| format!("; it said last: {said}")).unwrap_or_default();
            format!("{address}: {why}{said}")
        })?;
        serde_json::from_slice(&body).map_err(|why| format!("{address}: {why}"))
    }
}

/// Who listens everywhere is reached by loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// The body of a page. Anything but 200 is an error.
fn get(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let reply = fetch(address, &address.to_string(), path, PATIENCE)?;
    match reply.status {
        200 => Ok(reply.body),
        _ => Err(io::Error::other(reply.line)),
    }
}

/// What a daemon has answered.
pub(super) struct Reply {
    /// The status.
    pub status: u16,
    /// The line that it stands in.
    pub line: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Asks the server at an address for what the host has at a path. HTTP/1.0: a proxy between sends
/// the answer whole, too.
pub(super) fn fetch(
    address: SocketAddr,
    host: &str,
    path: &str,
    patience: Duration,
) -> io::Result<Reply> {
    let deadline = Instant::now() + patience;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In one piece: a server may answer the first one and hang up.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || answer.len() as u64 > MAX_ANSWER_BYTES {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(bytes) => answer.extend_from_slice(&piece[..bytes]),
            // What a read time-out is called on Linux.
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
            Err(why) => return Err(why),
        }
    }
    let hung_up = || io::Error::other("it hung up before it had answered");
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or_else(hung_up)?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let line = head.lines().next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let Some(status) = status else { return Err(io::Error::other(line)) };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    match length.is_some_and(|length| length > body.len()) {
        true => Err(hung_up()),
        false => Ok(Reply { status, line: line.to_owned(), body }),
    }
}
