//! `schedule job stop`.

use super::named;
use crate::core::plain;
use crate::shell::cli::control::api::{ApiArgs, Daemon, Failed, Question, parsed};
use crate::shell::cli::paint;
use clap::builder::NonEmptyStringValueParser;
use serde::Deserialize;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  schedule job stop 7                        # all of its runs
  schedule job stop 1-0u93ojk0c8w1ma5kz2     # this one

Each process of a run gets TERM now, and KILL after `stop_grace` seconds of the configuration.";

/// Arguments of `schedule job stop`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct StopArgs {
    /// The job (its id or its exact name), or the run
    #[arg(value_name = "JOB|RUN", value_parser = NonEmptyStringValueParser::new())]
    pub what: String,
    /// Print the daemon's answer as it is
    #[arg(long)]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// What became of it.
#[derive(Debug, Deserialize)]
struct Stopped {
    job_id: u32,
    runs: Vec<Run>,
}

#[derive(Debug, Deserialize)]
struct Run {
    run_id: String,
    did: String,
    reason: Option<String>,
}

pub(super) fn stop(args: &StopArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("job stop", &args.daemon)?;
    let what = named::job_or_run(&daemon, &args.what)?;
    let body = daemon.ok(Question::post(&format!("{}/stop", what.path())))?.body;
    if args.json {
        return paint::print(&body);
    }
    paint::print(told(&parsed(&body)?).as_bytes())
}

fn told(stopped: &Stopped) -> String {
    let job = stopped.job_id;
    let line = |run: &Run| {
        let Run { run_id, did, reason } = run;
        let did = match &**did {
            "terminated" => "was told to end",
            "cancelled" => "had no process yet and gets none",
            "already_stopping" => "was told to end before",
            "delayed" => "is told to end as soon as that can be done",
            "refused" => "goes on",
            "gone" => "has ended",
            other => other,
        };
        let reason = reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
        plain::line(&format!("run {run_id} of job {job} {did}{reason}")) + "\n"
    };
    stopped.runs.iter().map(line).collect()
}
