//! `schedule import crontab`: the lines of a crontab become jobs.

use super::apply::text_of;
use super::control::api::{ApiArgs, Daemon, Failed, ended};
use super::paint;
use super::plan::{self, Consent};
use crate::core::crontab::{Crontab, CrontabJob, Form, read};
use crate::core::export::VERSION;
use crate::core::plain;
use clap::Subcommand;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::process::ExitCode;

/// The command.
const VERB: &str = "import crontab";

const EXAMPLES: &str = "\
Examples:
  crontab -l | schedule import crontab - --dry-run
  schedule import crontab /etc/cron.d/php --system --disabled

Settings (NAME=value) go into the commands below them, CRON_TZ is the zone, what follows a % is
piped into the command, and comments right above a line describe its job. What can't be said is told
on stderr, line by line; where a line is refused nothing is made. Both run the jobs while the lines
are in the crontab: make them by --disabled, take the lines out, and enable the jobs.

Exit status: 0 each line is a job, 1 some are refused, 2 wrong arguments, or no such file, 3 no
daemon answers, 4 not permitted.";

/// Arguments of `schedule import`.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    /// From what
    #[command(subcommand)]
    pub from: From,
}

/// What can be read.
#[derive(Clone, Debug, Subcommand)]
pub enum From {
    /// Make a job of each line of a crontab
    Crontab(CrontabArgs),
}

/// Arguments of `schedule import crontab`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CrontabArgs {
    /// The crontab; - is stdin
    #[arg(value_name = "FILE|-")]
    pub file: String,
    /// A user stands before each command: /etc/crontab, /etc/cron.d/*
    #[arg(long)]
    pub system: bool,
    /// Don't put the jobs in force: enable them when cron doesn't run them any more
    #[arg(long)]
    pub disabled: bool,
    /// Show the jobs, and make none; no daemon is asked
    #[arg(long)]
    pub dry_run: bool,
    /// Don't ask; without a terminal nothing is made without this
    #[arg(short, long)]
    pub yes: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// Runs the subcommand.
pub fn run(args: &ImportArgs) -> ExitCode {
    let From::Crontab(args) = &args.from;
    ended(VERB, crontab(args))
}

fn crontab(args: &CrontabArgs) -> Result<ExitCode, Failed> {
    let text = text_of(&args.file)?;
    let crontab = read(&text, if args.system { Form::System } else { Form::User });
    for remark in &crontab.remarks {
        eprintln!("{}: {remark}", plain::line(&args.file));
    }
    if args.dry_run {
        paint::print(told(&crontab, args.disabled).as_bytes())?;
        return Ok(u8::from(crontab.has_refused()).into());
    }
    if crontab.has_refused() {
        let why = "nothing was made: correct the lines that are refused, or take them out";
        return Err(Failed::new(why));
    }
    if crontab.jobs.is_empty() {
        return Err(Failed::new("nothing was made: there is no line that is a job"));
    }
    let file = file_of(&crontab, args.disabled);
    let daemon = Daemon::find(VERB, &args.daemon)?;
    let consent = if args.yes { Consent::Given } else { Consent::Asked };
    let wanted = plan::Wanted { verb: VERB, file: &file, query: "", json: false };
    plan::carry_out(&daemon, &wanted, consent)
}

/// What `schedule apply` takes: the jobs, each a new one.
fn file_of(crontab: &Crontab, disabled: bool) -> String {
    let job = |job: &CrontabJob| {
        let CrontabJob { name, command, cron, timezone, description, .. } = job;
        let columns = [
            ("name", name),
            ("command", command),
            ("cron", cron),
            ("timezone", timezone),
            ("description", description),
        ];
        let said = columns.into_iter().filter(|(_, text)| !text.is_empty());
        let said = said.map(|(column, text)| (column.to_owned(), Value::from(text.as_str())));
        said.chain(disabled.then(|| ("enabled".to_owned(), false.into()))).collect()
    };
    let jobs: Vec<Map<String, Value>> = crontab.jobs.iter().map(job).collect();
    json!({ "format": VERSION, "jobs": jobs }).to_string()
}

/// Each job with the columns that its row would have, as the plan shows it that is carried out.
fn told(crontab: &Crontab, disabled: bool) -> String {
    let mut text = String::new();
    for job in &crontab.jobs {
        let CrontabJob { line, name, command, cron, timezone, description, .. } = job;
        let columns = [
            ("command", &**command),
            ("cron", cron),
            ("description", description),
            ("enabled", if disabled { "false" } else { "" }),
            ("timezone", timezone),
        ];
        let columns = columns.into_iter().filter(|(_, value)| !value.is_empty());
        let width = columns.clone().map(|(column, _)| column.len()).max().unwrap_or_default();
        // A String takes every write.
        let _ = writeln!(text, "+ job ({}), line {line}", plain::line(name));
        for (column, value) in columns {
            let value = plain::without_marks(value);
            let _ = writeln!(text, "    {column:<width$}  {value}");
        }
    }
    let jobs = plain::counted(crontab.jobs.len() as u64, "job");
    let refused = crontab.refused().count() as u64;
    let _ = writeln!(text, "{jobs}, {} refused", plain::counted(refused, "line"));
    text
}
