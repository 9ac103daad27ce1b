//! A helper, as the loop sees it: questions to write, lines to read, an end.

use crate::core::limits::MAX_LINE_BYTES;
use crate::core::outcome::Exit;
use crate::shell::helper::{Helper, Moved};
use crate::shell::sys::Pid;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

/// Bytes of an answer read in one turn of the loop.
const READ_BYTES: usize = 32 << 10;

/// A helper under way.
pub struct Exchange {
    helper: Helper,
    question: Vec<u8>,
    written: usize,
    /// There will be other questions.
    stays: bool,
    partial: Vec<u8>,
    ended: bool,
    /// Whether there may be more to read without another event.
    pub readable: bool,
    status: Option<Result<(), String>>,
    flaw: Option<String>,
}

impl Exchange {
    /// A helper that was started. It is asked with [`Exchange::ask`].
    ///
    /// # Errors
    /// The queue of events is broken.
    pub fn with(helper: Helper, poll: &Registry, tokens: (Token, Token)) -> io::Result<Exchange> {
        let exchange = Exchange {
            helper,
            question: Vec::new(),
            written: 0,
            stays: true,
            partial: Vec::new(),
            ended: false,
            readable: false,
            status: None,
            flaw: None,
        };
        if let Some(fd) = exchange.helper.stdout_fd() {
            poll.register(&mut SourceFd(&fd), tokens.1, Interest::READABLE)?;
        }
        if let Some(fd) = exchange.helper.stdin_fd() {
            poll.register(&mut SourceFd(&fd), tokens.0, Interest::WRITABLE)?;
        }
        Ok(exchange)
    }

    /// Asks it, once it has answered what it was asked before.
    pub fn ask(&mut self, question: Vec<u8>) {
        (self.question, self.written) = (question, 0);
        self.write();
    }

    /// There are no other questions: it ends when it has answered.
    pub fn ask_no_more(&mut self) {
        self.stays = false;
        self.write();
    }

    /// The helper's pid.
    pub fn pid(&self) -> Pid {
        self.helper.pid()
    }

    /// Writes what the pipe takes of the question; closes it after the last one.
    pub fn write(&mut self) {
        while self.written < self.question.len() {
            match self.helper.write_some(&self.question[self.written..]) {
                Ok(Moved::Bytes(bytes)) => self.written += bytes,
                Ok(Moved::Later) => return,
                // Its exit status tells the story.
                Ok(Moved::End) | Err(_) => break,
            }
        }
        self.question = Vec::new();
        self.written = 0;
        if !self.stays {
            self.helper.close_stdin();
        }
    }

    /// Reads a bounded piece of the answer into `scratch` and gives each whole line to `line`.
    pub fn read(&mut self, scratch: &mut Vec<u8>, mut line: impl FnMut(&[u8])) {
        scratch.resize(READ_BYTES, 0);
        self.readable = false;
        match self.helper.read_some(scratch) {
            Ok(Moved::Bytes(bytes)) => {
                self.readable = true;
                self.take(&scratch[..bytes], &mut line);
            }
            Ok(Moved::Later) => {}
            Ok(Moved::End) => self.ended = true,
            Err(why) => {
                self.flaw.get_or_insert(format!("the helper's answer can't be read: {why}"));
                self.ended = true;
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8], line: &mut impl FnMut(&[u8])) {
        while let Some(at) = bytes.iter().position(|&byte| byte == b'\n') {
            if self.partial.is_empty() {
                line(&bytes[..at]);
            } else {
                self.partial.extend_from_slice(&bytes[..at]);
                line(&self.partial);
                self.partial.clear();
            }
            bytes = &bytes[at + 1..];
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > MAX_LINE_BYTES {
            self.partial = Vec::new();
            self.flaw.get_or_insert("the helper's answer has a line without an end".into());
            self.kill();
        }
    }

    /// Whether it has ended by now, though it was to stay.
    pub fn is_gone(&self) -> bool {
        self.ended || self.status.is_some() || self.helper.has_hung_up(Duration::ZERO)
    }

    /// Hears all that it says until it ends, until then at the latest. Returns whether it did.
    pub fn hear_to_end(
        &mut self,
        scratch: &mut Vec<u8>,
        until: Instant,
        mut line: impl FnMut(&[u8]),
    ) -> bool {
        while !self.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.helper.has_hung_up(left) {
                return false;
            }
            self.read(scratch, &mut line);
        }
        true
    }

    /// Kills the helper; its end follows.
    pub fn kill(&self) {
        if self.status.is_none() {
            self.helper.kill();
        }
    }

    /// The same, for this reason: it is what became of it.
    pub fn kill_for(&mut self, why: String) {
        if self.status.is_none() {
            self.flaw.get_or_insert(why);
            self.helper.kill();
        }
    }

    /// Takes note that the helper, which goes by this name, was reaped.
    pub fn reaped(&mut self, name: impl Display, exit: Exit) {
        let why = || format!("{name} ended with {exit}");
        self.status = Some(if exit.is_success() { Ok(()) } else { Err(why()) });
    }

    /// What became of it: `Some` once its answer has ended and it was reaped.
    pub fn result(&mut self) -> Option<Result<(), String>> {
        if !self.ended {
            return None;
        }
        let status = self.status.take()?;
        if !self.partial.is_empty() {
            self.flaw.get_or_insert("the helper's answer was cut off".into());
        }
        Some(match self.flaw.take() {
            Some(flaw) => Err(flaw),
            None => status,
        })
    }
}
