//! MySQL and MariaDB.
//!
//! A sync asks for everything it needs to know in one round trip: settings, a consistent snapshot
//! and a digest that the server computes. Only when the digest differs are rows read, in the same
//! snapshot, so that digest and rows are of one state.

mod explain;
mod session;

use super::answers::Answers;
use super::records::{self, Batch, Field};
use super::rows::{self, Cell};
use super::{Failure, Group};
use crate::core::protocol::{Answer, Database, ErrorKind, RunRecord, SkipRecord};
use explain::{NO_SUCH_TABLE, explain};
use mysql::prelude::Queryable;
use mysql::{Error, Row, Value};
pub use session::Session;

/// Rows an INSERT: few round trips, and far below the 65,535 parameters that a statement may have.
const ROWS_A_STATEMENT: usize = 200;

/// Answers an [`Ask::Sync`](crate::core::protocol::Ask::Sync).
pub fn sync(database: &Database, group: &Group, answers: &mut Answers) -> Result<(), Failure> {
    let mut session = Session::open(database)?;
    let digest = session.digest(group)?;
    if digest == group.digest {
        return answers.send(&Answer::Same(digest));
    }
    let zone = session.columns("scheduler_jobs")?;
    let zone = zone.iter().any(|name| name.eq_ignore_ascii_case(rows::TIMEZONE));
    let columns = rows::JOB_COLUMNS.join(", ") + if zone { ", timezone" } else { "" };
    let rule = format!("WHERE server_id = {} AND status = 1 ORDER BY id", group.server_id);
    let jobs = format!("SELECT {columns} FROM scheduler_jobs {rule}");
    let rule = format!("WHERE server_id = {} ORDER BY id", group.vars_server);
    let vars = format!("SELECT id, name, value FROM scheduler_vars {rule}");
    session.stream(&vars, rows::var, answers)?;
    session.stream("SELECT id, name FROM scheduler_tags ORDER BY id", rows::tag, answers)?;
    session.stream(&jobs, rows::job, answers)?;
    answers.send(&Answer::Digest(digest))
}

/// Answers an [`Ask::Record`](crate::core::protocol::Ask::Record): all of the batch or nothing.
pub fn record(database: &Database, batch: &Batch) -> Result<(), Failure> {
    let mut session = Session::open(database)?;
    let setup = format!("{}; START TRANSACTION", session.settings());
    session.run_all(&setup)?;
    let existing = session.columns("scheduler_logs")?;
    for runs in batch.starts.chunks(ROWS_A_STATEMENT) {
        session.insert_runs(runs, &records::run_columns(&existing, false), "uniq_id = uniq_id")?;
    }
    let columns = records::run_columns(&existing, true);
    let update: Vec<_> = columns.iter().map(|c| format!("{c} = VALUES({c})")).collect();
    for runs in batch.ends.chunks(ROWS_A_STATEMENT) {
        session.insert_runs(runs, &columns, &update.join(", "))?;
    }
    session.move_last_runs(batch)?;
    for skips in batch.skips.chunks(ROWS_A_STATEMENT) {
        session.insert_skips(skips)?;
    }
    session.run_all("COMMIT")
}

