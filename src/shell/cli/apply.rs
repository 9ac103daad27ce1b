//! `schedule apply`: a group is made to be as a file says.

use super::BAD_CONFIGURATION;
use super::control::api::{ApiArgs, Daemon, Failed, ended};
use super::plan::{self, Consent};
use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

/// Bytes of a file at the most: as many as the daemon takes.
pub const MAX_BYTES: u64 = 16 << 20;

const EXAMPLES: &str = "\
Examples:
  schedule apply jobs.json --dry-run
  schedule apply jobs.json --prune --yes
  schedule export -s 1 | sed '/^ *\"id\"/d' | schedule apply - -s 2

What would be changed is shown first. Jobs, variables and tags are one transaction: all of it is
done, or nothing. A mistake anywhere, and nothing is; all of them are told, a line each. Each job of
the file is a whole row: what it does not name is the default. One without an id is new.

Exit status: 0 done, 1 refused, 2 wrong arguments, 3 no daemon answers, 4 not permitted.";

/// Make a group as a file says: what `schedule export` has printed, perhaps changed
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ApplyArgs {
    /// The file; - is stdin
    #[arg(value_name = "FILE|-")]
    pub file: String,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Delete the jobs and variables that the file lacks; else they stay
    #[arg(long)]
    pub prune: bool,
    /// Don't ask before something is deleted; without a terminal nothing is deleted without this
    #[arg(short, long)]
    pub yes: bool,
    /// Print the daemon's answer as it is
    #[arg(long)]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// Runs the subcommand.
pub fn run(args: &ApplyArgs) -> ExitCode {
    ended("apply", apply(args))
}

fn apply(args: &ApplyArgs) -> Result<ExitCode, Failed> {
    let text = text_of(&args.file)?;
    let daemon = Daemon::find("apply", &args.daemon)?;
    let consent = match (args.dry_run, args.yes) {
        (true, _) => Consent::Never,
        (false, true) => Consent::Given,
        (false, false) => Consent::WhereLost,
    };
    let prune = if args.prune { "&prune=true" } else { "" };
    let wanted = plan::Wanted { verb: "apply", file: &text, query: prune, json: args.json };
    plan::carry_out(&daemon, &wanted, consent)
}

/// What a file says that an argument names.
pub fn text_of(file: &str) -> Result<String, Failed> {
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
