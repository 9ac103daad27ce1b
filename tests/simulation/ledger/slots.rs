//! What is due, and what becomes of it.

use super::{FRESH_MS, Job, Ledger, MAX_BACK_MS, Run, State};
use crate::simulation::cron::Expr;
use schedule::core::daemon::Core;
use schedule::core::ids::{JobId, RunId};
use schedule::core::journal::{Cause, SkipReason};
use schedule::core::protocol::JobRow;
use schedule::core::time::Now;
use std::collections::BTreeMap;

/// A launch: job, and slot if it has one.
type Launch = (u32, Option<i64>);

/// Why slots are skipped that may be counted later than they are decided.
pub const LATE: [SkipReason; 2] = [SkipReason::Misfire, SkipReason::Paused];

fn ids(jobs: &[(&u32, &Job)]) -> Vec<u32> {
    jobs.iter().map(|(id, _)| **id).collect()
}

impl Ledger {
    /// The core is about to be told that time has passed.
    pub fn before_tick(&mut self, core: &Core) {
        self.has_hole = core.scheduler.outbox().has_hole();
    }

    /// The core was told that time has passed. Everything up to now must be decided rightly.
    pub fn tick(&mut self, now: Now, core: &Core) {
        self.before_anew = None;
        self.retry(now);
        if let Some(rows) = self.staged.take() {
            self.apply(&rows, Some(now));
        }
        let expected = self.judge(now, core);
        let launched = self.new_runs(now, core, false);
        let mut rest: BTreeMap<u32, Vec<Option<i64>>> = BTreeMap::new();
        for (job, slot) in launched {
            rest.entry(job).or_default().push(slot);
        }
        let mut due: BTreeMap<u32, Vec<Option<i64>>> = BTreeMap::new();
        for (job, slot) in expected {
            due.entry(job).or_default().push(slot);
        }
        let of = |id: &u32| self.jobs.get(id).map(|job| (job.next, job.scheduled().cloned()));
        let jobs = || rest.keys().chain(due.keys()).map(of).collect::<Vec<_>>();
        assert_eq!(rest, due, "launched (left) and due (right) differ at {now:?}; {:?}", jobs());
    }

    /// Somebody asked for a run. Returns whether there should be one.
    pub fn started_by_hand(&mut self, now: Now, core: &Core, id: u32) -> bool {
        let draining = self.draining;
        let room = |job: &Job| job.live.len() < job.def.row.max_concurrence as usize;
        let may = |job: &Job| !draining && !job.draining && job.waiting.is_none() && room(job);
        let started = self.jobs.get(&id).is_some_and(may);
        let expected: Vec<Launch> = if started { vec![(id, None)] } else { Vec::new() };
        let launched = self.new_runs(now, core, true);
        assert_eq!(launched, expected, "job {id} is started by hand: runs (left) and due (right)");
        started
    }

    /// What should be launched now. Skipped slots are counted and compared.
    fn judge(&mut self, now: Now, core: &Core) -> Vec<Launch> {
        let mut launches = Vec::new();
        if let Some(until) = self.held_until {
            if !self.answered && now.mono_ms < until {
                return launches;
            }
            self.held_until = None;
            self.able = if self.goes_on { i64::MIN } else { now.wall_ms };
            self.resume(core);
            launches = self.reboot_jobs(now);
        }
        if self.decided - now.wall_ms > MAX_BACK_MS {
            self.begin_anew(now, core);
        } else if self.decided <= now.wall_ms {
            self.decide_until(now, core, &mut launches);
        }
        if !core.busy() {
            self.compare_misfires(core);
        }
        launches
    }

    fn reboot_jobs(&mut self, now: Now) -> Vec<Launch> {
        if !std::mem::take(&mut self.first_of_boot) || self.draining {
            return Vec::new();
        }
        let reboot = self.jobs.iter().filter(|(_, job)| {
            let def = job.scheduled();
            let room = |row: &JobRow| job.live.len() < row.max_concurrence as usize;
            def.is_some_and(|def| def.expr == Expr::Reboot && !def.is_flawed() && room(&def.row))
        });
        let is_paused =
            |job: &Job| job.scheduled().is_some_and(|it| self.pause_end(it) > now.wall_ms);
        let (paused, due): (Vec<_>, Vec<_>) = reboot.partition(|(_, job)| is_paused(job));
        let (paused, due) = (ids(&paused), ids(&due));
        for id in paused {
            self.skipped(id, SkipReason::Paused, now.wall_ms);
        }
        due.into_iter().map(|id| (id, None)).collect()
    }

    /// The clock was wrong: what was decided by it counts no more.
    fn begin_anew(&mut self, now: Now, core: &Core) {
        self.epoch += 1;
        // The journal has yet to tell it.
        self.anew_from = u64::MAX;
        self.before_anew = Some(self.decided);
        self.forget_pauses_before(self.decided);
        self.decided = now.wall_ms;
        self.able = i64::MIN;
        self.beyond.clear();
        self.anew_ms = now.wall_ms;
        self.forget_ranges();
        for (&id, job) in &mut self.jobs {
            job.last = i64::MIN;
            job.since = now.wall_ms;
            // Gaps that were still being counted are of a time that never was.
            let history =
                core.scheduler.table().get(JobId(id)).and_then(|job| job.history.as_ref());
            for reason in LATE {
                job.forget_uncounted(reason, history.map_or(0, |it| it.skipped.get(reason)));
            }
            job.reschedule(&self.zones);
        }
        self.misfired.clear();
    }

