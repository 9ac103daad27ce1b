//! `schedule job runs`: what became of a job's runs.

use super::named;
use crate::core::plain;
use crate::shell::cli::control::api::{ApiArgs, Daemon, Failed, parsed};
use crate::shell::cli::number::number;
use crate::shell::cli::paint::{self, GREEN, RED, painted};
use clap::builder::NonEmptyStringValueParser;
use serde::Deserialize;
use std::process::ExitCode;

/// Columns of what the daemon says.
const COLUMNS: usize = 80;

/// Arguments of `schedule job runs`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunsArgs {
    /// The job: its id or its exact name
    #[arg(value_name = "JOB", value_parser = NonEmptyStringValueParser::new())]
    pub job: String,
    /// How many runs are shown
    #[arg(short, value_name = "N", default_value_t = 20, conflicts_with = "json",
          value_parser = number(1..=u32::MAX))]
    pub n: u32,
    /// Print the daemon's answer as it is: GET /api/v1/jobs/ID/runs
    #[arg(long)]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// A run, as the API tells of it.
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    pub run_id: String,
    pub cause: String,
    pub started_at: String,
    /// None: it is alive.
    pub ended_at: Option<String>,
    pub duration_ms: Option<u64>,
    pub outcome: String,
    pub exit_code: Option<u8>,
    pub signal: Option<u8>,
    pub user_ms: Option<u64>,
    pub system_ms: Option<u64>,
    pub max_rss_bytes: Option<u64>,
    /// Somebody told it to end.
    #[serde(default)]
    pub stopped: bool,
    /// Who, where that is known.
    #[serde(default)]
    pub stopped_by: String,
    /// What it wrote last before it failed.
    #[serde(default)]
    pub last_line: String,
}

/// Those that a job has, or is remembered to have had.
#[derive(Debug, Deserialize)]
pub(super) struct Runs {
    pub runs: Vec<Run>,
}

impl Run {
    fn is_good(&self) -> bool {
        self.exit_code == Some(0)
    }

    /// How it ended; of one that failed with what it wrote last.
    fn outcome(&self) -> String {
        self.with_last_line(self.end())
    }

    /// How it ended, and by whom it was told to.
    fn end(&self) -> String {
        let outcome = plain::clean(&self.outcome, COLUMNS);
        match (self.stopped, &*self.stopped_by) {
            (false, _) => outcome,
            (true, "") => format!("{outcome}, stopped by hand"),
            (true, by) => format!("{outcome}, stopped by {}", plain::clean(by, COLUMNS)),
        }
    }

    fn with_last_line(&self, told: String) -> String {
        match self.last_line.is_empty() {
            true => told,
            false => format!("{told}: {}", plain::clean(&self.last_line, COLUMNS)),
        }
    }

    /// The same, and when that is known how long it took.
    pub fn told(&self) -> String {
        let outcome = self.end();
        self.with_last_line(match self.duration_ms {
            Some(ms) if self.ended_at.is_some() => format!("{outcome}, after {}", plain::took(ms)),
            Some(_) | None => outcome,
        })
    }
}

pub(super) fn runs(args: &RunsArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("job runs", &args.daemon)?;
    let job = named::job(&daemon, &args.job)?;
    let body = daemon.get(&format!("/api/v1/jobs/{job}/runs"))?;
    if args.json {
        return paint::print(&body);
    }
    let Runs { mut runs } = parsed(&body)?;
    runs.truncate(args.n as usize);
    match runs.is_empty() {
        true => paint::print(format!("job {job} has no runs that are known\n").as_bytes()),
        false => paint::print(table(&runs, paint::in_colour()).as_bytes()),
    }
}

/// A line for each run; those that live and those that failed stand out.
pub(super) fn table(runs: &[Run], colour: bool) -> String {
    let headings = ["RUN", "CAUSE", "STARTED", "TOOK", "CPU", "MEMORY", "OUTCOME"];
    let text = paint::table(headings, runs.iter().map(row), colour);
    if !colour {
        return text;
    }
    let colours = runs.iter().map(|run| match &run.ended_at {
        None => GREEN,
        Some(_) if run.is_good() => "",
        Some(_) => RED,
    });
    let lines = text.lines().zip(std::iter::once("").chain(colours));
    lines.map(|(line, colour)| painted(line, colour) + "\n").collect()
}

fn row(run: &Run) -> Vec<String> {
    let known = |ms: Option<u64>| ms.map_or("-".to_owned(), plain::took);
    let cpu = run.user_ms.zip(run.system_ms).map(|(user, system)| user + system);
    let memory = run.max_rss_bytes.filter(|bytes| *bytes > 0);
    let memory = memory.map_or("-".to_owned(), plain::size);
    let clean = |text: &str| plain::clean(text, COLUMNS);
    vec![
        clean(&run.run_id),
        clean(&run.cause),
        clean(&run.started_at),
        known(run.duration_ms),
        known(cpu),
        memory,
        run.outcome(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, ended: bool, exit_code: Option<u8>) -> Run {
        Run {
            run_id: id.into(),
            cause: "due".into(),
            started_at: "2026-11-22T03:30:00+08:00".into(),
            ended_at: ended.then(|| "2026-11-22T03:31:33+08:00".into()),
            duration_ms: Some(93_500),
            outcome: exit_code.map_or("running".into(), |code| format!("exit {code}")),
            exit_code,
            signal: None,
            user_ms: ended.then_some(900),
            system_ms: ended.then_some(90),
            max_rss_bytes: ended.then_some(3 << 20),
            stopped: false,
            stopped_by: String::new(),
            last_line: String::new(),
        }
    }

    #[test]
    fn who_stopped_a_run_is_told() {
        let stopped = |by: &str| {
            let (stopped, stopped_by) = (true, by.to_owned());
            Run { outcome: "signal 15".into(), stopped, stopped_by, ..run("1-a", true, None) }
        };
        assert_eq!(stopped("loopback").outcome(), "signal 15, stopped by loopback");
        assert_eq!(stopped("").told(), "signal 15, stopped by hand, after 1m 33s");
    }

    #[test]
    fn a_line_for_each_run() {
        let failed = Run { last_line: "no\u{7}pe".into(), ..run("1-b", true, Some(3)) };
        let runs = [run("1-c", false, None), failed, run("1-a", true, Some(0))];
        let text = table(&runs, false);
        assert_eq!(
            text,
            "RUN  CAUSE  STARTED                    TOOK    CPU    MEMORY  OUTCOME\n\
             1-c  due    2026-11-22T03:30:00+08:00  1m 33s  -      -       running\n\
             1-b  due    2026-11-22T03:30:00+08:00  1m 33s  990ms  3.0 MB  exit 3: no?pe\n\
             1-a  due    2026-11-22T03:30:00+08:00  1m 33s  990ms  3.0 MB  exit 0\n"
        );
        let text = table(&runs, true);
        let begins: Vec<&str> = text.lines().map(|line| &line[..line.len().min(5)]).collect();
        assert_eq!(begins, ["\x1b[1mR", "\x1b[32m", "\x1b[31m", "1-a  "]);
    }
}
