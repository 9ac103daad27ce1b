//! How a file reads runs of the past.

use super::super::Failure;
use super::super::reader::Reader;
use super::{Session, cells};
use crate::core::cells::Cell;

impl Reader for Session<'_> {
    fn columns(&mut self, table: &str) -> Result<Vec<String>, Failure> {
        Session::columns(self, table)
    }

    fn indexes(&mut self, table: &str) -> Result<Vec<String>, Failure> {
        self.first_column(&format!("SELECT name FROM pragma_index_list('{table}')"))
    }

    fn by_index(&self, index: &str) -> String {
        format!(" INDEXED BY {index}")
    }

    fn clock_s(&mut self) -> Result<Option<i64>, Failure> {
        Ok(None)
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, Failure> {
        let mut all = Vec::new();
        self.each_row(sql, |row| {
            all.push(cells(row));
            Ok(())
        })?;
        Ok(all)
    }
}
