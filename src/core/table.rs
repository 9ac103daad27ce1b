//! The table: the jobs in force, and the order in which they are due.
//!
//! A job comes with its row, and goes with it. But while runs of it are alive nothing is taken from
//! under them: they end in peace, by the definition that they were launched from. So a job is in
//! one of three phases, and a phase is changed in one place, [`Job::set_phase`].
//!
//! ```text
//!      a row comes            its row is changed while runs are alive
//!          │         ┌─────────────────────────────────────────────────┐
//!          ▼         │                                                 ▼
//!        Active ─────┘◄──────────────────────────────────────────  Replaced ◄─┐ changed
//!         │  ▲         the last run has ended, or it is changed back    │  └───┘ once more
//!         │  │                                                          │
//!         │  │ the row is back                            its row goes  │
//!         │  │ as it was                                                │
//!         ▼  │                                                          │
//!        Draining ◄─────────────────────────────────────────────────────┘
//!          │   └──────────────────► Replaced: the row is back, but not as it was
//!          ▼
//!        gone, with the last run
//! ```
//!
//! - `Active`: its definition is in force and its slots are launched.
//! - `Replaced`: its row changed. The new definition waits until the last run of the old one has
//!   ended. The slots of the new one count meanwhile: they are skipped, for a job never runs by two
//!   definitions at once.
//! - `Draining`: its row is gone, or disabled. It has no slots.
//!
//! Where no run is alive a change or a removal is immediate. So a job that is draining or replaced
//! always has a run, and with its last one [`Table::run_ended`] ends that phase.
//!
//! A daemon that starts may know a job only by what the journal says of a run that is alive. Such a
//! job is *adopted*: it drains, until a table has its row. If the row says what the run was
//! launched from, as far as the journal tells, the job is active as if nothing had been; else it is
//! replaced.
//!
//! The order in which jobs are due is a set of pairs of an instant and a job. A job has one place
//! in it, that of its first slot which is not decided yet, or none if there is no such slot. What
//! changes what a slot depends on (the definition, the last slot that was decided) gives the job
//! its new place, by [`Table::reschedule`].
//!
//! Rows that are *disabled* are kept apart from the jobs in force: they are known and can be shown,
//! and nothing that looks for something to start ever comes upon them. While runs of such a row are
//! alive it is there twice: as the job that drains, and as what is left when that has gone.

mod disabled;
mod paused;

use crate::core::cron::{Cron, CronCache, Dialect, Zone};
use crate::core::definition::{Block, Definition, Flaw, Schedule, Vars};
use crate::core::history::History;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::RunEntry;
use crate::core::protocol::JobRow;
use crate::core::shared_text::SharedTexts;
use crate::core::time;
use crate::core::version::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Where a job is in its life.
#[derive(Clone, Debug)]
pub enum Phase {
    /// In force.
    Active,
    /// Its row is gone; it goes with its last run.
    Draining,
    /// The new definition waits until the last run of the old one has ended.
    Replaced(Box<Definition>),
    /// Its row is disabled; nothing of it is alive.
    Disabled,
}

/// A job and what the daemon knows of it.
#[derive(Clone, Debug)]
pub struct Job {
    /// The definition of all its live runs.
    pub def: Definition,
    phase: Phase,
    /// Its place in the order of due instants, unix ms.
    pub next_due_ms: Option<i64>,
    /// The last slot that was decided, unix ms; no slot up to it is decided again.
    pub last_slot_ms: i64,
    /// Its runs that have not ended, oldest first.
    pub live: Vec<RunId>,
    /// How often it was due at its overlap limit.
    pub overtime: u64,
    /// Past runs and skipped slots; none until there is one.
    pub history: Option<Box<History>>,
    /// The last sync that saw its row.
    pub seen: u32,
    /// Known only by what the journal says of a run that is alive; its row was not seen yet.
    pub adopted: bool,
    /// The revision of its last visible change.
    pub revision: u64,
}

impl Job {
    fn new(def: Definition, seen: u32) -> Job {
        Job {
            def,
            phase: Phase::Active,
            next_due_ms: None,
            last_slot_ms: i64::MIN,
            live: Vec::new(),
            overtime: 0,
            history: None,
            seen,
            adopted: false,
            revision: 0,
        }
    }

