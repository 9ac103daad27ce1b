//! Writes records. A run takes one id of its table: its row is made once and changed later, and an
//! `INSERT` that would find it there (`ON DUPLICATE KEY`) would take an id for nothing.

use super::super::Failure;
use super::super::records::{self, Batch, Field};
use super::super::schema::{AUDIT, STATISTICS};
use super::super::statistics;
use super::width::{LogColumns, too_narrow};
use super::{Kept, Session};
use super::{explain, settings};
use crate::core::database::{Driver, Mysql};
use crate::core::protocol::{ActRecord, RunRecord, SkipRecord, Statement};
use crate::core::settle::Taken;
use mysql::prelude::Queryable;
use mysql::{Error, Value};
use std::collections::BTreeMap;

/// Rows a statement at the most: few round trips, and far below the 65,535 parameters that one may
/// have.
const ROWS_A_STATEMENT: usize = 200;

/// What a packet has beside the text or the values of a statement.
const PACKET_HEAD_BYTES: usize = 64;

/// A session that writes records.
pub struct Writer<'a> {
    session: Session<'a>,
    /// Those of `scheduler_logs` in the transaction under way.
    columns: LogColumns,
    /// The optional tables that are there, once that was asked.
    optional: Option<Vec<&'static str>>,
    /// Bytes of a statement that the server takes: it hangs up at a longer one.
    max_packet: usize,
    /// The transaction before was refused, and is still to be rolled back: that goes with the next
    /// one, for a line may be slow.
    refused: bool,
    taken: Taken,
}

/// A statement, and what its marks stand for. Both are sent, in a packet each.
struct Query {
    sql: String,
    values: Vec<Value>,
}

impl<'a> Writer<'a> {
    /// Connects.
    pub fn open(kept: &mut Kept, database: &'a Mysql) -> Result<Self, Failure> {
        // A server's buffer takes what fits in it whatever the limit.
        let limit = "SELECT GREATEST(@@max_allowed_packet, @@net_buffer_length)";
        let (session, limit) = Session::open_kept(kept, database, limit)?;
        let max_packet = limit.and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let columns = LogColumns::default();
        let (optional, refused, taken) = (None, false, Taken::new());
        Ok(Self { session, columns, optional, max_packet, refused, taken })
    }

    /// Ends it, and keeps the connection if nothing was refused.
    pub fn end(self, kept: &mut Kept) {
        if !self.refused {
            kept.keep(self.session);
        }
    }

    /// Writes all of the batch or nothing.
    pub fn write(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        self.taken.clear();
        let written = self.begin().and_then(|()| self.statements(batch));
        let written = written.and_then(|()| self.session.run_all("COMMIT"));
        self.refused = written.is_err();
        written.map(|()| std::mem::take(&mut self.taken))
    }

    /// From here on the tables are as they are to be written: a table that was read is changed by
    /// nobody before the end of the transaction, and what was known before it may be of another
    /// one, that was restored or changed meanwhile.
    fn begin(&mut self) -> Result<(), Failure> {
        const BEGIN: &str = "START TRANSACTION; SELECT 1 FROM scheduler_logs LIMIT 0";
        let again = self.refused && self.session.run_all(&format!("ROLLBACK; {BEGIN}")).is_ok();
        if !again {
            if self.refused {
                // It has hung up at what it refused: something on the way may take less than it
                // says.
                *self = Self::open(&mut Kept::nothing(), self.session.database)?;
            }
            self.session.run_all(BEGIN)?;
        }
        self.columns = self.session.log_columns()?;
        self.optional = None;
        Ok(())
    }

    fn statements(&mut self, batch: &Batch) -> Result<(), Failure> {
        let longest = batch.starts.iter().chain(&batch.ends).map(|run| run.uniq_id.len()).max();
        if let Some(width) = self.columns.id_width.filter(|width| longest > Some(*width)) {
            return Err(too_narrow(self.session.database, width));
        }
        for runs in batch.starts.chunks(ROWS_A_STATEMENT) {
            let (_, missing) = self.known(runs)?;
            self.insert_runs(&missing, &records::run_columns(&self.columns.names, false))?;
        }
        let columns = records::run_columns(&self.columns.names, true);
        for runs in batch.ends.chunks(ROWS_A_STATEMENT) {
            let (known, missing) = self.known(runs)?;
            let updates = self.fitting(&known, &|runs| self.update(runs, &columns));
            for update in updates.map_err(|failure| failure.of(Statement::Update))? {
                let done = self.run(update).map_err(|err| self.session.explain(&err));
                self.of(Statement::Update, done)?;
            }
            self.insert_runs(&missing, &columns)?;
        }
        self.move_last_runs(batch)?;
        for skips in batch.skips.chunks(ROWS_A_STATEMENT) {
            self.insert_skips(skips)?;
        }
        for acts in batch.acts.chunks(ROWS_A_STATEMENT) {
            self.insert_acts(acts)?;
        }
        self.mark_days(batch)
    }

