//! The `schedule` command.

use clap::{CommandFactory, Parser};
use schedule::shell::cli::{
    apply, check, control, db, demo, export, forecast, generate, import, job, next, pause, run,
};
use schedule::shell::look;
use schedule::shell::panics::caught;
use schedule::shell::sys;
use signal_hook::consts::SIGXFSZ;
use std::process::ExitCode;
use std::sync::Arc;

/// A cron-style job scheduler that is controlled over the web.
#[derive(Parser)]
#[command(name = "schedule", version, after_help = EXIT_CODES)]
enum Command {
    /// Run the daemon of a group in the foreground
    Run(run::RunArgs),
    /// Start daemons in the background, and wait until they are ready
    Start(control::StartArgs),
    /// End daemons; their runs go on, unless told otherwise
    Stop(control::StopArgs),
    /// Put a new program or configuration in place of running daemons; start a named one
    Restart(control::GroupArgs),
    /// Make running daemons read their configuration again and reopen their logs
    Reload(control::GroupArgs),
    /// Make running daemons reopen their logs, after those were moved away
    Reopen(control::GroupArgs),
    /// Tell whether daemons run, where, since when, and what they do
    Status(control::StatusArgs),
    /// The parent of the runs of a group, started by its daemon
    #[command(hide = true)]
    Keeper {
        /// State directory of the group
        state_dir: std::path::PathBuf,
    },
    /// Check the configuration, the database and every job row
    Check(check::CheckArgs),
    Next(next::NextArgs),
    Forecast(forecast::ForecastArgs),
    /// Look at the jobs of a running daemon; start, stop, make, change and delete them
    Job(job::JobArgs),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Export(export::ExportArgs),
    Apply(apply::ApplyArgs),
    /// Make jobs of the lines of a crontab
    Import(import::ImportArgs),
    /// Create, extend or look at the tables
    Db(db::DbArgs),
    /// Try it out: the real daemon on an embedded database with sample jobs
    Demo(demo::DemoArgs),
    /// Write the man page or shell completions to stdout
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

const EXIT_CODES: &str = "\
Exit status: 0 done (a start of what runs, or a stop of what does not, is done); 1 not done; \
2 wrong arguments or configuration; 3 job, pause, resume, export, apply, import, forecast: \
no daemon answers; 4 not permitted; \
7 reload: it does not run. \
status: 0 running, 1 dead: its pid file is not empty, 3 not running, 4 unknown. \
With `all`, the highest of the groups.";

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let first = words.next();
    let is = |name: &str| first.as_ref().is_some_and(|word| word == name);
    // First of all: what comes to process 1 before there are handlers would be lost.
    if sys::is_init() && is("run") {
        sys::block_signals();
    }
    // A file over `ulimit -f` is an error like any other of the disk, for the helpers as well.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    // A helper goes straight to work, before anything is built that it does not need.
    if is("exchange") {
        return schedule::shell::database::exchange();
    }
    if is("files") {
        return schedule::shell::files::helper::serve(look::look_at);
    }
    if is("log") {
        return schedule::shell::logging::writer::serve(words);
    }
    match Command::parse() {
        // What lives on must not hide that it doesn't.
        Command::Keeper { state_dir } => schedule::shell::keeper::process::run(&state_dir),
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Start(args) => done(|| control::start(&args)),
        Command::Stop(args) => done(|| control::stop(&args)),
        Command::Restart(args) => done(|| control::restart(&args)),
        Command::Reload(args) => done(|| control::reload(&args)),
        Command::Reopen(args) => done(|| control::reopen(&args)),
        Command::Status(args) => done(|| control::status(&args)),
        Command::Check(args) => done(|| check::run(&args)),
        Command::Next(args) => done(|| next::run(&args)),
        Command::Forecast(args) => done(|| forecast::run(&args)),
        Command::Job(args) => done(|| job::run(&args)),
        Command::Pause(args) => done(|| pause::pause(&args)),
        Command::Resume(args) => done(|| pause::resume(&args)),
        Command::Export(args) => done(|| export::run(&args)),
        Command::Apply(args) => done(|| apply::run(&args)),
        Command::Import(args) => done(|| import::run(&args)),
        Command::Db(args) => done(|| db::run(&args)),
        Command::Generate(args) => done(|| generate::run(&args, Command::command())),
    }
}

/// Does what was asked for; a panic in it is one line more of its failure.
fn done(work: impl FnOnce() -> ExitCode) -> ExitCode {
    caught(work).unwrap_or_else(|panic| {
        eprintln!("schedule: {}", panic.told());
        ExitCode::FAILURE
    })
}