    /// Where it is in its life.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether its definition is in force and nothing else waits.
    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Active)
    }

    /// It gets further: see the picture above. Nothing waits where nothing is alive.
    fn set_phase(&mut self, next: Phase) {
        let drains_twice = matches!((&self.phase, &next), (Phase::Draining, Phase::Draining));
        let id = self.def.id;
        debug_assert!(!drains_twice, "job {id} drains already");
        let waits = !matches!(next, Phase::Active);
        debug_assert!(!waits || !self.live.is_empty(), "job {id} waits for no run");
        self.phase = next;
    }

    /// The definition whose slots count: the waiting one, else the one in force; none while
    /// draining.
    pub fn scheduled(&self) -> Option<&Definition> {
        match &self.phase {
            Phase::Active => Some(&self.def),
            Phase::Draining | Phase::Disabled => None,
            Phase::Replaced(next) => Some(next),
        }
    }

    /// The expression that its slots are due by, and its zone (see [`Table::zone`]). Where nothing
    /// may ever be started there is none: nothing could be skipped.
    pub fn due_by(&self) -> Option<(&Cron, u16)> {
        let def = self.scheduled().filter(|def| def.max_concurrence > 0)?;
        match &def.schedule {
            Schedule::Due(cron, zone) => Some((cron, *zone)),
            Schedule::Refused(..) => None,
        }
    }

    /// Whether the definition in force is this one, as far as it is known.
    pub fn is(&self, def: &Definition) -> bool {
        self.def.same(def) || (self.adopted && self.def.md5 == def.md5)
    }

    /// Why no slot of it is ever launched: its row, or that no slot is left. Asked for once it has
    /// its place in the order.
    pub fn block(&self) -> Option<Block<'_>> {
        let def = self.scheduled()?;
        let over = match &def.schedule {
            Schedule::Due(cron, _) => self.next_due_ms.is_none() && !cron.is_reboot(),
            Schedule::Refused(..) => false,
        };
        def.block().or(over.then_some(Block::OVER))
    }

    /// Its past, made on first use.
    pub fn history_mut(&mut self) -> &mut History {
        self.history.get_or_insert_default()
    }
}

/// The jobs in force.
pub struct Table {
    jobs: BTreeMap<JobId, Box<Job>>,
    /// Rows that are disabled: see the module's text.
    disabled: BTreeMap<JobId, Box<Job>>,
    due: BTreeSet<(i64, JobId)>,
    pause_ends: paused::PauseEnds,
    crons: CronCache,
    texts: SharedTexts,
    dialect: Dialect,
    /// Zones in use; the first is the configured one.
    zones: Vec<(Box<str>, Zone)>,
    generation: u64,
    /// Jobs whose slots are never launched; some may have drained or changed since.
    blocked: BTreeSet<JobId>,
    /// Placeholder values in force.
    pub vars: Vars,
    /// Their names by the keys of their rows, as far as those are known.
    pub var_ids: BTreeMap<u32, String>,
    /// Tag names in force.
    pub tags: BTreeMap<u32, String>,
}

impl Table {
    /// An empty table. `zone` is that of jobs without one of their own.
    pub fn new(dialect: Dialect, zone: Zone) -> Table {
        Table {
            jobs: BTreeMap::new(),
            disabled: BTreeMap::new(),
            due: BTreeSet::new(),
            pause_ends: paused::PauseEnds::default(),
            crons: CronCache::default(),
            texts: SharedTexts::default(),
            dialect,
            zones: vec![("".into(), zone)],
            generation: 0,
            blocked: BTreeSet::new(),
            vars: Vars::new(),
            var_ids: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }

    /// Grows when a definition comes, changes or goes.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many jobs there are, draining ones included.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// A job in force, or else a disabled one.
    pub fn get(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id).or_else(|| self.disabled.get(&id)).map(|job| &**job)
    }

    /// The version of a job's row, as the database had it last; none where there is no row.
    pub fn version(&self, id: JobId) -> Option<Version> {
        self.row(id).map(|(def, enabled)| def.version(enabled))
    }

    /// What a job's row said last, and whether it is enabled; none where there is no row.
    pub fn row(&self, id: JobId) -> Option<(&Definition, bool)> {
        let in_force = self.jobs.get(&id).and_then(|job| job.scheduled());
        let disabled = || self.disabled.get(&id).map(|row| (&row.def, false));
        in_force.map(|def| (def, true)).or_else(disabled)
    }

    /// A job, to change anything of it but its place in the order (see [`Table::reschedule`]).
    pub fn get_mut(&mut self, id: JobId) -> Option<&mut Job> {
        let job = self.jobs.get_mut(&id).or_else(|| self.disabled.get_mut(&id));
        job.map(|job| &mut **job)
    }

