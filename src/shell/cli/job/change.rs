//! `schedule job add|edit|enable|disable|delete`: the rows of jobs are changed. Each is in force
//! when the command ends, or it is told for which runs it waits; with `--dry-run` it is only told
//! what would come of it.

use super::back::Changes;
use super::columns::Columns;
use super::{draining, named, preview};
use crate::core::ids::JobId;
use crate::core::plain;
use crate::core::version::Version;
use crate::shell::cli::consent::agree;
use crate::shell::cli::control::api::{ApiArgs, Daemon, Failed, NO_DAEMON, Question, parsed};
use crate::shell::cli::{BAD_CONFIGURATION, paint};
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Map, Value};
use std::fs;
use std::process::ExitCode;

const ADDED: &str = "\
Examples:
  schedule job add --name backup --command '/opt/backup --all' --cron '30 3 * * MON-FRI'
  schedule job add --dry-run --name try --command true --cron '0 3 * * *'   # what would come of it
  schedule job add --disabled --name try --command true --cron @daily --timezone Asia/Shanghai

All mistakes are told at once, one a line. Warnings tell what is probably a mistake.";

const EDITED: &str = "\
Examples:
  schedule job edit backup --cron '0 4 * * *'
  schedule job edit backup --cron '0 4 * * *' --dry-run        # what would come of it
  schedule job edit 7 --description '' --if-version 9c1f03b2a4d5e677
  schedule job edit 7 --back-to 9c1f03b2a4d5e677               # as it was at that version

Columns that are not named stay as they are. An empty text is the default of a column of text.";

/// Arguments of `schedule job add`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = ADDED)]
pub struct AddArgs {
    /// What its row says; the rest is the default
    #[command(flatten)]
    pub columns: Columns,
    /// Don't put it in force
    #[arg(long)]
    pub disabled: bool,
    /// Change nothing: print what would come of it
    #[arg(long)]
    pub dry_run: bool,
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
    /// As its row was at this version, which the daemon's record of changes has
    /// (`/api/v1/audit?job=ID`); prints the difference
    #[arg(long, value_name = "VERSION", group = "columns")]
    pub back_to: Option<Version>,
    /// Change nothing: print what would come of it
    #[arg(long)]
    pub dry_run: bool,
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
    /// Don't ask; without a terminal nothing is deleted without this
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
    if args.dry_run {
        let name = columns.get("name").and_then(Value::as_str).unwrap_or_default();
        return planned(&preview::ask(&daemon, &columns, None)?, name, args.json);
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
    let EditArgs { of: args, columns, back_to, dry_run } = args;
    let daemon = Daemon::find("job edit", &args.daemon)?;
    let job = named::job(&daemon, &args.job)?;
    let mut wanted = Edit { columns: columns.0.clone(), version: args.if_version.clone() };
    if *dry_run || back_to.is_some() {
        let view: Value = daemon.json(&format!("/api/v1/jobs/{job}"))?;
        let body = match back_to {
            Some(version) => wanted.back_to(&daemon, (job, &view), *version)?,
            None => wanted.preview(&daemon, job)?,
        };
        if *dry_run || !args.json {
            let name = view["name"].as_str().unwrap_or_default();
            match dry_run {
                true => planned(&body, name, args.json)?,
                false => paint::print(
                    preview::difference(&parsed(&body)?, name, paint::in_colour()).as_bytes(),
                )?,
            };
        }
    }
    if *dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    let body = Value::Object(wanted.columns).to_string();
    let question = Question::patch(&format!("/api/v1/jobs/{job}")).json(&body);
    let body = done("job edit", daemon.ok(question.of_version(wanted.version.as_deref())))?;
    told("job edit", body, args.json, |job| format!("job {job} was changed"))
}

pub(super) fn switch(args: &ChangeArgs, enabled: bool) -> Result<ExitCode, Failed> {
    let (verb, end) = match enabled {
        true => ("job enable", "enable"),
        false => ("job disable", "disable"),
    };
    let daemon = Daemon::find(verb, &args.daemon)?;
    let job = named::job(&daemon, &args.job)?;
    let question = Question::post(&format!("/api/v1/jobs/{job}/{end}"));
    let body = done(verb, daemon.ok(question.of_version(args.if_version.as_deref())))?;
    told(verb, body, args.json, |job| format!("job {job} is {end}d"))
}

pub(super) fn delete(args: &DeleteArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("job delete", &args.daemon)?;
    let job = named::job(&daemon, &args.job)?;
    let shown = match daemon.json::<Value>(&format!("/api/v1/jobs/{job}")) {
        Ok(view) => {
            format!("job {job} ({})", plain::line(view["name"].as_str().unwrap_or_default()))
        }
        // There may be a row that the daemon has not read yet.
        Err(Failed { status: Some(404), .. }) => format!("job {job}"),
        Err(failed) => return Err(failed),
    };
    if !args.yes {
        agree(&format!("delete {shown}?"))?;
    }
    let question = Question::delete(&format!("/api/v1/jobs/{job}"));
    done("job delete", daemon.ok(question.of_version(args.if_version.as_deref())))?;
    paint::print(format!("{shown} was deleted\n").as_bytes())
}

/// What is to be changed.
struct Edit {
    columns: Map<String, Value>,
    /// What the row must be.
    version: Option<String>,
}

impl Edit {
    /// What it would come to, as the daemon says it.
    fn preview(&self, daemon: &Daemon, job: JobId) -> Result<Vec<u8>, Failed> {
        let mut columns = self.columns.clone();
        columns.insert("id".into(), job.0.into());
        preview::ask(daemon, &columns, self.version.as_deref())
    }

    /// The same once it is the change that makes the row be as it was at a version. Nobody may
    /// change the row meanwhile.
    fn back_to(
        &mut self,
        daemon: &Daemon,
        (job, view): (JobId, &Value),
        version: Version,
    ) -> Result<Vec<u8>, Failed> {
        if !self.columns.is_empty() {
            let why = "--back-to takes no columns besides: edit them afterwards";
            return Err(Failed::with(BAD_CONFIGURATION, why));
        }
        let present = view["version"].as_str().unwrap_or_default().to_owned();
        let (changes, version) = (Changes::of(daemon, job)?, version.to_string());
        let unknown = || changes.unknown(job, &version);
        self.columns = changes.back_to(&present, &version).ok_or_else(unknown)?;
        self.version.get_or_insert(present);
        let body = self.preview(daemon, job)?;
        match parsed::<Value>(&body)?["becomes"] == *version {
            true => Ok(body),
            false => Err(unknown()),
        }
    }
}

/// Prints what would come of a change.
fn planned(body: &[u8], name: &str, json: bool) -> Result<ExitCode, Failed> {
    if json {
        return paint::print(body);
    }
    let text = preview::told(&parsed(body)?, name, paint::in_colour());
    paint::print(text.as_bytes())
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

/// Prints what was done, and what of it is probably a mistake.
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
    let waits = draining::told(&job).map_or(String::new(), |what| format!(": {what}"));
    let line = words(&format!("{} ({name})", job["id"]));
    paint::print(format!("{line}{waits}\n").as_bytes())
}
