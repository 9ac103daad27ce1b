//! Writes records. A run takes one id of its table: its row is made once and changed later, and an
//! `INSERT` that would find it there (`ON DUPLICATE KEY`) would take an id for nothing.

use super::super::Failure;
use super::super::records::{self, Batch, Field};
use super::Session;
use super::width::too_narrow;
use super::{explain, settings};
use crate::core::protocol::{Database, RunRecord, SkipRecord};
use mysql::Value;
use mysql::prelude::Queryable;
use std::collections::BTreeSet;

/// Rows a statement: few round trips, and far below the 65,535 parameters that one may have.
const ROWS_A_STATEMENT: usize = 200;

/// A session that writes records.
pub struct Writer<'a> {
    session: Session<'a>,
    /// Columns of `scheduler_logs`.
    existing: Vec<String>,
    /// Characters of an id that it holds; none where that is no question.
    id_width: Option<usize>,
    /// Whether the optional table of skips is there, once that was asked.
    has_skips: Option<bool>,
}

impl<'a> Writer<'a> {
    /// Connects.
    pub fn open(database: &'a Database) -> Result<Self, Failure> {
        let (mut session, _) = Session::open(database, "SELECT 1")?;
        let (existing, id_width) = session.log_columns()?;
        Ok(Self { session, existing, id_width, has_skips: None })
    }

