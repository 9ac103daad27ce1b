//! The `schedule` command.

use std::process::ExitCode;

use clap::Parser;
use schedule::shell::cli::next;

/// A cron-style job scheduler that is controlled over the web.
#[derive(Parser)]
#[command(name = "schedule", version)]
enum Command {
    Next(next::NextArgs),
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Next(args) => next::run(&args),
    }
}
