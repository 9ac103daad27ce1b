//! Which definitions are in force.

use super::{End, Ledger, State, pauses};
use crate::simulation::cron::{Expr, FakeZone};
use crate::simulation::database::{Row, Rows};
use schedule::core::daemon::Core;
use schedule::core::definition::Definition;
use schedule::core::ids::{JobId, RunId};
use schedule::core::journal::SkipReason;
use schedule::core::protocol::JobRow;
use schedule::core::table::Phase;
use schedule::core::time::Now;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A row with its placeholders filled in.
#[derive(Debug)]
pub struct Def {
    pub row: JobRow,
    pub command: String,
    pub expr: Expr,
    pub zone: usize,
}

impl Def {
    fn new(row: &Row, vars: &BTreeMap<String, String>) -> Def {
        let fill = |text: String, (name, value): (&String, &String)| {
            text.replace(&format!("{{{name}}}"), value)
        };
        let command = vars.iter().fold(row.row.command.clone(), fill);
        Def { row: row.row.clone(), command, expr: row.expr.clone(), zone: row.zone }
    }

    fn same(&self, other: &Def) -> bool {
        without_pause(&self.row) == without_pause(&other.row) && self.command == other.command
    }

    /// When its pause ends is no instant: nothing of it is started.
    pub(super) fn is_flawed(&self) -> bool {
        pauses::of_row(&self.row.paused_until).is_none()
    }

    /// As far as the original's key goes: it knows no zone and no placeholders.
    fn same_key(&self, other: &Def) -> bool {
        let key = |def: &Def| JobRow {
            command: def.command.clone(),
            timezone: String::new(),
            ..without_pause(&def.row)
        };
        key(self) == key(other)
    }

    fn is(&self, core: &Definition) -> bool {
        *self.command == *core.command
            && *self.row.cron == *core.cron
            && *self.row.name == *core.name
            && self.row.timezone == core.timezone()
            && self.row.max_concurrence == core.max_concurrence
    }
}

/// What is run does not depend on it.
fn without_pause(row: &JobRow) -> JobRow {
    JobRow { paused_until: String::new(), ..row.clone() }
}

/// A job as it should be.
pub struct Job {
    /// What its live runs were launched from.
    pub def: Rc<Def>,
    /// What comes into force when the last of them has ended.
    pub waiting: Option<Rc<Def>>,
    pub draining: bool,
    /// Known only by a run of an earlier daemon.
    adopted: bool,
    pub live: BTreeSet<RunId>,
    /// Last slot that was decided.
    pub last: i64,
    /// Slots up to here don't count: the schedule was not in force.
    pub since: i64,
    /// The next slot.
    pub next: Option<i64>,
    /// Skipped slots.
    pub counts: BTreeMap<SkipReason, u64>,
    /// Skipped slots that the journal was not told of yet.
    pub untold: Vec<(SkipReason, i64)>,
}

impl Job {
    fn new(def: Rc<Def>, since: i64) -> Job {
        Job {
            def,
            waiting: None,
            draining: false,
            adopted: false,
            live: BTreeSet::new(),
            last: i64::MIN,
            since,
            next: None,
            counts: BTreeMap::new(),
            untold: Vec::new(),
        }
    }

    /// A job of a run that outlived its daemon: it drains unless its row turns out to be there.
    pub fn adopted(def: Rc<Def>, since: i64) -> Job {
        Job { draining: true, adopted: true, ..Job::new(def, since) }
    }

    /// The definition whose slots count.
    pub fn scheduled(&self) -> Option<&Rc<Def>> {
        if self.draining { None } else { Some(self.waiting.as_ref().unwrap_or(&self.def)) }
    }

    pub fn reschedule(&mut self, zones: &[FakeZone]) {
        let after = self.last.max(self.since);
        // With a limit of 0 there is nothing to be skipped.
        let def = self.scheduled().filter(|def| def.row.max_concurrence > 0 && !def.is_flawed());
        self.next = def.and_then(|def| def.expr.next(&zones[def.zone], after));
    }

    /// How many slots were skipped for this reason.
    pub fn count(&self, reason: SkipReason) -> u64 {
        self.counts.get(&reason).copied().unwrap_or(0)
    }

    /// Of the slots missed only so many count, the first ones; the others were not told yet.
    pub fn forget_uncounted(&mut self, why: SkipReason, counted: u64) {
        let count = self.counts.entry(why).or_default();
        while *count > counted {
            let last = self.untold.iter().rposition(|(reason, _)| *reason == why);
            let last = last.expect("slots missed that were told are not counted");
            self.untold.remove(last);
            *count -= 1;
        }
    }

    fn change(&mut self, def: Rc<Def>) {
        let same = self.def.same(&def) || (self.adopted && self.def.same_key(&def));
        if self.live.is_empty() || same {
            self.def = def;
            self.waiting = None;
            self.adopted = false;
        } else {
            self.waiting = Some(def);
        }
        self.draining = false;
    }
}

impl Ledger {
    /// A table comes into force. With a clock reading it came from the database, and what was
    /// not started yet of a definition that is no longer in force never will be.
    pub fn apply(&mut self, rows: &Rows, now: Option<Now>) {
        self.disabled =
            rows.rows.iter().filter(|(_, row)| !row.enabled).map(|(id, _)| *id).collect();
        let enabled = rows.rows.values().filter(|row| row.enabled);
        let defs: Vec<Def> = enabled.map(|row| Def::new(row, &rows.vars)).collect();
        let named: BTreeSet<u32> = defs.iter().map(|def| def.row.id).collect();
        for def in defs {
            self.apply_row(Rc::new(def), now);
        }
        let gone: Vec<u32> = self.jobs.keys().copied().filter(|id| !named.contains(id)).collect();
        for id in gone {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            job.draining = true;
            job.waiting = None;
            job.next = None;
            if job.live.is_empty() {
                self.jobs.remove(&id);
            } else if now.is_some() {
                self.drop_unstarted(id);
            }
        }
    }

