//! The table follows the database. What a helper answers is collected apart from the table; when it
//! is whole, it is put in force in slices.

pub(super) mod applying;

use super::Scheduler;
use super::acts::MAX_PARTS;
use super::carry::{Carried, MAX_TOLD};
use super::changes::Changes;
use super::news::News;
use super::trouble::DatabaseState;
use crate::core::apply::MAX_REPORT_BYTES;
use crate::core::bad_rows::BadRows;
use crate::core::change::{Of, Refused};
use crate::core::cron::Zone;
use crate::core::database::ErrorKind;
use crate::core::definition::{Definition, Vars, there_twice};
use crate::core::ids::JobId;
use crate::core::journal::{ActEntry, TableEntry};
use crate::core::protocol::{
    Answer, Ask, Changed, JobRow, Mark, Past, Purged, Purpose, Rolled, Tended,
};
use crate::core::table::{Job, Table};
use crate::core::time::{Now, instant_of};
use applying::{Applying, Since};
use std::collections::{BTreeMap, VecDeque};
use std::mem;

/// Changed definitions put in force in one turn.
const CHANGES_A_TURN: usize = 500;

/// How the table stands to the database.
#[derive(Clone, Debug)]
pub struct SyncState {
    /// What is known of the database.
    pub database: DatabaseState,
    /// When the table was last known to equal the database, monotonic ms.
    pub synced_mono_ms: Option<u64>,
    /// Questions to the database that failed since the start.
    pub failures: u64,
    /// Those that succeeded since the start.
    pub successes: u64,
    /// Rows that can't be jobs, variables or tags.
    pub bad_rows: BadRows,
}

impl SyncState {
    /// A question was answered, or has failed.
    pub(super) fn count(&mut self, well: bool) {
        *(if well { &mut self.successes } else { &mut self.failures }) += 1;
    }
}

/// How the table follows the database.
pub struct Sync {
    pub state: SyncState,
    applying: Option<Applying>,
    /// The database was asked for its table, and has answered or not.
    pub(super) answered: bool,
    /// A whole table was put in force since the start: from the snapshot or the database.
    known: bool,
    digest: String,
    /// The number of the sync that is under way, or was last.
    pub(super) seen: u32,
    /// When the database is asked next, monotonic ms.
    pub(super) next_sync_ms: u64,
    /// When jobs ran last, unix ms, as their rows said it at the first sync; none: it was not yet.
    last_runs: Option<BTreeMap<JobId, i64>>,
}

/// An answer so far.
#[derive(Default)]
pub(super) struct Staged {
    vars: Vars,
    var_ids: BTreeMap<u32, String>,
    tags: BTreeMap<u32, String>,
    /// In slices of [`CHANGES_A_TURN`], each put in force and given back in a turn of its own: one
    /// long vector would be moved as it grows and freed at once, milliseconds for many jobs.
    changed: VecDeque<Vec<Definition>>,
    /// Rows that are disabled, where that is new or they say something else; in the same slices.
    disabled: VecDeque<Vec<Definition>>,
    kept: usize,
    /// The id of the job row that came last, and whether one with it is in force.
    last_job: Option<(u32, bool)>,
    bad_rows: BadRows,
    /// Lines that stand for a row of the database each.
    rows: u64,
    pub digest: Option<String>,
    same: bool,
    /// When jobs ran last.
    last_runs: BTreeMap<u32, String>,
    /// Why there is no snapshot of it.
    no_snapshot: Option<String>,
    pub refused: Vec<String>,
    pub recorded: Option<Carried>,
    /// What a change comes to, said before it is committed.
    pub changing: Option<Mark>,
    /// What is said of a file that a group is made by.
    report: String,
    /// What is done with each of its jobs, the first of them.
    pub acts: Vec<ActEntry>,
    /// What became of it.
    pub edited: Option<Result<Changed, Refused>>,
    /// What was.
    pub past: Past,
    /// What was deleted.
    pub purged: Option<Purged>,
    /// What was done with files.
    pub tended: Option<Tended>,
    /// What of past days was written down.
    pub rolled: Option<Rolled>,
    pub error: Option<(ErrorKind, String)>,
}

