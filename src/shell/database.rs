//! The helper's side of an exchange with the database, and the schema.
//!
//! `schedule exchange` is a process of its own that reads one [`Request`], does it, writes
//! [`Answer`] lines and ends; whatever goes wrong with a database goes wrong here and not in the
//! daemon. The drivers are named in [`mysql`] and [`sqlite`] only; what they share is beside them:
//! [`rows`] judges what was read, [`records`] prepares what is written, [`schema`] makes tables.

mod answers;
mod mysql;
mod records;
mod rows;
pub mod schema;
mod sqlite;

use crate::core::cron::{Zone, system_zone, zone};
use crate::core::protocol::{Answer, Ask, Database, Driver, ErrorKind, Record, Request};
use crate::core::records::from_journal;
use crate::shell::journal::read_range;
use answers::Answers;
use records::Batch;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

/// Why an exchange or a change of the schema failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What is wrong, where, and what to do: one line.
    pub message: String,
}

impl Failure {
    /// Its message is made one line.
    pub fn new(kind: ErrorKind, message: impl AsRef<str>) -> Self {
        Self { kind, message: message.as_ref().split_whitespace().collect::<Vec<_>>().join(" ") }
    }

    fn no_table(table: &str, database: &str) -> Self {
        let hint = "run `schedule db init`, or correct [db1] of the configuration";
        let message = format!("table {table} is missing in database `{database}`: {hint}");
        Self::new(ErrorKind::NoTable, message)
    }

    fn no_column(column: &str, database: &str, folder: &str) -> Self {
        let hint = format!("add it with ALTER TABLE, as {folder}/001_original.sql declares it");
        let message = format!("column {column} is missing in database `{database}`: {hint}");
        Self::new(ErrorKind::NoColumn, message)
    }
}

/// The question of a sync, without the snapshot: the drivers don't see that.
struct Group<'a> {
    server_id: u32,
    vars_server: u32,
    digest: &'a str,
}

/// The whole life of a helper process, on its own stdin and stdout.
pub fn exchange() -> ExitCode {
    serve(io::stdin().lock(), io::stdout().lock())
}

/// Reads a request, does it, writes the answer.
///
/// Exit status 0 says that the answer is whole or the records are committed; with 1 the last line
/// is an [`Answer::Error`], as far as it could still be written.
pub fn serve(mut stdin: impl BufRead, mut stdout: impl Write) -> ExitCode {
    let mut answers = Answers::new(&mut stdout);
    match perform(&mut stdin, &mut answers).and_then(|()| answers.finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            answers.fail(failure);
            ExitCode::FAILURE
        }
    }
}

fn perform(stdin: &mut dyn BufRead, answers: &mut Answers) -> Result<(), Failure> {
    let request = read_request(stdin)?;
    match &request.ask {
        Ask::Sync { server_id, vars_server, digest, snapshot } => {
            answers.tee(snapshot);
            let group = Group { server_id: *server_id, vars_server: *vars_server, digest };
            sync(&request.database, &group, answers)
        }
        Ask::Record { journal, from, to, server_id, timezone } => {
            let zone = written_zone(timezone)?;
            let (lines, through) = journal_lines(journal, *from, *to)?;
            let records = from_journal(&lines, *server_id, &zone);
            let count = write_records(&request.database, records)?;
            answers.send(&Answer::Recorded { count, through })
        }
    }
}

/// Runs the statements of a script, for the demo.
///
/// # Errors
/// The database refuses one; those before it stay done.
pub fn run_script(database: &Database, sql: &str) -> Result<(), Failure> {
    match database.driver {
        Driver::Mysql => self::mysql::Session::open(database, sql).map(drop),
        Driver::Sqlite => sqlite::Session::open(database, false)?.run_all(sql),
    }
}

fn read_request(stdin: &mut dyn BufRead) -> Result<Request, Failure> {
    let mut line = String::new();
    let unreadable = |why: String| {
        let hint = "`schedule exchange` is started by the daemon, not by hand";
        Failure::new(ErrorKind::Other, format!("request not understood ({why}): {hint}"))
    };
    stdin.read_line(&mut line).map_err(|err| unreadable(err.to_string()))?;
    serde_json::from_str(&line).map_err(|err| unreadable(err.to_string()))
}

/// Bytes of the journal that are carried in one exchange: some 10,000 runs.
const RECORD_BYTES: usize = 4 << 20;

fn journal_lines(dir: &str, from: u64, to: u64) -> Result<(Vec<u8>, u64), Failure> {
    read_range(Path::new(dir), from, to, RECORD_BYTES).map_err(|err| {
        let hint = "the daemon's user must be able to read it";
        Failure::new(ErrorKind::Other, format!("journal {dir}: {err}: {hint}"))
    })
}

fn written_zone(name: &str) -> Result<Zone, Failure> {
    if name.is_empty() {
        return Ok(system_zone());
    }
    zone(name).map_err(|err| Failure::new(ErrorKind::Other, err.to_string()))
}

fn sync(database: &Database, group: &Group, answers: &mut Answers) -> Result<(), Failure> {
    match database.driver {
        Driver::Mysql => self::mysql::sync(database, group, answers),
        Driver::Sqlite => sqlite::sync(database, group, answers),
    }
}

/// Writes records in one transaction, idempotent by their keys. Returns how many there were.
///
/// # Errors
/// The database can't be reached, or refuses: then none is written.
pub fn write_records(database: &Database, records: Vec<Record>) -> Result<u64, Failure> {
    let batch = Batch::new(records);
    if batch.count > 0 {
        match database.driver {
            Driver::Mysql => self::mysql::record(database, &batch),
            Driver::Sqlite => sqlite::record(database, &batch),
        }?;
    }
    Ok(batch.count)
}
