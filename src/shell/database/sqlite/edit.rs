//! What a change of a job says to a file.

use super::super::Failure;
use super::super::desk;
use super::super::records::Field;
use super::{Session, cells};
use crate::core::cells::Cell;
use crate::core::change::TableColumn;
use crate::core::columns::Column;
use crate::core::database::Sqlite;
use rusqlite::params_from_iter;

/// The file, locked to change a job.
pub struct Desk<'a>(Session<'a>);

impl<'a> Desk<'a> {
    /// Opens the file, and begins. For writing from the start: a lock that is asked for later may
    /// be refused without a wait.
    pub fn open(database: &'a Sqlite) -> Result<Self, Failure> {
        let session = Session::open_for_client(database)?;
        session.run_all("BEGIN IMMEDIATE")?;
        Ok(Self(session))
    }
}

impl desk::Desk for Desk<'_> {
    fn table(&mut self, name: &str) -> Result<Vec<TableColumn>, Failure> {
        let names = self.0.columns(name)?;
        if names.is_empty() {
            return Err(Failure::no_table(name, &self.0.database.path));
        }
        // It keeps what it is given, however long.
        let column = |name| TableColumn { name, ..TableColumn::default() };
        Ok(names.into_iter().map(column).collect())
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>, Failure> {
        self.0.columns(table)
    }

    fn has_table(&mut self, name: &str) -> Result<bool, Failure> {
        Ok(!self.0.columns(name)?.is_empty())
    }

    fn read(&self) -> fn(Column) -> String {
        |column| column.name().to_owned()
    }

    fn lock(&self) -> &'static str {
        ""
    }

    fn mark(&self) -> &'static str {
        "?"
    }

    fn is_text(&self, column: &str) -> String {
        format!("{column} = ?")
    }

    fn query(&mut self, sql: &str, values: &[Field]) -> Result<Vec<Vec<Cell>>, Failure> {
        let failed = |err| self.0.explain(&err);
        let mut statement = self.0.conn.prepare(sql).map_err(failed)?;
        let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            all.push(cells(row));
        }
        Ok(all)
    }

    fn run(&mut self, sql: &str, values: &[Field]) -> Result<u64, Failure> {
        let done = self.0.conn.execute(sql, params_from_iter(values));
        done.map_err(|err| self.0.explain(&err))?;
        Ok(self.0.conn.last_insert_rowid().cast_unsigned())
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.0.run_all("COMMIT")
    }

    fn is_undone(&mut self) -> bool {
        // Somebody reads: the transaction is still under way, and can be ended.
        !self.0.conn.is_autocommit() && self.0.run_all("ROLLBACK").is_ok()
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        // A trigger may have ended the transaction itself.
        if self.0.conn.is_autocommit() { Ok(()) } else { self.0.run_all("ROLLBACK") }
    }
}
