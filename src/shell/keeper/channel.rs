//! One end of the socket between a daemon and its keeper: lines out and in, never waiting.

use crate::core::keeping;
use mio::net::UnixStream;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Bytes read at a time.
const READ_BYTES: usize = 32 << 10;

/// See the module's text.
pub struct Channel {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Channel {
    /// One on a socket that does not block; `input` was read from it already.
    pub fn new(stream: UnixStream, input: Vec<u8>) -> Channel {
        Channel { stream, input, output: Vec::new() }
    }

    /// What to register with the poll, readable and writable.
    pub fn source(&mut self) -> &mut UnixStream {
        &mut self.stream
    }

    /// Puts a message behind those that wait for [`Channel::send`].
    pub fn say<T: Serialize>(&mut self, message: &T) {
        keeping::encode(&mut self.output, message);
    }

    /// Hands over what the other side takes now; the rest when it takes more.
    pub fn send(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                // Later, or never: then the next read says so.
                Err(_) => return,
            }
        }
    }

    /// What the other side says now, and whether it is still there. A line that makes no sense is
    /// given to `bad`.
    pub fn hear<T: for<'a> Deserialize<'a>>(&mut self, bad: impl Fn(&[u8])) -> (Vec<T>, bool) {
        let alive = loop {
            let length = self.input.len();
            self.input.resize(length + READ_BYTES, 0);
            let read = self.stream.read(&mut self.input[length..]);
            self.input.truncate(length + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(1..) => {}
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => break true,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                // It ended, in whatever way.
                Ok(0) | Err(_) => break false,
            }
        };
        (keeping::decode(&mut self.input, bad), alive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_which_the_first_half_was_read_already_is_whole() -> io::Result<()> {
        let (ours, mut other) = UnixStream::pair()?;
        let mut line = Vec::new();
        keeping::encode(&mut line, &"an end");
        let (first, second) = line.split_at(line.len() / 2);
        let mut channel = Channel::new(ours, first.to_vec());
        other.write_all(second)?;
        let (heard, alive) = channel.hear::<String>(|line| panic!("{line:?}"));
        assert_eq!((heard, alive), (vec!["an end".to_owned()], true));
        Ok(())
    }
}