impl Staged {
    /// The lines of a snapshot, as an answer that is put in force or not.
    pub fn all<'a>(lines: impl Iterator<Item = &'a [u8]>, table: &mut Table, seen: u32) -> Staged {
        let mut staged = Staged::default();
        for line in lines {
            staged.line(line, serde_json::from_slice(line), table, seen);
        }
        staged
    }

    /// Whether it has what an answer to a question of this purpose must have.
    pub fn is_whole(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Sync => self.same || self.digest.is_some(),
            Purpose::Record => self.recorded.is_some(),
            Purpose::Change => self.edited.is_some(),
            Purpose::History => self.past.is_whole(),
            Purpose::Purge => self.purged.is_some(),
            Purpose::Outputs => self.tended.is_some(),
            Purpose::RollUp => self.rolled.is_some(),
        }
    }

    /// Takes in a line of it. What a row says is compared with the table; the sync that sees it has
    /// this number.
    pub fn line(
        &mut self,
        line: &[u8],
        answer: serde_json::Result<Answer>,
        table: &mut Table,
        seen: u32,
    ) {
        match answer {
            Ok(answer) => self.answer(answer, table, seen),
            Err(why) => {
                let text = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
                let message = format!("the helper's answer makes no sense ({why}): {text:?}");
                self.error.get_or_insert((ErrorKind::Other, message));
            }
        }
    }

    fn answer(&mut self, answer: Answer, table: &mut Table, seen: u32) {
        self.rows += u64::from(answer.is_row());
        match answer {
            Answer::Same(digest) => {
                self.same = true;
                self.digest = Some(digest);
            }
            Answer::Var { id, name, value } => {
                if id > 0 {
                    self.var_ids.insert(id, name.clone());
                }
                self.vars.insert(name, value);
            }
            Answer::Tag { id, name } => {
                self.tags.insert(id, name);
            }
            Answer::Job(row) => self.job(*row, true, table, seen),
            Answer::Disabled(row) => self.job(*row, false, table, seen),
            Answer::BadRow { id, why, word } => self.bad_row(id, why, word),
            Answer::End { digest, rows } if rows == self.rows => self.digest = Some(digest),
            Answer::End { rows, .. } => {
                let came = self.rows;
                let message = format!("the answer has {came} of {rows} rows: nothing of it counts");
                self.error.get_or_insert((ErrorKind::Other, message));
            }
            Answer::Digest(digest) => self.digest = Some(digest),
            Answer::NoSnapshot(why) => self.no_snapshot = Some(why),
            Answer::LastRun { id, at } => {
                self.last_runs.insert(id, at);
            }
            Answer::Refused(why) if self.refused.len() < MAX_TOLD => self.refused.push(why),
            Answer::Refused(_) => {}
            Answer::Recorded { count: _, through, aside, unkept, pace, again, taken, found } => {
                let carried = Carried { through, aside, unkept, pace, again, taken, found };
                self.recorded = Some(carried);
            }
            Answer::Piece(text) => self.piece(&text),
            Answer::Act(act) if self.acts.len() < MAX_PARTS => self.acts.push(*act),
            Answer::Act(_) => {}
            Answer::Changing(mark) => self.changing = Some(mark),
            Answer::Changed(changed) => {
                let report = mem::take(&mut self.report);
                self.edited = Some(Ok(Changed { report, ..changed }));
            }
            Answer::NotChanged(Refused::File(_)) => {
                self.edited = Some(Err(Refused::File(mem::take(&mut self.report))));
            }
            Answer::NotChanged(refused) => self.edited = Some(Err(refused)),
            Answer::Run(run) => self.past.runs.push(*run),
            Answer::Skipped(skip) => self.past.skips.push(*skip),
            Answer::Did(act) => self.past.acts.push(*act),
            Answer::Runs(end) => self.past_ends(Past::ends, end),
            Answer::Acts(end) => self.past_ends(Past::acts_end, end),
            Answer::Purged(purged) => self.purged = Some(purged),
            Answer::Tended(tended) => self.tended = Some(tended),
            Answer::Statistics(found) => self.past.statistics = Some(found),
            Answer::Lane(lane) => self.past.lanes.push(lane),
            Answer::Timeline(end) => self.past.lanes_end = Some(end),
            Answer::Rolled(rolled) => self.rolled = Some(rolled),
            Answer::Error { kind, message } => {
                self.error.get_or_insert((kind, message));
            }
            // They stand around an answer, or are none.
            Answer::To(_) | Answer::Done(_) | Answer::Works => {}
        }
    }

    fn past_ends<E>(&mut self, ends: fn(&mut Past, E) -> Result<(), String>, end: E) {
        if let Err(message) = ends(&mut self.past, end) {
            self.error.get_or_insert((ErrorKind::Other, message));
        }
    }

    /// A helper refuses what would be longer; one that does not is not believed.
    fn piece(&mut self, text: &str) {
        if self.report.len() + text.len() <= MAX_REPORT_BYTES {
            return self.report.push_str(text);
        }
        let message = format!("the answer has more than {MAX_REPORT_BYTES} bytes");
        self.report = String::new();
        self.error.get_or_insert((ErrorKind::Other, message));
    }

    /// A row that says what is in force already costs no memory; others wait for the end.
    fn job(&mut self, row: JobRow, in_force: bool, table: &mut Table, seen: u32) {
        // Rows come by id.
        let before = self.last_job.filter(|(id, _)| *id == row.id).map(|(_, it)| it);
        self.last_job = Some((row.id, in_force || before == Some(true)));
        if let Some(before) = before {
            self.comes_twice(row.id, in_force, before);
            if before || !in_force {
                return;
            }
        }
        let id = JobId(row.id);
        let def = table.define(row, &self.vars);
        if !in_force {
            if !table.see_disabled(&def, seen) {
                slice_up(&mut self.disabled, def);
            }
            return;
        }
        match table.get_mut(id) {
            Some(job) if job.is_active() && job.def.says_the_same(&def) => {
                job.seen = seen;
                self.kept += 1;
            }
            _ => slice_up(&mut self.changed, def),
        }
    }

    fn bad_row(&mut self, id: u32, why: String, word: Option<(Of, u32)>) {
        let job = Some((Of::Job, id)).filter(|_| id > 0);
        self.bad_rows.push(word.or(job), why);
    }

    /// A row of this id came once more. A view may have one twice: it is no job, and that is told.
    /// But a disabled one keeps no other from being the job.
    fn comes_twice(&mut self, id: u32, in_force: bool, before_in_force: bool) {
        if before_in_force && in_force {
            self.bad_row(id, there_twice(id), None);
        }
        if in_force {
            let slice = self.disabled.back_mut();
            slice.and_then(|slice| slice.pop_if(|def| def.id.0 == id));
        }
    }
}

