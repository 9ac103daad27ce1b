//! Writes records.

use super::super::Failure;
use super::super::records::{self, Batch, Field};
use super::super::schema::{AUDIT, STATISTICS};
use super::super::statistics;
use super::Session;
use crate::core::database::{Driver, Sqlite};
use crate::core::protocol::{RunRecord, Statement};
use crate::core::settle::Taken;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{OptionalExtension, ToSql, params_from_iter};

/// The file, open to write records.
pub struct Writer<'a> {
    session: Session<'a>,
    /// Columns of `scheduler_logs` in the transaction under way.
    existing: Vec<String>,
    /// Whether it sees a table of skips, one of acts, and one of what runs came to.
    skips: bool,
    acts: bool,
    counts: bool,
}

impl<'a> Writer<'a> {
    /// Opens the file.
    pub fn open(database: &'a Sqlite) -> Result<Self, Failure> {
        let session = Session::open(database, false)?;
        let (skips, acts, counts) = (false, false, false);
        Ok(Self { session, existing: Vec::new(), skips, acts, counts })
    }

    /// Writes all of the batch or nothing.
    pub fn write(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        // For writing from the start: a lock that is asked for later may be refused without a wait.
        self.session.run_all("BEGIN IMMEDIATE")?;
        let mut taken = Taken::new();
        let written = self.look().and_then(|()| self.statements(batch, &mut taken));
        let written = written.and_then(|()| self.session.run_all("COMMIT"));
        // A trigger may have ended the transaction itself.
        if written.is_err() && !self.session.conn.is_autocommit() {
            let _ = self.session.run_all("ROLLBACK");
        }
        written.map(|()| taken)
    }

    /// What the tables are like. Nobody changes them before the end of the transaction; before it,
    /// while its lock was waited for, another program may have put others in their place.
    fn look(&mut self) -> Result<(), Failure> {
        self.existing = self.session.columns("scheduler_logs")?;
        if self.existing.is_empty() {
            return Err(Failure::no_table("scheduler_logs", &self.session.database.path));
        }
        self.skips = !self.session.columns("scheduler_skips")?.is_empty();
        self.acts = !self.session.columns(AUDIT)?.is_empty();
        self.counts = !self.session.columns(STATISTICS)?.is_empty();
        Ok(())
    }

    fn statements(&self, batch: &Batch, taken: &mut Taken) -> Result<(), Failure> {
        let (_, missing) = self.known(&batch.starts)?;
        self.insert_runs(&missing, false, taken)?;
        let (known, missing) = self.known(&batch.ends)?;
        self.update_runs(&known, taken)?;
        self.insert_runs(&missing, true, taken)?;
        self.move_last_runs(batch, taken)?;
        self.insert_skips(batch, taken)?;
        self.insert_acts(batch, taken)?;
        self.mark_days(batch)
    }

    /// Says on which days runs began whose ends were written.
    fn mark_days(&self, batch: &Batch) -> Result<(), Failure> {
        let days = batch.days.iter().map(|(server_id, day)| (*server_id, day.as_str()));
        let mark = statistics::mark(Driver::Sqlite, days).filter(|_| self.counts);
        match mark.map_or(Ok(()), |mark| self.session.run_all(&mark)) {
            Err(failure) if statistics::does_without(&failure) => Ok(()),
            done => done,
        }
    }

