//! What the daemon looks at each second: how it is itself, and whether somebody took the state
//! directory, or something in it, away from under it.
//!
//! What counts is open or in memory, so it is put there again under its name, where helpers and
//! the next daemon look for it: the directory with its lock, the newest segment of the journal, and
//! the note. The keeper makes its socket again when it is asked to (`shell::keeper`). Another
//! number is drawn for `instance`: the run ids of the next daemon are to differ from those of the
//! daemon whose directory was lost. By that number a directory is known that comes back. A
//! directory with another journal is not written to: that journal has records of its own, and
//! segments of the same names.

use super::Daemon;
use crate::core::event::{Event, Vitals};
use crate::core::plain::records_astray;
use crate::core::time::Now;
use crate::shell::holder;
use crate::shell::instance;
use crate::shell::journal::{ANOTHERS, Room};
use crate::shell::keeper::SOCKET;
use crate::shell::lock::{self, Lock};
use crate::shell::own;
use crate::shell::proc_fs;
use crate::shell::start::before;
use crate::shell::sys::Signal;
use std::fs;
use std::io;

/// The core is told how the process is once in so many milliseconds.
const VITALS_MS: u64 = 1_000;

impl Daemon {
    /// Tells the core how the process and its server are, at most once a second.
    pub(super) fn examine(&mut self, now: Now) {
        if self.examined_ms.is_some_and(|last| now.mono_ms < last + VITALS_MS) {
            return;
        }
        self.examined_ms = Some(now.mono_ms);
        // What a panic does can only be tested with one.
        let planted =
            cfg!(debug_assertions) && fs::remove_file(self.state_dir.join("panic")).is_ok();
        assert!(!planted, "a panic was asked for");
        let stats = self.server.stats();
        let vitals = Vitals {
            rss_bytes: proc_fs::resident_bytes(),
            pid: std::process::id(),
            connections: stats.connections as u64,
            streams: stats.streams as u64,
            accepted: stats.accepted,
            requests: stats.requests,
            refused: stats.refused,
        };
        self.core.handle(now, Event::Vitals(vitals));
        if self.put_right().is_ok() {
            self.look_at_journal();
            self.notify.tend();
            self.call_keeper_back();
        }
        let Room { full, is_short } = self.journal.make_room();
        self.core.handle(now, Event::Room { full, is_short });
        self.watch_memory(now, vitals.rss_bytes);
    }

    /// Puts the journal, and what is set aside, where others look for them, and the state
    /// directory before them.
    ///
    /// # Errors
    /// It can't be written, or another daemon works there by now.
    pub(super) fn put_right(&mut self) -> io::Result<()> {
        self.hold_state_dir()?;
        // A helper changes it, too.
        if !self.is_carrying() && self.set_aside.look() {
            self.core.handle(self.now, Event::SetAsideChanged);
        }
        let healed = self.journal.heal();
        let why = healed.as_ref().err().map(|why| self.journal.told(why));
        self.told_astray(why.map(|why| format!("{why}: it was taken away, and can't be put back")));
        healed
    }

    /// Takes the lock of the directory that has the name of the state directory now.
    pub(super) fn hold_state_dir(&mut self) -> io::Result<()> {
        if lock::is_at(&self.state_lock, &self.state_dir) {
            return Ok(());
        }
        let taken = self.take_state_dir();
        let dir = self.state_dir.display().to_string();
        self.state_lock = taken.map_err(|why| {
            let moved = "it was moved away, and nothing is put into what is there now";
            self.told_astray(Some(format!("{dir}: {moved}: {why}")));
            io::Error::other(why)
        })?;
        log::error!("{dir}: it was deleted or moved away: what counts is put there again");
        self.own.extend(before::settle_in(&self.state_dir, &self.lock));
        Ok(())
    }

    /// Says why what counts can't be put where it belongs, if that is news.
    fn told_astray(&mut self, why: Option<String>) {
        if why != self.astray {
            why.iter().for_each(|why| log::error!("{why}"));
            self.core.handle(self.now, Event::Astray(why.clone()));
            self.journal.stays_away(why.is_some());
            self.astray = why;
        }
    }

    /// What has its name by now may be anybody's.
    fn take_state_dir(&self) -> Result<Lock, String> {
        own::make_dir_in(&self.state_dir, &self.state_dir).map_err(|why| own::advised(&why))?;
        let kept = instance::kept_in(&self.state_dir);
        if self.journal.is_anothers(kept.is_some_and(|kept| self.own.contains(&kept))) {
            return Err(format!(
                "{ANOTHERS}: stop this daemon and start it again, which goes on with that journal; \
                 or put what it has worked in back in its place"
            ));
        }
        Lock::state_dir_at_once(&self.state_dir).map_err(|why| why.to_string())
    }

    /// Looks whether somebody has taken away a part of the journal.
    pub(super) fn look_at_journal(&mut self) {
        // What a helper has just read may be recorded in a moment, also if somebody deletes it
        // meanwhile.
        if !self.is_carrying()
            && let Ok(there) = self.journal.look()
        {
            self.core.handle(self.now, Event::JournalThere(there));
        }
    }

    /// The same before the daemon is gone, when nobody else tells what can't be put right.
    pub(super) fn look_at_last(&mut self) {
        self.end_carrying();
        match self.put_right() {
            Ok(()) => self.look_at_journal(),
            Err(_) => {
                let told = records_astray(self.core.scheduler.outbox().records_held());
                log::error!("end: {told}: {}", self.astray.as_deref().unwrap_or_default());
            }
        }
    }

    /// Has the keeper listen again where the next program looks for it.
    fn call_keeper_back(&mut self) {
        let found = fs::symlink_metadata(self.state_dir.join(SOCKET));
        let is_gone = found.is_err_and(|why| why.kind() == io::ErrorKind::NotFound);
        let is_told = std::mem::replace(&mut self.is_calling, is_gone);
        if is_gone && let Some(keeper) = holder::find_keeper(&self.state_dir) {
            if !is_told {
                let pid = keeper.pid.as_raw_nonzero();
                log::warn!("keeper pid {pid}: its socket is gone, and it makes another");
            }
            let _ = keeper.signal(Signal::USR1);
        }
    }
}
