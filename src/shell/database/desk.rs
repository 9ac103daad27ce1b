//! What a change of a job says to a database, whichever that is.

use super::Failure;
use super::records::Field;
use crate::core::cells::Cell;
use crate::core::change::TableColumn;
use crate::core::columns::Column;

/// See the module's text. A transaction is under way.
pub trait Desk {
    /// The columns of a table.
    fn table(&mut self, name: &str) -> Result<Vec<TableColumn>, Failure>;

    /// Names of the columns of a table.
    fn columns(&mut self, table: &str) -> Result<Vec<String>, Failure>;

    /// Whether there is this table.
    fn has_table(&mut self, name: &str) -> Result<bool, Failure>;

    /// How a column is read.
    fn read(&self) -> fn(Column) -> String;

    /// What makes a query lock the rows that it finds.
    fn lock(&self) -> &'static str;

    /// What stands for a text that is written.
    fn mark(&self) -> &'static str;

    /// The condition that a column is a text, to the byte.
    fn is_text(&self, column: &str) -> String;

    /// The rows of a query.
    fn query(&mut self, sql: &str, values: &[Field]) -> Result<Vec<Vec<Cell>>, Failure>;

    /// Runs a statement. Returns the id of a row that it made.
    fn run(&mut self, sql: &str, values: &[Field]) -> Result<u64, Failure>;

    /// Ends the transaction: all of it is done.
    fn commit(&mut self) -> Result<(), Failure>;

    /// After a commit that failed: whether it is certain that nothing of the transaction is done.
    fn is_undone(&mut self) -> bool;

    /// Ends the transaction: nothing of it is.
    fn roll_back(&mut self) -> Result<(), Failure>;
}
