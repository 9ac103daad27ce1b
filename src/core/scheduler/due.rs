//! Which slots are launched, and why the others are not. The rules for the clock are in
//! [`crate::core::clock`]; the table of reasons is [`SkipReason`].

use super::life::Life;
use super::outbox::Outbox;
use super::run::Runs;
use super::{HOLD_MS, Scheduler};
use crate::core::clock::{self, Step};
use crate::core::definition::Schedule;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{Cause, Entry, SkipEntry, SkipReason};
use crate::core::table::{Job, Phase, Table};
use crate::core::time::Now;
use std::collections::{BTreeMap, VecDeque};

/// Slots decided in one turn of the loop; the rest waits for the next.
const SLOTS_A_TURN: usize = 500;

/// Missed slots counted in one turn.
const MISFIRES_A_TURN: usize = 2_000;

/// Missed slots of a job that are counted for one gap; a count that stops here says "at least".
const MAX_MISFIRES: u64 = 100_000;

/// Jobs given a new place in the order in one turn after the clock turned out to be wrong.
const ANEW_A_TURN: usize = 2_000;

/// How far deciding has come.
pub struct Due {
    /// Every slot up to this instant (unix ms) is decided.
    pub decided_ms: i64,
    /// Last slots of jobs as an earlier daemon decided them, where they are beyond that: it may
    /// have died in the middle of a turn, and a job's row may come later than the others.
    pub beyond: BTreeMap<JobId, i64>,
    /// Whether the journal does not know yet how far that is.
    pub unnoted: bool,
    /// The last slot that was decided: it may be beyond that.
    pub last_slot_ms: i64,
    /// Whether due slots wait for the next turn.
    pub behind: bool,
    /// No decisions before the first table, or this reading of the monotonic clock.
    hold_until: Option<u64>,
    /// When this daemon was able to decide, unix ms; none until then. That slots before are late
    /// is the time without a daemon.
    pub able_ms: Option<i64>,
    /// Runs up to this sequence were decided by daemons before.
    pub inherited_sequence: u64,
    /// Gaps whose slots are to be counted.
    misfires: VecDeque<Gap>,
    /// After the clock went back far: the last job that was given a new place.
    anew: Option<Anew>,
    /// Runs of an earlier daemon that it decided and could not launch any more.
    pub resumed: Vec<RunId>,
    /// The highest sequence of a run id at that time.
    pub anew_sequence: u64,
    /// Whether no daemon ran since the machine booted: `@reboot` jobs are due.
    first_of_boot: bool,
}

/// Slots of a job that go at once, and are yet to be counted: they came too late, or while it was
/// paused.
struct Gap {
    job: JobId,
    reason: SkipReason,
    /// The last slot counted.
    at_ms: i64,
    /// Slots later than this are no part of it.
    to_ms: i64,
    first_ms: i64,
    count: u64,
}

/// A new order of all jobs, under way.
struct Anew {
    after: Option<JobId>,
    from_ms: i64,
}

impl Due {
    /// Decisions begin at `decided_ms`, where an earlier daemon came to, else now.
    pub fn new(now: Now, decided_ms: Option<i64>, first_of_boot: bool) -> Due {
        Due {
            decided_ms: decided_ms.unwrap_or(now.wall_ms),
            beyond: BTreeMap::new(),
            unnoted: false,
            last_slot_ms: 0,
            behind: false,
            hold_until: Some(now.mono_ms + HOLD_MS),
            able_ms: None,
            inherited_sequence: 0,
            misfires: VecDeque::new(),
            anew: None,
            resumed: Vec::new(),
            anew_sequence: 0,
            first_of_boot,
        }
    }

    /// Gives a job that came into the table the slot up to which an earlier daemon decided it.
    pub fn recall_slot(&self, id: JobId, table: &mut Table) {
        if let Some(&slot_ms) = self.beyond.get(&id) {
            table.begin_after(id, slot_ms, self.decided_ms);
        }
    }

    /// Until when decisions are held.
    pub fn hold_until(&self) -> Option<u64> {
        self.hold_until
    }

    /// Whether there are missed slots to count or jobs to put in a new order.
    pub fn has_misfires(&self) -> bool {
        !self.misfires.is_empty() || self.anew.is_some()
    }

    /// Notes how far deciding has come, once all that was decided is in the journal itself: what
    /// still waits for its launch or is still counted has to be decided again by the next daemon,
    /// should this one be killed now.
    pub(super) fn note_decided(&mut self, runs: &Runs, outbox: &mut Outbox) {
        if self.unnoted && runs.line().is_empty() && self.misfires.is_empty() {
            self.unnoted = false;
            outbox.note(&Entry::Decided(self.decided_ms));
        }
    }
}

