//! The daemon's state: everything it knows, and what it decides when something happens.
//!
//! One [`Core`] is driven by [`Core::handle`] and asked by [`Core::next_action`] until there is
//! nothing to do. What takes long (a table of 100,000 jobs, 5,000 due at once) is done in slices:
//! while [`Core::busy`] the loop looks at its sockets and comes back at once.
//!
//! - `due`: which slots are launched and which are skipped
//! - `runs`: a run from its intent to its end
//! - `adopt`: runs of an earlier daemon
//! - `sync`: the table follows the database
//! - `carry`: records on their way to the database, and those that it refuses
//! - `changes`: what has changed since somebody looked
//! - `ending`: how the daemon ends
//! - `metrics`: figures
//! - `trouble`: what is wrong with the database, and when it is tried again
//! - `outbox`: the journal's segments and how their records reach the database
//! - `last_word`: what the next daemon is told beside the journal
//! - `snapshot`: what a daemon that starts goes by until the database answers
//! - `stops`: runs that are told to end
//! - `segments`: when a segment begins, and which ones go
//! - `unwritten`: what the journal has no room for

mod adopt;
mod carry;
mod changes;
mod due;
mod ending;
mod held;
mod last_word;
mod metrics;
mod outbox;
mod runs;
mod segments;
mod snapshot;
mod stops;
mod sync;
mod trouble;
pub mod twin;
mod unwritten;

pub use adopt::Found;
pub(in crate::core) use changes::Changed;
pub use metrics::{Histogram, Metrics, OUTCOMES};
pub use outbox::{Outbox, Segment};
pub use runs::{MAX_LAUNCHING, Run, RunPhase};
pub use snapshot::{Kept, Loaded, SnapshotTrouble};
pub use sync::{DatabaseState, SyncState};
pub use unwritten::Unwritten;

use crate::core::cron::{Dialect, Zone};
use crate::core::event::{Action, Event};
use crate::core::homes::Homes;
use crate::core::ids::RunId;
use crate::core::journal::Loss;
use crate::core::protocol::Database;
use crate::core::replay::Replay;
use crate::core::table::Table;
use crate::core::time::Now;
use crate::core::web::Web;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the daemon was told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The group whose jobs are run.
    pub server_id: u32,
    /// Which rows of `scheduler_vars` fill the placeholders.
    pub vars_server: u32,
    /// Milliseconds between two looks at the database.
    pub sync_interval_ms: u64,
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

/// Counts since the daemon's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Processes started.
    pub launched: u64,
    /// Runs that ended with exit status 0.
    pub succeeded: u64,
    /// Runs that ended otherwise, failed launches included, but for those that were stopped.
    pub failed: u64,
    /// Runs that somebody told to end, and that ended with another status than 0.
    pub stopped: u64,
    /// Slots that were skipped.
    pub skipped: u64,
    /// Records that the database never hears of, since the journal was begun: it had reached its
    /// limit, a full disk had no room for them, or somebody took them away.
    pub records_dropped: u64,
    /// When that was the last time, unix ms.
    pub records_dropped_ms: i64,
    /// Why it was then.
    pub records_dropped_why: Loss,
    /// Turns of the loop that took more than 2 ms.
    pub slow_turns: u64,
    /// The longest turn of the loop so far: how long a client may have waited, in microseconds.
    pub worst_turn_us: u64,
    /// Runs whose outputs were not kept on a full disk, or were deleted for the journal.
    pub outputs_dropped: u64,
    /// The latest launch so far: milliseconds after its slot.
    pub worst_lateness_ms: u64,
}

/// What goes over to the program that takes the place of this one, besides the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    /// When the daemon started.
    pub started: Now,
    /// Its counts.
    pub counters: Counters,
    /// Its figures.
    pub figures: Vec<u64>,
    /// It waits for its last runs.
    pub draining: bool,
    /// Runs that were told to end, and when they are killed by the monotonic clock; no time = they
    /// were.
    pub stopping: Vec<(RunId, Option<u64>)>,
    /// What the journal had no room for: pieces of the log by their offsets.
    pub unwritten: Vec<(u64, String)>,
    /// How many records each segment of the journal has that the database is not known to have;
    /// empty: an earlier version does not say.
    pub held: Vec<(u64, u64)>,
    /// What was done last over the web.
    pub message: String,
}

