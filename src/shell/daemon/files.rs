//! The daemon's files that helpers read and change as well: the journal, and what is set aside.

use super::Daemon;
use crate::core::event::Event;
use crate::core::ids::AskId;
use crate::core::protocol::Purpose;
use crate::core::time::Now;
use std::io;

impl Daemon {
    /// Whether a helper is at them.
    pub(super) fn is_carrying(&self) -> bool {
        self.is_asked(Purpose::Record)
    }

    /// Whether the helper of a lane is at what is asked there.
    fn is_asked(&self, purpose: Purpose) -> bool {
        let asked = self.core.scheduler.asked(purpose);
        asked.is_some() && self.helpers.asked(purpose) == asked
    }

    pub(super) fn read_answers(&mut self, now: Now) {
        for purpose in Purpose::ALL {
            self.read_answer(now, purpose);
        }
        if !self.core.scheduler.is_asking() {
            self.scratch = Vec::new();
        }
    }

    fn read_answer(&mut self, now: Now, purpose: Purpose) {
        let was_carrying = purpose == Purpose::Record && self.is_carrying();
        if was_carrying {
            // What it found by its name counts if that is ours still.
            let _ = self.hold_state_dir();
        }
        let core = &mut self.core;
        let hear = |line: &[u8]| core.handle(now, Event::AnswerLine(purpose, line));
        if let Some(result) = self.helpers.read(purpose, &mut self.scratch, hear) {
            self.core.handle(now, Event::HelperEnded(purpose, result));
        }
        if was_carrying && !self.is_carrying() {
            if self.set_aside.left_by_helper(self.core.scheduler.set_aside().count) {
                self.core.handle(now, Event::SetAsideChanged);
            }
            if self.put_right().is_ok() {
                self.look_at_journal();
            }
        }
    }

    pub(super) fn ask_helper(&mut self, purpose: Purpose, id: AskId, question: Vec<u8>) {
        // It finds the files by their names.
        let there = self.put_right();
        let there = if purpose == Purpose::Record { there } else { Ok(()) };
        let poll = self.poll.registry();
        let asked = there.and_then(|()| self.helpers.ask(purpose, id, question, poll));
        if let Err(why) = asked {
            let why = format!("the helper can't be started: {why}");
            self.core.handle(self.now, Event::HelperEnded(purpose, Err(why)));
        }
    }

    /// Has no helper at them any more. What it has said until now counts.
    pub(super) fn end_carrying(&mut self) {
        if self.is_carrying() {
            let (now, core) = (self.now, &mut self.core);
            let hear = |line: &[u8]| core.handle(now, Event::AnswerLine(Purpose::Record, line));
            self.helpers.cut_short(Purpose::Record, &mut self.scratch, hear);
        }
    }

    /// Has all helpers end: what one is at it has done wholly or not at all, and it is asked again.
    pub(super) fn end_helpers(&mut self) {
        let asked = Purpose::ALL.map(|purpose| self.is_asked(purpose));
        self.helpers.end_all(|purpose| asked[purpose as usize]);
    }

    pub(super) fn journal_written(&mut self, written: io::Result<()>, lines: Vec<u8>) {
        let event = match written {
            Ok(()) => Event::JournalWritten,
            Err(why) => Event::JournalFailed(self.journal.told(&why), lines),
        };
        self.core.handle(self.now, event);
    }
}
