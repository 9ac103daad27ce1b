//! The daemon's part in being replaced by another program; see `shell::renewal`.

use super::{Daemon, PROBE_STDIN, PROBE_STDOUT};
use crate::core::renewals::{Around, Pressure, may_execute};
use crate::core::scheduler::Carried;
use crate::core::time::Now;
use crate::shell::clock;
use crate::shell::exchange::Exchange;
use crate::shell::handover::{Handover, VARIABLE, lasting};
use crate::shell::logging;
use crate::shell::renewal::{Renewal, Step, THIS, Why, execute, named};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

impl Daemon {
    /// The helper that is asked whether it could take the place of this program.
    pub(super) fn probe(&mut self) -> Option<&mut Exchange> {
        self.renewal.as_mut().and_then(Renewal::probe)
    }

    /// Somebody wants another program. One that is asked for while another is on its way is that.
    pub(super) fn begin_renewal(&mut self, now: Now, why: Why) {
        if self.renewal.is_some() || self.exiting {
            return;
        }
        // It would wait for the database as long again, each time that somebody asks.
        if self.core.scheduler.is_leaving() {
            return self.refuse(why, "the daemon is about to end");
        }
        log::info!("{}: asking {}", why.label(), named(self.program_for(why)));
        match self.ask(now, why) {
            Ok(renewal) => self.renewal = Some(renewal),
            Err(error) => self.refuse(why, &error.to_string()),
        }
    }

    /// Asks the program that is to take the place of this one.
    ///
    /// # Errors
    /// It can't be executed; its name and why.
    pub(super) fn ask(&self, now: Now, why: Why) -> io::Result<Renewal> {
        let program = self.program_for(why);
        let tokens = (PROBE_STDIN, PROBE_STDOUT);
        let files = (self.state_dir.as_path(), self.keeping.lock_path.as_path());
        Renewal::begin(why, program, files, now.mono_ms, self.poll.registry(), tokens)
            .map_err(|error| io::Error::other(format!("{}: {error}", named(program))))
    }

    fn program_for(&self, why: Why) -> &Path {
        match why {
            Why::Upgrade => &self.keeping.program,
            Why::Reload | Why::Memory | Why::Panic => Path::new(THIS),
        }
    }

    fn refuse(&mut self, why: Why, text: &str) {
        log::error!("{} not done, all goes on as before: {text}", why.label());
        if let Ok(address) = self.server.local_addr() {
            self.notify.settled(address, Err(text));
        }
    }

    /// Brings a renewal further.
    pub(super) fn renew(&mut self, now: Now) {
        let Some(mut renewal) = self.renewal.take() else { return };
        let why = renewal.why;
        match renewal.step(now.mono_ms, &mut self.scratch) {
            Step::Refused(text) => return self.refuse(why, &text),
            Step::Pause => self.server.pause(true),
            Step::Execute { agreed_ms } if self.may_execute(now, agreed_ms) => {
                log::info!("{}: {} takes over", why.label(), named(renewal.program()));
                self.notify.reloading();
                self.answer_all(false);
                let error = self.hand_over(renewal.program(), true);
                self.server.pause(false);
                return self.refuse(why, &format!("{}: {error}", named(renewal.program())));
            }
            Step::Wait | Step::Execute { .. } => {}
        }
        self.renewal = Some(renewal);
    }

    fn may_execute(&mut self, now: Now, agreed_ms: u64) -> bool {
        let serving = self.lanes.are_busy() || !self.server.is_settled();
        let around = Around { left_over: self.pressed, serving };
        may_execute(&self.core, now, agreed_ms, around)
    }

    /// Answers all who wait, before nobody is there any more who could. What the core knows may be
    /// half done, after a panic: then the server knows at least who waits.
    pub(super) fn answer_all(&mut self, ends: bool) {
        let now = clock::now();
        let answers = catch_unwind(AssertUnwindSafe(|| self.core.last_answers(now, ends)));
        self.server.answer_all(now, answers.unwrap_or_default());
    }

    /// Executes a program in place of this one. Returns only if that fails.
    pub(super) fn hand_over(&mut self, program: &Path, with_clients: bool) -> io::Error {
        self.end_helpers();
        match self.write_handover(with_clients) {
            Ok((handover, _open)) => {
                logging::leave();
                execute(program, &format!("{VARIABLE}={}", handover.as_raw_fd()))
            }
            Err(error) => error,
        }
    }

    /// The descriptors that are returned stay open over `execve`; those of clients, too.
    fn write_handover(&mut self, with_clients: bool) -> io::Result<(OwnedFd, Vec<OwnedFd>)> {
        // The next program opens them by their names.
        self.put_right()?;
        let (listener, clients) = self.server.hand_over(clock::now())?;
        let (lock, state_lock) = (lasting(&self.lock)?, lasting(&self.state_lock)?);
        let lock_guard = self.lock.guard().map(lasting).transpose()?;
        let state_guard = self.state_lock.guard().map(lasting).transpose()?;
        let (fds, inputs): (Vec<OwnedFd>, Vec<Vec<u8>>) =
            clients.into_iter().filter(|_| with_clients).unzip();
        let handover = Handover {
            listener: listener.as_raw_fd(),
            lock: lock.as_raw_fd(),
            lock_guard: lock_guard.as_ref().map(AsRawFd::as_raw_fd),
            lock_path: self.keeping.lock_path.clone(),
            state_lock: state_lock.as_raw_fd(),
            state_guard: state_guard.as_ref().map(AsRawFd::as_raw_fd),
            state_dir: self.state_dir.clone(),
            clients: fds.iter().map(AsRawFd::as_raw_fd).zip(inputs).collect(),
            // Only after a panic they are not handed over.
            carried: Carried { panicked: !with_clients, ..self.core.carry() },
            stats: self.server.stats(),
            program: self.keeping.program.clone(),
            panics_ms: self.keeping.panics.at_ms().to_vec(),
        };
        let written = handover.write()?;
        let guards = lock_guard.into_iter().chain(state_guard);
        let kept = [listener, lock, state_lock].into_iter().chain(guards);
        Ok((written, fds.into_iter().chain(kept).collect()))
    }

    /// Watches the memory limit: at 90 % of it a warning, at the limit a new start, which gives
    /// all memory back and costs no run. Where the jobs alone need that much it would not help.
    pub(super) fn watch_memory(&mut self, now: Now, rss_bytes: u64) {
        let limit_bytes = self.keeping.memory.bytes();
        let pressure = self.keeping.memory.look(now.mono_ms, rss_bytes);
        let (used_mb, limit_mb) = (rss_bytes >> 20, limit_bytes >> 20);
        match pressure {
            Pressure::None => return,
            Pressure::HighFromTheStart => {
                log::error!("memory: {used_mb} of {limit_mb} MB from the start: raise memory_limit")
            }
            Pressure::Full => {
                log::error!("memory: {used_mb} of {limit_mb} MB are in use");
                return self.begin_renewal(now, Why::Memory);
            }
            Pressure::High => {}
        }
        log::warn!("memory: {used_mb} of {limit_mb} MB are in use");
    }
}
