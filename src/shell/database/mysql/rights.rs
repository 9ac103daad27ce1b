//! Whether the records of runs could be written, found out before there is one.

use super::super::Failure;
use super::super::records::{self, ACT_COLUMNS, SKIP_COLUMNS};
use super::super::schema::{AUDIT, STATISTICS};
use super::Session;
use super::explain::place;
use super::grants::{is_right_missing, not_permitted};
use super::width::too_narrow;
use crate::core::database::Mysql;
use mysql::Error;
use mysql::prelude::Queryable;

/// Says what the recording of runs says, of no row at all: a server asks for every right before it
/// looks for rows, and a table without transactions keeps nothing of it either.
pub fn may_write(database: &Mysql) -> Result<(), Failure> {
    let (mut session, _) = Session::open(database, "DO 0")?;
    let existing = session.log_columns()?.names;
    if let Some(width) = session.narrow()? {
        return Err(too_narrow(database, width));
    }
    let columns = records::run_columns(&existing, true);
    session.try_on_nothing(&insert_nothing("scheduler_logs", &columns))?;
    session.try_on_nothing(
        "UPDATE scheduler_jobs AS job JOIN (SELECT 0 AS id) AS news ON news.id = job.id \
         SET job.last_run_time = job.last_run_time WHERE 1 = 0",
    )?;
    for table in session.optional_tables()? {
        let columns = match table {
            AUDIT => &ACT_COLUMNS[..],
            // Records are written without it.
            STATISTICS => continue,
            _ => &SKIP_COLUMNS,
        };
        session.try_on_nothing(&insert_nothing(table, columns))?;
    }
    Ok(())
}

/// Reads and writes each column, as the statements do that record.
fn insert_nothing(table: &str, columns: &[&str]) -> String {
    let nulls = vec!["NULL"; columns.len()].join(", ");
    let update = columns.iter().map(|it| format!("{it} = IFNULL(VALUES({it}), {table}.{it})"));
    let update: Vec<_> = update.collect();
    let (columns, update) = (columns.join(", "), update.join(", "));
    format!(
        "INSERT INTO {table} ({columns}) SELECT {nulls} FROM (SELECT 1 AS one) AS nothing \
         WHERE one = 0 ON DUPLICATE KEY UPDATE {update}"
    )
}

impl Session<'_> {
    fn try_on_nothing(&mut self, sql: &str) -> Result<(), Failure> {
        match self.conn.query_drop(sql) {
            Ok(()) => Ok(()),
            Err(err) => Err(self.explain_right(&err)),
        }
    }

    /// As [`Session::explain`]; of a right that is missing it tells the account, too.
    pub(super) fn explain_right(&mut self, err: &Error) -> Failure {
        match err {
            Error::MySqlError(err) if is_right_missing(err) => {
                let account = self.first_column("SELECT CURRENT_USER()").ok();
                let account = account.and_then(|mut found| found.pop());
                let place = place(self.database);
                not_permitted(self.database, &place, &err.message, account.as_deref())
            }
            err => self.explain(err),
        }
    }
}
