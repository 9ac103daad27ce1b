//! `schedule import crontab`: what the lines of a crontab would be as jobs.

use super::BAD_CONFIGURATION;
use super::control::api::{Failed, ended};
use super::paint;
use crate::core::crontab::{Crontab, CrontabJob, Form, read};
use crate::core::plain;
use clap::Subcommand;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

/// Bytes of a crontab at the most.
const MAX_BYTES: u64 = 16 << 20;

const EXAMPLES: &str = "\
Examples:
  crontab -l | schedule import crontab - --dry-run
  schedule import crontab /etc/cron.d/php --system --dry-run

Settings (NAME=value) go into the commands below them, CRON_TZ is the zone, what follows a % is
piped into the command, and comments right above a line describe its job. What can't be said is told
on stderr, line by line.

Exit status: 0 each line is a job, 1 some are refused, 2 wrong arguments, or no such file.";

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
    /// Show what the lines of a crontab would be as jobs
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
    /// Show the jobs, and make none: so far that is all that can be done
    #[arg(long, required = true)]
    pub dry_run: bool,
}

/// Runs the subcommand.
pub fn run(args: &ImportArgs) -> ExitCode {
    let From::Crontab(args) = &args.from;
    ended("import crontab", crontab(args))
}

fn crontab(args: &CrontabArgs) -> Result<ExitCode, Failed> {
    let text = text_of(&args.file)?;
    let crontab = read(&text, if args.system { Form::System } else { Form::User });
    for remark in &crontab.remarks {
        eprintln!("{}: {remark}", plain::line(&args.file));
    }
    paint::print(told(&crontab).as_bytes())?;
    Ok(u8::from(crontab.has_refused()).into())
}

fn text_of(file: &str) -> Result<String, Failed> {
    let failed = |why: String| Failed::with(BAD_CONFIGURATION, format!("{file}: {why}"));
    let mut bytes = Vec::new();
    let read = match file {
        "-" => io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes),
        file => File::open(file).and_then(|it| it.take(MAX_BYTES + 1).read_to_end(&mut bytes)),
    };
    read.map_err(|why| failed(why.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed("it is longer than 16 MB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))
}

/// Each job with the columns that its row would have.
fn told(crontab: &Crontab) -> String {
    let mut text = String::new();
    for job in &crontab.jobs {
        let CrontabJob { line, name, command, cron, timezone, description, .. } = job;
        let columns = [
            ("cron", cron),
            ("timezone", timezone),
            ("command", command),
            ("description", description),
        ];
        // A String takes every write.
        let _ = writeln!(text, "+ {} (line {line})", plain::line(name));
        for (column, value) in columns.into_iter().filter(|(_, value)| !value.is_empty()) {
            let value = plain::without_controls(value.clone());
            let _ = writeln!(text, "    {column:<11}  {value}");
        }
    }
    let jobs = plain::counted(crontab.jobs.len() as u64, "job");
    let refused = crontab.refused().count() as u64;
    let _ = writeln!(text, "{jobs}, {} refused", plain::counted(refused, "line"));
    text
}
