//! A new table comes into force, in slices.

use super::{Staged, Sync};
use crate::core::change::{Of, Stand};
use crate::core::definition::{Block, Definition, Flaw};
use crate::core::ids::JobId;
use crate::core::plain;
use crate::core::scheduler::{Acts, News, Scheduler, Settings};
use crate::core::table::Phase;
use crate::core::time::Now;
use std::collections::VecDeque;

/// Jobs looked at in one turn to find those whose row is gone; as many disabled rows.
const SWEEPS_A_TURN: usize = 1_000;

/// An answer that is being put in force.
pub(super) struct Applying {
    changed: VecDeque<Vec<Definition>>,
    disabled: VecDeque<Vec<Definition>>,
    swept: Option<JobId>,
    /// All jobs were looked at: the disabled rows are next, from here on.
    swept_disabled: Option<Option<JobId>>,
    counts: Counts,
    since: Since,
}

/// From when on what is new in an answer is in force. Slots before the present are made up only
/// for jobs that the daemon before had in force with the same definition: somebody who adds or
/// enables a row while there is no daemon does not expect a launch for a time before that.
#[derive(Clone, Copy)]
pub(in crate::core::scheduler) struct Since {
    /// When the answer was there, unix ms.
    seen_ms: i64,
    /// It is the first one from the database: what differs in it may have changed long ago.
    first: bool,
}

impl Since {
    /// A snapshot: what was in force before.
    pub(in crate::core::scheduler) const EVER: Since = Since { seen_ms: i64::MIN, first: false };

    fn is_before(self) -> bool {
        self.seen_ms == Since::EVER.seen_ms
    }

    /// An answer of the database, the `first` one or not.
    pub(super) fn answered(now: Now, first: bool) -> Since {
        Since { seen_ms: now.wall_ms, first }
    }
}

impl Applying {
    /// Somebody may have changed this row; now it is this definition, enabled or not.
    fn saw(&self, scheduler: &mut Scheduler, id: JobId, now: Option<(&Definition, bool)>) {
        let Scheduler { acts, sync, settings, table, .. } = scheduler;
        self.saw_change((acts, sync, settings), id, table.row(id), now);
    }

    fn saw_change(
        &self,
        (acts, sync, settings): (&mut Acts, &Sync, &Settings),
        id: JobId,
        before: Option<(&Definition, bool)>,
        now: Option<(&Definition, bool)>,
    ) {
        let is_bad = now.is_none() && sync.state.bad_rows.why(Of::Job, id.0).is_some();
        // Where no table was in force nobody knows what is new.
        if self.since.is_before() || !sync.known || is_bad {
            return;
        }
        let stand = |(def, enabled): (&Definition, bool)| {
            (def.version(enabled), Stand { row: def.row(settings.server_id), enabled })
        };
        acts.saw((self.since.seen_ms, id), before.map(stand), now.map(stand));
    }
}

/// What it changes.
#[derive(Default)]
struct Counts {
    added: usize,
    changed: usize,
    removed: usize,
    kept: usize,
}

impl Scheduler {
    /// Begins to put an answer in force.
    pub(in crate::core::scheduler) fn begin_applying(&mut self, staged: Staged, since: Since) {
        self.table.vars = staged.vars;
        self.table.var_ids = staged.var_ids;
        self.table.tags = staged.tags;
        self.changes.all_at_once();
        self.sync.digest = staged.digest.unwrap_or_default();
        self.sync.state.bad_rows = staged.bad_rows;
        self.sync.state.bad_rows.are_whole();
        self.log_bad_rows();
        let counts = Counts { kept: staged.kept, ..Counts::default() };
        let (changed, disabled) = (staged.changed, staged.disabled);
        let (swept, swept_disabled) = (None, None);
        self.sync.applying =
            Some(Applying { changed, disabled, swept, swept_disabled, counts, since });
    }

    /// All of a table is in force.
    pub(super) fn saw_all(&mut self, at_ms: i64) {
        let Scheduler { acts, table, sync, settings, .. } = self;
        acts.saw_all(at_ms, (table, settings.server_id), &sync.state.bad_rows);
    }

    fn log_bad_rows(&self) {
        let bad = &self.sync.state.bad_rows;
        for row in bad.told() {
            log::error!("bad row job={}: {}", row.job(), row.why);
        }
        let more = bad.count() - bad.told().len() as u64;
        if more > 0 {
            log::error!("bad rows: {more} more, `schedule check` tells them");
        }
    }

