//! Jobs, runs, slots, the journal and the database: everything that counts, and what is decided
//! when something happens. It knows of nobody who asks: what may be of interest it says as
//! [`News`].
//!
//! - `due`: which slots are launched and which are skipped
//! - `pauses`: slots of a tag, or of all jobs, that are skipped because somebody wanted that
//! - `run`: the runs that have not ended, and their phases
//! - `runs`: a run from its intent to its end
//! - `life`: how far the daemon itself has got
//! - `invariants`: what must never be
//! - `adopt`: runs of an earlier daemon
//! - `asks`: questions to the database, in `lanes`
//! - `sync`: the table follows the database
//! - `carry`: records on their way to the database, and those that it refuses
//! - `changes`: what has changed since somebody looked
//! - `edits`: changes of jobs, from who wants them to who writes them; `acts`: who did what
//! - `ending`: how the daemon ends
//! - `metrics`: figures; `figures`: how they are handed to the next program
//! - `news`: what somebody above may want to hear
//! - `trouble`: what is wrong with the database, and when it is tried again
//! - `reads`: questions about what was
//! - `outputs`: files of outputs are deleted and cut
//! - `purge`: what is older than it is kept leaves the database
//! - `rollup`: what the runs of past days came to is written down
//! - `outbox`: the journal's segments and how their records reach the database
//! - `last_word`: what the next daemon is told beside the journal
//! - `snapshot`: what a daemon that starts goes by until the database answers
//! - `stops`: runs that are told to end
//! - `segments`: when a segment begins, and which ones go
//! - `unwritten`: what the journal has no room for

mod acts;
mod adopt;
mod asks;
mod carry;
mod changes;
mod due;
mod edits;
mod ending;
mod figures;
mod held;
mod invariants;
mod lanes;
mod last_word;
mod life;
mod metrics;
mod news;
mod outbox;
mod outputs;
mod pauses;
mod purge;
mod reads;
mod rollup;
mod run;
mod runs;
mod segments;
mod snapshot;
mod stops;
mod sync;
mod trouble;
pub mod twin;
mod unwritten;

pub use acts::{Acts, Did};
pub use adopt::{Place, Said};
pub(in crate::core) use changes::Changed;
pub use figures::{Figures, if_known};
pub use metrics::{Counters, Histogram, Metrics};
pub use news::{Begun, Doubt, News, NotChanged};
pub use outbox::Outbox;
pub use pauses::{PauseOrder, Pauses, Pausing};
pub use run::{Run, RunPhase};
pub use snapshot::{Kept, Loaded, SnapshotTrouble};
pub use sync::SyncState;
pub use trouble::DatabaseState;
pub use unwritten::Unwritten;

use crate::core::cron::{Dialect, Zone};
use crate::core::database::Database;
use crate::core::event::Action;
use crate::core::homes::Homes;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::Segment;
use crate::core::replay::Replay;
use crate::core::table::{Job, Table};
use crate::core::time::Now;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// What the daemon was told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The group whose jobs are run.
    pub server_id: u32,
    /// Which rows of `scheduler_vars` fill the placeholders.
    pub vars_server: u32,
    /// Milliseconds between two looks at the database.
    pub sync_interval_ms: u64,
    /// Milliseconds that records are kept in the database; 0: for ever.
    pub keep_records_ms: u64,
    /// Runs of each job whose output files are kept, but for those that are alive; 0: of all.
    pub keep_output: usize,
    /// Bytes of such a file at the most; 0: any number.
    pub output_limit_bytes: u64,
    /// Milliseconds between TERM and KILL when a run is stopped.
    pub stop_grace_ms: u64,
    /// How cron expressions are read.
    pub dialect: Dialect,
    /// Zone of schedules without one of their own, and of times in answers and records.
    pub zone: Zone,
    /// Its IANA name; empty = the system's.
    pub timezone: String,
    /// Where the jobs are.
    pub database: Database,
    /// What it was called before it moved, as [`Database::place`] says it; empty: nothing else.
    pub moved_from: String,
    /// State directory of this group: an existing absolute path.
    pub state_dir: String,
    /// Bytes that the journal may take on disk; beyond, the oldest records are dropped.
    pub journal_limit_bytes: u64,
    /// Bytes that may wait in memory while the journal can't be written; beyond, the oldest ones
    /// are dropped.
    pub unwritten_limit_bytes: usize,
    /// Identity of the machine's current boot.
    pub boot_id: String,
    /// Any number; no two daemons should have the same.
    pub instance: u64,
}

