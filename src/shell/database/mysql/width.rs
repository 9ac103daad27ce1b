//! The column that holds the ids of runs. Where it is too narrow a server cuts them in silence, and
//! no row is ever found again.

use super::super::Failure;
use super::super::records::ID_CHARS;
use super::Session;
use super::explain::place;
use super::session::text_of;
use crate::core::database::{ErrorKind, Mysql};
use mysql::Row;
use mysql::prelude::Queryable;

/// What a table that runs are written to is like.
#[derive(Debug, Default)]
pub struct LogColumns {
    /// Names of its columns.
    pub names: Vec<String>,
    /// Characters of an id that it holds; none where that is no question.
    pub id_width: Option<usize>,
    /// Whether it refuses an id that it has. It can't where it is partitioned by something else.
    pub has_unique_ids: bool,
}

/// How many characters a type holds, as a server writes it; none where that is no question.
pub fn width(column_type: &str) -> Option<usize> {
    let (name, rest) = column_type.split_once('(')?;
    let is_text = ["char", "varchar", "binary", "varbinary"].contains(&name);
    rest.split_once(')')?.0.parse().ok().filter(|_| is_text)
}

/// What is to be said of a column that does not hold the ids.
pub fn too_narrow(database: &Mysql, width: usize) -> Failure {
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
        Ok(self.log_columns()?.id_width.filter(|width| *width < ID_CHARS))
    }

    /// The same in words.
    pub fn narrow_told(&mut self) -> Result<Option<String>, Failure> {
        let width = self.narrow()?;
        Ok(width.map(|width| too_narrow(self.database, width).message))
    }

    /// What the columns of `scheduler_logs` are like.
    pub fn log_columns(&mut self) -> Result<LogColumns, Failure> {
        let all = |mut row: Row| {
            // Type and Key; the names of the columns of a SHOW may be written otherwise.
            let [column_type, key] = [1, 3].map(|at| row.take::<Vec<u8>, _>(at));
            let text = |bytes: Option<Vec<u8>>| {
                String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
            };
            (text_of(row).unwrap_or_default(), text(column_type), text(key))
        };
        let columns = self.conn.query_map("SHOW COLUMNS FROM scheduler_logs", all);
        let columns: Vec<_> = columns.map_err(|err| self.explain(&err))?;
        let id = columns.iter().find(|(name, ..)| name.eq_ignore_ascii_case("uniq_id"));
        let id_width = id.and_then(|(_, column_type, _)| width(column_type));
        let has_unique_ids = id.is_some_and(|(.., key)| key == "UNI" || key == "PRI");
        let names = columns.into_iter().map(|(name, ..)| name).collect();
        Ok(LogColumns { names, id_width, has_unique_ids })
    }

    /// The statement that widens it, and changes nothing else of it; none where it is wide enough.
    pub fn widening(&mut self) -> Result<Option<String>, Failure> {
        let Some(width) = self.narrow()? else { return Ok(None) };
        let second = |mut row: Row| row.take::<String, _>(1).unwrap_or_default();
        let tables = self.conn.query_map("SHOW CREATE TABLE scheduler_logs", second);
        let table = tables.map_err(|err| self.explain(&err))?.concat();
        match wider(&table, width) {
            Some(definition) => Ok(Some(format!("ALTER TABLE scheduler_logs MODIFY {definition}"))),
            None => Err(self.not_widened(width)),
        }
    }

    /// The column is too narrow, and how it is declared is not to be seen: with a view above all.
    fn not_widened(&self, width: usize) -> Failure {
        let message = format!(
            "column uniq_id of scheduler_logs holds {width} characters at {}, and ids of runs have \
             {ID_CHARS}: SHOW CREATE TABLE scheduler_logs does not tell how it is declared (is \
             that a view?): widen it by ALTER TABLE in the table that it is of",
            place(self.database)
        );
        Failure::new(ErrorKind::NoColumn, message)
    }
}

/// The column's definition in a `CREATE TABLE`, made as wide as it is to be. Its name is quoted as
/// the server likes to.
fn wider(table: &str, width: usize) -> Option<String> {
    let is_it = |line: &&str| {
        let name = line.split([' ', '(']).next().unwrap_or_default();
        name.trim_matches(['`', '"']).eq_ignore_ascii_case("uniq_id")
    };
    let line = table.lines().map(str::trim).find(is_it)?.trim_end_matches(',');
    let wider = line.replacen(&format!("({width})"), &format!("({ID_CHARS})"), 1);
    (wider != line).then_some(wider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_found_however_its_name_is_written() {
        for name in ["`uniq_id`", "\"uniq_id\"", "uniq_id", "`UNIQ_ID`"] {
            let table = format!(
                "CREATE TABLE x (\n  `id` int(13),\n  {name} varchar(13) NOT NULL DEFAULT '' \
                 COMMENT 'the (13) one',\n  KEY `uniq_id` (`uniq_id`)\n)"
            );
            let wanted = format!("{name} varchar(20) NOT NULL DEFAULT '' COMMENT 'the (13) one'");
            assert_eq!(wider(&table, 13).as_deref(), Some(&*wanted));
        }
        assert_eq!(wider("CREATE VIEW x AS select old.uniq_id AS uniq_id from old", 13), None);
        assert_eq!(wider("CREATE TABLE x (\n  `uniq_id` varchar(12)\n)", 13), None);
    }
}
