//! The helpers of the lanes to the database, as the loop sees them: one for each purpose, which
//! stays for many questions.

use crate::core::ids::AskId;
use crate::core::protocol::Purpose;
use crate::shell::exchange::Exchange;
use crate::shell::helper::Helper;
use crate::shell::proc_fs;
use crate::shell::sys::{Ended, Pid};
use mio::{Registry, Token};
use std::io;
use std::time::{Duration, Instant};

/// Each purpose has two tokens, from this one on: for the questions and for the answers.
const FIRST_TOKEN: usize = 8;

/// Helpers that have nothing to do have so long to end with the daemon, so that a server sees their
/// connections closed and not lost.
const FAREWELL: Duration = Duration::from_millis(100);

/// See the module's text.
#[derive(Default)]
pub struct Helpers([Lane; Purpose::ALL.len()]);

#[derive(Default)]
struct Lane {
    helper: Option<Exchange>,
    /// What it was asked last.
    asked: Option<AskId>,
}

fn tokens(purpose: Purpose) -> (Token, Token) {
    let first = FIRST_TOKEN + 2 * purpose as usize;
    (Token(first), Token(first + 1))
}

/// What keeps a helper from answering. A server that hangs is found out by the helper itself, which
/// waits less for each of its answers.
fn what_keeps(purpose: Purpose, pid: Pid) -> String {
    if proc_fs::is_stopped(pid) {
        format!("its helper, process {pid}, was stopped by a signal, and is killed")
    } else if proc_fs::hangs(pid) {
        format!("its helper, process {pid}, waits for a disk or a file system that does not answer")
    } else if purpose == Purpose::Outputs {
        "is the disk of the state directory overloaded?".to_owned()
    } else {
        "is the database overloaded?".to_owned()
    }
}

impl Helpers {
    /// Writes a question to the helper of its lane, which is started if there is none.
    ///
    /// # Errors
    /// It can't be started; worth another try later.
    pub fn ask(
        &mut self,
        purpose: Purpose,
        id: AskId,
        question: Vec<u8>,
        poll: &Registry,
    ) -> io::Result<()> {
        let lane = &mut self.0[purpose as usize];
        // One that was killed while it had nothing to do costs no question.
        lane.helper.take_if(|helper| helper.is_gone());
        let helper = match &mut lane.helper {
            Some(helper) => helper,
            none => none.insert(Exchange::with(Helper::exchange()?, poll, tokens(purpose))?),
        };
        helper.ask(question);
        lane.asked = Some(id);
        Ok(())
    }

    /// What the helper of a lane was asked last, if it is still there.
    pub fn asked(&self, purpose: Purpose) -> Option<AskId> {
        let lane = &self.0[purpose as usize];
        lane.asked.filter(|_| lane.helper.is_some())
    }

    /// Takes in an event. Returns whether it was for a helper.
    pub fn ready(&mut self, token: Token) -> bool {
        for purpose in Purpose::ALL {
            let (questions, answers) = tokens(purpose);
            let helper = self.0[purpose as usize].helper.iter_mut();
            if token == questions {
                helper.for_each(Exchange::write);
                return true;
            }
            if token == answers {
                helper.for_each(|helper| helper.readable = true);
                return true;
            }
        }
        false
    }

    /// Whether there may be more to read without another event.
    pub fn are_readable(&self) -> bool {
        self.0.iter().filter_map(|lane| lane.helper.as_ref()).any(|helper| helper.readable)
    }

    /// Reads a bounded piece of what the helper of a lane says. Returns what became of it, if it is
    /// gone.
    pub fn read(
        &mut self,
        purpose: Purpose,
        scratch: &mut Vec<u8>,
        line: impl FnMut(&[u8]),
    ) -> Option<Result<(), String>> {
        let lane = &mut self.0[purpose as usize];
        let helper = lane.helper.as_mut()?;
        if helper.readable {
            helper.read(scratch, line);
        }
        let result = helper.result()?;
        lane.helper = None;
        Some(result)
    }

    /// The helper of a lane is asked no more: it ends by itself.
    pub fn end(&mut self, purpose: Purpose) {
        self.0[purpose as usize].helper.iter_mut().for_each(Exchange::ask_no_more);
    }

    /// Kills the helper of a lane, which has not answered in time. What keeps it is a part of what
    /// becomes of it, as far as that can be seen.
    pub fn kill(&mut self, purpose: Purpose) {
        if let Some(helper) = &mut self.0[purpose as usize].helper {
            helper.kill_for(what_keeps(purpose, helper.pid()));
        }
    }

    /// Kills those that are at something; the others end by themselves.
    pub fn end_all(&mut self, is_asked: impl Fn(Purpose) -> bool) {
        for purpose in Purpose::ALL {
            match is_asked(purpose) {
                true => self.0[purpose as usize].helper.iter().for_each(Exchange::kill),
                false => self.end(purpose),
            }
        }
    }

    /// Kills the helper of a lane and hears what it had said, unless that takes longer than a
    /// moment. It is not waited for, and nobody is told how it ended: the daemon is about to end.
    pub fn cut_short(
        &mut self,
        purpose: Purpose,
        scratch: &mut Vec<u8>,
        mut line: impl FnMut(&[u8]),
    ) {
        let lane = &mut self.0[purpose as usize];
        let Some(helper) = &mut lane.helper else { return };
        helper.kill();
        let until = Instant::now() + FAREWELL;
        if helper.hear_to_end(scratch, until, &mut line) {
            lane.helper = None;
        }
    }

    /// Waits a moment for those that were told to end: the daemon is about to.
    pub fn farewell(&mut self, scratch: &mut Vec<u8>) {
        let until = Instant::now() + FAREWELL;
        for helper in self.0.iter_mut().filter_map(|lane| lane.helper.as_mut()) {
            helper.hear_to_end(scratch, until, |_| {});
        }
    }

    /// A process was reaped; a helper, perhaps.
    pub fn reaped(&mut self, ended: &Ended) {
        let helpers = self.0.iter_mut().filter_map(|lane| lane.helper.as_mut());
        for helper in helpers.filter(|helper| helper.pid() == ended.pid) {
            helper.reaped("the helper", ended.exit);
        }
    }
}