impl Settings {
    /// Which jobs they are and how their rows are read, for people and to be compared: no password.
    pub(in crate::core) fn source(&self) -> String {
        let Settings { server_id, vars_server, dialect, zone, .. } = self;
        let zone = zone.iana_name().unwrap_or("the system's zone");
        format!(
            "server {server_id} of {} (variables of {vars_server}, {dialect}, {zone})",
            self.database.place()
        )
    }

    /// Which records the database is to have, where these names are known from before.
    fn homes(&self, known: Vec<String>) -> Homes {
        let mut homes = Homes { known, ..Homes::of(&self.database, &self.moved_from) };
        homes.know(homes.here.clone());
        homes
    }
}

/// Decisions wait at most this long for the first table from the database, in milliseconds;
/// after that the last good snapshot counts.
const HOLD_MS: u64 = 2_000;

/// A turn of the loop that takes longer is counted, in microseconds.
const SLOW_TURN_US: u64 = 2_000;

/// When the loop has to come back, at the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// When the monotonic clock shows this.
    pub mono_ms: Option<u64>,
    /// When the wall clock shows this.
    pub wall_ms: Option<i64>,
}

/// What goes over to the program that takes the place of this one, besides the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    /// When the daemon started.
    pub started: Now,
    /// Its counts.
    #[serde(deserialize_with = "if_known")]
    pub counters: Counters,
    /// Its figures.
    #[serde(deserialize_with = "if_known")]
    pub metrics: Figures,
    /// The same from an earlier version.
    #[serde(skip_serializing)]
    pub figures: Vec<u64>,
    /// Exchanges with the database that succeeded; 0: an earlier version does not say.
    pub exchanges: u64,
    /// Those that failed, likewise.
    pub exchanges_failed: u64,
    /// It waits for its last runs.
    pub draining: bool,
    /// It was told to end, and has not yet.
    pub exiting: bool,
    /// It has panicked: it decided nothing since then, and what it was to do may not be done.
    pub panicked: bool,
    /// Runs that were told to end, and when they are killed by the monotonic clock; no time = they
    /// were.
    #[serde(deserialize_with = "if_known")]
    pub stopping: Vec<(RunId, Option<u64>)>,
    /// What the journal had no room for: pieces of the log by their offsets.
    pub unwritten: Vec<(u64, String)>,
    /// How many records each segment of the journal has that the database is not known to have;
    /// empty: an earlier version does not say.
    pub held: Vec<(u64, u64)>,
    /// What was done last over the web.
    pub message: String,
}

impl Carried {
    /// The metrics that are gone on with.
    pub fn metrics(&self) -> Metrics {
        match &*self.figures {
            [] => self.metrics.metrics(),
            figures => Figures::in_a_row(figures).metrics(),
        }
    }
}

/// Everything the daemon knows. See the module's text.
pub struct Scheduler {
    settings: Settings,
    table: Table,
    runs: run::Runs,
    /// Whether there is a keeper to launch them.
    has_keeper: bool,
    actions: VecDeque<Action>,
    /// What has happened, oldest first, that was not handed on yet.
    pub(in crate::core) news: VecDeque<News>,
    outbox: outbox::Outbox,
    /// Why what counts is not where others look for it; none = it is.
    astray: Option<String>,
    asks: asks::Asks,
    /// Changes of jobs; [`News::Changed`] tells what became of each.
    pub(in crate::core) edits: edits::Edits,
    pub(in crate::core) acts: acts::Acts,
    pub(in crate::core) reads: reads::Reads,
    purge: purge::Purge,
    outputs: outputs::Outputs,
    roll_up: rollup::RollUp,
    sync: sync::Sync,
    snapshot: snapshot::Snapshot,
    refused: carry::Refused,
    homes: Homes,
    due: due::Due,
    pauses: pauses::Pauses,
    past: Option<Box<adopt::Past>>,
    last_sequence: u64,
    started: Now,
    life: life::Life,
    /// What is left to be done at its end.
    leaving: ending::Leaving,
    /// Who else runs this group.
    twin: Option<u32>,
    /// When it is said again what is waited for, monotonic ms.
    say_again_ms: u64,
    pub(in crate::core) counters: Counters,
    metrics: Metrics,
    pub(in crate::core) changes: changes::Changes,
    /// How far it was looked at what must never be.
    checked: std::cell::Cell<(Option<RunId>, Option<JobId>)>,
}

