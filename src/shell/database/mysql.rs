//! MySQL and MariaDB: records go there. What comes from there is in `sync`.

mod explain;
mod session;
mod settings;
mod sync;

use super::Failure;
use super::records::{self, Batch, Field};
use crate::core::protocol::{Database, RunRecord, SkipRecord};
use explain::NO_SUCH_TABLE;
use mysql::prelude::Queryable;
use mysql::{Error, Value};
pub use session::Session;
pub use sync::sync;

/// Rows an INSERT: few round trips, and far below the 65,535 parameters that a statement may have.
const ROWS_A_STATEMENT: usize = 200;

/// Answers an [`Ask::Record`](crate::core::protocol::Ask::Record): all of the batch or nothing.
pub fn record(database: &Database, batch: &Batch) -> Result<(), Failure> {
    let (mut session, _) = Session::open(database, "START TRANSACTION")?;
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
