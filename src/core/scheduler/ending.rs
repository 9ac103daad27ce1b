//! How the daemon ends: at once, with its last run, or after it has stopped the runs; and what it
//! says of that meanwhile.

use super::Scheduler;
use super::life::Life;
use super::news::News;
use super::run::Run;
use crate::core::event::Action;
use crate::core::ids::RunId;
use crate::core::plain::{counted, runs_go_on};
use crate::core::time::Now;

/// What is waited for is said again after this long, ms.
const SAY_AGAIN_MS: u64 = 10_000;

/// Who stops the runs of a daemon that ends with them.
const WITH_DAEMON: &str = "daemon";

/// Runs that are named at a time.
const MAX_NAMED: usize = 5;

/// What a daemon that ends is still to do when all else is done.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Leaving {
    /// To see whether somebody took away or cut the journal since that was looked at last.
    #[default]
    Look,
    /// To tell the next daemon what counts, if the newest segment does not tell it any more.
    Checkpoint,
    /// Nothing.
    Go,
}

impl Scheduler {
    /// Starts no more and ends with the last run.
    pub(in crate::core) fn drain(&mut self, now: Now) {
        if !self.draining() {
            log::info!("end: {}, starting no more", self.waited_for(now));
            self.say_again_ms = now.mono_ms + SAY_AGAIN_MS;
            self.life.becomes(Life::Draining);
        }
        self.touch_daemon();
    }

    /// The same, and stops the runs.
    pub(in crate::core) fn stop_runs(&mut self, now: Now) {
        self.drain(now);
        log::info!("end: stopping {}", counted(self.runs.len() as u64, "run"));
        let runs: Vec<RunId> = self.runs.all().keys().copied().collect();
        for run in runs {
            self.stop_run(now, run, WITH_DAEMON);
        }
    }

    /// What TERM means to a daemon with which its container ends: the kernel kills all others then.
    /// So it ends with the last run, and if it is told again it stops the runs.
    pub(in crate::core) fn end_with_runs(&mut self, now: Now) {
        if self.draining() {
            return self.stop_runs(now);
        }
        self.drain(now);
        if !self.runs.is_empty() {
            log::info!(
                "end: its container ends with it, so it waits; TERM once more stops the runs"
            );
        }
    }

    /// Ends at once; the runs go on. `contained`: unless what is around it ends, too.
    pub(in crate::core) fn terminate(&mut self, contained: bool) {
        if self.is_exiting() {
            return;
        }
        self.news.push_back(News::SyncEnded(Err("the daemon is ending".into())));
        let unless = if contained { ", unless its container ends with it" } else { "" };
        match self.runs.len() as u64 {
            0 => log::info!("end: no run is left"),
            runs => log::info!("end: {} without the daemon{unless}", runs_go_on(runs)),
        }
        self.life.becomes(Life::Exiting);
        self.outbox.unwritten.look_at_once();
        self.due.unnoted = true;
    }

    /// The last things that a daemon does that ends.
    pub(super) fn leave(&mut self) -> Option<Action> {
        if !self.is_exiting() {
            return None;
        }
        let next = match self.leaving {
            Leaving::Look => Leaving::Checkpoint,
            Leaving::Checkpoint | Leaving::Go => Leaving::Go,
        };
        match std::mem::replace(&mut self.leaving, next) {
            Leaving::Look => return Some(Action::JournalLook),
            Leaving::Checkpoint => self.last_checkpoint(),
            Leaving::Go => {}
        }
        self.flush_journal().or(Some(Action::Exit))
    }

    /// Ends if it was to wait and there is nothing left to wait for; says now and then what is.
    pub(super) fn end_if_done(&mut self, now: Now) {
        if self.life != Life::Draining {
            return;
        }
        if self.runs.is_empty() {
            if self.last_records_told(now) {
                self.terminate(false);
            }
        } else if now.mono_ms >= self.say_again_ms {
            log::info!("end: still {}", self.waited_for(now));
            self.say_again_ms = now.mono_ms + SAY_AGAIN_MS;
        }
    }

    /// When [`Scheduler::end_if_done`] has something to say, monotonic ms.
    pub(super) fn end_wake(&self) -> Option<u64> {
        let waits = self.life == Life::Draining && !self.runs.is_empty();
        waits.then_some(self.say_again_ms)
    }

    /// `waiting for 2 runs: job=5 run=1-abc pid=77 for 12 s (backup); …`
    fn waited_for(&self, now: Now) -> String {
        let named = |run: &Run| {
            let name = self.table.get(run.job).map_or("", |job| &job.def.name);
            let seconds = now.mono_ms.saturating_sub(run.mono_ms) / 1000;
            let refused = run.refused.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let pid = run.pid;
            format!("job={} run={} pid={pid} for {seconds} s ({name}){refused}", run.job, run.id)
        };
        let count = self.runs.len();
        let mut parts: Vec<String> = self.runs.values().take(MAX_NAMED).map(named).collect();
        if count > MAX_NAMED {
            parts.push(format!("{} more", count - MAX_NAMED));
        }
        let colon = if count == 0 { "" } else { ": " };
        format!("waiting for {}{colon}{}", counted(count as u64, "run"), parts.join("; "))
    }
}