impl Session<'_> {
    /// Opens the snapshot of a sync and has the server compute its digest, in one round trip.
    fn digest(&mut self, group: &Group) -> Result<String, Failure> {
        let settings = self.settings();
        let query = format!(
            "{settings}; SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
             START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; {}",
            digest_query(group)
        );
        let text = self.last_text(&query).map_err(|err| self.explain(&err))?;
        let why = "the database gave no digest of the jobs";
        let text = text.ok_or_else(|| Failure::new(ErrorKind::Other, why))?;
        // The groups are part of it: after a change of the configuration nothing is the same.
        Ok(format!("m1:{}:{}:{text}", group.server_id, group.vars_server))
    }

    fn stream(
        &mut self,
        query: &str,
        judge: fn(Vec<Cell>) -> Answer,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        let database = self.database;
        let lost = |err: Error| explain(database, &err, "read from");
        let rows = self.conn.query_iter(query).map_err(lost)?;
        for row in rows {
            answers.send(&judge(cells(row.map_err(lost)?)))?;
        }
        Ok(())
    }

    fn insert_runs(
        &mut self,
        runs: &[RunRecord],
        columns: &[&str],
        update: &str,
    ) -> Result<(), Failure> {
        let sql = insert("scheduler_logs", columns, runs.len(), update);
        let fields = runs.iter().flat_map(|run| columns.iter().map(|c| records::run_field(run, c)));
        let values: Vec<Value> = fields.map(value).collect();
        self.conn.exec_drop(sql, values).map_err(|err| self.explain(&err))
    }

    /// Slots of a skip are added while it lasts: the record with more of them is the later one.
    fn insert_skips(&mut self, skips: &[SkipRecord]) -> Result<(), Failure> {
        let update = "last_slot = IF(VALUES(skipped) > skipped, VALUES(last_slot), last_slot), \
                      reason = VALUES(reason), skipped = GREATEST(skipped, VALUES(skipped))";
        let sql = insert("scheduler_skips", &records::SKIP_COLUMNS, skips.len(), update);
        let values: Vec<Value> = skips.iter().flat_map(records::skip_fields).map(value).collect();
        match self.conn.exec_drop(sql, values) {
            Err(Error::MySqlError(err)) if err.code == NO_SUCH_TABLE => Ok(()),
            result => result.map_err(|err| self.explain(&err)),
        }
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
            self.run_all(&sql)?;
        }
        Ok(())
    }
}

/// The digest of what a sync would read, as one value.
///
/// 64 bits of a hash of each row, combined by XOR, so that the order does not matter; the id is in
/// each, so that equal rows don't cancel out and swapped ones show. `last_run_time` and the other
/// times are not in it: they don't make a job. Text is taken as bytes, else columns of different
/// charsets can't be joined. SHA2 because MD5 is not everywhere any more.
///
/// `timezone` may not exist: the name then finds the outer `timezone`, which is empty. (An
/// unqualified name in a subquery is looked up inside first, then outside: SQL:1999, 6.6.)
fn digest_query(group: &Group) -> String {
    let text = |column: &str| format!("IFNULL(CAST({column} AS BINARY), x'01')");
    let hash = |columns: &[&str]| {
        let fields: Vec<_> = columns.iter().map(|column| text(column)).collect();
        format!(
            "CONCAT(COUNT(*), '-', IFNULL(BIT_XOR(CAST(CONV(LEFT(SHA2(CONCAT_WS(x'00', {}), 256), \
             16), 16, 10) AS UNSIGNED)), 0))",
            fields.join(", ")
        )
    };
    let mut columns = rows::JOB_COLUMNS.to_vec();
    columns.push(rows::TIMEZONE);
    format!(
        "SELECT CONCAT((SELECT {} FROM scheduler_jobs WHERE server_id = {} AND status = 1), ':', \
         (SELECT {} FROM scheduler_vars WHERE server_id = {}), ':', \
         (SELECT {} FROM scheduler_tags)) FROM (SELECT '' AS timezone) AS optional",
        hash(&columns),
        group.server_id,
        hash(&["id", "name", "value"]),
        group.vars_server,
        hash(&["id", "name"])
    )
}

fn insert(table: &str, columns: &[&str], rows: usize, update: &str) -> String {
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    let rows = vec![row; rows].join(", ");
    let columns = columns.join(", ");
    format!("INSERT INTO {table} ({columns}) VALUES {rows} ON DUPLICATE KEY UPDATE {update}")
}

fn value(field: Field) -> Value {
    match field {
        Field::Text(text) => Value::from(text),
        Field::Number(number) => Value::from(number),
    }
}

fn cells(row: Row) -> Vec<Cell> {
    let cell = |value| match value {
        Value::NULL => Cell::Null,
        Value::Bytes(bytes) => Cell::from_bytes(bytes),
        // The text protocol sends nothing else; should a driver convert, its literal will do.
        other => Cell::Text(other.as_sql(true)),
    };
    // Whole: nothing was taken from the row before.
    row.unwrap().into_iter().map(cell).collect()
}
