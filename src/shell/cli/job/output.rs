//! `schedule job output`.

use super::followed::{Followed, Printer, end_of};
use super::named::{self, Named};
use super::patient::Patient;
use crate::core::ids::JobId;
use crate::shell::cli::control::api::{ApiArgs, Daemon, Failed};
use crate::shell::cli::number::number;
use clap::builder::NonEmptyStringValueParser;
use serde::Deserialize;
use std::process::ExitCode;
use std::time::Duration;

/// Nothing else is to be done meanwhile.
const PIECE_PATIENCE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  schedule job output 7                                  # the job's file, else its newest run's
  schedule job output 1-0u93ojk0c8w1ma5kz2 --stderr
  schedule job output backup -f -n 10                    # and what comes, until Ctrl-C

An answer has at most the last megabyte of a file.";

/// Arguments of `schedule job output`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct OutputArgs {
    /// The job (its id or its exact name), or the run
    #[arg(value_name = "JOB|RUN", value_parser = NonEmptyStringValueParser::new())]
    pub what: String,
    /// Go on with what is written, until you leave
    #[arg(short, long)]
    pub follow: bool,
    /// What was written to stderr instead
    #[arg(long)]
    pub stderr: bool,
    /// How many lines
    #[arg(short, value_name = "LINES", default_value_t = 100,
          value_parser = number(1..=100_000))]
    pub n: u32,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// A run, as the API tells of it.
#[derive(Debug, Deserialize)]
struct Run {
    job_id: JobId,
}

/// The rest of the query, for a run. More outputs are kept than the daemon remembers runs: the
/// history knows the job of an older one.
fn of_job(daemon: &Daemon, what: Named) -> Result<String, Failed> {
    if !matches!(what, Named::Run(_)) {
        return Ok(String::new());
    }
    let Run { job_id } = daemon.json(&what.path())?;
    Ok(format!("&job={job_id}"))
}

pub(super) fn output(args: &OutputArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("job output", &args.daemon)?;
    let what = named::job_or_run(&daemon, &args.what)?;
    let stream = if args.stderr { "stderr" } else { "stdout" };
    let of_job = of_job(&daemon, what)?;
    let path_of = |stream| format!("{}/output?stream={stream}{of_job}", what.path());
    let path = path_of(stream);
    if !args.follow {
        let text = daemon.get(&format!("{path}&tail={}", args.n))?;
        Printer::Out.print(&text)?;
        let errors = || end_of(&daemon, &path_of("stderr"));
        if text.is_empty() && !args.stderr && errors().is_ok_and(|end| end > 0) {
            eprintln!("schedule job output: nothing on stdout: see --stderr");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut daemon = Patient::new("job output", &args.daemon, daemon);
    let mut followed = Followed::tail(path, Printer::Out, args.n);
    while !followed.is_unread() {
        followed.step(&mut daemon, PIECE_PATIENCE)?;
    }
    Ok(ExitCode::SUCCESS)
}
