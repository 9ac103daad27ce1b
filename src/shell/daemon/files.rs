//! The daemon's files that helpers read and change as well: the journal, and what is set aside.

use super::{Daemon, HELPER_STDIN, HELPER_STDOUT};
use crate::core::event::Event;
use crate::core::time::Now;
use crate::shell::clock;
use crate::shell::exchange::Exchange;
use std::io;

impl Daemon {
    /// Whether a helper is at them.
    pub(super) fn is_carrying(&self) -> bool {
        self.exchange.is_some() && self.core.scheduler.is_carrying()
    }

    pub(super) fn read_answer(&mut self, now: Now) {
        let Some(exchange) = &mut self.exchange else { return };
        if exchange.readable {
            let core = &mut self.core;
            exchange.read(&mut self.scratch, |line| core.handle(now, Event::AnswerLine(line)));
        }
        if let Some(result) = exchange.result() {
            let has_carried = self.is_carrying();
            if has_carried {
                // What it found by its name counts if that is ours still.
                let _ = self.hold_state_dir();
            }
            self.exchange = None;
            self.scratch = Vec::new();
            self.core.handle(now, Event::ExchangeEnded(result));
            if has_carried && self.set_aside.left_by_helper(self.core.scheduler.set_aside().count) {
                self.core.handle(now, Event::SetAsideChanged);
            }
            if has_carried && self.put_right().is_ok() {
                self.look_at_journal();
            }
        }
    }

    pub(super) fn start_exchange(&mut self, question: Vec<u8>) {
        // It finds the files by their names.
        let there = self.put_right();
        let there = if self.core.scheduler.is_carrying() { there } else { Ok(()) };
        let tokens = (HELPER_STDIN, HELPER_STDOUT);
        match there.and_then(|()| Exchange::start(question, self.poll.registry(), tokens)) {
            Ok(exchange) => self.exchange = Some(exchange),
            Err(why) => {
                let why = format!("the helper can't be started: {why}");
                self.core.handle(clock::now(), Event::ExchangeEnded(Err(why)));
            }
        }
    }

    pub(super) fn journal_written(&mut self, written: io::Result<()>, lines: Vec<u8>) {
        let event = match written {
            Ok(()) => Event::JournalWritten,
            Err(why) => Event::JournalFailed(self.journal.told(&why), lines),
        };
        self.core.handle(clock::now(), event);
    }
}
