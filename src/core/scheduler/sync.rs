//! The table follows the database; records go there.
//!
//! One exchange at a time. What a helper answers is collected apart from the table and counts
//! only at its successful end; then it is put in force in slices. A failed exchange changes
//! nothing: it is said once, and tried again after a pause that doubles up to a minute.

pub(super) mod applying;

use super::Scheduler;
use super::carry::{Carried, MAX_TOLD};
use super::news::News;
use super::trouble::{DatabaseState, Kind, Troubles};
use crate::core::clock;
use crate::core::database::ErrorKind;
use crate::core::definition::{Definition, Vars, there_twice};
use crate::core::event::Action;
use crate::core::ids::JobId;
use crate::core::journal::TableEntry;
use crate::core::plain::counted;
use crate::core::protocol::{Answer, Ask, JobRow, Request};
use crate::core::table::Phase;
use crate::core::time::Now;
use applying::{Applying, Since};
use std::collections::{BTreeMap, VecDeque};

/// Changed definitions put in force in one turn.
const CHANGES_A_TURN: usize = 500;

/// A helper has this long, in milliseconds; then it is killed.
const EXCHANGE_DEADLINE_MS: u64 = 30_000;

/// Bad rows that are remembered for the page.
const MAX_BAD_ROWS: usize = 100;

/// How the table stands to the database.
#[derive(Clone, Debug)]
pub struct SyncState {
    /// What is known of the database.
    pub database: DatabaseState,
    /// When the table was last known to equal the database, monotonic ms.
    pub synced_mono_ms: Option<u64>,
    /// Exchanges that failed since the start.
    pub failures: u64,
    /// Exchanges that succeeded since the start.
    pub successes: u64,
    /// Rows that can't be jobs: id and reason; the first 100.
    pub bad_rows: Vec<(u32, String)>,
    /// How many there are.
    pub bad_rows_count: u64,
}

/// The exchange under way and what is planned.
pub struct Sync {
    pub state: SyncState,
    running: Option<Running>,
    applying: Option<Applying>,
    /// A whole table was put in force since the start: from the snapshot or the database.
    known: bool,
    digest: String,
    seen: u32,
    next_sync_ms: u64,
    /// The last exchange was about the table.
    was_table: bool,
    troubles: Troubles,
}

/// An exchange under way.
struct Running {
    kind: Kind,
    /// What is set aside is tried again, and nothing else.
    again: bool,
    deadline_ms: u64,
    killed: bool,
    staged: Staged,
}

/// An answer so far.
#[derive(Default)]
pub(super) struct Staged {
    vars: Vars,
    tags: BTreeMap<u32, String>,
    /// In slices of [`CHANGES_A_TURN`], each put in force and given back in a turn of its own: one
    /// long vector would be moved as it grows and freed at once, milliseconds for many jobs.
    changed: VecDeque<Vec<Definition>>,
    kept: usize,
    /// The id of the job row that came last.
    last_job: Option<u32>,
    bad_rows: Vec<(u32, String)>,
    bad_rows_count: u64,
    /// Lines that stand for a row of the database each.
    rows: u64,
    pub digest: Option<String>,
    same: bool,
    /// Why there is no snapshot of it.
    no_snapshot: Option<String>,
    refused: Vec<String>,
    recorded: Option<Carried>,
    pub error: Option<(ErrorKind, String)>,
}

impl Staged {
    fn bad_row(&mut self, id: u32, why: String) {
        self.bad_rows_count += 1;
        if self.bad_rows.len() < MAX_BAD_ROWS {
            self.bad_rows.push((id, why));
        }
    }

    fn changed(&mut self, def: Definition) {
        match self.changed.back_mut() {
            Some(slice) if slice.len() < CHANGES_A_TURN => slice.push(def),
            _ => {
                let mut slice = Vec::with_capacity(CHANGES_A_TURN);
                slice.push(def);
                self.changed.push_back(slice);
            }
        }
    }
}