    /// Writes all of the batch or nothing.
    pub fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        let longest = batch.starts.iter().chain(&batch.ends).map(|run| run.uniq_id.len()).max();
        if let Some(width) = self.id_width.filter(|width| longest > Some(*width)) {
            return Err(too_narrow(self.session.database, width));
        }
        self.session.run_all("START TRANSACTION")?;
        let written = self.statements(batch).and_then(|()| self.session.run_all("COMMIT"));
        if written.is_err() {
            // Where the connection broke it fails as well: the first reason is the one to tell.
            let _ = self.session.run_all("ROLLBACK");
        }
        written
    }

    fn statements(&mut self, batch: &Batch) -> Result<(), Failure> {
        for runs in batch.starts.chunks(ROWS_A_STATEMENT) {
            let (_, missing) = self.known(runs)?;
            self.insert_runs(&missing, &records::run_columns(&self.existing, false))?;
        }
        let columns = records::run_columns(&self.existing, true);
        for runs in batch.ends.chunks(ROWS_A_STATEMENT) {
            let (known, missing) = self.known(runs)?;
            self.update_runs(&known, &columns)?;
            self.insert_runs(&missing, &columns)?;
        }
        self.move_last_runs(batch)?;
        for skips in batch.skips.chunks(ROWS_A_STATEMENT) {
            self.insert_skips(skips)?;
        }
        Ok(())
    }

    /// Which of these runs have a row already, and which have none.
    fn known<'r>(
        &mut self,
        runs: &'r [RunRecord],
    ) -> Result<(Vec<&'r RunRecord>, Vec<&'r RunRecord>), Failure> {
        let marks = marks(runs.len());
        let sql = format!("SELECT uniq_id FROM scheduler_logs WHERE uniq_id IN {marks}");
        let ids: Vec<Value> = runs.iter().map(|run| Value::from(&run.uniq_id)).collect();
        let known: Vec<String> =
            self.session.conn.exec(sql, ids).map_err(|err| self.session.explain(&err))?;
        let known: BTreeSet<String> = known.into_iter().collect();
        Ok(runs.iter().partition(|run| known.contains(&run.uniq_id)))
    }

    fn insert_runs(&mut self, runs: &[&RunRecord], columns: &[&str]) -> Result<(), Failure> {
        if runs.is_empty() {
            return Ok(());
        }
        let fields: Vec<_> = columns.iter().map(|c| records::run_field(runs[0], c)).collect();
        let sql = insert("scheduler_logs", columns, &self.row(&fields), runs.len());
        let fields = runs.iter().flat_map(|run| columns.iter().map(|c| records::run_field(run, c)));
        self.insert("scheduler_logs", &sql, fields.map(value).collect())
    }

    /// One statement for many rows: each column takes the value that belongs to the row's key.
    fn update_runs(&mut self, runs: &[&RunRecord], columns: &[&str]) -> Result<(), Failure> {
        if runs.is_empty() {
            return Ok(());
        }
        let mut values = Vec::with_capacity(runs.len() * columns.len() * 2);
        let mut sets = Vec::with_capacity(columns.len());
        for column in columns.iter().filter(|column| **column != "uniq_id") {
            let mark = self.mark(&records::run_field(runs[0], column));
            let whens = format!(" WHEN ? THEN {mark}").repeat(runs.len());
            sets.push(format!("{column} = CASE uniq_id{whens} ELSE {column} END"));
            for run in runs {
                values.push(Value::from(&run.uniq_id));
                values.push(value(records::run_field(run, column)));
            }
        }
        values.extend(runs.iter().map(|run| Value::from(&run.uniq_id)));
        let (sets, marks) = (sets.join(", "), marks(runs.len()));
        self.run(&format!("UPDATE scheduler_logs SET {sets} WHERE uniq_id IN {marks}"), values)
    }

    /// The marks of a row.
    fn row(&self, fields: &[Field]) -> String {
        let marks: Vec<_> = fields.iter().map(|field| self.mark(field)).collect();
        format!("({})", marks.join(", "))
    }

    /// What stands for a value. MySQL takes a bare `?` for a text of its column's charset, and
    /// refuses the statement for a character which that has not; an expression is converted.
    fn mark(&self, field: &Field) -> &'static str {
        match field {
            // Stored as it is: see `settings`.
            Field::Text(_) if !settings::converts(&self.session.database.charset) => "?",
            Field::Text(_) => "CONVERT(? USING utf8mb4)",
            Field::Number(_) => "?",
        }
    }

    fn run(&mut self, sql: &str, values: Vec<Value>) -> Result<(), Failure> {
        self.session.conn.exec_drop(sql, values).map_err(|err| self.session.explain(&err))
    }

    fn insert(&mut self, table: &str, sql: &str, values: Vec<Value>) -> Result<(), Failure> {
        let Err(err) = self.session.conn.exec_drop(sql, values) else { return Ok(()) };
        match explain::may_be_ids(&err) && self.has_no_id(table)? {
            true => Err(explain::ids_used_up(self.session.database, &err, table)),
            false => Err(self.session.explain(&err)),
        }
    }

    /// Whether the last id of a table is the last that its column holds.
    fn has_no_id(&mut self, table: &str) -> Result<bool, Failure> {
        let sql = format!(
            "SELECT (SELECT MAX(id) FROM {table}) > CASE WHEN COLUMN_TYPE LIKE '%unsigned%' THEN \
             CASE DATA_TYPE WHEN 'tinyint' THEN 255 WHEN 'smallint' THEN 65535 \
             WHEN 'mediumint' THEN 16777215 WHEN 'int' THEN 4294967295 \
             ELSE 18446744073709551615 END \
             ELSE CASE DATA_TYPE WHEN 'tinyint' THEN 127 WHEN 'smallint' THEN 32767 \
             WHEN 'mediumint' THEN 8388607 WHEN 'int' THEN 2147483647 \
             ELSE 9223372036854775807 END END - @@auto_increment_increment \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() \
             AND TABLE_NAME = '{table}' AND COLUMN_NAME = 'id' AND EXTRA LIKE '%auto_increment%'"
        );
        Ok(self.session.first_column(&sql)?.first().is_some_and(|full| full == "1"))
    }

    /// Slots of a skip are added while it lasts: the record with more of them is the later one.
    fn insert_skips(&mut self, skips: &[SkipRecord]) -> Result<(), Failure> {
        let Some(first) = skips.first() else { return Ok(()) };
        // Asked beforehand: an error of the statement may be about a table that a trigger names.
        if !self.has_skips()? {
            return Ok(());
        }
        let row = self.row(&records::skip_fields(first));
        let sql = format!(
            "{} ON DUPLICATE KEY UPDATE \
             last_slot = IF(VALUES(skipped) > skipped, VALUES(last_slot), last_slot), \
             reason = VALUES(reason), skipped = GREATEST(skipped, VALUES(skipped))",
            insert("scheduler_skips", &records::SKIP_COLUMNS, &row, skips.len())
        );
        let values: Vec<Value> = skips.iter().flat_map(records::skip_fields).map(value).collect();
        self.insert("scheduler_skips", &sql, values)
    }

    fn has_skips(&mut self) -> Result<bool, Failure> {
        let found = match self.has_skips {
            Some(found) => found,
            None => self.session.has_skips()?,
        };
        self.has_skips = Some(found);
        Ok(found)
    }

    /// `last_run_time` only ever moves forward, whatever order batches come in.
    fn move_last_runs(&mut self, batch: &Batch) -> Result<(), Failure> {
        let news: Vec<_> = batch.last_runs.iter().collect();
        for news in news.chunks(ROWS_A_STATEMENT) {
            // The times were checked to be nothing but digits and separators.
            let one = |(id, at): &(&u32, &String)| format!("SELECT {id} AS id, '{at}' AS at");
            let news: Vec<_> = news.iter().map(one).collect();
            let sql = format!(
                "UPDATE scheduler_jobs AS job JOIN ({}) AS news ON news.id = job.id \
                 SET job.last_run_time = news.at \
                 WHERE job.last_run_time IS NULL OR job.last_run_time < CAST(news.at AS DATETIME)",
                news.join(" UNION ALL ")
            );
            self.session.run_all(&sql)?;
        }
        Ok(())
    }
}

fn insert(table: &str, columns: &[&str], row: &str, rows: usize) -> String {
    let rows = vec![row; rows].join(", ");
    let columns = columns.join(", ");
    format!("INSERT INTO {table} ({columns}) VALUES {rows}")
}

fn marks(count: usize) -> String {
    format!("({})", vec!["?"; count].join(", "))
}

fn value(field: Field) -> Value {
    match field {
        Field::Text(text) => Value::from(text),
        Field::Number(number) => Value::from(number),
    }
}