/// Everything the daemon knows. See the module's text.
pub struct Core {
    settings: Settings,
    table: Table,
    runs: BTreeMap<RunId, Run>,
    /// Runs to be looked at again, by the monotonic clock: retries and kills.
    timers: BTreeSet<(u64, RunId)>,
    /// Runs whose process is to be started, each after its intent was written to the journal.
    launches: VecDeque<RunId>,
    /// Runs whose launch was asked for and not answered yet.
    launching: BTreeSet<RunId>,
    /// Whether there is a keeper to launch them.
    has_keeper: bool,
    actions: VecDeque<Action>,
    /// How many of them read a file.
    reads: usize,
    outbox: outbox::Outbox,
    /// Why what counts is not where others look for it; none = it is.
    astray: Option<String>,
    sync: sync::Sync,
    snapshot: snapshot::Snapshot,
    refused: carry::Refused,
    homes: Homes,
    due: due::Due,
    past: Option<Box<adopt::Past>>,
    last_sequence: u64,
    started: Now,
    draining: bool,
    exiting: bool,
    /// How far it is with that.
    leaving: ending::Leaving,
    /// Who else runs this group.
    twin: Option<u32>,
    /// When it is said again what is waited for, monotonic ms.
    say_again_ms: u64,
    counters: Counters,
    /// Runs that ended until then (unix ms) have no outputs any more, for want of room.
    given_way_ms: i64,
    metrics: Metrics,
    changes: changes::Changes,
    pub(in crate::core) web: Web,
}

impl Core {
    /// A daemon that knows what `replay` says of the past. `journal_end` is the offset at which
    /// the log ends and `segments` are those on disk, oldest first.
    ///
    /// The shell then settles each of [`Core::unsettled`] runs, loads the snapshot with
    /// [`Core::load_snapshot`] where there is one, and goes into its loop.
    pub fn new(
        now: Now,
        settings: Settings,
        replay: Replay,
        journal_end: u64,
        segments: Vec<Segment>,
    ) -> Core {
        let table = Table::new(settings.dialect, settings.zone.clone());
        let boot_id = replay.boot_id.clone();
        let mut core = Core {
            due: due::Due::new(now, replay.decided_ms, replay.boot_id != settings.boot_id),
            astray: None,
            outbox: outbox::Outbox::new(boot_id, replay.recorded, journal_end, segments)
                .kept_by(replay.keepers.clone())
                .holding(replay.held.clone())
                .waiting_up_to(settings.unwritten_limit_bytes),
            sync: sync::Sync::new(),
            snapshot: snapshot::Snapshot::told_by(replay.table.clone()),
            refused: carry::Refused::told_by(replay.set_aside),
            homes: settings.homes(replay.homes.clone()),
            past: None,
            table,
            runs: BTreeMap::new(),
            timers: BTreeSet::new(),
            launches: VecDeque::new(),
            launching: BTreeSet::new(),
            has_keeper: true,
            actions: VecDeque::new(),
            reads: 0,
            last_sequence: replay.last_sequence,
            started: now,
            draining: false,
            exiting: false,
            leaving: ending::Leaving::default(),
            twin: None,
            say_again_ms: 0,
            counters: Counters {
                records_dropped: replay.dropped.count,
                records_dropped_ms: replay.dropped.at_ms,
                records_dropped_why: replay.dropped.why,
                ..Counters::default()
            },
            given_way_ms: i64::MIN,
            metrics: Metrics::new(),
            changes: changes::Changes::default(),
            web: Web::default(),
            settings,
        };
        core.restore(now, replay);
        // The first segment tells it.
        core.count_missing(now.wall_ms);
        core.begin_segment();
        core
    }

    /// Takes in an event. Never fails: outside data gives a value and a log line.
    pub fn handle(&mut self, now: Now, event: Event<'_>) {
        match event {
            Event::Tick => self.tick(now),
            Event::Launched(run, result) => self.launched(now, run, result),
            Event::Waits(run, what) => self.launch_waits(now, run, what),
            Event::Signalled(run, refusal) => self.signalled(now, run, refusal),
            Event::NotSignalled(run, why) => self.stop_delayed(now, run, &why),
            Event::Ended(run, outcome, usage) => self.run_ended(now, run, outcome, usage),
            Event::NoOutput(run, why) => {
                self.counters.outputs_dropped += 1;
                log::warn!("run={run} runs, and its output is not kept: {why}");
            }
            Event::KeeperIs(id) => self.keeper_is(id),
            Event::NoKeeper => self.has_keeper = false,
            Event::AnswerLine(line) => self.answer_line(line),
            Event::ExchangeEnded(result) => self.exchange_ended(now, result),
            Event::Gone(conn) => self.client_gone(conn),
            Event::PieceWanted(conn) => self.next_piece(conn),
            Event::Request(conn, request) => self.request(now, conn, &request),
            Event::Terminate { contained } => self.terminate(now, contained),
            Event::EndWithRuns => self.end_with_runs(now),
            Event::Drain => self.drain(now),
            Event::StopRuns => self.stop_runs(now),
            Event::JournalFailed(why, lines) => {
                self.outbox.failed(now, why, lines);
                self.touch_daemon();
            }
            Event::JournalCounted(start, records) => self.segment_counted(start, records),
            Event::JournalThere(segments) => self.segments_there(&segments),
            Event::Turned(us) => {
                self.counters.slow_turns += u64::from(us > SLOW_TURN_US);
                self.counters.worst_turn_us = self.counters.worst_turn_us.max(us);
                self.metrics.turns.count(us);
            }
            Event::JournalWritten => {
                if self.outbox.works() {
                    self.touch_daemon();
                }
            }
            Event::FileRead(conn, piece) => self.file_read(now, conn, piece),
            Event::FileCleared(ticket, result) => self.file_cleared(now, ticket, result),
            Event::PushFailed(conn, failure) => self.push_failed(conn, failure),
            Event::Vitals(vitals) => self.web.vitals = vitals,
            Event::Room { full, is_short } => self.room(full, is_short),
            Event::Astray(why) => self.state_dir_astray(why),
            Event::SetAsideChanged => self.set_aside_changed(),
            Event::Twin(pid) => self.found_twin(pid),
        }
    }

