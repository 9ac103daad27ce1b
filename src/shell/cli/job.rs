//! `schedule job`: the jobs of a running daemon, from a terminal. One file for each group of verbs.

mod back;
mod change;
mod columns;
mod draining;
mod events;
mod followed;
mod list;
pub(super) mod named;
mod output;
mod patient;
mod preview;
mod runs;
mod show;
mod start;
mod stop;
mod waited;
mod why;

use super::control::api::{self, ApiArgs};
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  schedule job list                              # every job that is in force
  schedule job list --state fatal backup         # those whose last run could not be started
  schedule job show 7
  schedule job start 'nightly backup' --follow   # its output, and its exit status
  schedule job runs 7 -n 5
  schedule job output 7 -f
  schedule job stop 7
  schedule job why 7 --at '2026-11-22 03:00'     # in the job's zone
  schedule job add --name backup --command '/opt/backup --all' --cron '30 3 * * *'
  schedule job edit backup --cron '0 4 * * *' --dry-run
  schedule job disable backup
  schedule job delete backup                     # asks first; --yes is the answer

JOB is a job's id or its exact name. Of several jobs with one name the id tells which is meant.

Exit status: 0 done, 1 refused, 2 wrong arguments, 3 no daemon answers, 4 not permitted.
`start --wait` and `start --follow` end with the exit status of the run, 128 + N where signal N
ended it.";

/// Arguments of `schedule job`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct JobArgs {
    /// What to do
    #[command(subcommand)]
    pub what: Verb,
}

/// What can be done.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// List jobs, as `curl HOST:PORT/` does
    List(list::ListArgs),
    /// Show everything about a job
    Show(OneArgs),
    /// Start a job once, now
    Start(start::StartArgs),
    /// Stop all runs of a job, or one run
    Stop(stop::StopArgs),
    /// Show the runs of a job, the newest first
    Runs(runs::RunsArgs),
    /// Print what a job, or a run, has written
    Output(output::OutputArgs),
    /// Say why a job ran, or did not, at an instant of the past or the future
    Why(why::WhyArgs),
    /// Make a job
    Add(change::AddArgs),
    /// Change columns of a job's row
    Edit(change::EditArgs),
    /// Put a job in force
    Enable(change::ChangeArgs),
    /// Take a job out of force; its live runs go on, and its row stays
    Disable(change::ChangeArgs),
    /// Delete a job's row
    Delete(change::DeleteArgs),
}

/// A job.
#[derive(Clone, Debug, clap::Args)]
pub struct OneArgs {
    /// The job: its id or its exact name
    #[arg(value_name = "JOB", value_parser = NonEmptyStringValueParser::new())]
    pub job: String,
    /// Print the daemon's answer as it is
    #[arg(long)]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// Runs the subcommand.
pub fn run(args: &JobArgs) -> ExitCode {
    match &args.what {
        Verb::List(args) => api::ended("job list", list::list(args)),
        Verb::Show(args) => api::ended("job show", show::show(args)),
        Verb::Start(args) => api::ended("job start", start::start(args)),
        Verb::Stop(args) => api::ended("job stop", stop::stop(args)),
        Verb::Runs(args) => api::ended("job runs", runs::runs(args)),
        Verb::Output(args) => api::ended("job output", output::output(args)),
        Verb::Why(args) => api::ended("job why", why::why(args)),
        Verb::Add(args) => api::ended("job add", change::add(args)),
        Verb::Edit(args) => api::ended("job edit", change::edit(args)),
        Verb::Enable(args) => api::ended("job enable", change::switch(args, true)),
        Verb::Disable(args) => api::ended("job disable", change::switch(args, false)),
        Verb::Delete(args) => api::ended("job delete", change::delete(args)),
    }
}
