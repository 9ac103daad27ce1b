//! Makes and extends the tables: `schedule db init|migrate|status`.
//!
//! Each statement of the files of `sql/` can be run again, which is the whole of resuming: what is
//! there is passed over. MySQL commits each change of a table by itself, so nothing better could be
//! had there anyway. `scheduler_schema` tells which files were applied to the end; nothing is
//! decided by it.

mod history;

use super::reader::Reader;
use super::schema::{
    File, NOTES, OPTIONAL, OPTIONAL_INDEXES, OPTIONAL_TABLES, REQUIRED, REQUIRED_COLUMNS, Ran,
    files, made_by, statements,
};
use super::{Failure, sqlite};
use crate::core::database::{Database, Driver, ErrorKind};

/// How a database stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Files of `sql/` that were applied to the end, with the time of it.
    pub applied: Vec<String>,
    /// Tables and columns that must be there and are not.
    pub missing: Vec<String>,
    /// Tables, columns and indexes that `migrate` would add.
    pub optional: Vec<String>,
    /// What is wrong with the column that is to hold the ids of runs: `migrate` mends it.
    pub narrow: Option<String>,
    /// The tables that are there, with their number of rows.
    pub rows: Vec<(String, u64)>,
}

enum Session<'a> {
    Mysql(Box<super::mysql::Session<'a>>),
    Sqlite(sqlite::Session<'a>),
}

/// Creates the tables that are missing; those that exist are not touched. Where none existed the
/// optional columns come with them. What was made, one text each.
///
/// # Errors
/// The database can't be reached or refuses; what was made until then stays.
pub fn init(database: &Database) -> Result<Vec<String>, Failure> {
    let mut session = Session::open(database, true)?;
    let before = session.tables()?;
    let fresh = !REQUIRED.iter().any(|table| before.iter().any(|there| there == table));
    let files = files(database.driver());
    let done = Session::open_to_change(database)?.apply(if fresh { files } else { &files[..1] });
    let made = session.tables().map(|after| {
        let made = after.into_iter().filter(|table| !before.contains(table));
        made.map(|table| format!("table {table}")).collect()
    });
    told_with_made(done, "created", made)
}

/// Adds the optional columns and tables that are missing. What was made, one text each.
///
/// # Errors
/// As [`init`]; also where the original's tables are missing. To run it again goes on where it
/// stopped.
pub fn migrate(database: &Database) -> Result<Vec<String>, Failure> {
    let before = status(database)?;
    if let Some(missing) = before.missing.first() {
        let hint = "run `schedule db init` first";
        return Err(Failure::new(ErrorKind::NoTable, format!("{missing} is missing: {hint}")));
    }
    let done = extend(database);
    let made = status(database).map(|after| {
        let mut made = before.optional;
        made.retain(|text| !after.optional.contains(text));
        if before.narrow.is_some() && after.narrow.is_none() {
            made.push("room for whole ids of runs to column uniq_id of scheduler_logs".to_owned());
        }
        made
    });
    told_with_made(done, "added", made)
}

fn extend(database: &Database) -> Result<(), Failure> {
    let mut session = Session::open_to_change(database)?;
    session.apply(files(database.driver()))?;
    session.fill_kinds()?;
    if let Some(statement) = session.widening()? {
        session.run(&statement)?;
    }
    Ok(())
}

/// What was made; a failure says it, too, for what was made until then stays.
fn told_with_made(
    done: Result<(), Failure>,
    verb: &str,
    made: Result<Vec<String>, Failure>,
) -> Result<Vec<String>, Failure> {
    match (done, made) {
        (Ok(()), made) => made,
        (Err(failure), Ok(made)) if !made.is_empty() => {
            let text = format!("{verb} {}; then {}", made.join(", "), failure.message);
            Err(Failure::new(failure.kind, text))
        }
        (Err(failure), _) => Err(failure),
    }
}

/// Rows of `scheduler_jobs` by their `server_id`, those without one left out: the id, and how many.
///
/// # Errors
/// The database can't be reached or read.
pub fn rows_of_servers(database: &Database) -> Result<Vec<(u32, u64)>, Failure> {
    /// Rows may say anything.
    const MAX_SERVERS: usize = 1000;
    let pair = match database.driver() {
        Driver::Mysql => "CONCAT(server_id, ' ', COUNT(*))",
        Driver::Sqlite => "server_id || ' ' || COUNT(*)",
    };
    let sql = format!(
        "SELECT {pair} FROM scheduler_jobs WHERE server_id > 0 GROUP BY server_id \
         ORDER BY server_id LIMIT {MAX_SERVERS}"
    );
    let found = Session::open(database, false)?.first_column(&sql)?;
    let read = |text: &String| {
        let (id, count) = text.split_once(' ')?;
        Some((id.parse().ok()?, count.parse().ok()?))
    };
    Ok(found.iter().filter_map(read).collect())
}

/// Looks at the tables; changes nothing.
///
/// # Errors
/// The database can't be reached or read.
pub fn status(database: &Database) -> Result<Status, Failure> {
    let mut session = Session::open(database, false)?;
    let mut status = Status::default();
    let tables = session.tables()?;
    // To count many millions of rows takes longer than any other answer.
    let mut patient = Session::open_to_change(database)?;
    for table in &tables {
        let count = patient.first_column(&format!("SELECT COUNT(*) FROM {table}"))?;
        let count = count.first().and_then(|text| text.parse().ok()).unwrap_or_default();
        status.rows.push((table.clone(), count));
    }
    let there = |table: &str| tables.iter().any(|name| name == table);
    for table in REQUIRED.into_iter().filter(|table| !there(table)) {
        status.missing.push(format!("table {table}"));
    }
    for (table, columns) in REQUIRED_COLUMNS.iter().filter(|(table, _)| there(table)) {
        status.missing.extend(session.absent(table, columns)?);
    }
    for (table, columns) in OPTIONAL.iter().filter(|(table, _)| there(table)) {
        status.optional.extend(session.absent(table, columns)?);
    }
    if there("scheduler_logs") {
        let indexes = session.indexes()?;
        let absent = |index: &&str| !indexes.iter().any(|name| name == index);
        let absent = OPTIONAL_INDEXES.into_iter().filter(absent);
        status.optional.extend(absent.map(|index| format!("index {index} of scheduler_logs")));
        status.narrow = session.narrow()?;
    }
    for table in OPTIONAL_TABLES.into_iter().filter(|table| !there(table)) {
        status.optional.push(format!("table {table}"));
    }
    if there("scheduler_schema") {
        status.applied = session.applied(files(database.driver()))?;
    }
    Ok(status)
}

/// So many runs are recorded, as far as their ids tell: to count them would take long.
///
/// # Errors
/// The database can't be reached or read.
pub fn recorded_runs(database: &Database) -> Result<u64, Failure> {
    let sql = "SELECT MAX(id) - MIN(id) + 1 FROM scheduler_logs";
    let found = Session::open(database, false)?.first_column(sql)?;
    Ok(found.first().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Whether `command_md5` is part of a unique key, as the PHP program made it.
///
/// # Errors
/// The database can't be reached or read.
pub fn has_unique_md5(database: &Database) -> Result<bool, Failure> {
    let sql = match database.driver() {
        Driver::Mysql => {
            "SELECT index_name FROM information_schema.statistics WHERE non_unique = 0
             AND table_schema = DATABASE() AND table_name = 'scheduler_jobs'
             AND column_name = 'command_md5'"
        }
        Driver::Sqlite => {
            "SELECT one.name FROM pragma_index_list('scheduler_jobs') one,
             pragma_index_info(one.name) part WHERE one.\"unique\" AND part.name = 'command_md5'"
        }
    };
    let keys = Session::open(database, false)?.first_column(sql)?;
    Ok(!keys.is_empty())
}

/// The optional tables that are missing: of skipped slots, and of who did what.
///
/// # Errors
/// The database can't be reached or read.
pub fn missing_tables(database: &Database) -> Result<Vec<&'static str>, Failure> {
    let there = Session::open(database, false)?.tables()?;
    let is_missing = |table: &&str| !there.iter().any(|it| it.eq_ignore_ascii_case(table));
    Ok(OPTIONAL_TABLES.into_iter().filter(is_missing).collect())
}

impl<'a> Session<'a> {
    fn open(database: &'a Database, create: bool) -> Result<Self, Failure> {
        Ok(match database {
            Database::Mysql(it) => {
                Self::Mysql(Box::new(super::mysql::Session::open(it, "DO 0")?.0))
            }
            Database::Sqlite(it) => Self::Sqlite(sqlite::Session::open(it, create)?),
        })
    }

    /// One that may take its time.
    fn open_to_change(database: &'a Database) -> Result<Self, Failure> {
        Ok(match database {
            Database::Mysql(it) => {
                Self::Mysql(Box::new(super::mysql::Session::open_to_change(it)?))
            }
            Database::Sqlite(it) => Self::Sqlite(sqlite::Session::open(it, false)?),
        })
    }

    fn run(&mut self, sql: &str) -> Result<Ran, Failure> {
        match self {
            Self::Mysql(session) => session.change(sql),
            Self::Sqlite(session) => session.run(sql),
        }
    }

    fn tables(&mut self) -> Result<Vec<String>, Failure> {
        match self {
            Self::Mysql(session) => session.tables(),
            Self::Sqlite(session) => session.tables(),
        }
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>, Failure> {
        match self {
            Self::Mysql(session) => session.columns(table),
            Self::Sqlite(session) => session.columns(table),
        }
    }

    /// Names of the indexes of `scheduler_logs`. A view can have none, so that it lacks none.
    fn indexes(&mut self) -> Result<Vec<String>, Failure> {
        const VIEW: &str = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_TYPE = 'VIEW' \
                            AND TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'scheduler_logs'";
        match self {
            Self::Mysql(session) => match session.first_column(VIEW)?.is_empty() {
                true => session.indexes("scheduler_logs"),
                false => Ok(OPTIONAL_INDEXES.map(str::to_owned).to_vec()),
            },
            Self::Sqlite(session) => session.indexes("scheduler_logs"),
        }
    }

    fn first_column(&mut self, sql: &str) -> Result<Vec<String>, Failure> {
        match self {
            Self::Mysql(session) => session.first_column(sql),
            Self::Sqlite(session) => session.first_column(sql),
        }
    }

    /// What is wrong with the column that is to hold the ids of runs. SQLite cuts nothing.
    fn narrow(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Mysql(session) => session.narrow_told(),
            Self::Sqlite(_) => Ok(None),
        }
    }

    fn widening(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Mysql(session) => session.widening(),
            Self::Sqlite(_) => Ok(None),
        }
    }

    /// Runs the statements whose thing is not there. What there is nothing to do for takes no right
    /// to change tables: who has given only those of the daemon is not told to give more.
    fn apply(&mut self, files: &[File]) -> Result<(), Failure> {
        let there = self.things()?;
        let missing = |file: &File| {
            let mut all = statements(file.sql);
            all.retain(|sql| !there.iter().any(|thing| thing.eq_ignore_ascii_case(&made_by(sql))));
            all
        };
        // The notes alone are no reason to make a table.
        let noted = there.iter().any(|thing| thing == NOTES);
        if !noted && files.iter().flat_map(&missing).all(|sql| made_by(&sql) == NOTES) {
            return Ok(());
        }
        for file in files {
            for statement in missing(file) {
                let thing = made_by(&statement);
                let index = thing.strip_prefix("index ").unwrap_or_default();
                let done = match OPTIONAL_INDEXES.contains(&index) {
                    true => self.make_index(index, &statement),
                    false => self.run(&statement).map(drop),
                };
                done.map_err(|failure| in_file(failure, file.name))?;
            }
            self.note(file.number)?;
        }
        Ok(())
    }

    /// Notes that a file was applied to the end.
    fn note(&mut self, number: u32) -> Result<(), Failure> {
        let known = format!("SELECT version FROM scheduler_schema WHERE version = {number}");
        if !self.first_column(&known)?.is_empty() {
            return Ok(());
        }
        let noted = self.run(&format!("INSERT INTO scheduler_schema (version) VALUES ({number})"));
        // Another who does the same may have been faster: then that is done.
        if noted.is_err() && self.first_column(&known)?.is_empty() {
            noted?;
        }
        Ok(())
    }

    /// The tables that are there, and those columns and indexes that a file may add: see
    /// [`made_by`].
    fn things(&mut self) -> Result<Vec<String>, Failure> {
        let mut things = self.tables()?;
        if things.iter().any(|name| name == "scheduler_logs") {
            things.extend(self.indexes()?.iter().map(|index| format!("index {index}")));
        }
        for (table, _) in OPTIONAL {
            if things.iter().any(|name| name == table) {
                let columns = self.columns(table)?;
                things.extend(columns.iter().map(|column| format!("{table}.{column}")));
            }
        }
        Ok(things)
    }

    fn absent(&mut self, table: &str, columns: &[&str]) -> Result<Vec<String>, Failure> {
        let there = self.columns(table)?;
        let absent = |column: &&&str| !there.iter().any(|name| name.eq_ignore_ascii_case(column));
        let text = |column: &&str| format!("column {column} of {table}");
        Ok(columns.iter().filter(absent).map(text).collect())
    }

    fn applied(&mut self, files: &[File]) -> Result<Vec<String>, Failure> {
        let mut applied = Vec::new();
        for File { number, name, .. } in files {
            let at = format!("SELECT applied_at FROM scheduler_schema WHERE version = {number}");
            applied.extend(self.first_column(&at)?.iter().map(|at| format!("{name} at {at}")));
        }
        Ok(applied)
    }
}

fn in_file(failure: Failure, name: &str) -> Failure {
    Failure::new(failure.kind, format!("{name}: {}", failure.message))
}