    /// Which of these runs have a row that they change, and which have none. A run takes one id of
    /// the table: its row is made once and changed later.
    fn known<'r>(
        &self,
        runs: &'r [RunRecord],
    ) -> Result<(Vec<&'r RunRecord>, Vec<&'r RunRecord>), Failure> {
        let has_ended = records::HAS_ENDED;
        let sql = format!("SELECT {has_ended} FROM scheduler_logs WHERE uniq_id = ?");
        let failed = |err| self.session.explain(&err);
        let mut statement = self.session.conn.prepare(&sql).map_err(failed)?;
        let (mut known, mut missing) = (Vec::new(), Vec::new());
        for run in runs {
            let found = statement.query_row([&run.uniq_id], |row| row.get::<_, Option<bool>>(0));
            match found.optional().map_err(failed)? {
                Some(has_ended) if records::changes_row(run, has_ended == Some(true)) => {
                    known.push(run);
                }
                Some(_) => {}
                None => missing.push(run),
            }
        }
        Ok((known, missing))
    }

    fn insert_runs(
        &self,
        runs: &[&RunRecord],
        ended: bool,
        taken: &mut Taken,
    ) -> Result<(), Failure> {
        let columns = records::run_columns(&self.existing, ended);
        let sql = insert("scheduler_logs", &columns);
        let rows = runs.iter().map(|run| fields(run, &columns).collect());
        self.run(Statement::Insert, &sql, rows, taken)
    }

    fn update_runs(&self, runs: &[&RunRecord], taken: &mut Taken) -> Result<(), Failure> {
        let columns = records::run_columns(&self.existing, true);
        let sets: Vec<_> = columns.iter().map(|column| format!("{column} = ?")).collect();
        let sql = format!("UPDATE scheduler_logs SET {} WHERE uniq_id = ?", sets.join(", "));
        let row = |run| fields(run, &columns).chain([Field::Text(&run.uniq_id)]).collect();
        self.run(Statement::Update, &sql, runs.iter().copied().map(row), taken)
    }

    /// Slots of a skip are added while it lasts: the record with more of them is the later one.
    fn insert_skips(&self, batch: &Batch, taken: &mut Taken) -> Result<(), Failure> {
        if !self.skips {
            taken.extend((!batch.skips.is_empty()).then_some(Statement::NoSkips));
            return Ok(());
        }
        let insert = insert("scheduler_skips", &records::SKIP_COLUMNS);
        let sql = format!(
            "{insert} ON CONFLICT (server_id, job_id, first_slot) DO UPDATE SET \
             last_slot = excluded.last_slot, reason = excluded.reason, \
             skipped = excluded.skipped WHERE excluded.skipped > skipped"
        );
        let rows = batch.skips.iter().map(|skip| records::skip_fields(skip).to_vec());
        self.run(Statement::Skip, &sql, rows, taken)
    }

    /// A change of a job has made its row itself: that stays.
    fn insert_acts(&self, batch: &Batch, taken: &mut Taken) -> Result<(), Failure> {
        if !self.acts {
            taken.extend((!batch.acts.is_empty()).then_some(Statement::NoActs));
            return Ok(());
        }
        let insert = insert(AUDIT, &records::ACT_COLUMNS);
        let sql = format!("{insert} ON CONFLICT (uniq_id) DO NOTHING");
        let rows = batch.acts.iter().map(|act| records::act_fields(act).to_vec());
        self.run(Statement::Act, &sql, rows, taken)
    }

    /// `last_run_time` only ever moves forward, whatever order batches come in.
    fn move_last_runs(&self, batch: &Batch, taken: &mut Taken) -> Result<(), Failure> {
        let sql = "UPDATE scheduler_jobs SET last_run_time = ?1 \
                   WHERE id = ?2 AND (last_run_time IS NULL OR last_run_time < ?1)";
        let rows = batch.last_runs.iter();
        let rows = rows.map(|(id, at)| vec![Field::Text(at), Field::Number((*id).into())]);
        self.run(Statement::LastRun, sql, rows, taken)
    }

    /// Runs a statement for each of the rows. It is not even looked at where there is none: what a
    /// trigger misses is found when a statement is prepared that would call it.
    fn run<'f>(
        &self,
        statement: Statement,
        sql: &str,
        rows: impl Iterator<Item = Vec<Field<'f>>>,
        taken: &mut Taken,
    ) -> Result<(), Failure> {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let failed = |err| self.session.explain(&err).of(statement);
        let mut prepared = self.session.conn.prepare(sql).map_err(failed)?;
        for row in rows {
            prepared.execute(params_from_iter(row)).map_err(failed)?;
        }
        taken.insert(statement);
        Ok(())
    }
}

impl ToSql for Field<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match *self {
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Number(number) => ToSqlOutput::Owned(Value::Integer(number)),
        })
    }
}

fn fields<'r>(run: &'r RunRecord, columns: &[&str]) -> impl Iterator<Item = Field<'r>> {
    columns.iter().map(|column| records::run_field(run, column)).collect::<Vec<_>>().into_iter()
}

fn insert(table: &str, columns: &[&str]) -> String {
    let marks = vec!["?"; columns.len()].join(", ");
    let columns = columns.join(", ");
    format!("INSERT INTO {table} ({columns}) VALUES ({marks})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::database::{Database, ErrorKind};
    use crate::core::protocol::Record;
    use crate::shell::database::migrate;

    fn ended(id: &str) -> Batch {
        let (start_time, end_time) = ("2026-11-22 13:42:00".into(), "2026-11-22 13:42:07".into());
        let (uniq_id, outcome) = (id.into(), "exit 0".into());
        let run = RunRecord { uniq_id, outcome, start_time, end_time, ..RunRecord::default() };
        Batch::new(vec![Record::Run(Box::new(run))])
    }

    /// Somebody restores the table, in a transaction that the writer waits for.
    #[test]
    fn a_table_that_comes_back_gets_all_columns() {
        let name = format!("schedule-write-{}.db", std::process::id());
        let path = std::env::temp_dir().join(name).display().to_string();
        let database = Sqlite { path: path.clone() };
        migrate::init(&Database::Sqlite(database.clone())).unwrap();
        let other = Session::open(&database, false).unwrap();
        other.run_all("ALTER TABLE scheduler_logs RENAME TO away").unwrap();
        let mut writer = Writer::open(&database).unwrap();
        let failure = writer.write(&ended("r1")).unwrap_err();
        assert_eq!(failure.kind, ErrorKind::NoTable);
        assert!(failure.message.contains("table scheduler_logs is missing"), "{failure:?}");
        other.run_all("ALTER TABLE away RENAME TO scheduler_logs").unwrap();
        writer.write(&ended("r1")).unwrap();
        assert_eq!(other.first_column("SELECT outcome FROM scheduler_logs").unwrap(), ["exit 0"]);
        std::fs::remove_file(path).unwrap();
    }
}
