//! Asking a daemon over HTTP: one request, one answer, by a socket that blocks, with a deadline.

use super::Groups;
use crate::core::plain;
use crate::shell::holder::Holder;
use crate::shell::notify::Note;
use crate::shell::server::addresses;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// An answer takes this long at the most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of an answer at the most, where nothing else is said.
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
    let reply = Question::get(path).ask(address, &address.to_string(), PATIENCE)?;
    match reply.status {
        200 => Ok(reply.body),
        _ => Err(io::Error::other(reply.line)),
    }
}

/// What a daemon is asked. HTTP/1.0: a proxy between sends the answer whole, too.
#[derive(Clone, Debug)]
pub struct Question {
    method: &'static str,
    path: String,
    /// Besides `Host` and what tells of the body; no line end is in them.
    headers: Vec<(&'static str, String)>,
    body: String,
    /// Bytes of its answer at the most.
    max_bytes: u64,
}

/// What a daemon has answered.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The line that it stands in.
    pub line: String,
    headers: String,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer whose head was read.
#[derive(Debug)]
pub(super) struct Begun {
    /// The rest comes here.
    pub stream: TcpStream,
    /// The answer so far.
    pub reply: Reply,
}

impl Question {
    /// Asks for what is at a path.
    pub fn get(path: &str) -> Question {
        Question {
            method: "GET",
            path: path.to_owned(),
            headers: Vec::new(),
            body: String::new(),
            max_bytes: MAX_ANSWER_BYTES,
        }
    }

    /// Has something done.
    pub fn post(path: &str) -> Question {
        Question { method: "POST", ..Question::get(path) }
    }

    /// Has something changed.
    pub fn patch(path: &str) -> Question {
        Question { method: "PATCH", ..Question::get(path) }
    }

    /// Has something taken away.
    pub fn delete(path: &str) -> Question {
        Question { method: "DELETE", ..Question::get(path) }
    }

    /// With this JSON.
    #[must_use]
    pub fn json(self, text: &str) -> Question {
        let kind = match self.method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        Question { body: text.to_owned(), ..self.header("Content-Type", kind) }
    }

    /// With a header. A value with a line end in it is left out: it would be two.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Question {
        if !value.contains(['\r', '\n']) {
            self.headers.push((name, value.to_owned()));
        }
        self
    }

    /// About a row as it was seen, where somebody says so (RFC 9110 §13.1.1).
    #[must_use]
    pub fn of_version(self, version: Option<&str>) -> Question {
        match version {
            Some(version) => self.header("If-Match", &format!("\"{version}\"")),
            None => self,
        }
    }

    /// Its answer may have so many bytes.
    #[must_use]
    pub fn answered_within(self, max_bytes: u64) -> Question {
        Question { max_bytes, ..self }
    }

    /// Whether it is to change something.
    pub(super) fn acts(&self) -> bool {
        self.method != "GET"
    }

    /// The same below another path.
    pub(super) fn below(mut self, prefix: &str) -> Question {
        self.path.insert_str(0, prefix);
        self
    }

    /// The whole answer, of the host at an address, in this time.
    fn ask(&self, address: SocketAddr, host: &str, patience: Duration) -> io::Result<Reply> {
        let deadline = Instant::now() + patience;
        self.send(connect(address)?, host)?.whole(deadline)
    }

    /// Sends it, without waiting for an answer.
    pub(super) fn send(&self, mut stream: TcpStream, host: &str) -> io::Result<Sent> {
        use std::fmt::Write as _;
        let Question { method, path, headers, body, max_bytes } = self;
        let mut text = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n");
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n"); // a String takes every write
        }
        if self.acts() {
            let _ = write!(text, "Content-Length: {}\r\n", body.len());
        }
        text.push_str("\r\n");
        text.push_str(body);
        // In one piece: a server may answer the first one and hang up.
        stream.write_all(text.as_bytes())?;
        Ok(Sent { stream, answer: Vec::new(), max_bytes: *max_bytes })
    }
}

/// A connection on which nothing was asked yet.
pub(super) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A question whose answer is to come.
pub(super) struct Sent {
    stream: TcpStream,
    answer: Vec<u8>,
    max_bytes: u64,
}

fn too_long(max_bytes: u64) -> io::Error {
    let why = format!("the answer is longer than {}", plain::size(max_bytes));
    io::Error::new(io::ErrorKind::FileTooLarge, why)
}

fn hung_up() -> io::Error {
    io::Error::other("it hung up before it had answered")
}

impl Sent {
    /// The whole answer.
    pub fn whole(mut self, deadline: Instant) -> io::Result<Reply> {
        while self.more(deadline)? {}
        let reply = Reply::read(self.answer)?.ok_or_else(hung_up)?;
        let length = reply.header("Content-Length").and_then(|length| length.parse().ok());
        match length.is_some_and(|length: usize| length > reply.body.len()) {
            true => Err(hung_up()),
            false => Ok(reply),
        }
    }

    /// The head of the answer, and what has come of the rest.
    pub fn begun(mut self, deadline: Instant) -> io::Result<Begun> {
        while !self.answer.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            if !self.more(deadline)? {
                return Err(hung_up());
            }
        }
        let reply = Reply::read(self.answer)?.ok_or_else(hung_up)?;
        Ok(Begun { stream: self.stream, reply })
    }

    /// Waits for more of the answer. Returns whether there may be more.
    fn more(&mut self, deadline: Instant) -> io::Result<bool> {
        let mut piece = [0; 16 << 10];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.answer.len() as u64 > self.max_bytes {
                return Err(too_long(self.max_bytes));
            }
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(false),
                Ok(bytes) => {
                    self.answer.extend_from_slice(&piece[..bytes]);
                    return Ok(true);
                }
                // What a read time-out is called on Linux.
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                Err(why) => return Err(why),
            }
        }
    }
}

impl Reply {
    /// None: the head has no end.
    fn read(mut answer: Vec<u8>) -> io::Result<Option<Reply>> {
        let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Ok(None);
        };
        let body = answer.split_off(end + 4);
        let headers = String::from_utf8_lossy(&answer).into_owned();
        let line = headers.lines().next().unwrap_or_default().to_owned();
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let Some(status) = status else { return Err(io::Error::other(line)) };
        Ok(Some(Reply { status, line, headers, body }))
    }

    /// The value of a header.
    pub fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.lines().skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    }
}
