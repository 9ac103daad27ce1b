//! `schedule job list`.

use super::named;
use crate::core::http::percent_encode;
use crate::core::ids::JobId;
use crate::core::list::Listed;
use crate::core::plain;
use crate::core::state_label::StateLabel;
use crate::shell::cli::control::api::{ApiArgs, Daemon, Failed, Question};
use crate::shell::cli::number::number;
use crate::shell::cli::paint::{self, BOLD, FAINT, GREEN, RED, YELLOW, painted};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  schedule job list --state running
  schedule job list --tag reports mysqldump      # with this tag, `mysqldump` in name or command
  schedule job list --state disabled
  schedule job list --json | jq '.jobs[] | select(.overtime > 0).name'";

/// Arguments of `schedule job list`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ListArgs {
    /// Jobs with this text in name or command only, in any case
    #[arg(value_name = "QUERY")]
    pub query: Option<String>,
    /// Jobs in this state only: running, fatal, invalid, disabled …; all = disabled ones, too
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Jobs with this tag only: its id or its name
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// How many jobs are shown
    #[arg(short, value_name = "N", default_value_t = 1_000,
          value_parser = number(1..=1_000))]
    pub n: u32,
    /// Which part of so many is shown, from 1 on
    #[arg(long, value_name = "PAGE", default_value_t = 1,
          value_parser = number(1..=u32::MAX))]
    pub page: u32,
    /// Print what each job can be named by in other commands, one a line: its name, or its id where
    /// several jobs have one name
    #[arg(long, conflicts_with_all = ["json", "n", "page"])]
    pub names: bool,
    /// Print the daemon's answer as it is: GET /api/v1/jobs
    #[arg(long)]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

pub(super) fn list(args: &ListArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("job list", &args.daemon)?;
    let given = [("state", &args.state), ("tag", &args.tag), ("q", &args.query)];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let given: Vec<String> =
        given.map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
    let query = given.join("&");
    if args.names {
        return paint::print(names(named::lines(&daemon, &query)?).as_bytes());
    }
    let path = format!("/api/v1/jobs?{query}&per_page={}&page={}", args.n, args.page);
    if args.json {
        return paint::print(&daemon.get(&path)?);
    }
    let text = daemon.ok(Question::get(&path).header("Accept", "text/plain"))?.body;
    match paint::in_colour() {
        true => paint::print(coloured(&String::from_utf8_lossy(&text)).as_bytes()),
        false => paint::print(&text),
    }
}

/// By what the jobs can be named, a line each. A name that reads like an id, or that a line can't
/// show as it is, names nothing.
fn names(lines: Vec<named::Line>) -> String {
    let mut by_name: BTreeMap<String, Vec<JobId>> = BTreeMap::new();
    for line in lines {
        let ids = by_name.entry(line.name).or_default();
        // Twice in a list: its new definition waits.
        if !ids.contains(&line.id) {
            ids.push(line.id);
        }
    }
    let mut text = String::new();
    for (name, ids) in by_name {
        let is_good = !name.is_empty() && name.parse::<JobId>().is_err();
        match &ids[..] {
            [_] if is_good && !name.contains(plain::acts) => text.push_str(&name),
            ids => {
                let ids: Vec<String> = ids.iter().map(JobId::to_string).collect();
                text.push_str(&ids.join("\n"));
            }
        }
        text.push('\n');
    }
    text
}

/// The daemon's table, in which lines begin with the state of their job.
fn coloured(text: &str) -> String {
    let mut all = String::new();
    for (number, line) in text.lines().enumerate() {
        let state = line.split(' ').next().unwrap_or_default();
        let line = match StateLabel::named(state) {
            _ if number == 0 => painted(line, BOLD),
            _ if line.starts_with('!') => painted(line, YELLOW),
            None => line.to_owned(),
            Some(label) => painted(state, colour(label)) + &line[state.len()..],
        };
        let _ = writeln!(all, "{line}"); // a String takes every write
    }
    all
}

pub(super) fn colour(state: StateLabel) -> &'static str {
    match state {
        StateLabel::Invalid | StateLabel::Fatal | StateLabel::Exited | StateLabel::Unknown => RED,
        StateLabel::Backoff
        | StateLabel::Stopping
        | StateLabel::Starting
        | StateLabel::Waiting
        | StateLabel::Deleting => YELLOW,
        StateLabel::Running => GREEN,
        StateLabel::Off | StateLabel::Paused | StateLabel::Disabled => FAINT,
        StateLabel::Never | StateLabel::Stopped => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_by_what_is_its_own() {
        let line = |id, name: &str| named::Line { id: JobId(id), name: name.into() };
        let lines = [(1, "b"), (2, "a"), (3, "b"), (4, "7"), (5, ""), (6, "x\ny"), (2, "a")];
        let text = names(lines.map(|(id, name)| line(id, name)).into());
        assert_eq!(text, "5\n4\na\n1\n3\n6\n");
    }

    #[test]
    fn states_are_in_colour_and_the_rest_is_not() {
        let text = "STATE  ID\nfatal  1\n-      2\nstopped 3\n2 of 2 jobs\n! database down\n";
        assert_eq!(
            coloured(text),
            "\x1b[1mSTATE  ID\x1b[0m\n\x1b[31mfatal\x1b[0m  1\n-      2\nstopped 3\n2 of 2 jobs\n\
             \x1b[33m! database down\x1b[0m\n"
        );
    }
}
