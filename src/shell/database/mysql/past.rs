//! How a server reads runs of the past.

use super::super::Failure;
use super::super::reader::Reader;
use super::Session;
use super::sync::cells;
use crate::core::cells::Cell;
use mysql::Row;
use mysql::prelude::Queryable;

impl Reader for Session<'_> {
    fn columns(&mut self, table: &str) -> Result<Vec<String>, Failure> {
        match table {
            // Without this one something is wrong, and is told.
            "scheduler_logs" => Session::columns(self, table),
            _ if Session::tables(self)?.iter().any(|name| name.eq_ignore_ascii_case(table)) => {
                Session::columns(self, table)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn indexes(&mut self, table: &str) -> Result<Vec<String>, Failure> {
        // The names of the columns of a SHOW may be written otherwise.
        let name = |mut row: Row| row.take::<Vec<u8>, _>(2).unwrap_or_default();
        let names = self.conn.query_map(format!("SHOW INDEX FROM {table}"), name);
        let names = names.map_err(|err| self.explain(&err))?;
        Ok(names.into_iter().map(|name| String::from_utf8_lossy(&name).into_owned()).collect())
    }

    fn by_index(&self, index: &str) -> String {
        format!(" FORCE INDEX ({index})")
    }

    fn clock_s(&mut self) -> Result<Option<i64>, Failure> {
        let said = self.first_column("SELECT UNIX_TIMESTAMP()")?;
        Ok(said.first().and_then(|text| text.parse().ok()))
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, Failure> {
        let rows: mysql::Result<Vec<Row>> = self.conn.query(sql);
        let rows = rows.map_err(|err| self.explain(&err))?;
        Ok(rows.into_iter().map(cells).collect())
    }
}