impl Scheduler {
    /// A daemon that knows what `replay` says of the past. `journal_end` is the offset at which
    /// the log ends and `segments` are those on disk, oldest first.
    ///
    /// The shell then loads the snapshot with [`Scheduler::load_snapshot`] where there is one, has
    /// the runs of earlier daemons found by [`Scheduler::adopt`], and goes into its loop.
    pub fn new(
        now: Now,
        settings: Settings,
        replay: Replay,
        journal_end: u64,
        segments: Vec<Segment>,
    ) -> Scheduler {
        let table = Table::new(settings.dialect, settings.zone.clone());
        let boot_id = replay.boot_id.clone();
        let homes = settings.homes(replay.homes.clone());
        let first = RunId::next(settings.server_id, 0, replay.last_sequence, now.wall_ms);
        let before = first.sequence.saturating_sub(1);
        let acts = acts::Acts::told_by(replay.acts.clone(), replay.asked.clone(), before);
        let mut scheduler = Scheduler {
            due: due::Due::new(now, replay.decided_ms, replay.boot_id != settings.boot_id),
            pauses: pauses::Pauses::told_by(&replay.pauses),
            astray: None,
            outbox: outbox::Outbox::new(boot_id, replay.recorded, journal_end, segments)
                .kept_by(replay.keepers.clone())
                .holding(replay.held.clone())
                .waiting_up_to(settings.unwritten_limit_bytes),
            asks: asks::Asks::default(),
            edits: edits::Edits::told_by(&acts, &homes),
            acts,
            reads: reads::Reads::default(),
            purge: purge::Purge::begin(now),
            outputs: outputs::Outputs::of(&settings),
            roll_up: rollup::RollUp::begin(now),
            sync: sync::Sync::new(),
            snapshot: snapshot::Snapshot::told_by(replay.table.clone()),
            refused: carry::Refused::told_by(replay.set_aside),
            homes,
            past: None,
            table,
            runs: run::Runs::default(),
            has_keeper: true,
            actions: VecDeque::new(),
            news: VecDeque::new(),
            last_sequence: replay.last_sequence,
            started: now,
            life: life::Life::Holding,
            leaving: ending::Leaving::default(),
            twin: None,
            say_again_ms: 0,
            counters: Counters {
                records_dropped: replay.dropped.count,
                records_dropped_ms: replay.dropped.at_ms,
                records_dropped_why: replay.dropped.why,
                ..Counters::default()
            },
            metrics: Metrics::new(),
            changes: changes::Changes::default(),
            checked: std::cell::Cell::default(),
            settings,
        };
        scheduler.restore(now, replay);
        // The first segment tells it.
        scheduler.count_missing(now.wall_ms);
        scheduler.begin_segment();
        scheduler
    }

    /// Time has passed.
    pub(in crate::core) fn tick(&mut self, now: Now) {
        self.acts.note(Some(now), &self.settings, &mut self.last_sequence, &mut self.outbox);
        self.run_timers(now);
        self.apply_some(Some(now));
        self.decide(now);
        pauses::look(self, now);
        self.ask_if_due(now);
        self.rotate_if_due(now);
        self.end_if_done(now);
    }

    /// Lines could not be written.
    pub(in crate::core) fn journal_failed(&mut self, now: Now, why: String, lines: Vec<u8>) {
        self.outbox.failed(now, why, lines);
        self.touch_daemon();
    }

    /// All that was handed over last is on the disk.
    pub(in crate::core) fn journal_written(&mut self) {
        if self.outbox.works() {
            self.touch_daemon();
        }
    }

    /// A turn of the loop took so many microseconds.
    pub(in crate::core) fn turned(&mut self, us: u64) {
        self.counters.slow_turns += u64::from(us > SLOW_TURN_US);
        self.counters.worst_turn_us = self.counters.worst_turn_us.max(us);
        self.metrics.turns.count(us);
    }

    /// The next thing to do before anybody is answered. The journal goes first where a launch
    /// depends on it, and what is due before answers: pages may be many and take long to write.
    pub(in crate::core) fn next_urgent(&mut self) -> Option<Action> {
        // What somebody did is there before who did it is answered.
        self.acts.note(None, &self.settings, &mut self.last_sequence, &mut self.outbox);
        let flushed = self.outbox.must_flush.then(|| self.flush_journal()).flatten();
        let urgent = flushed.or_else(|| self.next_launch());
        urgent.or_else(|| self.actions.pop_front())
    }

