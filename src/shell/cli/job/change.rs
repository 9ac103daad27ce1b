//! `schedule job add|edit|enable|disable|delete`: the rows of jobs are changed. Each is in force
//! when the command ends.

use super::columns::Columns;
use super::named;
use crate::core::plain;
use crate::shell::cli::control::api::{ApiArgs, Daemon, Failed, NO_DAEMON, Question, parsed};
use crate::shell::cli::paint;
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

const ADDED: &str = "\
Examples:
  schedule job add --name backup --command '/opt/backup --all' --cron '30 3 * * MON-FRI'
  schedule job add --disabled --name try --command true --cron @daily --timezone Asia/Shanghai

All mistakes are told at once, one a line. Warnings tell what is hardly meant.";

const EDITED: &str = "\
Examples:
  schedule job edit backup --cron '0 4 * * *'
  schedule job edit 7 --description '' --if-version 9c1f03b2a4d5e677

Columns that are not named stay as they are. An empty text is the default of a column of text.";

/// Arguments of `schedule job add`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = ADDED)]
pub struct AddArgs {
    /// What its row says; the rest is as by default
    #[command(flatten)]
    pub columns: Columns,
    /// Don't put it in force
    #[arg(long)]
    pub disabled: bool,
    /// Print the daemon's answer as it is: the job
    #[arg(long)]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// A job that is changed.
#[derive(Clone, Debug, clap::Args)]
pub struct ChangeArgs {
    /// The job: its id or its exact name
    #[arg(value_name = "JOB", value_parser = NonEmptyStringValueParser::new())]
    pub job: String,
    /// Only if its row is what you have seen: `version` of `schedule job show JOB --json`
    #[arg(long, value_name = "VERSION")]
    pub if_version: Option<String>,
    /// Print the daemon's answer as it is: the job
    #[arg(long)]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// Arguments of `schedule job edit`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EDITED)]
pub struct EditArgs {
    /// Which
    #[command(flatten)]
    pub of: ChangeArgs,
    /// What is to be otherwise
    #[command(flatten)]
    pub columns: Columns,
}

/// Arguments of `schedule job delete`.
#[derive(Clone, Debug, clap::Args)]
pub struct DeleteArgs {
    /// The job: its id or its exact name. Its live runs end in peace
    #[arg(value_name = "JOB", value_parser = NonEmptyStringValueParser::new())]
    pub job: String,
    /// Only if its row is what you have seen: `version` of `schedule job show JOB --json`
    #[arg(long, value_name = "VERSION")]
    pub if_version: Option<String>,
    /// Don't ask; without a terminal nobody is asked
    #[arg(short, long)]
    pub yes: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

pub(super) fn add(args: &AddArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("job add", &args.daemon)?;
    let mut columns = args.columns.0.clone();
    if args.disabled {
        columns.insert("enabled".into(), false.into());
    }
    let body = Value::Object(columns).to_string();
    // Sent again with the same key it makes no second job.
    let key = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    let question = || {
        let question = Question::post("/api/v1/jobs").json(&body);
        match key.trim() {
            "" => question,
            key => question.header("Idempotency-Key", key),
        }
    };
    let first = done("job add", daemon.ok(question()));
    let lost = |failed: &Failed| failed.code == NO_DAEMON && failed.status.is_none();
    let body = match first {
        Err(failed) if lost(&failed) && !key.is_empty() => done("job add", daemon.ok(question()))?,
        first => first?,
    };
    told("job add", body, args.json, |job| format!("job {job} was made"))
}

pub(super) fn edit(args: &EditArgs) -> Result<ExitCode, Failed> {
    let EditArgs { of: args, columns } = args;
    let daemon = Daemon::find("job edit", &args.daemon)?;
    let job = named::job(&daemon, &args.job)?;
    let body = Value::Object(columns.0.clone()).to_string();
    let question = Question::patch(&format!("/api/v1/jobs/{job}")).json(&body);
    let body = done("job edit", daemon.ok(expecting(question, args.if_version.as_deref())))?;
    told("job edit", body, args.json, |job| format!("job {job} is as you want it"))
}

pub(super) fn switch(args: &ChangeArgs, enabled: bool) -> Result<ExitCode, Failed> {
    let (verb, end) = match enabled {
        true => ("job enable", "enable"),
        false => ("job disable", "disable"),
    };
    let daemon = Daemon::find(verb, &args.daemon)?;
    let job = named::job(&daemon, &args.job)?;
    let question = Question::post(&format!("/api/v1/jobs/{job}/{end}"));
    let body = done(verb, daemon.ok(expecting(question, args.if_version.as_deref())))?;
    told(verb, body, args.json, |job| format!("job {job} is {end}d"))
}

pub(super) fn delete(args: &DeleteArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("job delete", &args.daemon)?;
    let job = named::job(&daemon, &args.job)?;
    if !args.yes && io::stdin().is_terminal() {
        let name = daemon.json::<Value>(&format!("/api/v1/jobs/{job}"))?["name"].clone();
        let name = plain::line(name.as_str().unwrap_or_default());
        if !agreed(&format!("delete job {job} ({name})?"))? {
            return Err(Failed::new("nothing was deleted"));
        }
    }
    let question = Question::delete(&format!("/api/v1/jobs/{job}"));
    done("job delete", daemon.ok(expecting(question, args.if_version.as_deref())))?;
    paint::print(format!("job {job} was deleted\n").as_bytes())
}

/// Asks who sits there.
fn agreed(what: &str) -> Result<bool, Failed> {
    eprint!("{what} [y/N] ");
    let _ = io::stderr().flush(); // it is shown, or nobody is there
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|why| Failed::new(why.to_string()))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// A question about a row as it was seen (RFC 9110 §13.1.1).
fn expecting(question: Question, version: Option<&str>) -> Question {
    match version {
        Some(version) => question.header("If-Match", &format!("\"{version}\"")),
        None => question,
    }
}

/// The answer to a change that was made. One that is in the database, and in force later, is made
/// as well.
fn done(
    verb: &str,
    answered: Result<crate::shell::cli::control::api::Reply, Failed>,
) -> Result<Vec<u8>, Failed> {
    match answered {
        Ok(reply) => Ok(reply.body),
        Err(Failed { status: Some(202), why, .. }) => {
            eprintln!("schedule {verb}: {}", plain::line(&why));
            Ok(Vec::new())
        }
        Err(failed) => Err(failed),
    }
}

/// Prints what was done, and what of it is hardly meant.
fn told(
    verb: &str,
    body: Vec<u8>,
    json: bool,
    words: impl Fn(&str) -> String,
) -> Result<ExitCode, Failed> {
    if body.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let job: Value = parsed(&body)?;
    for warning in job["warnings"].as_array().into_iter().flatten() {
        let text = |field: &str| warning[field].as_str().unwrap_or_default().to_owned();
        let line = format!("warning: {}: {}", text("column"), text("why"));
        eprintln!("schedule {verb}: {}", plain::line(&line));
    }
    if json {
        return paint::print(&body);
    }
    let name = plain::line(job["name"].as_str().unwrap_or_default());
    paint::print(format!("{}\n", words(&format!("{} ({name})", job["id"]))).as_bytes())
}