/// Adds a definition to the last slice, or begins one.
fn slice_up(slices: &mut VecDeque<Vec<Definition>>, def: Definition) {
    match slices.back_mut() {
        Some(slice) if slice.len() < CHANGES_A_TURN => slice.push(def),
        _ => {
            let mut slice = Vec::with_capacity(CHANGES_A_TURN);
            slice.push(def);
            slices.push_back(slice);
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
                bad_rows: BadRows::default(),
            },
            applying: None,
            answered: false,
            known: false,
            digest: String::new(),
            last_runs: None,
            seen: 0,
            next_sync_ms: 0,
        }
    }

    /// Whether the database was asked and what it said is in force.
    pub fn settled(&self) -> bool {
        self.answered && self.applying.is_none()
    }

    /// The next answer is to have all of the table.
    pub(super) fn ask_for_everything(&mut self) {
        self.digest.clear();
    }

    /// This is known of the database.
    pub(super) fn tell(&mut self, changes: &mut Changes, database: DatabaseState) {
        if self.state.database != database {
            self.state.database = database;
            changes.touch_daemon();
        }
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

    /// Whether a new table is being put in force: what is known is partly of the one before.
    pub fn is_table_changing(&self) -> bool {
        self.sync.applying()
    }

    /// Asks the database now, whatever the plan was.
    pub fn sync_now(&mut self) {
        self.sync.next_sync_ms = 0;
        self.asks.troubles.forget_pauses();
        self.refused.retry_now();
    }

    /// The question of a sync.
    pub(super) fn sync_ask(&mut self) -> Ask {
        if std::mem::take(&mut self.snapshot.waits) {
            // The helper writes in its place; all of the table, for another chance to keep it.
            self.sync.ask_for_everything();
        }
        self.sync.seen += 1;
        self.acts.asks_for_table();
        self.news.push_back(News::SyncBegins);
        Ask::Sync {
            server_id: self.settings.server_id,
            vars_server: self.settings.vars_server,
            digest: self.sync.digest.clone(),
            snapshot: format!("{}/snapshot.new", self.settings.state_dir),
            last_runs: self.sync.last_runs.is_none(),
        }
    }

    /// The database has answered what its table is.
    pub(super) fn synced(&mut self, now: Now, mut staged: Staged) {
        if self.sync.last_runs.is_none() {
            let told = mem::take(&mut staged.last_runs);
            self.sync.last_runs = Some(last_runs(told, &self.settings.zone));
            self.changes.all_at_once();
        }
        let first = self.sync.state.synced_mono_ms.replace(now.mono_ms).is_none();
        self.touch_daemon();
        if staged.same {
            self.sync.digest = staged.digest.unwrap_or_default();
            self.snapshot.is_the_databases(&self.settings, &mut self.outbox);
            self.saw_all(now.wall_ms);
            self.news.push_back(News::SyncEnded(Ok(())));
        } else {
            // To the next daemon all that stands in the snapshot was in force when this one
            // decided last: that is noted before, be there slots or not.
            self.due.unnoted = true;
            self.snapshot_waits(staged.no_snapshot.clone());
            let mark = TableEntry::mark(staged.digest.as_deref().unwrap_or_default());
            self.snapshot.in_force((mark, now.wall_ms), &self.settings, &mut self.outbox);
            self.begin_applying(staged, Since::answered(now, first));
        }
    }
}

/// Texts of rows as instants.
fn last_runs(told: BTreeMap<u32, String>, zone: &Zone) -> BTreeMap<JobId, i64> {
    let instant = |(id, at): (u32, String)| Some((JobId(id), instant_of(&at, zone, None)?));
    told.into_iter().filter_map(instant).collect()
}

impl Sync {
    /// When a job ran last, unix ms, if no run of it is known; none: it never did, or that is not
    /// known yet.
    pub fn last_run_ms(&self, job: &Job) -> Option<i64> {
        let is_known = job.history.as_ref().is_some_and(|past| !past.runs.is_empty());
        let told = self.last_runs.as_ref().filter(|_| !is_known);
        told.and_then(|told| told.get(&job.def.id)).copied()
    }
}