impl Sync {
    pub fn new() -> Sync {
        Sync {
            state: SyncState {
                database: DatabaseState::Unknown,
                synced_mono_ms: None,
                failures: 0,
                successes: 0,
                bad_rows: Vec::new(),
                bad_rows_count: 0,
            },
            running: None,
            applying: None,
            known: false,
            digest: String::new(),
            seen: 0,
            next_sync_ms: 0,
            was_table: false,
            troubles: Troubles::default(),
        }
    }

    /// Whether the database was asked and what it said is in force.
    pub fn settled(&self) -> bool {
        self.state.database != DatabaseState::Unknown && self.applying.is_none()
    }

    /// Whether records have long been refused while the database is well: see
    /// [`crate::core::settle`].
    pub fn refused_for_long(&self, now: Now) -> bool {
        self.troubles.refused_for_long(now)
    }

    /// Whether a new table is being put in force.
    pub fn applying(&self) -> bool {
        self.applying.is_some()
    }
}

impl Scheduler {
    /// How the table stands to the database.
    pub fn sync_state(&self) -> &SyncState {
        &self.sync.state
    }

    /// Whether a table is in force. Before that nobody knows which jobs there are.
    pub fn knows_table(&self) -> bool {
        self.sync.known
    }

    /// Asks the database now, whatever the plan was.
    pub fn sync_now(&mut self) {
        self.sync.next_sync_ms = 0;
        self.sync.troubles.forget_pauses();
        self.refused.retry_now();
    }

    /// The lines of a snapshot, as an answer that is put in force or not.
    pub(super) fn stage_all<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> Staged {
        let mut staged = Staged::default();
        self.sync.seen += 1;
        for line in lines {
            self.stage_line(&mut staged, line);
        }
        staged
    }

    /// The next answer is to have all of the table.
    pub(super) fn ask_for_everything(&mut self) {
        self.sync.digest.clear();
    }

    /// Starts the next exchange if it is time, or ends one that took too long.
    pub(super) fn exchange_if_due(&mut self, now: Now) {
        if let Some(running) = &mut self.sync.running {
            if now.mono_ms >= running.deadline_ms && !running.killed {
                running.killed = true;
                self.actions.push_back(Action::KillExchange);
            }
            return;
        }
        if self.sync.applying() || self.exiting {
            return;
        }
        // What is due goes first: a helper would take the processor from it.
        if self.launches_go_first() {
            return;
        }
        let has_news = self.record_at() <= now.mono_ms;
        // One that takes longer than the interval is due again at once: they take turns.
        let records_first = has_news && self.sync.was_table;
        if self.look_at() <= now.mono_ms {
            let ask = self.look_ask(now);
            self.begin_exchange(now, Kind::Record, true, ask);
        } else if self.sync_at() <= now.mono_ms && !records_first {
            let next_ms = now.mono_ms + self.settings.sync_interval_ms;
            self.sync.next_sync_ms = clock::between_slots(now, next_ms);
            let ask = self.sync_ask();
            self.begin_exchange(now, Kind::Sync, false, ask);
        } else if self.retry_is_due(now, has_news) {
            let ask = self.retry_ask(now);
            self.begin_exchange(now, Kind::Record, true, ask);
        } else if has_news {
            let ask = self.record_ask(now);
            self.begin_exchange(now, Kind::Record, false, ask);
        }
    }

    fn sync_at(&self) -> u64 {
        self.sync.next_sync_ms.max(self.sync.troubles.not_before_ms(Kind::Sync))
    }

    fn record_at(&self) -> u64 {
        let may = !self.outbox.must_wait() && self.astray.is_none();
        let wanted = self.outbox.record_at.filter(|_| may);
        wanted.unwrap_or(u64::MAX).max(self.sync.troubles.not_before_ms(Kind::Record))
    }

    /// When [`Scheduler::exchange_if_due`] has something to do, monotonic ms.
    pub(super) fn exchange_wake(&self) -> Option<u64> {
        if let Some(running) = &self.sync.running {
            return (!running.killed).then_some(running.deadline_ms);
        }
        // A keeper that takes its time wakes the loop itself: to look again and again would not
        // make it faster.
        let waits = self.exiting || self.launches_go_first();
        let others = self.record_at().min(self.retry_at());
        (!waits).then(|| self.sync_at().min(others).min(self.look_at()))
    }