    /// The jobs in force, and those that drain, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().map(|job| &**job)
    }

    /// The same with an id above `after`.
    pub fn iter_after(&self, after: Option<JobId>) -> impl Iterator<Item = &Job> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.jobs.range((from, Bound::Unbounded)).map(|(_, job)| &**job)
    }

    /// The zone of a definition.
    pub fn zone(&self, index: u16) -> &Zone {
        &self.zones[usize::from(index)].1
    }

    /// Understands a row.
    pub fn define(&mut self, row: JobRow, vars: &Vars) -> Definition {
        let read = self.read_schedule(&row.cron, &row.timezone);
        let read = read.and_then(|read| match time::pause_end(&row.paused_until) {
            Ok(_) => Ok(read),
            Err(why) => Err((Flaw::Pause, format!("paused_until: {why}"))),
        });
        let schedule = match read {
            Ok((cron, zone)) => Schedule::Due(cron, zone),
            Err((flaw, why)) => Schedule::Refused(flaw, why.into_boxed_str()),
        };
        Definition::new(row, vars, schedule, &mut self.texts)
    }

    fn read_schedule(&mut self, text: &str, zone: &str) -> Result<(Cron, u16), (Flaw, String)> {
        let cron = self.crons.parse(text, self.dialect);
        let cron = cron.map_err(|why| (Flaw::Schedule, why.to_string()))?;
        if let Some(known) = self.zones.iter().position(|(name, _)| **name == *zone) {
            return Ok((cron, known as u16));
        }
        let refuse = |why: String| (Flaw::Timezone, why);
        let loaded = crate::core::cron::zone(zone).map_err(|why| refuse(why.to_string()))?;
        if self.zones.len() > usize::from(u16::MAX) {
            return Err(refuse("more than 65,535 time zones".into()));
        }
        self.zones.push((zone.into(), loaded));
        Ok((cron, (self.zones.len() - 1) as u16))
    }

    /// The jobs whose slots are never launched, by id, and why.
    pub fn blocked(&self) -> impl Iterator<Item = (&Job, Block<'_>)> {
        let found = self.blocked.iter().filter_map(|id| self.get(*id));
        found.filter_map(|job| Some((job, job.block()?)))
    }

    /// Puts a definition in force: at once where no runs are alive or nothing changed, else when
    /// the last run of the old one has ended. Its next slot is the first after `decided_ms`.
    pub fn put(&mut self, def: Definition, seen: u32, decided_ms: i64) {
        let id = def.id;
        self.generation += 1;
        self.pause_ends.set(id, def.paused_until_ms());
        let disabled = self.disabled.remove(&id);
        match self.jobs.get_mut(&id) {
            None => {
                let history = disabled.and_then(|row| row.history);
                let history = history.map(|past| Box::new(past.begins_anew()));
                self.jobs.insert(id, Box::new(Job { history, ..Job::new(def, seen) }));
            }
            Some(job) if job.live.is_empty() || job.is(&def) => {
                job.def = def;
                job.set_phase(Phase::Active);
                job.seen = seen;
                job.adopted = false;
            }
            Some(job) => {
                job.set_phase(Phase::Replaced(Box::new(def)));
                job.seen = seen;
            }
        }
        self.reschedule(id, decided_ms);
    }

    /// Takes a job out of force. Returns whether it had to wait for runs that are alive.
    pub fn remove(&mut self, id: JobId) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        if let Some(due) = job.next_due_ms.take() {
            self.due.remove(&(due, id));
        }
        self.blocked.remove(&id);
        self.pause_ends.set(id, None);
        self.generation += 1;
        if job.live.is_empty() {
            self.jobs.remove(&id);
            return false;
        }
        job.set_phase(Phase::Draining);
        true
    }

    /// Knows a job by what the journal says of a run of it that has not ended, with the definition
    /// that the run was launched from as far as it stands there. The job drains unless a table
    /// turns out to have it unchanged.
    pub fn adopt(&mut self, entry: &RunEntry<'_>, server_id: u32) {
        let row = JobRow {
            id: entry.job.0,
            name: entry.name.to_string(),
            command: entry.command.to_string(),
            max_concurrence: 1,
            server_id,
            ..JobRow::default()
        };
        let schedule = Schedule::Refused(Flaw::Gone, "its row is gone".into());
        let mut def = Definition::new(row, &Vars::new(), schedule, &mut self.texts);
        def.md5 = key_from_hex(&entry.md5).unwrap_or(def.md5);
        if let Some(job) = self.jobs.get_mut(&entry.job) {
            // Two definitions are alive only if the end of the older could not be written.
            job.def = def;
            job.live.push(entry.run);
            return;
        }
        self.generation += 1;
        let mut job = Job::new(def, 0);
        job.live.push(entry.run);
        job.adopted = true;
        job.set_phase(Phase::Draining);
        self.jobs.insert(entry.job, Box::new(job));
    }

    /// Forgets a run that ended. The last one lets a draining job go and a waiting definition in.
    pub fn run_ended(&mut self, id: JobId, run: RunId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.live.retain(|&live| live != run);
        if !job.live.is_empty() {
            return;
        }
        job.live = Vec::new();
        let phase = std::mem::replace(&mut job.phase, Phase::Active);
        self.generation += u64::from(!matches!(phase, Phase::Active));
        match phase {
            // Nothing of a disabled one was alive.
            Phase::Active | Phase::Disabled => {}
            Phase::Replaced(next) => {
                job.def = *next;
                job.adopted = false;
            }
            Phase::Draining => {
                debug_assert_eq!(job.next_due_ms, None, "job {id} drains and is due");
                let gone = self.jobs.remove(&id);
                if let Some(row) = self.disabled.get_mut(&id) {
                    row.history = gone.and_then(|job| job.history);
                }
            }
        }
    }

    /// What must never be of a job.
    pub(in crate::core) fn check(&self, job: &Job) {
        let (id, phase) = (job.def.id, &job.phase);
        let is_alone = job.live.is_empty();
        if matches!(phase, Phase::Disabled) {
            let is_idle = is_alone && job.next_due_ms.is_none();
            assert!(is_idle, "job {id} is disabled, and there is something of it");
            return;
        }
        assert!(job.is_active() || !is_alone, "job {id} is {phase:?} and waits for no run");
        let is_due = job.next_due_ms.is_some_and(|at_ms| self.due.contains(&(at_ms, id)));
        assert_eq!(is_due, job.next_due_ms.is_some(), "job {id} has a slot, but no place for it");
        let drains = matches!(phase, Phase::Draining);
        assert!(!drains || !is_due, "job {id} drains and is due");
        let decided = job.next_due_ms.is_some_and(|at_ms| at_ms <= job.last_slot_ms);
        assert!(!decided, "job {id} is due at a slot that was decided");
        assert!(!job.adopted || !is_alone, "job {id} is known by a run that is not there");
    }

    /// The same of all together.
    pub(in crate::core) fn check_all(&self) {
        assert!(self.due.len() <= self.jobs.len(), "more jobs are due than there are");
        let first = self.first_due().map(|(_, id)| id);
        assert!(
            first.is_none_or(|id| self.jobs.contains_key(&id)),
            "job {first:?} is due and gone"
        );
    }

    /// The earliest due instant and its job.
    pub fn first_due(&self) -> Option<(i64, JobId)> {
        self.due.first().copied()
    }

    /// The first slot of a job that is later than `after_ms` and than its last decided one.
    pub fn next_slot(&self, id: JobId, after_ms: i64) -> Option<i64> {
        let job = self.get(id)?;
        let (cron, zone) = job.due_by()?;
        cron.next_after(self.zone(zone), after_ms.max(job.last_slot_ms))
    }

    /// The slots of a job up to `until_ms` are none of ours: it is due by the first one later than
    /// that and than `after_ms`.
    pub fn begin_after(&mut self, id: JobId, until_ms: i64, after_ms: i64) {
        if let Some(job) = self.get_mut(id) {
            job.last_slot_ms = job.last_slot_ms.max(until_ms);
            self.reschedule(id, after_ms);
        }
    }

    /// Gives a job another place in the order: by its first slot after `after_ms`.
    pub fn reschedule(&mut self, id: JobId, after_ms: i64) {
        let next = self.next_slot(id, after_ms);
        debug_assert!(next.is_none_or(|at_ms| at_ms > after_ms), "job {id} is due in the past");
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Some(due) = job.next_due_ms {
            self.due.remove(&(due, id));
        }
        job.next_due_ms = next;
        match job.block() {
            Some(_) => self.blocked.insert(id),
            None => self.blocked.remove(&id),
        };
        if let Some(due) = next {
            self.due.insert((due, id));
        }
    }
}

fn key_from_hex(text: &str) -> Option<[u8; 16]> {
    let mut key = [0u8; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(key)
}
