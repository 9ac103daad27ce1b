//! What is read from a database that is none of the table of jobs, whichever database that is.

use super::Failure;
use crate::core::cells::Cell;

/// See the module's text.
pub trait Reader {
    /// Names of the columns of a table; none if it is not there.
    fn columns(&mut self, table: &str) -> Result<Vec<String>, Failure>;

    /// Names of its indexes.
    fn indexes(&mut self, table: &str) -> Result<Vec<String>, Failure>;

    /// What says in a query that this index is to be used, behind the table's name.
    fn by_index(&self, index: &str) -> String;

    /// What time it is there, unix seconds; none: its clock is this machine's.
    fn clock_s(&mut self) -> Result<Option<i64>, Failure>;

    /// The rows of a query. Their values come as text.
    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, Failure>;
}