    /// Whether a helper is under way that reads the journal and may change what is set aside.
    pub fn is_carrying(&self) -> bool {
        self.sync.running.as_ref().is_some_and(|running| running.kind == Kind::Record)
    }

    fn launches_go_first(&self) -> bool {
        self.has_keeper && !self.launches.is_empty()
    }

    fn sync_ask(&mut self) -> Ask {
        if std::mem::take(&mut self.snapshot.waits) {
            // The helper writes in its place; all of the table, for another chance to keep it.
            self.ask_for_everything();
        }
        self.sync.seen += 1;
        self.news.push_back(News::SyncBegins);
        Ask::Sync {
            server_id: self.settings.server_id,
            vars_server: self.settings.vars_server,
            digest: self.sync.digest.clone(),
            snapshot: format!("{}/snapshot.new", self.settings.state_dir),
        }
    }

    fn begin_exchange(&mut self, now: Now, kind: Kind, again: bool, ask: Ask) {
        let deadline_ms = now.mono_ms + EXCHANGE_DEADLINE_MS;
        let (killed, staged) = (false, Staged::default());
        self.sync.was_table = kind == Kind::Sync;
        self.sync.running = Some(Running { kind, again, deadline_ms, killed, staged });
        let request = Request { database: self.settings.database.clone(), ask };
        let mut line = serde_json::to_vec(&request).unwrap_or_default();
        line.push(b'\n');
        self.actions.push_back(Action::Exchange(line));
    }

    pub(in crate::core) fn answer_line(&mut self, line: &[u8]) {
        let Some(mut running) = self.sync.running.take() else { return };
        self.stage_line(&mut running.staged, line);
        self.sync.running = Some(running);
    }

