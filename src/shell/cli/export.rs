//! `schedule export`: all that a group says, as a text for version control.

use super::control::api::{self, ApiArgs, Daemon, Failed};
use super::paint;
use crate::core::bad_rows;
use crate::core::export::Format;
use crate::core::plain;
use serde_json::Value;
use std::process::ExitCode;

/// So many rows that are left out are told one by one.
const MAX_WARNED: usize = 100;

const EXAMPLES: &str = "\
Examples:
  schedule export > jobs.json && git commit -m 'Jobs of today' jobs.json
  schedule export --format crontab

The same rows give the same bytes, and a row that is changed changes its own lines. Jobs come by id;
defaults are left out. Variables are in it: their values may be secrets.

Exit status: 0 done, 1 refused, 2 wrong arguments, 3 no daemon answers, 4 not permitted.";

/// Print every job, tag and variable of a group, for version control
///
/// Asks the running daemon. A crontab has the jobs alone, and tells in comments what it can't say.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    /// The form of the text
    #[arg(long, value_name = "json|crontab", default_value = "json",
          value_parser = ["json", "crontab"], hide_possible_values = true)]
    pub format: String,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// Runs the subcommand.
pub fn run(args: &ExportArgs) -> ExitCode {
    api::ended("export", export(args))
}

fn export(args: &ExportArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("export", &args.daemon)?;
    let text = daemon.get(&format!("/api/v1/export?format={}", args.format))?;
    if args.format == Format::Json.label() {
        let export: Value = api::parsed(&text)?;
        let left_out = export["left_out"].as_object().into_iter().flatten();
        let more = left_out.clone().count().saturating_sub(MAX_WARNED);
        for (name, why) in left_out.take(MAX_WARNED) {
            let why = bad_rows::left_out(name, why.as_str().unwrap_or_default());
            eprintln!("schedule export: warning: {}", plain::line(&why));
        }
        if more > 0 {
            eprintln!("schedule export: warning: {more} more rows are left out, see `left_out`");
        }
    }
    paint::print(&text)
}
