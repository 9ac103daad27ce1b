//! The helper's side of questions to the database, and the schema.
//!
//! `schedule exchange` is a process of its own that reads a [`Request`], does it, writes [`Answer`]
//! lines and reads the next; whatever goes wrong with a database goes wrong here and not in the
//! daemon. The drivers are named in [`mysql`] and [`sqlite`] only; what they share is beside them:
//! [`rows`] judges what was read, [`edit`] changes a job, [`records`] prepares what is written,
//! [`carry`] has it written, [`schema`] makes tables.

mod acts;
mod answers;
mod carry;
mod desk;
mod edit;
mod last;
pub mod migrate;
mod mysql;
mod past;
mod purge;
mod reader;
mod records;
mod rows;
mod schema;
mod sqlite;
mod statistics;
mod timeline;
mod why;
mod writer;

use self::mysql::Kept;
pub use self::mysql::told_to_change;
use self::mysql::told_to_edit;
use crate::core::cron::{Zone, zone};
use crate::core::database::{Database, ErrorKind};
use crate::core::limits::{MAX_MESSAGE_CHARS, cut};
use crate::core::protocol::{Answer, Ask, Request, Statement};
use crate::shell::helper::end_with_daemon;
use crate::shell::output::Tender;
use crate::shell::panics::caught;
use crate::shell::system_zone::system_zone;
use answers::Answers;
pub use carry::read_set_aside;
use carry::{Carried, Range};
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
pub use writer::write_records;

/// Why an exchange or a change of the schema failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What is wrong, where, and what to do: one line.
    pub message: String,
    /// The statement that is refused, where it is one that writes records.
    pub statement: Option<Statement>,
}

impl Failure {
    /// Its message is made one line, cut where it is very long.
    pub fn new(kind: ErrorKind, message: impl AsRef<str>) -> Self {
        // What a server says may quote what was written, of any length.
        let message = cut(message.as_ref(), MAX_MESSAGE_CHARS);
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { kind, message, statement: None }
    }

    /// The same, of this statement. What is refused is known by it: others may be taken.
    fn of(mut self, statement: Statement) -> Self {
        if matches!(self.kind, ErrorKind::Refused | ErrorKind::Unsure) {
            self.message = format!("{}: {}", statement.label(), self.message);
        }
        self.statement = Some(statement);
        self
    }

    /// The same of what came before there was a session: no record is to blame for that.
    fn of_no_record(mut self) -> Self {
        if matches!(self.kind, ErrorKind::Refused | ErrorKind::Unsure) {
            self.kind = ErrorKind::Other;
        }
        self
    }

