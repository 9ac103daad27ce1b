//! `schedule db init|migrate|status`.

use super::BAD_CONFIGURATION;
use crate::core::columns::Column;
use crate::core::config::Parsed;
use crate::core::database::{Database, ErrorKind};
use crate::core::plain;
use crate::shell::config_file;
use crate::shell::database::migrate::{self, Status};
use crate::shell::database::{Failure, told_to_change};
use crate::shell::own;
use crate::shell::owner::{self, Look};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `schedule db`.
#[derive(Args, Clone, Debug)]
pub struct DbArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DbCommand,
    /// Configuration [default: /etc/schedule/schedule.ini, then ./conf/schedule.ini; of a program
    /// that is not installed the reverse]
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// What `schedule db` can do.
#[derive(Subcommand, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DbCommand {
    /// Create the tables that are missing; existing ones are not touched
    Init,
    /// Add the optional columns and tables to a database, also to one of the original
    Migrate,
    /// Say what was applied, what is missing, and how many rows there are
    Status,
}

/// Does it and says so. Exit status 0: done, or nothing essential is missing; 1: not so;
/// 2: the configuration has errors.
pub fn run(args: &DbArgs) -> ExitCode {
    let database = match config_file::load(args.config.as_deref()) {
        Err(why) => return refuse(&why.to_string()),
        Ok(Parsed { config: Some(config), .. }) => config.database,
        Ok(Parsed { problems, .. }) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            return refuse("the configuration has errors");
        }
    };
    let writes = args.command != DbCommand::Status;
    let refusal = owner::refusal_of(database.file().into_iter(), Look::Directories);
    if let Some(why) = refusal.filter(|_| writes) {
        return refuse(&why);
    }
    let done = perform(args.command, &database);
    match done.map_err(|why| if writes { told_to_change(why) } else { why }) {
        Ok((text, complete)) => {
            print!("{text}");
            if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(failure) => {
            eprintln!("schedule db: {}", plain::line(&failure.message));
            ExitCode::FAILURE
        }
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("schedule db: {why}");
    BAD_CONFIGURATION.into()
}

/// Does it; the text to show, and whether nothing essential is missing afterwards.
///
/// # Errors
/// The database can't be reached, or refuses.
pub fn perform(command: DbCommand, database: &Database) -> Result<(String, bool), Failure> {
    let done = match command {
        DbCommand::Init => {
            make_directory(database)?;
            Some(("created", migrate::init(database)?))
        }
        DbCommand::Migrate => Some(("added", migrate::migrate(database)?)),
        DbCommand::Status => None,
    };
    let status = migrate::status(database)?;
    let mut text = match done {
        Some((verb, things)) => made(verb, &things, &status),
        None => shown(&status),
    };
    text += &advice(&status);
    Ok((text, status.missing.is_empty() && status.narrow.is_none()))
}

/// Makes the directory of an SQLite file.
fn make_directory(database: &Database) -> Result<(), Failure> {
    let dir = database.file().and_then(|path| Path::new(path).parent());
    let Some(dir) = dir else { return Ok(()) };
    own::make_dir(dir).map_err(|why| {
        let text =
            format!("can't make {}: {why}: make it, or correct path of [db1]", dir.display());
        Failure::new(ErrorKind::Connect, text)
    })
}

fn made(verb: &str, things: &[String], status: &Status) -> String {
    if things.is_empty() {
        // What is advised next must not contradict it.
        let what = if status.optional.is_empty() { "everything is" } else { "the tables are" };
        return format!("nothing to do: {what} there\n");
    }
    things.iter().map(|thing| format!("{verb} {thing}\n")).collect()
}

fn shown(status: &Status) -> String {
    let applied = status.applied.iter().map(|file| format!("applied  {file}\n"));
    let rows = status.rows.iter().map(|(table, count)| format!("rows     {table}: {count}\n"));
    let missing = status.missing.iter().map(|thing| format!("missing  {thing}\n"));
    let optional = status.optional.iter().map(|thing| format!("optional {thing}: not there\n"));
    let narrow = status.narrow.iter().map(|why| format!("narrow   {why}\n"));
    applied.chain(rows).chain(missing).chain(narrow).chain(optional).collect()
}

fn advice(status: &Status) -> String {
    if status.missing.iter().any(|thing| thing.starts_with("table")) {
        return "run `schedule db init` to create the missing tables\n".to_owned();
    }
    if !status.missing.is_empty() {
        let how = "add the missing columns with ALTER TABLE as 001_original.sql declares them";
        return format!("{how}\n");
    }
    if status.narrow.is_some() {
        return "run `schedule db migrate`: ids of runs would be cut\n".to_owned();
    }
    if !status.optional.is_empty() {
        let what = done_without(&status.optional);
        return format!("{what}; `schedule db migrate` adds what is missing\n");
    }
    String::new()
}

/// What a database does without, by what it lacks.
fn done_without(lacks: &[String]) -> String {
    let has = |text: &str| lacks.iter().any(|lack| lack.ends_with(text));
    let jobs = |name: &&&str| lacks.contains(&format!("column {name} of scheduler_jobs"));
    let names: Vec<&str> = Column::OPTIONAL.iter().filter(jobs).copied().collect();
    let mut what = Vec::new();
    if !names.is_empty() {
        what.push(format!("{} of jobs", names.join(", ")));
    }
    let history = |lack: &String| lack.starts_with("index ") || lack.starts_with("column kind ");
    let of_runs = |lack: &String| lack.ends_with(" of scheduler_logs") && !history(lack);
    if lacks.iter().any(of_runs) {
        what.push("outcomes of runs".to_owned());
    }
    if has("table scheduler_skips") {
        what.push("skipped slots".to_owned());
    }
    if has("table scheduler_audit") {
        what.push("who changed or did what".to_owned());
    }
    let mut text = match what.is_empty() {
        true => String::new(),
        false => format!("not kept: {}", what.join("; ")),
    };
    let slow = [
        ("pages of old runs", lacks.iter().any(history)),
        ("statistics", has("table scheduler_statistics")),
    ];
    let slow: Vec<&str> = slow.into_iter().filter(|(_, is)| *is).map(|(what, _)| what).collect();
    if !slow.is_empty() {
        text += if text.is_empty() { "slow: " } else { "; slow: " };
        text += &slow.join(", ");
    }
    text
}