    fn stage_line(&mut self, staged: &mut Staged, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(answer) => self.stage(staged, answer),
            Err(why) => {
                let text = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
                let message = format!("the helper's answer makes no sense ({why}): {text:?}");
                staged.error.get_or_insert((ErrorKind::Other, message));
            }
        }
    }

    fn stage(&mut self, staged: &mut Staged, answer: Answer) {
        staged.rows += u64::from(answer.is_row());
        match answer {
            Answer::Same(digest) => {
                staged.same = true;
                staged.digest = Some(digest);
            }
            Answer::Var { name, value } => {
                staged.vars.insert(name, value);
            }
            Answer::Tag { id, name } => {
                staged.tags.insert(id, name);
            }
            Answer::Job(row) => self.stage_job(staged, *row),
            Answer::BadRow { id, why } => staged.bad_row(id, why),
            Answer::End { digest, rows } if rows == staged.rows => staged.digest = Some(digest),
            Answer::End { rows, .. } => {
                let came = staged.rows;
                let message = format!("the answer has {came} of {rows} rows: nothing of it counts");
                staged.error.get_or_insert((ErrorKind::Other, message));
            }
            Answer::Digest(digest) => staged.digest = Some(digest),
            Answer::NoSnapshot(why) => staged.no_snapshot = Some(why),
            Answer::Refused(why) if staged.refused.len() < MAX_TOLD => staged.refused.push(why),
            Answer::Refused(_) => {}
            Answer::Recorded { count: _, through, aside, unkept, pace, again, taken, found } => {
                let carried = Carried { through, aside, unkept, pace, again, taken, found };
                staged.recorded = Some(carried);
            }
            Answer::Error { kind, message } => {
                staged.error.get_or_insert((kind, message));
            }
        }
    }

    /// A row that says what is in force already costs no memory; others wait for the end.
    fn stage_job(&mut self, staged: &mut Staged, row: JobRow) {
        // Rows come by id. A view may have one twice: the second is no job, and that is told.
        if staged.last_job.replace(row.id) == Some(row.id) {
            return staged.bad_row(row.id, there_twice(row.id));
        }
        let (id, seen) = (JobId(row.id), self.sync.seen);
        let def = self.table.define(row, &staged.vars);
        match self.table.get_mut(id) {
            Some(job) if matches!(job.phase, Phase::Active) && job.def.says_the_same(&def) => {
                job.seen = seen;
                staged.kept += 1;
            }
            _ => staged.changed(def),
        }
    }

    pub(in crate::core) fn exchange_ended(&mut self, now: Now, result: Result<(), String>) {
        let Some(running) = self.sync.running.take() else { return };
        if running.kind == Kind::Record && self.astray.is_some() {
            // What it found by the journal's name need not be ours, and is no word of the database.
            self.outbox.record_at = Some(0);
            return;
        }
        let staged = running.staged;
        let failure = match (&staged.error, result) {
            (Some(error), _) => Some(error.clone()),
            (None, Err(_)) if running.killed => {
                let seconds = EXCHANGE_DEADLINE_MS / 1000;
                let why = format!("no answer within {seconds} s: is the database overloaded?");
                Some((ErrorKind::Other, why))
            }
            (None, Err(why)) => Some((ErrorKind::Other, why)),
            (None, Ok(())) => None,
        };
        let failure = failure.or_else(|| {
            let whole = match running.kind {
                Kind::Sync => staged.same || staged.digest.is_some(),
                Kind::Record => staged.recorded.is_some(),
            };
            let why = "the helper's answer has no end: the table in force stays".to_owned();
            (!whole).then_some((ErrorKind::Other, why))
        });
        // What has a reason of its own was not too much.
        let too_much =
            |(kind, _): &(ErrorKind, String)| running.killed || *kind == ErrorKind::Other;
        if running.kind == Kind::Record && failure.as_ref().is_some_and(too_much) {
            self.refused.carry_less();
        }
        match failure {
            Some((_, message)) if running.again => {
                self.sync.state.failures += 1;
                self.not_tried_again(&message);
                self.touch_daemon();
            }
            Some((kind, message)) => self.exchange_failed(now, running.kind, kind, message),
            None if running.again => {
                self.sync.state.successes += 1;
                let carried = staged.recorded.unwrap_or_default();
                self.tried_again(now, carried, &staged.refused);
            }
            None => self.exchange_succeeded(now, running.kind, staged),
        }
    }

    fn exchange_failed(&mut self, now: Now, asked: Kind, kind: ErrorKind, message: String) {
        self.sync.state.failures += 1;
        let (pause_ms, news) = self.sync.troubles.failed(now, asked, kind, message.clone());
        match asked {
            Kind::Sync => self.sync.next_sync_ms = 0,
            Kind::Record => self.outbox.record_at = Some(0),
        }
        if news {
            let jobs = self.table.len();
            let go = if jobs == 1 { "goes" } else { "go" };
            let jobs = counted(jobs as u64, "job");
            log::error!("database: {message} ({jobs} {go} on; next try in {pause_ms} ms)");
        }
        if asked == Kind::Sync {
            self.news.push_back(News::SyncEnded(Err(message)));
        }
        self.sync.state.database = self.sync.troubles.state();
        self.touch_daemon();
    }

    fn exchange_succeeded(&mut self, now: Now, asked: Kind, staged: Staged) {
        self.sync.state.successes += 1;
        if let Some(failures) = self.sync.troubles.succeeded(asked) {
            log::info!("database: back after {}", counted(failures.into(), "failure"));
        }
        self.sync.state.database = self.sync.troubles.state();
        match asked {
            Kind::Record => {
                self.carried(now, staged.recorded.unwrap_or_default(), &staged.refused);
            }
            Kind::Sync => {
                let first = self.sync.state.synced_mono_ms.replace(now.mono_ms).is_none();
                self.touch_daemon();
                if staged.same {
                    self.sync.digest = staged.digest.unwrap_or_default();
                    self.table_is_the_databases();
                    self.news.push_back(News::SyncEnded(Ok(())));
                } else {
                    // To the next daemon all that stands in the snapshot was in force when this
                    // one decided last: that is noted before, be there slots or not.
                    self.due.unnoted = true;
                    self.snapshot_waits(staged.no_snapshot.clone());
                    let mark = TableEntry::mark(staged.digest.as_deref().unwrap_or_default());
                    self.table_in_force(mark, now.wall_ms);
                    self.begin_applying(staged, Since::answered(now, first));
                }
            }
        }
    }
}