    /// The next thing to do at the end of a turn.
    pub(in crate::core) fn next_last(&mut self) -> Option<Action> {
        self.due.note_decided(&self.runs, &mut self.outbox);
        let last = self.flush_journal().or_else(|| {
            // Lines were written since.
            let is_old = self.outbox.said.end < self.outbox.written_to;
            is_old.then(|| self.word_at_rest()).flatten()
        });
        let is_decided = !self.due.unnoted && !self.due.behind && !self.sync.applying();
        let may_keep = is_decided && self.outbox.is_written();
        let last = last.or_else(|| self.snapshot.take_waiting(may_keep));
        last.or_else(|| self.leave())
    }

    /// Whether there is more to decide or to apply right now.
    pub(in crate::core) fn busy(&self) -> bool {
        self.sync.applying() || self.due.behind || self.due.has_misfires()
    }

    /// When to tick next, at the latest, if nothing happens before.
    pub(in crate::core) fn next_wake(&self) -> Wake {
        let timer = self.runs.next_timer_ms();
        let last = self.outbox.last_by_ms.filter(|_| !self.is_exiting());
        let (ask, hold) = (self.ask_wake(), self.due.hold_until());
        let (end, retry) = (self.end_wake(), self.outbox.unwritten.retry_at_ms());
        let mono = [timer, ask, hold, last, end, retry];
        let due = self.table.first_due().map(|(slot, _)| slot);
        Wake { mono_ms: mono.into_iter().flatten().min(), wall_ms: self.wall_wake(due) }
    }

    /// Whether runs are about to be launched.
    pub fn is_launching(&self) -> bool {
        !self.runs.line().is_empty() || self.runs.asked() > 0
    }

    /// The jobs in force.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// When a job ran last that has no known run: see [`sync::Sync::last_run_ms`].
    pub fn last_run_ms(&self, job: &Job) -> Option<i64> {
        self.sync.last_run_ms(job)
    }

    /// Runs that have not ended, by id.
    pub fn runs(&self) -> &BTreeMap<RunId, Run> {
        self.runs.all()
    }

    /// Counts since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Figures since the start.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What the daemon was told at its start.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Both clocks at the daemon's start.
    pub fn started(&self) -> Now {
        self.started
    }

    /// What another program is to go on with.
    pub fn carry(&self) -> Carried {
        Carried {
            started: self.started,
            counters: self.counters,
            metrics: Figures::of(&self.metrics),
            figures: Vec::new(),
            exchanges: self.sync.state.successes,
            exchanges_failed: self.sync.state.failures,
            draining: self.draining(),
            exiting: self.is_exiting(),
            panicked: false,
            stopping: self.stopping(),
            unwritten: self.outbox.in_memory(),
            held: self.outbox.held.counts(),
            message: String::new(),
        }
    }

    /// Goes on with what the program before this one carried.
    pub fn go_on(&mut self, now: Now, carried: &Carried) {
        self.started = carried.started;
        let Counters { records_dropped, records_dropped_ms, .. } = self.counters;
        self.counters = carried.counters;
        // What this program has found missing comes on top.
        self.counters.records_dropped = records_dropped.max(self.counters.records_dropped);
        self.counters.records_dropped_ms = records_dropped_ms.max(self.counters.records_dropped_ms);
        self.metrics = carried.metrics();
        self.sync.state.successes = carried.exchanges;
        self.sync.state.failures = carried.exchanges_failed;
        if !carried.panicked {
            // The same process went on: it was not down.
            self.due.able_ms = Some(i64::MIN);
        }
        self.outbox.take_over(&carried.unwritten);
        match carried.exiting {
            true => self.terminate(false),
            false if carried.draining => self.drain(now),
            false => {}
        }
    }

    /// Where the journal stands.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Whether its last run has ended, and the daemon waits for the database only.
    pub fn is_leaving(&self) -> bool {
        self.outbox.last_by_ms.is_some()
    }

    /// Whether the daemon waits for its last runs.
    pub fn draining(&self) -> bool {
        self.life >= life::Life::Draining
    }

    fn is_exiting(&self) -> bool {
        self.life == life::Life::Exiting
    }
}
