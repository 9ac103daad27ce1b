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
const MAX_ANSWER_BYTES: u64 = 1 << 20;

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
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
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
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::other("it hung up before it had answered"))?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        let line = answer.split(|&byte| byte == b'\r').next().unwrap_or_default();
        return Err(io::Error::other(String::from_utf8_lossy(line).into_owned()));
    }
    Ok(answer.split_off(end + 4))
}
