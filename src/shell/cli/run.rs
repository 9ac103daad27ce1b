//! `schedule run`: the daemon in the foreground.

use super::BAD_CONFIGURATION;
use super::number::number;
use crate::core::config::{Config, Severity};
use crate::shell::config_file;
use crate::shell::detach;
use crate::shell::handover::Handover;
use crate::shell::lock::LockError;
use crate::shell::logging;
use crate::shell::notify::Notify;
use crate::shell::owner::{self, Look};
use crate::shell::renewal;
use crate::shell::start::{self, Ready, StartError};
use crate::shell::sys;
use crate::shell::system_zone::system_zone;
use std::path::{self, Path, PathBuf};
use std::process::ExitCode;

/// What somebody has said to start a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// `schedule run`.
    Run,
    /// `schedule start` or `restart`, which waits for it; it is in the background.
    Start,
    /// `schedule demo`.
    Demo,
}

/// Arguments of `schedule run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The group whose jobs are run: the number of a [server_N] section
    #[arg(value_parser = number(1..=u32::MAX))]
    pub server_id: u32,
    /// Configuration file [default: /etc/schedule/schedule.ini, then ./conf/schedule.ini; of a
    /// program that is not installed the reverse]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Log to stderr and not to the logfile, as `logfile = -` does
    #[arg(long)]
    pub log_to_stderr: bool,
    /// As `schedule start` starts it: see `shell::detach`
    #[arg(long, hide = true, conflicts_with = "log_to_stderr")]
    pub detached: bool,
}

/// Runs the daemon until it is told to end. Exit status 0: it was; 1: it could not go on or
/// another one runs; 2: the configuration, or something it names, is no good.
pub fn run(args: &RunArgs) -> ExitCode {
    let said = if args.detached { Said::Start } else { Said::Run };
    if args.detached
        && !renewal::is_probe()
        && let Err(why) = detach::leave()
    {
        eprintln!("schedule start: no process can be made for the background: {why}");
        return ExitCode::FAILURE;
    }
    let parsed = match config_file::load(args.config.as_deref()) {
        Ok(parsed) => parsed,
        Err(why) => return refuse(said, &why.to_string()),
    };
    for problem in &parsed.problems {
        match renewal::is_probe() && problem.severity == Severity::Error {
            true => println!("{problem}"),
            false => eprintln!("{problem}"),
        }
    }
    let Some(mut config) = parsed.config else {
        return refuse(said, "the configuration has errors; `schedule check` shows them, too");
    };
    if args.log_to_stderr {
        config.base.logfile = None;
    }
    if args.detached && config.base.logfile.is_none() {
        return refuse(
            said,
            "`logfile = -` is stderr, which nobody reads in the background: name a file, or have \
             systemd or a container start `schedule run`",
        );
    }
    let log = config.base.log_path(args.server_id);
    serve(&config, Path::new(&parsed.file), args.server_id, said, |ready| {
        // For who stands before it; the rest is in the log.
        if let Some(log) = log.filter(|_| !args.detached && !ready.renewed) {
            println!("server {}: http://{}/, log in {log}", args.server_id, ready.address);
        }
    })
}

fn refuse(said: Said, why: &str) -> ExitCode {
    match renewal::is_probe() {
        true => println!("{why}"),
        false => complain(said, why),
    }
    ExitCode::from(BAD_CONFIGURATION)
}

/// For who said it.
fn complain(said: Said, why: &str) {
    let name = match said {
        Said::Run => "run",
        Said::Start => "start",
        Said::Demo => "demo",
    };
    eprintln!("schedule {name}: {why}");
}

/// Opens everything, says so through `ready`, and loops.
/// `file` is the configuration's.
pub fn serve(
    config: &Config,
    file: &Path,
    server_id: u32,
    said: Said,
    ready: impl FnOnce(&Ready),
) -> ExitCode {
    if renewal::is_probe() {
        return match start::probe(config, server_id) {
            Ok(()) => {
                println!("{}", renewal::agreement());
                ExitCode::SUCCESS
            }
            Err(why) => refuse(said, &why.to_string()),
        };
    }
    // In a container the directory of a volume may be anybody's: only files that are there count.
    // A daemon that runs as root for that is not ended by a reload.
    let refusal = owner::refusal(config, server_id, Look::Files);
    if let Some(why) = refusal.filter(|_| !Handover::is_there()) {
        complain(said, &why);
        return BAD_CONFIGURATION.into();
    }
    if let Err(why) = open_log(config, server_id) {
        return refuse(said, &why);
    }
    let prepared = match start::prepare(config, server_id) {
        Ok(prepared) => prepared,
        Err(why) => {
            log::error!("start failed: {why}");
            // For who starts it.
            if config.base.logfile.is_some() {
                complain(said, &format!("{why}{}", advice(said, &why)));
            }
            return match why {
                StartError::Lock(LockError::File { .. } | LockError::StateFile { .. }) => {
                    BAD_CONFIGURATION.into()
                }
                StartError::Lock(_) | StartError::System(..) => ExitCode::FAILURE,
                _ => ExitCode::from(BAD_CONFIGURATION),
            };
        }
    };
    if let Err(why) = sys::set_title(&format!("schedule: server {server_id}"), c"schedule") {
        log::debug!("the title in ps can't be set: {why}");
    }
    let (address, pid) = (prepared.address, std::process::id());
    let version = env!("CARGO_PKG_VERSION");
    log::info!("begin: server={server_id} pid={pid} version={version} http://{address}/");
    ready(&prepared);
    let Ready { mut daemon, trouble, .. } = prepared;
    let state_dir = config.base.statedir.path(server_id);
    let file = path::absolute(file).unwrap_or_default();
    let places = (Path::new(&state_dir), file.as_path());
    daemon.announce(Notify::new(places, address, said == Said::Start, trouble));
    let ended = daemon.run();
    ended.as_ref().err().iter().for_each(|why| log::error!("the loop failed: {why}"));
    logging::leave();
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What to do about it, where only this command knows that.
fn advice(said: Said, why: &StartError) -> &'static str {
    match (said, why) {
        (Said::Demo, StartError::Bind(..)) => {
            " (`schedule demo --port N`; without it any free one)"
        }
        _ => "",
    }
}

fn open_log(config: &Config, server_id: u32) -> Result<(), String> {
    let base = &config.base;
    start::server_of(config, server_id).map_err(|why| why.to_string())?;
    let file = base.log_path(server_id);
    logging::init(file.as_deref().map(Path::new), base.loglevel, start::zone_of(base))
        .map_err(|why| why.to_string())?;
    logging::log_panics();
    if let Some(why) = system_zone().1.filter(|_| base.timezone.is_none()) {
        log::warn!("{why}");
        // For who starts it.
        if file.is_some() {
            eprintln!("warning: {why}");
        }
    }
    Ok(())
}
