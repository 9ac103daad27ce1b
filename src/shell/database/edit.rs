//! Changes a job (`words`: a variable or a tag), in one transaction: the row is locked and read,
//! `core::change` says what becomes of it, that is written and read again. What a database does to
//! a value without a word (cuts it, writes a question mark, has a trigger) is seen then, and
//! refused.
//!
//! What it comes to is said before the COMMIT, and is in the daemon's pipe by then: if this process
//! dies, the daemon knows whether anything may have been committed, and what to look for.

mod apply;
mod audit;
mod words;

use super::answers::Answers;
use super::desk::Desk;
use super::mysql::{Desk as Mysql, Kept};
use super::records::Field;
use super::rows;
use super::sqlite::Desk as Sqlite;
use super::{Failure, told_to_edit, written_zone};
use crate::core::apply::File;
use crate::core::cells::Cell;
use crate::core::change::{
    Change, Context, Decided, Mistake, Of, Planned, Refused, Stand, TableColumn, Wanted, judge,
    plan,
};
use crate::core::columns::{Column, JobRow};
use crate::core::cron::Zone;
use crate::core::database::{Database, ErrorKind};
use crate::core::definition::hex;
use crate::core::ids::JobId;
use crate::core::journal::DONE;
use crate::core::limits::{MAX_QUOTED_CHARS, cut};
use crate::core::protocol::{Answer, ChangeAsk, Changed, Mark};
use crate::core::rules::OutputFile;
use crate::core::time::datetime;
use crate::shell::clock;
use crate::shell::look::Looker;
use md5::{Digest, Md5};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Answers an [`Ask::Change`](crate::core::protocol::Ask::Change).
pub(super) fn edit(
    kept: &mut Kept,
    database: &Database,
    ask: &ChangeAsk,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let file = match &ask.change {
        Change::Apply { file, .. } if ask.find.is_none() => match File::read(file) {
            Ok(file) => file,
            Err(all) => {
                let refused = apply::refuse(&all, answers)?;
                return answers.send(&Answer::NotChanged(refused));
            }
        },
        _ => File::default(),
    };
    // Before anything is locked: a file system may take its time.
    let files = look_at_files(&ask.change, &file);
    let (file, zone) = (&file, written_zone(&ask.timezone)?);
    match database {
        Database::Mysql(it) => {
            let mut desk = Mysql::open(kept, it)?;
            Work { desk: &mut desk, ask, file, table: Vec::new(), zone }.answer(files, answers)?;
            desk.end(kept);
            Ok(())
        }
        Database::Sqlite(it) => {
            let mut desk = Sqlite::open(it)?;
            Work { desk: &mut desk, ask, file, table: Vec::new(), zone }.answer(files, answers)
        }
    }
}

/// What of the files is to be known that a change names.
fn look_at_files(change: &Change, file: &File) -> BTreeMap<String, OutputFile> {
    let rows: Vec<&Wanted> = match change {
        Change::Create { columns } | Change::Edit { columns, .. } => vec![columns],
        Change::Apply { .. } => file.jobs.iter().map(|job| &job.columns).collect(),
        Change::Delete { .. } | Change::Switch { .. } | Change::Pause { .. } | Change::Word(_) => {
            return BTreeMap::new();
        }
    };
    let named = |columns: &Wanted| {
        [Column::Output, Column::Stderr].map(|column| columns.get(column.name()).cloned())
    };
    let paths: BTreeSet<String> = rows
        .into_iter()
        .flat_map(named)
        .flatten()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect();
    let paths = paths.iter().map(String::as_str);
    let mut looker = Looker::default();
    let mut look = |path: &str| (path.to_owned(), looker.look(Path::new(path)));
    paths.filter(|path| path.starts_with('/')).map(&mut look).collect()
}

/// Whether a unique key has refused a row, as the servers and SQLite say it.
fn is_of_key(failure: &Failure) -> bool {
    let says = |words: &str| failure.message.contains(words);
    failure.kind == ErrorKind::Refused
        && (says("Duplicate entry") || says("UNIQUE constraint failed"))
}

/// Nothing that a database says of a statement before the COMMIT is in doubt: it was not done.
fn is_final(failure: &Failure) -> bool {
    matches!(failure.kind, ErrorKind::Refused | ErrorKind::Unsure | ErrorKind::Rights)
}

struct Work<'a> {
    desk: &'a mut dyn Desk,
    ask: &'a ChangeAsk,
    /// By which a group is made; empty for other changes.
    file: &'a File,
    table: Vec<TableColumn>,
    /// In which times are written.
    zone: Zone,
}

