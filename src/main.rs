//! The `schedule` command.

use clap::Parser;
use schedule::shell::cli::{check, next, run};
use std::process::ExitCode;

/// A cron-style job scheduler that is controlled over the web.
#[derive(Parser)]
#[command(name = "schedule", version)]
enum Command {
    /// Run the daemon of a group in the foreground
    Run(run::RunArgs),
    /// Check the configuration, the database and every job row
    Check(check::CheckArgs),
    Next(next::NextArgs),
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Next(args) => next::run(&args),
    }
}
