//! `schedule job start`.

use super::followed::{Followed, Printer, end_of};
use super::named;
use super::patient::Patient;
use super::runs::Run;
use super::waited::{Waited, status_of};
use crate::core::ids::JobId;
use crate::core::plain;
use crate::shell::cli::control::api::{ApiArgs, Daemon, Failed, Question, parsed};
use crate::shell::cli::paint;
use clap::builder::NonEmptyStringValueParser;
use serde::Deserialize;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

/// The longest wait for a piece of output: there are two files, and the run to look at.
const PIECE_PATIENCE: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  schedule job start 7
  schedule job start backup --wait && echo good
  schedule job start backup --follow > backup.log

The exit status of --wait and --follow is that of the run; 128 + N where signal N ended it; 1 with
the reason on stderr where the run could not be started, or nobody saw how it ended. Who leaves
(Ctrl-C) does not stop the run.";

/// Arguments of `schedule job start`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct StartArgs {
    /// The job: its id or its exact name
    #[arg(value_name = "JOB", value_parser = NonEmptyStringValueParser::new())]
    pub job: String,
    /// Why it is started: a line that is shown with the run
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Wait until the run has ended, and end with its exit status
    #[arg(long, conflicts_with = "follow")]
    pub wait: bool,
    /// The same, and print what the run writes meanwhile
    #[arg(long)]
    pub follow: bool,
    /// Print the daemon's answer as it is; with --wait the run, as /api/v1/jobs/ID/runs tells of it
    #[arg(long, conflicts_with = "follow")]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// What became of a start.
#[derive(Debug, Deserialize)]
struct Started {
    run_id: String,
    pid: Option<u32>,
    state: String,
    reason: Option<String>,
}

impl Started {
    fn told(&self, job: JobId) -> String {
        let Started { run_id, pid, state, reason } = self;
        let pid = pid.map_or(String::new(), |pid| format!(", pid {pid}"));
        let reason = reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
        plain::line(&format!("run {run_id} of job {job} is {state}{pid}{reason}"))
    }
}

pub(super) fn start(args: &StartArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("job start", &args.daemon)?;
    let job = named::job(&daemon, &args.job)?;
    let ends = if args.follow { ends_of(&daemon, job)? } else { Vec::new() };
    let path = format!("/api/v1/jobs/{job}/start");
    let question = match &args.note {
        None => Question::post(&path),
        Some(note) => Question::post(&path).json(&json!({ "note": note }).to_string()),
    };
    let body = daemon.ok(question)?.body;
    let started: Started = parsed(&body)?;
    let told = started.told(job);
    if !args.wait && !args.follow {
        let text = if args.json { body } else { format!("{told}\n").into_bytes() };
        return paint::print(&text);
    }
    let mut patient = Patient::new("job start", &args.daemon, daemon);
    patient.tell(&told);
    let files = ends.into_iter().map(|(stream, printer, end)| {
        let path = format!("/api/v1/runs/{}/output?stream={stream}", started.run_id);
        Followed::from(path, printer, end)
    });
    let files = files.collect();
    let view = wait(&mut patient, Waited::new(job, started.run_id), files)?;
    if args.json {
        paint::print(format!("{view}\n").as_bytes())?;
    }
    let run: Run = parsed(view.to_string().as_bytes())?;
    patient.tell(&format!("run {}: {}", run.run_id, run.told()));
    status_of(&run)
}

/// Waits until a run has ended, and prints what is written meanwhile.
fn wait(
    daemon: &mut Patient<'_>,
    mut waited: Waited,
    mut files: Vec<Followed>,
) -> Result<Value, Failed> {
    let ended = loop {
        if let Some(ended) = waited.look(daemon)? {
            break ended;
        }
        if files.is_empty() {
            sleep(waited.idle());
        }
        each(&mut files, daemon, |file, daemon| file.step(daemon, PIECE_PATIENCE));
    };
    each(&mut files, daemon, |file, daemon| file.step(daemon, PIECE_PATIENCE));
    each(&mut files, daemon, Followed::finish);
    Ok(ended)
}

/// Does something with each file. One that can't be printed any more is told and left: the run
/// goes on, and how it ends is what counts.
fn each(
    files: &mut Vec<Followed>,
    daemon: &mut Patient<'_>,
    mut what: impl FnMut(&mut Followed, &mut Patient<'_>) -> Result<(), Failed>,
) {
    files.retain_mut(|file| {
        let done = what(file, daemon);
        if let Err(Failed { why, .. }) = &done {
            daemon.tell(why);
        }
        done.is_ok() && !file.is_unread()
    });
}

/// What tells where a job's runs write.
#[derive(Debug, Deserialize)]
struct Files {
    output: String,
    stderr: String,
}

/// Where the files of a job end that all its runs write to: what comes after that is new.
fn ends_of(daemon: &Daemon, job: JobId) -> Result<Vec<(&'static str, Printer, u64)>, Failed> {
    let Files { output, stderr } = daemon.json(&format!("/api/v1/jobs/{job}"))?;
    let mut files = vec![("stdout", Printer::Out, &output), ("stderr", Printer::Err, &stderr)];
    // Both in one file are printed once.
    if output == stderr && !output.is_empty() {
        files.pop();
    }
    let end = |stream: &str, shared: &str| match shared {
        "" => Ok(0),
        _ => end_of(daemon, &format!("/api/v1/jobs/{job}/output?stream={stream}")),
    };
    let ends = files
        .into_iter()
        .map(|(stream, printer, shared)| Ok((stream, printer, end(stream, shared)?)));
    ends.collect()
}