    /// What is missing is named by a trigger, a view or a routine of the operator's.
    fn not_ours(place: &str, said: &str) -> Self {
        let hint = "that is not one of this program's, so a trigger, view or routine of yours is \
                    to be corrected";
        Self::new(ErrorKind::Unsure, format!("{place} says: {said}: {hint}"))
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
    if !end_with_daemon() {
        return ExitCode::FAILURE;
    }
    serve(io::stdin().lock(), io::stdout().lock())
}

/// Reads requests, does each, writes its answer.
///
/// Exit status 0 says that there are no more. With 1 the last line is an [`Answer::Error`], as far
/// as it could still be written: of a driver that failed nobody knows how it is.
pub fn serve(mut stdin: impl BufRead, mut stdout: impl Write) -> ExitCode {
    let (mut kept, mut tender) = (Kept::nothing(), Tender::default());
    loop {
        let mut answers = Answers::new(&mut stdout);
        let done = caught(|| match read_request(&mut stdin)? {
            None => Ok(false),
            Some(request) => {
                answers.begin(request.id)?;
                perform(&request, (&mut kept, &mut tender), &mut answers)?;
                answers.finish(request.id).map(|()| true)
            }
        });
        match done.unwrap_or_else(|panic| Err(Failure::new(ErrorKind::Other, panic.told()))) {
            Ok(true) => {}
            Ok(false) => return ExitCode::SUCCESS,
            Err(failure) => {
                answers.fail(failure);
                return ExitCode::FAILURE;
            }
        }
    }
}

fn perform(
    request: &Request,
    (kept, tender): (&mut Kept, &mut Tender),
    answers: &mut Answers,
) -> Result<(), Failure> {
    match &request.ask {
        Ask::Sync { server_id, vars_server, digest, snapshot, last_runs } => {
            answers.tee(snapshot);
            let group = Group { server_id: *server_id, vars_server: *vars_server, digest };
            sync(kept, &request.database, &group, answers)?;
            match last_runs {
                true => last::runs(kept, &request.database, *server_id, answers),
                false => Ok(()),
            }
        }
        Ask::Record { .. } => record(request, kept, answers),
        Ask::Change(ask) => edit::edit(kept, &request.database, ask, answers),
        Ask::Runs(ask) => past::read(kept, &request.database, ask, answers),
        Ask::Acts(ask) => acts::read(kept, &request.database, ask, answers),
        Ask::Why(ask) => why::read(kept, &request.database, ask, answers),
        Ask::Statistics(ask) => statistics::read(kept, &request.database, ask, answers),
        Ask::Timeline(ask) => {
            let zone = written_zone(&ask.timezone)?;
            timeline::read(kept, &request.database, (ask, &zone), answers)
        }
        Ask::RollUp { server_id, today, afresh } => {
            let piece = (*server_id, today.as_str(), *afresh);
            statistics::roll_up(kept, &request.database, piece, answers)
        }
        Ask::Purge { server_id, before, keep_s, now_s, sure, limit } => {
            let (server_id, limit) = (*server_id, *limit);
            let (keep_s, now_s, sure) = (*keep_s, *now_s, *sure);
            let piece = purge::Piece { server_id, before, keep_s, now_s, sure, limit };
            purge::purge(kept, &request.database, &piece, answers)
        }
        Ask::Outputs(ask) => answers.send(&Answer::Tended(tender.tend(ask))),
    }
}

/// Carries records, and tells what became of them.
fn record(request: &Request, kept: &mut Kept, answers: &mut Answers) -> Result<(), Failure> {
    let Ask::Record {
        journal,
        from,
        to,
        server_id,
        timezone,
        refused,
        retry,
        believe,
        pace,
        taken,
        aside,
        homes,
    } = &request.ask
    else {
        return Ok(());
    };
    let carried = carry::carry(
        kept,
        &request.database,
        &Range {
            journal: Path::new(journal),
            from: *from,
            to: *to,
            server_id: *server_id,
            zone: written_zone(timezone)?,
            refused: Path::new(refused),
            retry: *retry,
            believe: *believe,
            pace: *pace,
            taken,
            known: aside,
            homes,
        },
        // Whether anybody hears it, the end of the answer tells.
        &mut || drop(answers.works()),
    )?;
    for told in carried.told.into_iter().take(MAX_TOLD) {
        answers.send(&Answer::Refused(told))?;
    }
    let Carried { count, through, aside, unkept, pace, again, taken, found, .. } = carried;
    let found = Some(found);
    let recorded = Answer::Recorded { count, through, aside, unkept, pace, again, taken, found };
    answers.send(&recorded)
}

/// Refused records that the daemon is told of one by one.
const MAX_TOLD: usize = 20;

/// Runs the statements of a script, for the demo.
///
/// # Errors
/// The database refuses one; those before it stay done.
pub fn run_script(database: &Database, sql: &str) -> Result<(), Failure> {
    match database {
        Database::Mysql(it) => self::mysql::Session::open(it, sql).map(drop),
        Database::Sqlite(it) => sqlite::Session::open(it, false)?.run_all(sql),
    }
}

/// The next question; none: there are no more.
fn read_request(stdin: &mut dyn BufRead) -> Result<Option<Request>, Failure> {
    let mut line = String::new();
    let unreadable = |why: String| {
        let hint = "`schedule exchange` is started by the daemon, not by hand";
        Failure::new(ErrorKind::Other, format!("request not understood ({why}): {hint}"))
    };
    if stdin.read_line(&mut line).map_err(|err| unreadable(err.to_string()))? == 0 {
        return Ok(None);
    }
    serde_json::from_str(&line).map(Some).map_err(|err| unreadable(err.to_string()))
}

fn written_zone(name: &str) -> Result<Zone, Failure> {
    if name.is_empty() {
        return Ok(system_zone().0);
    }
    zone(name).map_err(|err| Failure::new(ErrorKind::Other, err.to_string()))
}

fn sync(
    kept: &mut Kept,
    database: &Database,
    group: &Group,
    answers: &mut Answers,
) -> Result<(), Failure> {
    match database {
        Database::Mysql(it) => self::mysql::sync(kept, it, group, answers),
        // To open its file costs nothing, and it may be another one by then.
        Database::Sqlite(it) => sqlite::sync(it, group, answers),
    }
}

/// Whether the records of runs could be written.
///
/// # Errors
/// They could not: above all for a right that is missing.
pub fn may_write(database: &Database) -> Result<(), Failure> {
    match database {
        Database::Mysql(it) => self::mysql::may_write(it),
        // Rights are those to its file.
        Database::Sqlite(_) => Ok(()),
    }
}