    /// Says on which days runs began whose ends were written.
    fn mark_days(&mut self, batch: &Batch) -> Result<(), Failure> {
        let days = batch.days.iter().map(|(server_id, day)| (*server_id, day.as_str()));
        let Some(mark) = statistics::mark(Driver::Mysql, days) else { return Ok(()) };
        if !self.has_table(STATISTICS)? {
            return Ok(());
        }
        match self.session.run_all(&mark) {
            Err(failure) if statistics::does_without(&failure) => Ok(()),
            done => done,
        }
    }

    /// The statements for all of the rows, each short enough for the server.
    fn fitting<T>(&self, rows: &[T], make: &dyn Fn(&[T]) -> Query) -> Result<Vec<Query>, Failure> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let whole = make(rows);
        let bytes = whole.bytes();
        if bytes <= self.max_packet {
            return Ok(vec![whole]);
        }
        if rows.len() == 1 {
            return Err(explain::too_large(self.session.database, bytes, self.max_packet));
        }
        let (first, second) = rows.split_at(rows.len() / 2);
        let mut statements = self.fitting(first, make)?;
        statements.extend(self.fitting(second, make)?);
        Ok(statements)
    }

    /// Which of these runs have a row that they change, and which have none. Another helper may be
    /// writing the same, of a daemon that was killed, or one that was killed itself: the server is
    /// still busy with its COMMIT. Where ids are unique the INSERT waits for that and is refused.
    /// Where they are not, it would be a second row: so this waits.
    fn known<'r>(
        &mut self,
        runs: &'r [RunRecord],
    ) -> Result<(Vec<&'r RunRecord>, Vec<&'r RunRecord>), Failure> {
        let lock = if self.columns.has_unique_ids { "" } else { " FOR UPDATE" };
        let select = |runs: &[RunRecord]| Query {
            sql: format!(
                "SELECT uniq_id, {} FROM scheduler_logs WHERE uniq_id IN {}{lock}",
                records::HAS_ENDED,
                marks(runs.len())
            ),
            values: runs.iter().map(|run| Value::from(&run.uniq_id)).collect(),
        };
        let mut known: BTreeMap<String, Option<bool>> = BTreeMap::new();
        for Query { sql, values } in self.fitting(runs, &select)? {
            let found = self.session.conn.exec(sql, values);
            known.extend(found.map_err(|err: Error| self.session.explain(&err))?);
        }
        let (mut there, missing): (Vec<_>, Vec<_>) =
            runs.iter().partition(|run| known.contains_key(&run.uniq_id));
        let has_ended = |run: &RunRecord| known.get(&run.uniq_id) == Some(&Some(true));
        there.retain(|run| records::changes_row(run, has_ended(run)));
        Ok((there, missing))
    }

    fn insert_runs(&mut self, runs: &[&RunRecord], columns: &[&str]) -> Result<(), Failure> {
        let make = |runs: &[&RunRecord]| {
            let fields: Vec<_> = columns.iter().map(|c| records::run_field(runs[0], c)).collect();
            let sql = insert("scheduler_logs", columns, &self.row(&fields), runs.len());
            let of = |run| columns.iter().map(move |c| value(records::run_field(run, c)));
            Query { sql, values: runs.iter().copied().flat_map(of).collect() }
        };
        let queries = self.fitting(runs, &make);
        self.insert(Statement::Insert, "scheduler_logs", queries)
    }

    /// One statement for many rows: each column takes the value that belongs to the row's key.
    fn update(&self, runs: &[&RunRecord], columns: &[&str]) -> Query {
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
        let sql = format!("UPDATE scheduler_logs SET {sets} WHERE uniq_id IN {marks}");
        Query { sql, values }
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

    fn run(&mut self, query: Query) -> mysql::Result<()> {
        let Query { sql, values } = query;
        self.session.conn.exec_drop(sql, values)
    }

    /// Notes that a statement was taken, or which one was refused.
    fn of(&mut self, statement: Statement, done: Result<(), Failure>) -> Result<(), Failure> {
        done.map_err(|failure| failure.of(statement))?;
        self.taken.insert(statement);
        Ok(())
    }

    fn insert(
        &mut self,
        statement: Statement,
        table: &str,
        queries: Result<Vec<Query>, Failure>,
    ) -> Result<(), Failure> {
        for query in queries.map_err(|failure| failure.of(statement))? {
            let done = match self.run(query) {
                Ok(()) => Ok(()),
                Err(err) if explain::may_be_ids(&err) && self.has_no_id(table)? => {
                    Err(explain::ids_used_up(self.session.database, &err, table))
                }
                Err(err) => Err(self.session.explain(&err)),
            };
            self.of(statement, done)?;
        }
        Ok(())
    }

    /// Whether a table has no id left: its last is the last that the column holds, or those up to
    /// there went to an INSERT that failed, so that no row has them.
    fn has_no_id(&mut self, table: &str) -> Result<bool, Failure> {
        let sql = format!(
            "SELECT (SELECT MAX(id) FROM {table}) > ids.most - @@auto_increment_increment \
             OR (SELECT AUTO_INCREMENT FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}') >= ids.most \
             FROM (SELECT CASE WHEN COLUMN_TYPE LIKE '%unsigned%' THEN \
             CASE DATA_TYPE WHEN 'tinyint' THEN 255 WHEN 'smallint' THEN 65535 \
             WHEN 'mediumint' THEN 16777215 WHEN 'int' THEN 4294967295 \
             ELSE 18446744073709551615 END \
             ELSE CASE DATA_TYPE WHEN 'tinyint' THEN 127 WHEN 'smallint' THEN 32767 \
             WHEN 'mediumint' THEN 8388607 WHEN 'int' THEN 2147483647 \
             ELSE 9223372036854775807 END END AS most \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() \
             AND TABLE_NAME = '{table}' AND COLUMN_NAME = 'id' \
             AND EXTRA LIKE '%auto_increment%') AS ids"
        );
        Ok(self.session.first_column(&sql)?.first().is_some_and(|full| full == "1"))
    }

    /// Slots of a skip are added while it lasts: the record with more of them is the later one.
    fn insert_skips(&mut self, skips: &[SkipRecord]) -> Result<(), Failure> {
        // Asked beforehand: an error of the statement may be about a table that a trigger names.
        if !self.has_table("scheduler_skips")? {
            self.taken.insert(Statement::NoSkips);
            return Ok(());
        }
        let make = |skips: &[SkipRecord]| {
            let row = self.row(&records::skip_fields(&skips[0]));
            let sql = format!(
                "{} ON DUPLICATE KEY UPDATE \
                 last_slot = IF(VALUES(skipped) > skipped, VALUES(last_slot), last_slot), \
                 reason = IF(VALUES(skipped) > skipped, VALUES(reason), reason), \
                 skipped = GREATEST(skipped, VALUES(skipped))",
                insert("scheduler_skips", &records::SKIP_COLUMNS, &row, skips.len())
            );
            Query { sql, values: skips.iter().flat_map(records::skip_fields).map(value).collect() }
        };
        let queries = self.fitting(skips, &make);
        self.insert(Statement::Skip, "scheduler_skips", queries)
    }

    /// A change of a job has made its row itself: that stays.
    fn insert_acts(&mut self, acts: &[ActRecord]) -> Result<(), Failure> {
        if !self.has_table(AUDIT)? {
            self.taken.insert(Statement::NoActs);
            return Ok(());
        }
        let make = |acts: &[ActRecord]| {
            let row = self.row(&records::act_fields(&acts[0]));
            let sql = insert(AUDIT, &records::ACT_COLUMNS, &row, acts.len());
            let sql = format!("{sql} ON DUPLICATE KEY UPDATE uniq_id = {AUDIT}.uniq_id");
            Query { sql, values: acts.iter().flat_map(records::act_fields).map(value).collect() }
        };
        let queries = self.fitting(acts, &make);
        self.insert(Statement::Act, AUDIT, queries)
    }

    fn has_table(&mut self, table: &str) -> Result<bool, Failure> {
        let there = match self.optional.take() {
            Some(there) => there,
            None => self.session.optional_tables()?,
        };
        let found = there.contains(&table);
        self.optional = Some(there);
        Ok(found)
    }

    /// `last_run_time` only ever moves forward, whatever order batches come in.
    fn move_last_runs(&mut self, batch: &Batch) -> Result<(), Failure> {
        let news: Vec<_> = batch.last_runs.iter().collect();
        for news in news.chunks(ROWS_A_STATEMENT) {
            let queries = self.fitting(news, &|news| last_runs(news));
            for query in queries.map_err(|failure| failure.of(Statement::LastRun))? {
                let done = self.session.run_all(&query.sql);
                self.of(Statement::LastRun, done)?;
            }
        }
        Ok(())
    }
}

impl Query {
    /// Bytes of its longer packet: a value has its type and length, at the most so many bytes, too.
    fn bytes(&self) -> usize {
        let of = |value: &Value| match value {
            Value::Bytes(bytes) => bytes.len() + 8,
            _ => 16,
        };
        self.sql.len().max(self.values.iter().map(of).sum()) + PACKET_HEAD_BYTES
    }
}

/// The times were checked to be nothing but digits and separators.
fn last_runs(news: &[(&u32, &String)]) -> Query {
    let one = |(id, at): &(&u32, &String)| format!("SELECT {id} AS id, '{at}' AS at");
    let news: Vec<_> = news.iter().map(one).collect();
    let sql = format!(
        "UPDATE scheduler_jobs AS job JOIN ({}) AS news ON news.id = job.id \
         SET job.last_run_time = news.at \
         WHERE job.last_run_time IS NULL OR job.last_run_time < CAST(news.at AS DATETIME)",
        news.join(" UNION ALL ")
    );
    Query { sql, values: Vec::new() }
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