impl Scheduler {
    /// Lets decisions begin: the table is what the database says, or all that can be had.
    pub(super) fn release_hold(&mut self, now: Now) {
        if self.due.hold_until.take().is_none() {
            return;
        }
        if self.life == Life::Holding {
            self.life.becomes(Life::Active);
        }
        self.due.able_ms.get_or_insert(now.wall_ms);
        self.recall_past();
        self.resume(now);
        let reboot = std::mem::take(&mut self.due.first_of_boot);
        if reboot && self.draining() {
            // The next daemon starts them.
            return;
        }
        // The boot is noted with the first table, not before: its `@reboot` jobs run once.
        self.outbox.boot_id = self.settings.boot_id.clone();
        self.outbox.note(&Entry::Boot(self.settings.boot_id.as_str().into()));
        if reboot {
            for job in self.reboot_jobs() {
                self.start_at_boot(now, job);
            }
        }
    }

    fn start_at_boot(&mut self, now: Now, job: JobId) {
        let slot_ms = now.wall_ms;
        match self.pause_of_slot(job, slot_ms) {
            None => drop(self.start_run(now, job, (None, Cause::Reboot), None)),
            Some(_) => self.skip_slot(now, job, SkipReason::Paused, slot_ms),
        }
    }

    /// When a pause ends that a slot of a job falls into, unix ms.
    fn pause_of_slot(&self, id: JobId, slot_ms: i64) -> Option<i64> {
        let end_ms = self.pauses.end_ms(self.table.get(id)?.scheduled()?);
        (slot_ms < end_ms).then_some(end_ms)
    }

    fn reboot_jobs(&self) -> Vec<JobId> {
        let is_reboot = |schedule: &Schedule| match schedule {
            Schedule::Due(cron, _) => cron.is_reboot(),
            Schedule::Refused(..) => false,
        };
        (self.table.iter())
            .filter(|job| is_reboot(&job.def.schedule))
            // Somebody may have started it by hand already.
            .filter(|job| job.live.len() < job.def.max_concurrence as usize)
            .map(|job| job.def.id)
            .collect()
    }

    /// Decides the slots up to now, or as many as a turn may take.
    pub(super) fn decide(&mut self, now: Now) {
        if self.due.hold_until.is_some_and(|until| now.mono_ms < until) && !self.sync.settled() {
            return;
        }
        self.release_hold(now);
        self.put_anew();
        match clock::classify(self.due.decided_ms, now.wall_ms) {
            Step::Forward => self.decide_until(now),
            Step::Back => self.due.behind = false,
            Step::Anew => self.begin_anew(now),
        }
        self.count_misfires();
    }

    fn decide_until(&mut self, now: Now) {
        let mut some = false;
        for _ in 0..SLOTS_A_TURN {
            match self.table.first_due() {
                Some((slot, job)) if slot <= now.wall_ms => self.decide_slot(now, job, slot),
                _ => break,
            }
            some = true;
        }
        let next = self.table.first_due().map_or(i64::MAX, |(slot, _)| slot);
        self.due.behind = next <= now.wall_ms;
        self.due.decided_ms = self.due.decided_ms.max(now.wall_ms.min(next - 1));
        let decided_ms = self.due.decided_ms;
        self.due.beyond.retain(|_, slot_ms| *slot_ms > decided_ms);
        self.due.unnoted |= some;
    }

    fn decide_slot(&mut self, now: Now, id: JobId, slot: i64) {
        let misfire = clock::is_misfire(slot, now.wall_ms);
        let draining = self.draining();
        let pause = self.pause_of_slot(id, slot);
        let Some(job) = self.table.get_mut(id) else { return };
        debug_assert!(job.last_slot_ms < slot, "slot {slot} of job {id} is decided twice");
        job.last_slot_ms = slot;
        self.due.last_slot_ms = self.due.last_slot_ms.max(slot);
        // What is paused goes behind what is yet to be counted: the ranges of a job come in order.
        if misfire || (pause.is_some() && !self.due.misfires.is_empty()) {
            // All that came too late goes at once; how many there were is counted later.
            let (to_ms, reason) = match pause {
                // It would not have been started by a daemon that was there either.
                Some(end_ms) => (now.wall_ms.min(end_ms - 1), SkipReason::Paused),
                None => (now.wall_ms - clock::FRESH_MS - 1, SkipReason::Misfire),
            };
            job.last_slot_ms = to_ms;
            let gap = Gap { job: id, reason, at_ms: slot, to_ms, first_ms: slot, count: 1 };
            self.due.misfires.push_back(gap);
            self.table.reschedule(id, to_ms);
            self.tell_if_last(id);
            return;
        }
        let at_limit = job.live.len() >= job.def.max_concurrence as usize;
        let waits = matches!(job.phase(), Phase::Replaced(_));
        let reason = if pause.is_some() {
            Some(SkipReason::Paused)
        } else if draining {
            Some(SkipReason::Draining)
        } else if waits {
            Some(SkipReason::Waiting)
        } else if at_limit {
            Some(self.why_at_limit(id, slot))
        } else {
            None
        };
        match reason {
            None => {
                self.start_run(now, id, (Some(slot), Cause::Due), None);
            }
            Some(reason) => self.skip_slot(now, id, reason, slot),
        }
        self.table.reschedule(id, slot);
        self.tell_if_last(id);
        self.touch(id);
    }

    fn skip_slot(&mut self, now: Now, job: JobId, reason: SkipReason, slot_ms: i64) {
        let (first_ms, last_ms, home) = (slot_ms, slot_ms, self.home());
        self.skip(now, SkipEntry { job, reason, first_ms, last_ms, count: 1, home });
    }

