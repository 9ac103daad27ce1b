//! The column that holds the ids of runs. Where it is too narrow a server cuts them in silence, and
//! no row is ever found again.

use super::super::Failure;
use super::super::records::ID_CHARS;
use super::Session;
use super::explain::place;
use super::session::text_of;
use crate::core::protocol::{Database, ErrorKind};
use mysql::Row;
use mysql::prelude::Queryable;

/// How many characters a type holds, as a server writes it; none where that is no question.
pub fn width(column_type: &str) -> Option<usize> {
    let (name, rest) = column_type.split_once('(')?;
    let is_text = ["char", "varchar", "binary", "varbinary"].contains(&name);
    rest.split_once(')')?.0.parse().ok().filter(|_| is_text)
}

/// What is to be said of a column that does not hold the ids.
pub fn too_narrow(database: &Database, width: usize) -> Failure {
    let message = format!(
        "column uniq_id of scheduler_logs holds {width} characters at {}, and ids of runs have \
         {ID_CHARS}: `schedule db migrate` widens it",
        place(database)
    );
    Failure::new(ErrorKind::NoColumn, message)
}

impl Session<'_> {
    /// How many characters the column holds, if those are too few.
    pub fn narrow(&mut self) -> Result<Option<usize>, Failure> {
        let (_, width) = self.log_columns()?;
        Ok(width.filter(|width| *width < ID_CHARS))
    }

    /// The same in words.
    pub fn narrow_told(&mut self) -> Result<Option<String>, Failure> {
        let width = self.narrow()?;
        Ok(width.map(|width| too_narrow(self.database, width).message))
    }

    /// Names of the columns of `scheduler_logs`, and how many characters of an id it holds.
    pub fn log_columns(&mut self) -> Result<(Vec<String>, Option<usize>), Failure> {
        let both = |mut row: Row| {
            let column_type: Option<Vec<u8>> = row.take(1);
            let column_type = String::from_utf8_lossy(&column_type.unwrap_or_default()).into();
            (text_of(row).unwrap_or_default(), column_type)
        };
        let columns = self.conn.query_map("SHOW COLUMNS FROM scheduler_logs", both);
        let columns: Vec<(String, String)> = columns.map_err(|err| self.explain(&err))?;
        let id = columns.iter().find(|(name, _)| name.eq_ignore_ascii_case("uniq_id"));
        let width = id.and_then(|(_, column_type)| width(column_type));
        Ok((columns.into_iter().map(|(name, _)| name).collect(), width))
    }

    /// The statement that widens it, and changes nothing else of it.
    pub fn widening(&mut self) -> Result<Option<String>, Failure> {
        let Some(width) = self.narrow()? else { return Ok(None) };
        let second = |mut row: Row| row.take::<String, _>(1).unwrap_or_default();
        let tables = self.conn.query_map("SHOW CREATE TABLE scheduler_logs", second);
        let table = tables.map_err(|err| self.explain(&err))?.concat();
        let line = table.lines().map(str::trim).find(|line| line.starts_with("`uniq_id` "));
        let line = line.map(|line| line.trim_end_matches(','));
        let wider = line.map(|it| it.replacen(&format!("({width})"), &format!("({ID_CHARS})"), 1));
        Ok(wider.map(|definition| format!("ALTER TABLE scheduler_logs MODIFY {definition}")))
    }
}