    /// Those that go on in a time that never was: their slots may be due again, as others.
    pub(super) fn forget_ranges(&mut self) {
        let anew_ms = self.anew_ms;
        self.ranges.retain(|_, range| range.last_ms <= anew_ms);
    }

    fn decide_until(&mut self, now: Now, core: &Core, launches: &mut Vec<Launch>) {
        let busy = core.busy();
        let ends = |job: &Job| job.scheduled().map_or(i64::MIN, |def| self.pause_end(def));
        let ends: BTreeMap<u32, i64> = self.jobs.iter().map(|(id, job)| (*id, ends(job))).collect();
        for (&id, job) in &mut self.jobs {
            if job.next.is_none_or(|next| next > now.wall_ms) {
                continue;
            }
            let core_job = core.scheduler.table().get(JobId(id));
            // With much to do it is done in slices, and the core says how far it has come.
            let claim = core_job.map_or(i64::MIN, |job| job.last_slot_ms);
            let upto = if busy { claim.min(now.wall_ms) } else { now.wall_ms };
            let mut live = job.live.len();
            let runs = &self.runs;
            let was_alive = |id: &&RunId| {
                let alive = [State::Alive, State::Killed].contains(&runs[*id].state)
                    || matches!(runs[*id].state, State::Stopping { .. });
                id.sequence <= self.inherited && alive
            };
            let before = job.live.iter().filter(was_alive).count();
            while let Some(slot) = job.next.filter(|next| *next <= upto) {
                let limit = job.def.row.max_concurrence as usize;
                let reason = if slot < ends[&id] {
                    Some(SkipReason::Paused)
                } else if now.wall_ms - slot > FRESH_MS {
                    Some(SkipReason::Misfire)
                } else if self.draining {
                    Some(SkipReason::Draining)
                } else if job.waiting.is_some() {
                    Some(SkipReason::Waiting)
                } else {
                    // Without a daemon only what was alive all the time was in the way.
                    let in_the_way = slot > self.able || before >= limit;
                    let reason = if in_the_way { SkipReason::Overlap } else { SkipReason::Misfire };
                    (live >= limit).then_some(reason)
                };
                match reason {
                    None => {
                        live += 1;
                        launches.push((id, Some(slot)));
                    }
                    Some(reason) => {
                        *job.counts.entry(reason).or_default() += 1;
                        self.figures.skipped(reason);
                        job.untold.push((reason, slot));
                        self.misfired.extend(LATE.contains(&reason).then_some(id));
                    }
                }
                job.last = slot;
                job.reschedule(&self.zones);
            }
            let counted = core_job.and_then(|job| job.history.as_ref());
            // Those that came too late are compared once they are counted.
            for reason in SkipReason::ALL.into_iter().filter(|it| !LATE.contains(it)) {
                let counted = counted.map_or(0, |history| history.skipped.get(reason));
                let due = job.count(reason);
                assert_eq!(counted, due, "job {id}: slots skipped (left) and due for {reason:?}");
            }
            let overtime = core_job.map_or(0, |job| job.overtime);
            assert_eq!(overtime, job.count(SkipReason::Overlap), "job {id}: overtime");
        }
        let next = self.jobs.values().filter_map(|job| job.next).min().unwrap_or(i64::MAX);
        self.decided = self.decided.max(now.wall_ms.min(next - 1));
    }

    /// A slot that is none of a schedule is skipped.
    fn skipped(&mut self, id: u32, reason: SkipReason, slot: i64) {
        self.figures.skipped(reason);
        self.misfired.insert(id);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        *job.counts.entry(reason).or_default() += 1;
        job.untold.push((reason, slot));
    }

    fn compare_misfires(&mut self, core: &Core) {
        for id in std::mem::take(&mut self.misfired) {
            let Some(job) = self.jobs.get(&id) else { continue };
            let history =
                core.scheduler.table().get(JobId(id)).and_then(|job| job.history.as_ref());
            for reason in LATE {
                let counted = history.map_or(0, |history| history.skipped.get(reason));
                let due = job.count(reason);
                assert_eq!(counted, due, "job {id}: {reason:?}: counted (left) and slots missed");
            }
        }
    }

    /// Takes in the runs that the core decided since the last look.
    fn new_runs(&mut self, now: Now, core: &Core, by_hand: bool) -> Vec<Launch> {
        let first = RunId { server_id: 1, sequence: self.last_sequence + 1, instance: 0 };
        let mut launched = Vec::new();
        for (&id, run) in core.scheduler.runs().range(first..) {
            self.last_sequence = id.sequence;
            assert!(self.given.insert(id), "run {id} is the second one of that name");
            let job = run.job.0;
            launched.push((job, run.slot_ms));
            let cause = match run.slot_ms {
                Some(_) => Cause::Due,
                None if by_hand => Cause::Manual,
                None => Cause::Reboot,
            };
            assert_eq!(run.cause, cause, "run {id}");
            if let Some(slot) = run.slot_ms {
                let new = self.slots.insert((job, slot, self.epoch));
                assert!(new, "slot {slot} of job {job} is launched a second time, as {id}");
            }
            if let (Some(slot), Some(ours)) = (run.slot_ms, self.jobs.get(&job)) {
                self.check_born(job, &ours.def, slot);
            }
            let Some(ours) = self.jobs.get_mut(&job) else { continue };
            ours.live.insert(id);
            self.live.insert(id);
            self.fresh.insert(id);
            let def = ours.def.clone();
            let slot = (job, run.slot_ms);
            self.runs.insert(id, Run::new(slot, self.epoch, self.named, def, now.mono_ms));
        }
        launched
    }
}
