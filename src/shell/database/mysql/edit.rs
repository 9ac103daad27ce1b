//! What a change of a job says to a server.

use super::super::Failure;
use super::super::desk;
use super::super::records::Field;
use super::settings::converts;
use super::sync::{cells, job_column};
use super::{Kept, Session};
use crate::core::cells::Cell;
use crate::core::change::{Charset, TableColumn};
use crate::core::columns::Column;
use crate::core::database::Mysql;
use mysql::prelude::Queryable;
use mysql::{Params, Row, Value};

/// A session in which a job is changed.
pub struct Desk<'a> {
    session: Session<'a>,
    /// Text is converted to the character sets of columns, not stored byte by byte.
    converts: bool,
}

impl<'a> Desk<'a> {
    /// Connects, and begins. A table that was read is changed by nobody before the end.
    pub fn open(kept: &mut Kept, database: &'a Mysql) -> Result<Self, Failure> {
        const BEGIN: &str = "START TRANSACTION; SELECT 1 FROM scheduler_jobs LIMIT 0";
        let (session, _) = Session::open_kept(kept, database, BEGIN)?;
        Ok(Self { session, converts: converts(&database.charset) })
    }

    /// The transaction has ended: keeps the connection.
    pub fn end(self, kept: &mut Kept) {
        kept.keep(self.session);
    }

    fn params(values: &[Field]) -> Params {
        let value = |value: &Field| match value {
            Field::Text(text) => Value::from(*text),
            Field::Number(number) => Value::from(*number),
        };
        match values {
            [] => Params::Empty,
            values => Params::Positional(values.iter().map(value).collect()),
        }
    }
}

impl desk::Desk for Desk<'_> {
    fn table(&mut self, name: &str) -> Result<Vec<TableColumn>, Failure> {
        let sql = "SELECT COLUMN_NAME, CHARACTER_MAXIMUM_LENGTH, CHARACTER_SET_NAME \
                   FROM information_schema.COLUMNS \
                   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?";
        let converts = self.converts;
        let column = |cells: Vec<Cell>| {
            let text = |cell: &Cell| match cell {
                Cell::Text(text) => Some(text.clone()),
                Cell::Null | Cell::NotText | Cell::TooLong => None,
            };
            let mut texts = cells.iter().map(text);
            let mut next = || texts.next().flatten();
            Some(TableColumn {
                name: next()?,
                max_chars: next().and_then(|most| most.parse().ok()),
                in_bytes: !converts,
                charset: match next().as_deref() {
                    Some("utf8" | "utf8mb3") if converts => Charset::ThreeBytes,
                    Some("ascii") if converts => Charset::Ascii,
                    _ => Charset::All,
                },
            })
        };
        let found = desk::Desk::query(self, sql, &[Field::Text(name)])?;
        Ok(found.into_iter().filter_map(column).collect())
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>, Failure> {
        self.session.columns(table)
    }

    fn has_table(&mut self, name: &str) -> Result<bool, Failure> {
        Ok(self.session.optional_tables()?.contains(&name))
    }

    fn read(&self) -> fn(Column) -> String {
        job_column
    }

    fn lock(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn mark(&self) -> &'static str {
        // What the column has no character for is a question mark then, and seen.
        if self.converts { "CONVERT(? USING utf8mb4)" } else { "?" }
    }

    fn is_text(&self, column: &str) -> String {
        match self.converts {
            true => {
                format!("CAST(CONVERT({column} USING utf8mb4) AS BINARY) = CAST(? AS BINARY)")
            }
            false => format!("CAST({column} AS BINARY) = CAST(? AS BINARY)"),
        }
    }

    fn query(&mut self, sql: &str, values: &[Field]) -> Result<Vec<Vec<Cell>>, Failure> {
        let rows: mysql::Result<Vec<Row>> = self.session.conn.exec(sql, Self::params(values));
        let rows = rows.map_err(|err| self.session.explain(&err))?;
        Ok(rows.into_iter().map(cells).collect())
    }

    fn run(&mut self, sql: &str, values: &[Field]) -> Result<u64, Failure> {
        let done = self.session.conn.exec_drop(sql, Self::params(values));
        done.map_err(|err| self.session.explain(&err))?;
        Ok(self.session.conn.last_insert_id())
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.session.run_all("COMMIT")
    }

    fn is_undone(&mut self) -> bool {
        // What a server has said of a COMMIT may have come too late, or from a proxy.
        false
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        self.session.run_all("ROLLBACK")
    }
}