impl Work<'_> {
    fn answer(
        mut self,
        files: BTreeMap<String, OutputFile>,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        let done = match self.ask.find {
            Some(find) => self.find(find),
            None => self.write(files, answers),
        };
        let done = match done {
            Err(failure) if is_final(&failure) && self.ask.find.is_none() => {
                Ok(Err(Refused::ByDatabase(self.with_rights(failure))))
            }
            done => done,
        };
        match done {
            Ok(Ok(changed)) if self.ask.change.is_dry_run() => {
                self.desk.roll_back()?;
                answers.send(&Answer::Changed(changed))
            }
            Ok(Ok(changed)) => {
                if self.ask.find.is_none() && !changed.was_before {
                    answers.send(&Answer::Changing(changed.mark))?;
                    answers.flush()?;
                }
                match self.desk.commit() {
                    Ok(()) => answers.send(&Answer::Changed(changed)),
                    Err(failure) if self.ask.find.is_none() && self.desk.is_undone() => {
                        answers.send(&Answer::NotChanged(Refused::Undone(failure.message)))
                    }
                    Err(failure) => Err(failure),
                }
            }
            // That it was not done is written down.
            Ok(Err(refused)) if self.ask.find.is_some() => {
                self.desk.commit()?;
                answers.send(&Answer::NotChanged(refused))
            }
            Ok(Err(refused)) => {
                self.desk.roll_back()?;
                answers.send(&Answer::NotChanged(refused))
            }
            Err(failure) => {
                let _ = self.desk.roll_back();
                Err(failure)
            }
        }
    }

    /// What the database says, with what to do about a right that is missing.
    fn with_rights(&self, failure: Failure) -> String {
        let tables = match self.ask.change.is_group() {
            true => [Of::Job, Of::Var, Of::Tag].map(Of::table).to_vec(),
            false => vec![self.ask.change.of().table()],
        };
        match failure.kind {
            ErrorKind::Rights => told_to_edit(failure, &tables).message,
            _ => failure.message,
        }
    }

    fn write(
        &mut self,
        files: BTreeMap<String, OutputFile>,
        answers: &mut Answers,
    ) -> Result<Result<Changed, Refused>, Failure> {
        self.table = self.desk.table(self.ask.change.of().table())?;
        let has_audit = self.has_audit()?;
        if has_audit && let Some(made) = self.made_before()? {
            return Ok(made);
        }
        let ask = self.ask;
        let done = match &ask.change {
            Change::Apply { .. } => self.apply(self.file, files, answers)?,
            Change::Word(change) => self.change_word(change)?,
            Change::Create { .. }
            | Change::Edit { .. }
            | Change::Delete { .. }
            | Change::Pause { .. }
            | Change::Switch { .. } => self.change(files)?,
        };
        if let Ok(Changed { mark, what, .. }) = &done
            && has_audit
            && !self.ask.change.is_dry_run()
        {
            self.write_act((Some(*mark), what), DONE)?;
        }
        Ok(done)
    }

    fn change(
        &mut self,
        files: BTreeMap<String, OutputFile>,
    ) -> Result<Result<Changed, Refused>, Failure> {
        let change = &self.ask.change;
        let current = match change.id() {
            Some(id) => self.row(id)?,
            None => None,
        };
        let planned = match plan(current, change, self.ask.server_id, &self.table) {
            Ok(planned) => planned,
            Err(refused) => return Ok(Err(refused)),
        };
        let context = self.context(&planned, files)?;
        let decided = match judge(planned, &context) {
            Ok(decided) => decided,
            Err(refused) => return Ok(Err(refused)),
        };
        self.put(&decided, context.now_ms)
    }

    /// What is around a row.
    fn context(
        &mut self,
        planned: &Planned,
        files: BTreeMap<String, OutputFile>,
    ) -> Result<Context, Failure> {
        let (dialect, now_ms) = (self.ask.dialect, clock::now().wall_ms);
        let mut context = Context { dialect, now_ms, files, ..Context::default() };
        let Some(row) = planned.row() else { return Ok(context) };
        context.vars = self.vars(false)?;
        let timezone = match self.has(Column::Timezone.name()) {
            true => (self.desk.read())(Column::Timezone),
            false => rows::absent(Column::Timezone),
        };
        let cron = (self.desk.read())(Column::Cron);
        let sql = format!(
            "SELECT id, {cron}, {timezone} FROM scheduler_jobs WHERE server_id = ? \
             AND status = 1 AND id <> ? AND {}",
            self.desk.is_text(Column::Command.name())
        );
        let values = [
            Field::Number(row.server_id.into()),
            Field::Number(row.id.into()),
            Field::Text(&row.command),
        ];
        let other = |cells: Vec<Cell>| {
            let [id, cron, timezone] = <[Cell; 3]>::try_from(cells).ok()?.map(text_of);
            Some((id.parse().ok()?, cron, timezone))
        };
        context.others = self.desk.query(&sql, &values)?.into_iter().filter_map(other).collect();
        if planned.names(Column::Name) && !row.name.is_empty() {
            context.namesake = self.namesake(row)?;
        }
        if planned.names(Column::TagId) && row.tag_id != 0 {
            context.tags = Some(self.tags(false)?);
        }
        Ok(context)
    }

    /// Another job that is called like a row.
    fn namesake(&mut self, row: &JobRow) -> Result<Option<u32>, Failure> {
        let sql = format!(
            "SELECT MIN(id) FROM scheduler_jobs WHERE server_id = ? AND id <> ? AND {}",
            self.desk.is_text(Column::Name.name())
        );
        let values = [
            Field::Number(row.server_id.into()),
            Field::Number(row.id.into()),
            Field::Text(&row.name),
        ];
        let found = self.desk.query(&sql, &values)?;
        Ok(found.into_iter().flatten().find_map(|cell| text_of(cell).parse().ok()))
    }

    /// What stands for a value that is written.
    fn mark_of(&self, value: &Field) -> &'static str {
        match value {
            Field::Text(_) => self.desk.mark(),
            Field::Number(_) => "?",
        }
    }

    fn has(&self, column: &str) -> bool {
        self.table.iter().any(|it| it.name.eq_ignore_ascii_case(column))
    }

    /// A row of the group, locked.
    fn row(&mut self, id: JobId) -> Result<Option<Stand>, Failure> {
        Ok(self.judged(id)?.map(|(stand, _)| stand))
    }

    /// The same, and what keeps it from being a job.
    fn judged(&mut self, id: JobId) -> Result<Option<(Stand, Option<Mistake>)>, Failure> {
        let names: Vec<String> = self.table.iter().map(|it| it.name.clone()).collect();
        let columns = rows::job_columns(&names, self.desk.read());
        let lock = self.desk.lock();
        let sql =
            format!("SELECT {columns} FROM scheduler_jobs WHERE id = ? AND server_id = ?{lock}");
        let values = [id.0, self.ask.server_id].map(|number| Field::Number(number.into()));
        let found = self.desk.query(&sql, &values)?.into_iter().next();
        Ok(found.and_then(rows::judged))
    }

    /// Writes what was decided, and looks at it.
    fn put(&mut self, decided: &Decided, now_ms: i64) -> Result<Result<Changed, Refused>, Failure> {
        let (warnings, what) = (decided.warnings.clone(), decided.what());
        let before = decided.before.as_ref();
        let was = before.map(Stand::version);
        let changed = |id, version| {
            let mark = Mark { id, version, before: was, of: Of::Job };
            Changed { warnings, what, ..Changed::to(mark) }
        };
        let id = before.map_or(JobId(0), |before| JobId(before.row.id));
        let Some(after) = &decided.after else {
            self.delete(id)?;
            return Ok(Ok(changed(id, None)));
        };
        if !decided.changes() {
            return Ok(Ok(changed(id, Some(after.version()))));
        }
        let md5 = self.key(decided)?;
        let written = self.put_row(decided, after, md5.as_deref(), now_ms);
        let id = match written {
            Ok(made) => made.unwrap_or(id),
            Err(failure) if is_of_key(&failure) => {
                let twin = self.twin(id, md5.as_deref())?;
                return twin.map(|twin| Ok(Err(Refused::Duplicate(twin)))).unwrap_or(Err(failure));
            }
            Err(failure) => return Err(failure),
        };
        let mut expected = after.clone();
        expected.row.id = id.0;
        let comes = after.enabled && !before.is_some_and(|it| it.enabled);
        match self.judged(id)? {
            Some((found, _)) if found != expected => {
                Ok(Err(Refused::Mistakes(altered(&expected, &found))))
            }
            Some((_, Some(mistake))) if comes => Ok(Err(Refused::Mistakes(vec![mistake]))),
            Some((found, _)) => Ok(Ok(changed(id, Some(found.version())))),
            None => {
                let why = "the row that was written is not there: does a trigger take it away?";
                Ok(Err(Refused::ByDatabase(why.into())))
            }
        }
    }

    fn delete(&mut self, id: JobId) -> Result<(), Failure> {
        let sql = "DELETE FROM scheduler_jobs WHERE id = ? AND server_id = ?";
        let server_id = self.ask.server_id;
        let values = [Field::Number(id.0.into()), Field::Number(server_id.into())];
        self.desk.run(sql, &values).map(drop)
    }

    /// `command_md5`, where there is that column, and it is to be written: the MD5 of the command.
    /// What an operator has put there, any text that no other row has, stays as it is.
    fn key(&mut self, decided: &Decided) -> Result<Option<String>, Failure> {
        let writes = decided.columns.contains(&Column::Command);
        let Some(after) = decided.after.as_ref().filter(|_| writes && self.has(KEY)) else {
            return Ok(None);
        };
        let key = |row: &JobRow| md5(&row.command);
        if let Some(before) = &decided.before {
            let lock = self.desk.lock();
            let sql = format!("SELECT {KEY} FROM scheduler_jobs WHERE id = ?{lock}");
            let found = self.desk.query(&sql, &[Field::Number(before.row.id.into())])?;
            let present = found.into_iter().flatten().next().map(text_of).unwrap_or_default();
            if !present.is_empty() && !present.eq_ignore_ascii_case(&key(&before.row)) {
                return Ok(None);
            }
        }
        Ok(Some(key(&after.row)))
    }

    /// The job that has this key already.
    fn twin(&mut self, id: JobId, key: Option<&str>) -> Result<Option<JobId>, Failure> {
        let Some(key) = key else { return Ok(None) };
        let sql =
            format!("SELECT id FROM scheduler_jobs WHERE server_id = ? AND {KEY} = ? AND id <> ?");
        let server_id = Field::Number(self.ask.server_id.into());
        let values = [server_id, Field::Text(key), Field::Number(id.0.into())];
        let found = self.desk.query(&sql, &values)?.into_iter().flatten().next();
        Ok(found.and_then(|cell| text_of(cell).parse().ok()).map(JobId))
    }

    /// Makes the row, or changes it. Returns the id of a new one.
    fn put_row(
        &mut self,
        decided: &Decided,
        after: &Stand,
        md5: Option<&str>,
        now_ms: i64,
    ) -> Result<Option<JobId>, Failure> {
        let is_new = decided.before.is_none();
        let row = &after.row;
        let texts: Vec<_> = decided.columns.iter().map(|it| (*it, row.value(*it))).collect();
        let mut sets: Vec<(&str, Field)> = Vec::new();
        for (column, text) in &texts {
            let number = || text.parse().unwrap_or_default();
            let is_text = column.is_text();
            sets.push((
                column.name(),
                if is_text { Field::Text(text) } else { Field::Number(number()) },
            ));
        }
        if is_new || decided.before.as_ref().is_some_and(|it| it.enabled != after.enabled) {
            sets.push(("status", Field::Number(after.enabled.into())));
        }
        sets.extend(md5.map(|md5| (KEY, Field::Text(md5))));
        let now = datetime(now_ms, &self.zone);
        let times = if is_new { &["create_time", "update_time"][..] } else { &["update_time"] };
        let times = times.iter().filter(|name| self.has(name));
        sets.extend(times.map(|name| (*name, Field::Text(&now))));
        let (mut names, mut values): (Vec<&str>, Vec<Field>) = sets.into_iter().unzip();
        if is_new && row.id != 0 {
            names.push(Column::Id.name());
            values.push(Field::Number(row.id.into()));
        }
        let marks: Vec<&str> = values.iter().map(|it| self.mark_of(it)).collect();
        if is_new {
            let (names, marks) = (names.join(", "), marks.join(", "));
            let sql = format!("INSERT INTO scheduler_jobs ({names}) VALUES ({marks})");
            let made = self.desk.run(&sql, &values)?;
            if row.id != 0 {
                return Ok(Some(JobId(row.id)));
            }
            let id = made.try_into().map(JobId);
            let why = || Failure::new(ErrorKind::Other, format!("the new row has the id {made}"));
            return id.map(Some).map_err(|_| why());
        }
        let sets: Vec<String> =
            names.iter().zip(marks).map(|(name, mark)| format!("{name} = {mark}")).collect();
        let sql =
            format!("UPDATE scheduler_jobs SET {} WHERE id = ? AND server_id = ?", sets.join(", "));
        values.extend([row.id, row.server_id].map(|number| Field::Number(number.into())));
        self.desk.run(&sql, &values).map(|_| None)
    }
}

fn md5(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

/// The column of the original's unique key.
const KEY: &str = "command_md5";

fn text_of(cell: Cell) -> String {
    match cell {
        Cell::Text(text) => text,
        Cell::Null | Cell::NotText | Cell::TooLong => String::new(),
    }
}

/// What the database has made of what was written.
fn altered(expected: &Stand, found: &Stand) -> Vec<Mistake> {
    let hint = "it cuts what is too long, has not all characters, or a trigger changes it";
    let other = |column: &&Column| expected.row.value(**column) != found.row.value(**column);
    let told = |column: &Column| {
        let value = found.row.value(*column);
        let value = cut(&value, MAX_QUOTED_CHARS);
        Mistake::of(*column, format!("the database would keep {value:?} of it: {hint}"))
    };
    let mut all: Vec<Mistake> = Column::ALL.iter().filter(other).map(told).collect();
    if expected.enabled != found.enabled {
        let why = "the database would not keep it: does a trigger change `status`?";
        all.push(Mistake { column: crate::core::change::ENABLED.into(), why: why.into() });
    }
    all
}
