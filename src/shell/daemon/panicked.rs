//! What the daemon does after a panic. What is half done then is not looked at again: this program
//! starts again in the same process, with what the journal and the keeper know.
//!
//! First it is asked whether it could go on as things are now, as for a reload: the configuration
//! may have errors since, or the files can't be opened any more. Then the daemon waits and asks
//! again. To go on with what is half done might start a slot twice; to end would let go of the lock
//! and of the port, and nobody would come back by himself when the cause is gone.

use super::{Daemon, PROBE_STDOUT, SIGNALS, reopen_log};
use crate::core::renewals::Panics;
use crate::shell::clock;
use crate::shell::renewal::{Renewal, Step, Why, named};
use crate::shell::signals::Wish;
use crate::shell::sys;
use mio::Events;
use std::io;
use std::time::Duration;

/// Events that are taken at a time.
const MAX_EVENTS: usize = 64;

/// What somebody wants of a daemon that has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// It is to end.
    End,
    /// It is to ask at once: the same program, or the one that is installed now.
    Ask(Why),
}

impl Daemon {
    /// Has this program start again as soon as it could go on; the longer ago the last panic was,
    /// the sooner. Returns when it is told to end.
    ///
    /// # Errors
    /// The kernel's event queue failed.
    pub(super) fn start_anew_after_panic(&mut self) -> io::Result<()> {
        self.end_helpers();
        self.forget_probe();
        self.answer_all(false);
        let mut pause_s = self.keeping.panics.one_more(clock::now().mono_ms);
        log::error!("the daemon starts again in {pause_s} s; its runs go on");
        let mut told = String::new();
        while !self.exiting {
            let (heard, why) = self.wait_and_ask(pause_s)?;
            if heard == Heard::End {
                return Ok(());
            }
            let is_news = why != told;
            if is_news {
                log::error!(
                    "the daemon can't start again and launches nothing until it can, which is \
                     tried once more; its runs go on: {why}"
                );
            }
            if is_news || heard != Heard::Nothing {
                self.notify.stands_still(&why);
            }
            told = why;
            pause_s = Panics::next_pause_s(pause_s);
        }
        Ok(())
    }

    /// Waits, unless somebody wants it to hurry, and puts the program in place of this one. Returns
    /// what was heard, and why that could not be done.
    fn wait_and_ask(&mut self, pause_s: u64) -> io::Result<(Heard, String)> {
        let until_ms = clock::now().mono_ms + pause_s * 1_000;
        let mut heard = Heard::Nothing;
        while heard == Heard::Nothing && clock::now().mono_ms < until_ms {
            heard = self.hear(until_ms)?;
        }
        loop {
            let now = clock::now();
            let why = match heard {
                Heard::Nothing => Why::Panic,
                Heard::Ask(why) => why,
                Heard::End => return Ok((heard, String::new())),
            };
            let asked = self.renewal.take().map_or_else(|| self.ask(now, why), Ok);
            let mut renewal = match asked {
                Ok(renewal) => renewal,
                Err(error) => return Ok((heard, error.to_string())),
            };
            let now_ms = now.mono_ms;
            match renewal.step(now_ms, &mut self.scratch) {
                Step::Refused(text) => return Ok((heard, text)),
                Step::Pause | Step::Execute { .. } => {
                    log::info!("{}: {} takes over", why.label(), named(renewal.program()));
                    let error = self.hand_over(renewal.program(), false);
                    return Ok((heard, format!("{}: {error}", named(renewal.program()))));
                }
                Step::Wait => {}
            }
            let until_ms = renewal.next_ms(now_ms);
            self.renewal = Some(renewal);
            let now_heard = self.hear(until_ms)?;
            if now_heard != Heard::Nothing {
                // The one that is asked may have read the files before.
                self.forget_probe();
                heard = now_heard;
            }
        }
    }

    fn forget_probe(&mut self) {
        if let Some(probe) = self.probe() {
            probe.kill();
        }
        self.renewal = None;
    }

    /// Hears, until that instant at the latest, of signals and of the program that is asked.
    fn hear(&mut self, until_ms: u64) -> io::Result<Heard> {
        let now_ms = clock::now().mono_ms;
        let until_ms = self.notify.alive(now_ms).map_or(until_ms, |next| next.min(until_ms));
        let wait = Duration::from_millis(until_ms.saturating_sub(now_ms));
        let mut events = Events::with_capacity(MAX_EVENTS);
        match self.poll.poll(&mut events, Some(wait)) {
            Err(why) if why.kind() != io::ErrorKind::Interrupted => return Err(why),
            _ => {}
        }
        for event in &events {
            match event.token() {
                SIGNALS => self.signals.drain(),
                PROBE_STDOUT => self.probe().into_iter().for_each(|it| it.readable = true),
                // It is for the program that comes.
                _ => {}
            }
        }
        while let Some(ended) = sys::wait_any() {
            self.renewal.iter_mut().for_each(|renewal: &mut Renewal| renewal.reaped(&ended));
        }
        let mut heard = Heard::Nothing;
        for wish in self.signals.wishes() {
            match wish {
                // What becomes of the runs is for who asks once there is no daemon.
                Wish::Terminate | Wish::Drain | Wish::StopRuns => return Ok(Heard::End),
                Wish::Reload => heard = Heard::Ask(Why::Panic),
                Wish::Upgrade => heard = Heard::Ask(Why::Upgrade),
                Wish::ReopenLog => reopen_log(),
            }
        }
        Ok(heard)
    }
}
