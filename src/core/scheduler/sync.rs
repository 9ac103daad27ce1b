//! The table follows the database. What a helper answers is collected apart from the table; when it
//! is whole, it is put in force in slices.

pub(super) mod applying;

use super::Scheduler;
use super::carry::{Carried, MAX_TOLD};
use super::news::News;
use super::trouble::DatabaseState;
use crate::core::database::ErrorKind;
use crate::core::definition::{Definition, Vars, there_twice};
use crate::core::ids::JobId;
use crate::core::journal::TableEntry;
use crate::core::protocol::{Answer, Ask, JobRow, Purpose};
use crate::core::time::Now;
use applying::{Applying, Since};
use std::collections::{BTreeMap, VecDeque};

/// Changed definitions put in force in one turn.
const CHANGES_A_TURN: usize = 500;

/// Bad rows that are remembered for the page.
const MAX_BAD_ROWS: usize = 100;

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
    /// Rows that can't be jobs: id and reason; the first 100.
    pub bad_rows: Vec<(u32, String)>,
    /// How many there are.
    pub bad_rows_count: u64,
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
    seen: u32,
    /// When the database is asked next, monotonic ms.
    pub(super) next_sync_ms: u64,
}

/// An answer so far.
#[derive(Default)]
pub(super) struct Staged {
    vars: Vars,
    tags: BTreeMap<u32, String>,
    /// In slices of [`CHANGES_A_TURN`], each put in force and given back in a turn of its own: one
    /// long vector would be moved as it grows and freed at once, milliseconds for many jobs.
    changed: VecDeque<Vec<Definition>>,
    /// Rows that are disabled, where that is new or they say something else; in the same slices.
    disabled: VecDeque<Vec<Definition>>,
    kept: usize,
    /// The id of the job row that came last, and whether one with it is in force.
    last_job: Option<(u32, bool)>,
    bad_rows: Vec<(u32, String)>,
    bad_rows_count: u64,
    /// Lines that stand for a row of the database each.
    rows: u64,
    pub digest: Option<String>,
    same: bool,
    /// Why there is no snapshot of it.
    no_snapshot: Option<String>,
    pub refused: Vec<String>,
    pub recorded: Option<Carried>,
    pub error: Option<(ErrorKind, String)>,
}

impl Staged {
    /// Whether it has what an answer to a question of this purpose must have.
    pub fn is_whole(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Sync => self.same || self.digest.is_some(),
            Purpose::Record => self.recorded.is_some(),
        }
    }

    fn bad_row(&mut self, id: u32, why: String) {
        self.bad_rows_count += 1;
        if self.bad_rows.len() < MAX_BAD_ROWS {
            self.bad_rows.push((id, why));
        }
    }

    /// A row of this id came once more. A view may have one twice: it is no job, and that is told.
    /// But a disabled one keeps no other from being the job.
    fn comes_twice(&mut self, id: u32, in_force: bool, before_in_force: bool) {
        if before_in_force && in_force {
            self.bad_row(id, there_twice(id));
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
                bad_rows: Vec::new(),
                bad_rows_count: 0,
            },
            applying: None,
            answered: false,
            known: false,
            digest: String::new(),
            seen: 0,
            next_sync_ms: 0,
        }
    }

    /// Whether the database was asked and what it said is in force.
    pub fn settled(&self) -> bool {
        self.answered && self.applying.is_none()
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
        self.asks.troubles.forget_pauses();
        self.refused.retry_now();
    }

    /// The lines of a snapshot, as an answer that is put in force or not.
    pub(super) fn stage_all<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> Staged {
        let mut staged = Staged::default();
        self.sync.seen += 1;
        for line in lines {
            self.stage_line(&mut staged, line, serde_json::from_slice(line));
        }
        staged
    }

    /// The next answer is to have all of the table.
    pub(super) fn ask_for_everything(&mut self) {
        self.sync.digest.clear();
    }

    /// The question of a sync.
    pub(super) fn sync_ask(&mut self) -> Ask {
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

    /// Takes in a line of an answer.
    pub(super) fn stage_line(
        &mut self,
        staged: &mut Staged,
        line: &[u8],
        answer: serde_json::Result<Answer>,
    ) {
        match answer {
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
            Answer::Job(row) => self.stage_job(staged, *row, true),
            Answer::Disabled(row) => self.stage_job(staged, *row, false),
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
            // They stand around an answer.
            Answer::To(_) | Answer::Done(_) => {}
        }
    }

    /// A row that says what is in force already costs no memory; others wait for the end.
    fn stage_job(&mut self, staged: &mut Staged, row: JobRow, in_force: bool) {
        // Rows come by id.
        let before = staged.last_job.filter(|(id, _)| *id == row.id).map(|(_, it)| it);
        staged.last_job = Some((row.id, in_force || before == Some(true)));
        if let Some(before) = before {
            staged.comes_twice(row.id, in_force, before);
            if before || !in_force {
                return;
            }
        }
        let (id, seen) = (JobId(row.id), self.sync.seen);
        let def = self.table.define(row, &staged.vars);
        if !in_force {
            if !self.table.see_disabled(&def, seen) {
                slice_up(&mut staged.disabled, def);
            }
            return;
        }
        match self.table.get_mut(id) {
            Some(job) if job.is_active() && job.def.says_the_same(&def) => {
                job.seen = seen;
                staged.kept += 1;
            }
            _ => slice_up(&mut staged.changed, def),
        }
    }

    /// The database has answered what its table is.
    pub(super) fn synced(&mut self, now: Now, staged: Staged) {
        let first = self.sync.state.synced_mono_ms.replace(now.mono_ms).is_none();
        self.touch_daemon();
        if staged.same {
            self.sync.digest = staged.digest.unwrap_or_default();
            self.table_is_the_databases();
            self.news.push_back(News::SyncEnded(Ok(())));
        } else {
            // To the next daemon all that stands in the snapshot was in force when this one
            // decided last: that is noted before, be there slots or not.
            self.due.unnoted = true;
            self.snapshot_waits(staged.no_snapshot.clone());
            let mark = TableEntry::mark(staged.digest.as_deref().unwrap_or_default());
            self.table_in_force(mark, now.wall_ms);
            self.begin_applying(staged, Since::answered(now, first));
        }
    }
}
