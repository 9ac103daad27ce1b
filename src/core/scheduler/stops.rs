//! Runs that are told to end: TERM, the grace time, KILL. Where the process is another user's, none
//! of that has any effect, so the run goes on and it is said why.
//!
//! The journal knows of it before a signal is sent. The keeper sees to all processes of the run; if
//! the keeper is killed meanwhile, the daemon or the next one goes on: see
//! [`crate::core::custody`].

use super::Scheduler;
use super::news::News;
use super::outbox::Outbox;
use super::run::{Run, RunPhase, Runs};
use crate::core::event::{Action, Signal};
use crate::core::ids::RunId;
use crate::core::journal::{Entry, Remarks};
use crate::core::refusal::Refusal;
use crate::core::table::Table;
use crate::core::time::Now;
use std::collections::BTreeSet;

/// What becomes of a run that was told to end before it had a process.
pub(super) const STOPPED_BEFORE: &str = "stopped before it was started";

impl Runs {
    /// Has the journal know when a run is killed that was told to end, or that the run goes on.
    fn note_stop(
        &mut self,
        id: RunId,
        kill_ms: Option<u64>,
        (table, outbox): (&Table, &mut Outbox),
    ) {
        let Some(run) = self.get_mut(&id).filter(|run| run.kill_ms != kill_ms) else { return };
        run.kill_ms = kill_ms;
        if kill_ms.is_none() {
            Remarks::say(&mut run.remarks, |it| &mut it.stopped_by, "");
        }
        self.note(id, (table, outbox));
    }

    /// Has the journal know what there is to know of a run now.
    fn note(&self, id: RunId, (table, outbox): (&Table, &mut Outbox)) {
        let Some(run) = self.get(&id) else { return };
        let Some(job) = table.get(run.job) else { return };
        let md5 = job.def.md5_hex();
        let entry = run.entry(&job.def.name, &job.def.command, &md5, None);
        outbox.note(&Entry::Carried(entry));
        outbox.must_flush = true;
    }
}

impl Scheduler {
    /// Asks a run to end: TERM to its group now, KILL after the grace time. Asking again changes
    /// nothing: who asked first has stopped it. `by`: who asks; empty = that is noted already.
    /// Returns whether there is such a run.
    pub fn stop_run(&mut self, now: Now, id: RunId, by: &str) -> bool {
        let Some(run) = self.runs.get_mut(&id) else { return false };
        let nobody = run.remarks.as_ref().is_none_or(|remarks| remarks.stopped_by.is_empty());
        if nobody {
            Remarks::say(&mut run.remarks, |it| &mut it.stopped_by, by);
        }
        match run.phase() {
            RunPhase::Queued | RunPhase::Retry { .. } => {
                self.end_unstarted(now, id, STOPPED_BEFORE);
            }
            RunPhase::Launching { pause_ms, stop: false } => {
                self.runs.set_phase(id, RunPhase::Launching { pause_ms, stop: true });
                let kill_ms = now.mono_ms + self.settings.stop_grace_ms;
                self.runs.note_stop(id, Some(kill_ms), (&self.table, &mut self.outbox));
                // The keeper takes note, should we be gone before it has started it.
                self.actions.push_back(Action::Signal(id, Signal::Term));
            }
            RunPhase::Live => {
                log::info!("stop job={} run={id} pid={}", run.job, run.pid);
                self.kill_at(id, now.mono_ms + self.settings.stop_grace_ms);
                self.actions.push_back(Action::Signal(id, Signal::Term));
            }
            RunPhase::Launching { stop: true, .. }
            | RunPhase::Stopping { .. }
            | RunPhase::Killed => {
                // That it ends was heard of the keeper alone, and nobody knew by whom.
                if nobody && !by.is_empty() {
                    self.runs.note(id, (&self.table, &mut self.outbox));
                }
            }
        }
        self.check_invariants();
        true
    }

    /// A live run was told to end, and is killed when the monotonic clock shows this.
    pub(super) fn kill_at(&mut self, id: RunId, kill_at_mono_ms: u64) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.refused = None;
        let job = run.job;
        self.runs.note_stop(id, Some(kill_at_mono_ms), (&self.table, &mut self.outbox));
        self.runs.set_phase(id, RunPhase::Stopping { kill_at_mono_ms });
        self.touch(job);
    }

    /// What was last sent to runs that were told to end, once more: who was to see to it is gone.
    /// What waits to be sent yet is sent to who comes after.
    pub(super) fn stops_again(&self) -> Vec<Action> {
        let waits = |action: &Action| match action {
            Action::Signal(id, _) => Some(*id),
            _ => None,
        };
        let waiting: BTreeSet<RunId> = self.actions.iter().filter_map(waits).collect();
        let again = |(id, kill_at_ms): (RunId, Option<u64>)| {
            let signal = if kill_at_ms.is_some() { Signal::Term } else { Signal::Kill };
            Action::Signal(id, signal)
        };
        let stopping = self.stopping().into_iter();
        stopping.filter(|(id, _)| !waiting.contains(id)).map(again).collect()
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
            self.runs.note_stop(id, None, (&self.table, &mut self.outbox));
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
