//! Runs that are told to end: TERM, the grace time, KILL. Where the process is another user's, none
//! of that has any effect, so the run goes on and it is said why.

use super::Scheduler;
use super::news::News;
use super::run::{Run, RunPhase};
use crate::core::event::{Action, Signal};
use crate::core::ids::RunId;
use crate::core::refusal::Refusal;
use crate::core::time::Now;

impl Scheduler {
    /// Asks a run to end: TERM to its group now, KILL after the grace time. Asking again changes
    /// nothing. Returns whether there is such a run.
    pub fn stop_run(&mut self, now: Now, id: RunId) -> bool {
        let Some(run) = self.runs.get(&id) else { return false };
        match run.phase() {
            RunPhase::Queued | RunPhase::Retry { .. } => {
                self.end_unstarted(now, id, "stopped before it was started");
            }
            RunPhase::Launching { pause_ms, stop: false } => {
                self.runs.set_phase(id, RunPhase::Launching { pause_ms, stop: true });
                // The keeper takes note, should we be gone before it has started it.
                self.actions.push_back(Action::Signal(id, Signal::Term));
            }
            RunPhase::Live => {
                log::info!("stop job={} run={id} pid={}", run.job, run.pid);
                self.begin_stop(id, now.mono_ms);
            }
            RunPhase::Launching { stop: true, .. }
            | RunPhase::Stopping { .. }
            | RunPhase::Killed => {}
        }
        self.check_invariants();
        true
    }

    /// TERM for a live run; its grace time counts from this reading of the monotonic clock.
    pub(super) fn begin_stop(&mut self, id: RunId, asked_ms: u64) {
        self.kill_at(id, asked_ms + self.settings.stop_grace_ms);
        self.actions.push_back(Action::Signal(id, Signal::Term));
    }

    /// A live run was told to end, and is killed when the monotonic clock shows this.
    pub(super) fn kill_at(&mut self, id: RunId, kill_at_mono_ms: u64) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.refused = None;
        let job = run.job;
        self.runs.set_phase(id, RunPhase::Stopping { kill_at_mono_ms });
        self.touch(job);
    }

    /// A signal was sent, or refused. A run whose process does not take it is not stopping.
    pub(in crate::core) fn signalled(&mut self, id: RunId, refusal: Option<Box<Refusal>>) {
        if let Some(refusal) = &refusal {
            self.stop_refused(id, refusal);
        }
        self.news.push_back(News::Signal(id, refusal));
    }

    fn stop_refused(&mut self, id: RunId, refusal: &Refusal) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        log::error!("stop job={} run={id} pid={}: {refusal}", run.job, run.pid);
        run.refused = Some(Box::new(refusal.clone()));
        let (job, is_stopping) = (run.job, run.is_stopping());
        if is_stopping && refusal.goes_on() {
            self.runs.set_phase(id, RunPhase::Live);
        }
        self.touch(job);
        self.touch_daemon();
    }

    /// Runs that could not be stopped: their processes are another user's. Where only a part
    /// of them is, they end all the same.
    pub(in crate::core) fn stops_refused(&self) -> impl Iterator<Item = (&Run, &Refusal)> {
        let refused = |run: &'_ Run| run.refused.as_deref().is_some_and(Refusal::goes_on);
        let all = self.runs.values().filter(move |run| refused(run));
        all.filter_map(|run| Some((run, run.refused.as_deref()?)))
    }
}