    /// Puts a slice of a new table in force: first what changed, then what is gone. With a clock
    /// reading, what was not started yet of a changed job never will be (from a snapshot nothing
    /// is known of the runs: they are settled after it).
    pub(in crate::core::scheduler) fn apply_some(&mut self, now: Option<Now>) {
        let Some(mut applying) = self.sync.applying.take() else { return };
        if !self.put_some_in_force(now, &mut applying) || self.sweep_some(now, &mut applying) {
            self.sync.applying = Some(applying);
            return;
        }
        if !std::mem::replace(&mut self.sync.known, true) {
            self.touch_daemon();
            if self.due.hold_until().is_none() {
                // Decisions had begun without a table.
                self.recall_past();
            }
        }
        let Counts { added, changed, removed, kept } = applying.counts;
        if applying.since.is_before() {
            // To the core they are new; to the operator they were in force all the time.
            let jobs = plain::counted((added + changed + kept) as u64, "job");
            return log::info!("snapshot: {jobs} in force as before");
        }
        self.saw_all(applying.since.seen_ms);
        log::info!("sync: {added} added, {changed} changed, {removed} removed, {kept} as before");
        self.news.push_back(News::SyncEnded(Ok(())));
    }

    /// The next slice of what has changed. Returns whether it was the last one.
    fn put_some_in_force(&mut self, now: Option<Now>, applying: &mut Applying) -> bool {
        for def in applying.changed.pop_front().unwrap_or_default() {
            self.apply_change(now, def, applying);
        }
        if !applying.changed.is_empty() {
            return false;
        }
        for def in applying.disabled.pop_front().unwrap_or_default() {
            self.apply_disabled(now, def, applying);
        }
        applying.disabled.is_empty()
    }

    fn apply_disabled(&mut self, now: Option<Now>, def: Definition, applying: &mut Applying) {
        let id = def.id;
        let was_in_force = self.table.get(id).is_some_and(|job| job.scheduled().is_some());
        applying.counts.removed += usize::from(was_in_force);
        applying.saw(self, id, Some((&def, false)));
        let drains = self.table.disable(def, self.sync.seen);
        if drains && was_in_force {
            log::info!("job={id} is disabled: it drains");
        }
        if let Some(now) = now.filter(|_| drains) {
            self.drop_unstarted(now, id);
        }
        self.touch(id);
    }

    fn apply_change(&mut self, now: Option<Now>, def: Definition, applying: &mut Applying) {
        let id = def.id;
        let job = self.table.get(id).filter(|job| !matches!(job.phase(), Phase::Disabled));
        let known = match job {
            None => {
                applying.counts.added += 1;
                false
            }
            Some(job) => {
                applying.counts.changed += 1;
                let is_same = job.scheduled().is_some_and(|old| old.same(&def));
                job.scheduled().is_some() && (is_same || !applying.since.first)
            }
        };
        applying.saw(self, id, Some((&def, true)));
        self.table.put(def, self.sync.seen, self.due.decided_ms);
        self.due.recall_slot(id, &mut self.table);
        if !known {
            // It has no slots before it is in force.
            self.table.begin_after(id, applying.since.seen_ms, self.due.decided_ms);
        }
        if let Some(now) = now {
            self.drop_unstarted(now, id);
        }
        self.tell_block(id);
        self.touch(id);
    }

    /// Logs why no slot of a job is ever launched, if that is so.
    pub(in crate::core::scheduler) fn tell_block(&self, id: JobId) {
        let Some(job) = self.table.get(id) else { return };
        let cron = job.scheduled().map_or("", |def| &def.cron);
        match job.block() {
            Some(Block::Flawed(Flaw::Over, why)) => log::warn!("job={id} cron={cron:?}: {why}"),
            Some(Block::Flawed(_, why)) => {
                log::error!("bad row job={id} cron={cron:?}: {why}: it is never due");
            }
            Some(Block::LimitZero) => {
                log::info!("job={id} has max_concurrence = 0: it is never started");
            }
            None => {}
        }
    }

    /// Takes out what the answer did not name. Returns whether there is more to look at.
    fn sweep_some(&mut self, now: Option<Now>, applying: &mut Applying) -> bool {
        if applying.swept_disabled.is_none() && self.sweep_jobs(now, applying) {
            return true;
        }
        let after = applying.swept_disabled.flatten();
        let (gone, last) = self.table.sweep_disabled(after, SWEEPS_A_TURN, self.sync.seen);
        for def in gone {
            let Scheduler { acts, sync, settings, .. } = self;
            applying.saw_change((acts, sync, settings), def.id, Some((&def, false)), None);
            self.touch(def.id);
        }
        applying.swept_disabled = Some(last);
        last.is_some()
    }

    /// The same of the jobs in force.
    fn sweep_jobs(&mut self, now: Option<Now>, applying: &mut Applying) -> bool {
        let seen = self.sync.seen;
        let mut last = None;
        let mut looked_at = 0;
        let mut gone = Vec::new();
        for job in self.table.iter_after(applying.swept).take(SWEEPS_A_TURN) {
            looked_at += 1;
            last = Some(job.def.id);
            if job.seen != seen && !matches!(job.phase(), Phase::Draining) {
                gone.push(job.def.id);
            }
        }
        for id in gone {
            applying.counts.removed += 1;
            applying.saw(self, id, None);
            if self.table.remove(id) {
                log::info!("job={id} is gone from the table: it drains");
                if let Some(now) = now {
                    self.drop_unstarted(now, id);
                }
            }
            self.touch(id);
        }
        applying.swept = last.or(applying.swept);
        looked_at == SWEEPS_A_TURN
    }
}