    /// The table of a snapshot comes into force.
    pub fn apply_snapshot(&mut self, rows: &Rows) {
        self.table = Some(rows.digest());
        self.apply(rows, None);
    }

    fn apply_row(&mut self, def: Rc<Def>, now: Option<Now>) {
        let (id, decided) = (def.row.id, self.decided);
        // What is new has no slots before it was seen.
        let seen = now.map_or(decided, |now| now.wall_ms.max(decided));
        let Some(job) = self.jobs.get_mut(&id) else {
            let mut job = Job::new(def, seen);
            job.last = self.beyond(id);
            job.reschedule(&self.zones);
            self.jobs.insert(id, job);
            return;
        };
        let is_same = !job.draining && job.scheduled().is_some_and(|old| old.same(&def));
        let pause = |of: &Rc<Def>| of.row.paused_until.clone();
        if is_same && job.scheduled().map(pause) == Some(pause(&def)) {
            return;
        }
        let was_adopted = job.adopted;
        // In the first answer nobody knows since when it is another.
        let is_new = job.draining || (self.first && !is_same);
        job.change(def);
        if was_adopted {
            job.last = job.last.max(self.beyond.get(&id).copied().unwrap_or(i64::MIN));
        }
        job.since = if is_new { seen } else { decided };
        job.reschedule(&self.zones);
        if job.waiting.is_some() && now.is_some() {
            self.drop_unstarted(id);
        }
    }

    /// Somebody has edited the database.
    pub fn edited(&mut self, now: Now, rows: &Rows) {
        for row in rows.rows.values().filter(|row| row.enabled) {
            let def = Def::new(row, &rows.vars);
            let known = self.born.entry(row.row.id).or_default();
            if !known.iter().any(|(old, _)| old.same(&def)) {
                known.push((Rc::new(def), now.wall_ms));
            }
        }
    }

    /// The clock says other times than before, or the disk forgets: when a definition came into
    /// the database can't be compared any more.
    pub fn births_forgotten(&mut self) {
        self.born.values_mut().flatten().for_each(|(_, born)| *born = i64::MIN);
    }

    /// Nothing is launched for a time before it was in the database.
    pub(super) fn check_born(&self, id: u32, def: &Def, slot: i64) {
        let known = self.born.get(&id).and_then(|known| known.iter().find(|it| it.0.same(def)));
        if let Some((_, born)) = known {
            assert!(slot >= *born, "job {id} is launched for {slot}, before its row: {born}");
        }
    }

    /// What earlier daemons decided of a job.
    fn beyond(&self, id: u32) -> i64 {
        self.beyond.get(&id).copied().unwrap_or(i64::MIN)
    }

    fn drop_unstarted(&mut self, id: u32) {
        let Some(job) = self.jobs.get(&id) else { return };
        let waits = |run: &&RunId| {
            let state = self.runs[*run].state;
            matches!(state, State::Queued | State::Resumable | State::Retry { .. })
        };
        let dropped: Vec<RunId> = job.live.iter().filter(waits).copied().collect();
        for run in dropped {
            self.finish(run, End::NoProcess);
        }
    }

    /// The last run of a job has ended.
    pub(super) fn left(&mut self, id: u32, run: RunId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.live.remove(&run);
        if !job.live.is_empty() {
            return;
        }
        if job.draining {
            self.jobs.remove(&id);
        } else if let Some(next) = job.waiting.take() {
            job.def = next;
            job.adopted = false;
        }
    }

    /// Compares the table in force.
    pub fn check_table(&self, core: &Core) {
        let ids: Vec<u32> = core.scheduler.table().iter().map(|job| job.def.id.0).collect();
        let expected: Vec<u32> = self.jobs.keys().copied().collect();
        assert_eq!(ids, expected, "the jobs in force (left) are not those of the last answer");
        let table = core.scheduler.table();
        let rest: Vec<u32> = table.disabled().map(|row| row.def.id.0).collect();
        let expected = self.disabled.iter().filter(|id| !self.jobs.contains_key(id));
        assert!(rest.iter().eq(expected), "disabled are {rest:?}, not {:?}", self.disabled);
        assert_eq!(table.disabled_len(), self.disabled.len(), "rows that are disabled");
        for row in table.disabled() {
            assert!(matches!(row.phase(), Phase::Disabled), "{:?}", row.phase());
            assert!(row.next_due_ms.is_none() && row.live.is_empty(), "{:?} is due", row.def.id);
        }
        for (&id, job) in &self.jobs {
            let Some(is) = core.scheduler.table().get(JobId(id)) else { continue };
            let right = match is.phase() {
                Phase::Active => !job.draining && job.waiting.is_none(),
                Phase::Draining => job.draining,
                Phase::Disabled => false,
                Phase::Replaced(next) => job.waiting.as_ref().is_some_and(|it| it.is(next)),
            };
            let (phase, draining) = (is.phase(), job.draining);
            let waiting = &job.waiting;
            let def = &job.def;
            assert!(right, "job {id} is {phase:?}, not {def:?} draining={draining} {waiting:?}");
            // Of an adopted one only its key is known.
            let known = job.adopted || job.def.is(&is.def);
            assert!(known, "job {id} is {:?}, not {:?}", is.def, job.def);
            assert!(is.live.iter().eq(job.live.iter()), "job {id} has live runs {:?}", is.live);
            let history = is.history.as_deref();
            let bounded = history.is_none_or(|it| it.runs.len() <= 20 && it.skips.len() <= 32);
            assert!(bounded, "the history of job {id} grows without bound");
        }
    }
}
