//! The `schedule` command.

use clap::Parser;
use schedule::shell::cli::{check, db, demo, next, run};
use std::process::ExitCode;

/// A cron-style job scheduler that is controlled over the web.
#[derive(Parser)]
#[command(name = "schedule", version)]
enum Command {
    /// Run the daemon of a group in the foreground
    Run(run::RunArgs),
    /// The parent of the runs of a group, started by its daemon
    #[command(hide = true)]
    Keeper {
        /// State directory of the group
        state_dir: std::path::PathBuf,
    },
    /// Check the configuration, the database and every job row
    Check(check::CheckArgs),
    Next(next::NextArgs),
    /// Create, extend or look at the tables
    Db(db::DbArgs),
    /// Try it out: the real daemon on an embedded database with sample jobs
    Demo(demo::DemoArgs),
}

fn main() -> ExitCode {
    // A helper process answers one question and ends, every few seconds: it goes straight to work,
    // before anything is built that it does not need.
    if std::env::args_os().nth(1).is_some_and(|word| word == "exchange") {
        return schedule::shell::database::exchange();
    }
    match Command::parse() {
        Command::Keeper { state_dir } => schedule::shell::keeper::process::run(&state_dir),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Next(args) => next::run(&args),
        Command::Db(args) => db::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}