    /// After the last slot of a schedule its job is one that is never started again.
    fn tell_if_last(&mut self, id: JobId) {
        if self.table.get(id).is_some_and(|job| job.block().is_some()) {
            self.tell_block(id);
            self.touch_daemon();
        }
    }

    /// A slot of the time without a daemon, whose job has reached its limit with what was made up
    /// for before: nothing was in its way then but that there was no daemon.
    fn why_at_limit(&self, id: JobId, slot: i64) -> SkipReason {
        let was_alive = |run: &&RunId| {
            run.sequence <= self.due.inherited_sequence
                && self.runs.get(run).is_some_and(|run| run.pid != 0)
        };
        let down = self.due.able_ms.is_some_and(|able_ms| slot <= able_ms);
        let room = |job: &Job| {
            job.live.iter().filter(was_alive).count() < job.def.max_concurrence as usize
        };
        match down && self.table.get(id).is_some_and(room) {
            true => SkipReason::Misfire,
            false => SkipReason::Overlap,
        }
    }

    /// Records slots that were not launched. The log gets a line when a range begins; the
    /// journal, and from there the database, always knows how long it is.
    fn skip(&mut self, now: Now, skip: SkipEntry) {
        self.counters.skipped += skip.count;
        self.metrics.skipped.add(skip.reason, skip.count);
        self.touch(skip.job);
        self.note_intents(skip.job);
        let job = self.table.get_mut(skip.job);
        // What is no longer in force has no range that could go on.
        let job = job.filter(|job| !matches!(job.phase(), Phase::Disabled));
        let Some(job) = job else { return };
        if skip.reason == SkipReason::Overlap {
            job.overtime += skip.count;
        }
        let (range, is_new) = job.history_mut().skipped(skip);
        if is_new {
            let live = job.live.len();
            let slot = crate::core::time::rfc3339(range.first_ms, &self.settings.zone);
            let reason = range.reason.label();
            let (id, count) = (skip.job, range.count);
            log::info!("skip job={id} reason={reason} slot={slot} count={count} live={live}");
        }
        self.outbox.record(now, &Entry::Skip(range));
    }

    fn count_misfires(&mut self) {
        for _ in 0..MISFIRES_A_TURN {
            let Some(gap) = self.due.misfires.front_mut() else { return };
            let next = self.table.get(gap.job).and_then(|job| match &job.scheduled()?.schedule {
                Schedule::Due(cron, zone) => cron.next_after(self.table.zone(*zone), gap.at_ms),
                Schedule::Refused(..) => None,
            });
            match next.filter(|next| *next <= gap.to_ms && gap.count < MAX_MISFIRES) {
                Some(next) => {
                    gap.at_ms = next;
                    gap.count += 1;
                }
                None => {
                    let Some(gap) = self.due.misfires.pop_front() else { return };
                    let now = Now { wall_ms: self.due.decided_ms, mono_ms: 0 };
                    let skip = SkipEntry {
                        job: gap.job,
                        reason: gap.reason,
                        first_ms: gap.first_ms,
                        last_ms: gap.at_ms,
                        count: gap.count,
                        home: self.home(),
                    };
                    self.skip(now, skip);
                    self.due.unnoted = true;
                }
            }
        }
    }

    fn begin_anew(&mut self, now: Now) {
        let decided_ms = self.due.decided_ms;
        let old = crate::core::time::rfc3339(decided_ms, &self.settings.zone);
        log::warn!("clock went back from {old} by more than 3 h: the schedule begins again");
        self.due.decided_ms = now.wall_ms;
        self.due.last_slot_ms = now.wall_ms;
        self.due.behind = false;
        self.due.misfires.clear();
        self.due.beyond.clear();
        self.due.able_ms = Some(i64::MIN);
        self.due.anew = Some(Anew { after: None, from_ms: now.wall_ms });
        if self.due.anew_sequence == self.last_sequence {
            // No run since it last began: who reads of both must tell which is the later one.
            self.last_sequence += 1;
        }
        self.due.anew_sequence = self.last_sequence;
        self.outbox.note(&Entry::Anew(self.last_sequence));
        self.outbox.note(&Entry::Decided(now.wall_ms));
        // A pause that is over does not come back with the time.
        self.pauses.forget_ended(decided_ms, &mut self.outbox);
    }

    fn put_anew(&mut self) {
        let Some(anew) = self.due.anew.take() else { return };
        let ids: Vec<JobId> =
            self.table.iter_after(anew.after).take(ANEW_A_TURN).map(|job| job.def.id).collect();
        for id in &ids {
            if let Some(job) = self.table.get_mut(*id) {
                job.last_slot_ms = i64::MIN;
                job.history.iter_mut().for_each(|history| history.set_back(anew.from_ms));
            }
            self.table.reschedule(*id, anew.from_ms);
            self.touch(*id);
        }
        if ids.len() == ANEW_A_TURN {
            self.due.anew = Some(Anew { after: ids.last().copied(), from_ms: anew.from_ms });
        }
    }
}