    fn tick(&mut self, now: Now) {
        self.run_timers(now);
        self.apply_some(Some(now));
        self.decide(now);
        self.exchange_if_due(now);
        self.rotate_if_due(now);
        self.end_if_done(now);
        self.web_tick(now);
    }

    /// The next thing to do. The journal goes first where a launch depends on it, last otherwise.
    pub fn next_action(&mut self) -> Option<Action> {
        if self.outbox.must_flush
            && let Some(action) = self.flush_journal()
        {
            return Some(action);
        }
        // What is due goes before answers: pages may be many and take long to write.
        if let Some(action) = self.next_launch() {
            return Some(action);
        }
        if let Some(action) = self.actions.pop_front() {
            self.reads -= usize::from(matches!(action, Action::ReadFile(..)));
            return Some(action);
        }
        self.note_decided();
        let last = self.flush_journal().or_else(|| self.word_after_turn());
        let last = last.or_else(|| self.waiting_snapshot());
        let last = last.or_else(|| self.leave());
        last.or_else(|| self.next_push())
    }

    /// Whether there is more to decide or to apply right now: tick again without sleeping.
    pub fn busy(&self) -> bool {
        self.sync.applying() || self.due.behind || self.due.has_misfires() || self.web_busy()
    }

    /// When to tick next, at the latest, if nothing happens before.
    pub fn next_wake(&self) -> Wake {
        let timer = self.timers.first().map(|(at, _)| *at);
        let last = self.outbox.last_by_ms.filter(|_| !self.exiting);
        let (exchange, hold) = (self.exchange_wake(), self.due.hold_until());
        let (end, retry) = (self.end_wake(), self.outbox.unwritten.retry_at_ms());
        let mono = [timer, exchange, hold, self.web_wake(), last, end, retry];
        let due = self.table.first_due().map(|(slot, _)| slot);
        // While decisions are held the past-due slots must not keep the loop awake.
        let wall = due.filter(|_| self.due.hold_until().is_none());
        Wake { mono_ms: mono.into_iter().flatten().min(), wall_ms: wall }
    }

    /// Whether runs are about to be launched.
    pub fn is_launching(&self) -> bool {
        !self.launches.is_empty() || !self.launching.is_empty()
    }

    /// The jobs in force.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Runs that have not ended, by id.
    pub fn runs(&self) -> &BTreeMap<RunId, Run> {
        &self.runs
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
            figures: self.metrics.figures(),
            draining: self.draining,
            stopping: self.stopping(),
            unwritten: self.outbox.in_memory(),
            held: self.outbox.held.counts(),
            message: self.last_message().to_owned(),
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
        self.metrics.resume(&carried.figures);
        // The same process went on: it was not down.
        self.due.able_ms = Some(i64::MIN);
        self.outbox.take_over(&carried.unwritten);
        self.go_on_saying(&carried.message);
        if carried.draining {
            self.drain(now);
        }
    }

    /// Where the journal stands.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Plans something for the shell to do.
    pub(super) fn push_action(&mut self, action: Action) {
        self.reads += usize::from(matches!(action, Action::ReadFile(..)));
        self.actions.push_back(action);
    }

    /// Files that are still to be read for clients. They take long: whose requests come next is
    /// better decided once they are done.
    pub fn reads_waiting(&self) -> usize {
        self.reads
    }

    /// Plans something before all else, so that what was read for it does not wait in memory.
    pub(super) fn push_action_first(&mut self, action: Action) {
        self.actions.push_front(action);
    }

    /// Whether the daemon waits for its last runs.
    pub fn draining(&self) -> bool {
        self.draining
    }
}
