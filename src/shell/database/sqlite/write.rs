//! Writes records.

use super::super::Failure;
use super::super::records::{self, Batch, Field};
use super::Session;
use crate::core::protocol::{Database, RunRecord};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Error, Statement, ToSql, params_from_iter};

/// The file, open to write records.
pub struct Writer<'a> {
    session: Session<'a>,
    /// Columns of `scheduler_logs`.
    existing: Vec<String>,
    /// Whether there is a table of skips.
    skips: bool,
}

impl<'a> Writer<'a> {
    /// Opens the file.
    pub fn open(database: &'a Database) -> Result<Self, Failure> {
        let session = Session::open(database, false)?;
        let existing = session.columns("scheduler_logs")?;
        let skips = !session.columns("scheduler_skips")?.is_empty();
        Ok(Self { session, existing, skips })
    }

    /// Writes all of the batch or nothing.
    pub fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        // For writing from the start: a lock that is asked for later may be refused without a wait.
        self.session.run_all("BEGIN IMMEDIATE")?;
        let written = self.statements(batch).and_then(|()| self.session.run_all("COMMIT"));
        // A trigger may have ended the transaction itself.
        if written.is_err() && !self.session.conn.is_autocommit() {
            let _ = self.session.run_all("ROLLBACK");
        }
        written
    }

    fn statements(&self, batch: &Batch) -> Result<(), Failure> {
        let columns = records::run_columns(&self.existing, false);
        let mut insert = self.prepare(&insert("scheduler_logs", &columns))?;
        let mut known = self.prepare("SELECT 1 FROM scheduler_logs WHERE uniq_id = ?")?;
        for run in &batch.starts {
            if !known.exists([&run.uniq_id]).map_err(|err| self.session.explain(&err))? {
                self.run(&mut insert, fields(run, &columns))?;
            }
        }
        self.write_ends(batch)?;
        self.move_last_runs(batch)?;
        self.insert_skips(batch)
    }

    /// A run takes one id of the table: its row is made once and changed later.
    fn write_ends(&self, batch: &Batch) -> Result<(), Failure> {
        let columns = records::run_columns(&self.existing, true);
        let sets: Vec<_> = columns.iter().map(|column| format!("{column} = ?")).collect();
        let sets = sets.join(", ");
        let mut update =
            self.prepare(&format!("UPDATE scheduler_logs SET {sets} WHERE uniq_id = ?"))?;
        let mut insert = self.prepare(&insert("scheduler_logs", &columns))?;
        for run in &batch.ends {
            let key = Field::Text(&run.uniq_id);
            if self.run(&mut update, fields(run, &columns).chain([key]))? == 0 {
                self.run(&mut insert, fields(run, &columns))?;
            }
        }
        Ok(())
    }

    /// Slots of a skip are added while it lasts: the record with more of them is the later one.
    fn insert_skips(&self, batch: &Batch) -> Result<(), Failure> {
        if batch.skips.is_empty() || !self.skips {
            return Ok(());
        }
        let insert = insert("scheduler_skips", &records::SKIP_COLUMNS);
        let mut statement = self.prepare(&format!(
            "{insert} ON CONFLICT (server_id, job_id, first_slot) DO UPDATE SET \
             last_slot = excluded.last_slot, reason = excluded.reason, \
             skipped = excluded.skipped WHERE excluded.skipped > skipped"
        ))?;
        for skip in &batch.skips {
            self.run(&mut statement, records::skip_fields(skip).into_iter())?;
        }
        Ok(())
    }

    /// `last_run_time` only ever moves forward, whatever order batches come in.
    fn move_last_runs(&self, batch: &Batch) -> Result<(), Failure> {
        let mut statement = self.prepare(
            "UPDATE scheduler_jobs SET last_run_time = ?1 \
             WHERE id = ?2 AND (last_run_time IS NULL OR last_run_time < ?1)",
        )?;
        for (id, at) in &batch.last_runs {
            let fields = [Field::Text(at), Field::Number((*id).into())];
            self.run(&mut statement, fields.into_iter())?;
        }
        Ok(())
    }

    fn prepare(&self, sql: &str) -> Result<Statement<'_>, Failure> {
        self.session.conn.prepare(sql).map_err(|err: Error| self.session.explain(&err))
    }

    fn run<'f>(
        &self,
        statement: &mut Statement<'_>,
        fields: impl Iterator<Item = Field<'f>>,
    ) -> Result<usize, Failure> {
        statement.execute(params_from_iter(fields)).map_err(|err| self.session.explain(&err))
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
