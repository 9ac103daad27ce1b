//! What must never be, looked at after each call in a build for tests. What is cheap is looked at
//! each time. Of runs and jobs there may be very many: a few, other ones each time.

use super::Scheduler;
use super::life::Life;
use super::outbox::Outbox;
use crate::core::ids::{JobId, RunId};
use crate::core::launch::MAX_LAUNCHING;
use crate::core::table::Job;
use std::ops::Bound;

/// Runs, and jobs, that are looked at each time.
const LOOKED_AT: usize = 16;

/// Runs of a job among which one is looked for.
const MOST_LIVE: usize = 64;

impl Scheduler {
    /// Panics where something is that must never be; in a build for tests.
    pub(in crate::core) fn check_invariants(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let is_held = self.due.hold_until().is_some();
        match self.life {
            Life::Holding => assert!(is_held, "decisions are held back for nothing"),
            Life::Active => assert!(!is_held, "slots are decided while decisions are held back"),
            Life::Draining | Life::Exiting => {}
        }
        assert!(self.runs.asked() <= MAX_LAUNCHING, "too many launches are asked for at a time");
        check_outbox(&self.outbox);
        let waits = self.due.resumed.is_empty() || self.life != Life::Active;
        assert!(waits, "runs of an earlier daemon wait, and decisions are made");
        self.runs.check_all();
        self.table.check_all();
        let (run, job) = self.checked.get();
        self.checked.set((self.check_runs(run), self.check_jobs(job)));
    }

    /// Those behind this one. Returns the last one, if there may be more.
    fn check_runs(&self, after: Option<RunId>) -> Option<RunId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        let mut left = LOOKED_AT;
        for (id, run) in self.runs.all().range((from, Bound::Unbounded)).take(LOOKED_AT) {
            self.runs.check(*id, run);
            assert!(id.sequence <= self.last_sequence, "run {id} is later than the last one");
            let job = self.table.get(run.job);
            // One with very many runs is seen from its own side.
            let is_known = |job: &Job| job.live.len() > MOST_LIVE || job.live.contains(id);
            let is_known = job.is_some_and(is_known);
            assert!(is_known, "run {id} is alive and counts against no limit");
            (last, left) = (Some(*id), left - 1);
        }
        last.filter(|_| left == 0)
    }

    fn check_jobs(&self, after: Option<JobId>) -> Option<JobId> {
        let mut last = None;
        let mut left = LOOKED_AT;
        for job in self.table.iter_after(after).take(LOOKED_AT) {
            self.table.check(job);
            let is_alive = |id| self.runs.get(id).is_some_and(|run| run.job == job.def.id);
            let job_id = job.def.id;
            let (first, last_ones) = (job.live.iter(), job.live.iter().rev());
            let mut ends = first.take(LOOKED_AT).chain(last_ones.take(LOOKED_AT));
            assert!(ends.all(is_alive), "job {job_id} counts a run that is gone");
            (last, left) = (Some(job_id), left - 1);
        }
        last.filter(|_| left == 0)
    }
}

/// Records may be waited for that are in no segment: somebody can have taken that away.
fn check_outbox(outbox: &Outbox) {
    let end = outbox.end();
    assert!(outbox.recorded <= end, "more is recorded than the journal has");
    assert!(outbox.recorded_target <= end, "a helper is asked for more than the journal has");
    assert!(outbox.written_end() <= end, "more is on the disk than was written");
    assert!(outbox.written_to <= end, "a line is on the disk behind the end of the log");
    assert!(outbox.said.end <= end, "the last word knows a log that is longer than it is");
    let last = outbox.segments.back().map_or(end, |last| last.start + last.bytes);
    assert_eq!(last, end, "the newest segment does not end where the log does");
}
