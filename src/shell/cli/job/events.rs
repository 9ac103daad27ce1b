//! Server-sent events, as a daemon sends them (WHATWG HTML §9.2).

use crate::shell::cli::control::api::{Daemon, Failed};
use serde_json::Value;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

/// Bytes of an event at the most: a piece of a file is far shorter.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// A stream of them.
pub(super) struct Events {
    stream: TcpStream,
    /// What has come and is no whole event yet.
    kept: Vec<u8>,
}

/// What has happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub kind: String,
    pub id: u64,
    /// The text that the data is; other data as it was written.
    pub text: String,
}

impl Events {
    /// Those at a path.
    pub fn open(daemon: &Daemon, path: &str) -> Result<Events, Failed> {
        let (stream, kept) = daemon.stream(path)?;
        Ok(Events { stream, kept })
    }

    /// The next event, if one comes within so long.
    ///
    /// # Errors
    /// None will come.
    pub fn next(&mut self, patience: Duration) -> io::Result<Option<Event>> {
        loop {
            if let Some(end) = self.kept.windows(2).position(|bytes| bytes == b"\n\n") {
                let event: Vec<u8> = self.kept.drain(..end + 2).collect();
                return Ok(Some(Event::read(&String::from_utf8_lossy(&event))));
            }
            if self.kept.len() > MAX_EVENT_BYTES {
                return Err(io::Error::other("an event without an end"));
            }
            self.stream.set_read_timeout(Some(patience))?;
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => self.kept.extend_from_slice(&piece[..bytes]),
                // What a read time-out is called on Linux.
                Err(why) if why.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(why) => return Err(why),
            }
        }
    }
}

impl Event {
    fn read(text: &str) -> Event {
        let field = |name: &str| {
            let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
            values.next().map_or("", |value| value.strip_prefix(' ').unwrap_or(value))
        };
        let data = field("data:");
        let said = serde_json::from_str(data).unwrap_or(Value::Null);
        Event {
            kind: field("event:").to_owned(),
            id: field("id:").parse().unwrap_or(0),
            text: said.as_str().unwrap_or(data).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_it_is_written() {
        let read = |text| Event::read(text);
        let event = |kind: &str, id, text: &str| Event { kind: kind.into(), id, text: text.into() };
        assert_eq!(read("event: append\nid: 12\ndata: \"a\\nb\"\n\n"), event("append", 12, "a\nb"));
        assert_eq!(read("event: beat\ndata: {\"now\":1}\n\n"), event("beat", 0, "{\"now\":1}"));
        assert_eq!(read(": nothing\n\n"), event("", 0, ""));
    }
}
