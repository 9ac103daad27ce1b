//! From a configuration to a daemon that is ready to loop: everything is opened here, and what
//! can't be opened is a start-up mistake with a message that says what to do.

use crate::core::config::{Base, Config, Server as ServerConfig};
use crate::core::cron;
use crate::core::daemon::{Core, Found, Settings};
use crate::core::event::Started;
use crate::core::http::Limits;
use crate::core::ids::RunId;
use crate::shell::children::Children;
use crate::shell::clock;
use crate::shell::daemon::{Daemon, FIRST_ADOPTED_TOKEN, FIRST_SERVER_TOKEN, Parts};
use crate::shell::journal::Journal;
use crate::shell::lock::{self, Lock};
use crate::shell::proc_fs;
use crate::shell::process::{self, Launcher};
use crate::shell::server::Server;
use crate::shell::sys;
use mio::{Poll, Registry, Token};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes that a journal may take on disk.
const JOURNAL_LIMIT_BYTES: u64 = 256 << 20;

/// Directory entries looked at in search of output files that a crash left behind.
const MAX_SWEPT: usize = 100_000;

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has no such group.
    #[error("no [server_{0}] in the configuration; there is {1}")]
    NoServer(u32, String),
    /// The time zone is unknown.
    #[error("[base] timezone: {0}")]
    Zone(String),
    /// Another daemon runs the group.
    #[error(transparent)]
    Lock(#[from] lock::LockError),
    /// Something on disk can't be made or read.
    #[error("{what} {}: {source}; {hint}", path.display())]
    Path {
        /// What it is for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The port can't be had.
    #[error("[server_{0}] {1}")]
    Bind(u32, String),
    /// The kernel refuses something that every system has.
    #[error("cannot set up {0}: {1}")]
    System(&'static str, io::Error),
}

/// A daemon that is ready, and what the caller may want to tell of it.
pub struct Ready {
    /// The daemon.
    pub daemon: Daemon,
    /// Where it listens.
    pub address: std::net::SocketAddr,
    /// Held as long as the daemon lives.
    pub lock: Lock,
}

/// Opens everything that group `server_id` needs. Logging is set up by the caller.
///
/// # Errors
/// See [`StartError`]; nothing is left behind but an empty state directory.
pub fn prepare(config: &Config, server_id: u32) -> Result<Ready, StartError> {
    let server = server_of(config, server_id)?;
    let settle = process::settle_process();
    settle.map_err(|why| StartError::System("descriptors", why))?;
    if let Err(why) = sys::run_before_children() {
        log::debug!("the daemon has no precedence over its jobs: {why}");
    }
    let lock = Lock::take(Path::new(&config.base.pidfile.path(server_id)), server_id)?;
    let state_dir = PathBuf::from(config.base.statedir.path(server_id));
    make_dir("state directory", &state_dir)?;
    let settings = settings(config, server, &state_dir)?;
    let poll = Poll::new().map_err(|why| StartError::System("the poll", why))?;
    let listening = listen(&config.base, server, poll.registry())?;
    let address = listening.local_addr();
    let address = address.map_err(|why| StartError::System("the socket", why))?;
    let launcher = Launcher::new(&state_dir).map_err(|why| StartError::System("launching", why))?;
    let (mut core, journal, children) = recall(settings, &state_dir, poll.registry())?;
    let live: Vec<String> = core.runs().keys().map(RunId::to_string).collect();
    launcher.outputs().sweep(crate::core::history::MAX_RUNS, &live, MAX_SWEPT);
    let names = std::iter::once(&server.host).chain(&server.names).cloned().collect();
    core.listens_on(names, address.ip().is_loopback());
    let parts = Parts { poll, core, server: listening, launcher, children, journal, state_dir };
    let daemon = Daemon::new(parts).map_err(|why| StartError::System("the loop", why))?;
    Ok(Ready { daemon, address, lock })
}

/// The section of a group.
///
/// # Errors
/// There is none.
pub fn server_of(config: &Config, server_id: u32) -> Result<&ServerConfig, StartError> {
    config.servers.get(&server_id).ok_or_else(|| {
        let known: Vec<String> = config.servers.keys().map(|id| format!("[server_{id}]")).collect();
        StartError::NoServer(server_id, known.join(", "))
    })
}

fn make_dir(what: &'static str, path: &Path) -> Result<(), StartError> {
    fs::create_dir_all(path).map_err(|source| StartError::Path {
        what,
        path: path.into(),
        source,
        hint: "create it, owned by the user of the daemon, or set [base] statedir",
    })
}

fn settings(
    config: &Config,
    server: &ServerConfig,
    state_dir: &Path,
) -> Result<Settings, StartError> {
    let base = &config.base;
    let boot_id = proc_fs::boot_id().map_err(|why| StartError::System("the boot id", why))?;
    Ok(Settings {
        server_id: server.id,
        vars_server: server.vars_server,
        sync_interval_ms: u64::from(base.sync_interval_s) * 1000,
        stop_grace_ms: u64::from(base.stop_grace_s) * 1000,
        // The configuration takes no other text.
        dialect: base.cron_dialect.parse().unwrap_or_default(),
        zone: configured_zone(&base.timezone)?,
        timezone: base.timezone.clone(),
        database: config.database.clone(),
        state_dir: state_dir.to_string_lossy().into_owned(),
        journal_limit_bytes: JOURNAL_LIMIT_BYTES,
        boot_id,
        salt: std::process::id() ^ (clock::now().wall_ms as u32),
    })
}

/// The zone of `[base] timezone`; empty = the system's.
///
/// # Errors
/// It is unknown.
pub fn configured_zone(name: &str) -> Result<cron::Zone, StartError> {
    if name.is_empty() {
        return Ok(cron::system_zone());
    }
    cron::zone(name).map_err(|why| StartError::Zone(why.to_string()))
}

fn listen(base: &Base, server: &ServerConfig, poll: &Registry) -> Result<Server, StartError> {
    let limits = Limits {
        keep_alive: base.keepalive_s > 0,
        idle_ms: u64::from(base.keepalive_s.max(1)) * 1000,
        ..Limits::default()
    };
    Server::bind(&server.host, server.port, poll, Token(FIRST_SERVER_TOKEN), limits)
        .map_err(|why| StartError::Bind(server.id, why.to_string()))
}

/// Opens the journal and settles what it says of the past.
fn recall(
    settings: Settings,
    state_dir: &Path,
    poll: &Registry,
) -> Result<(Core, Journal, Children), StartError> {
    let now = clock::now();
    let dir = state_dir.join("journal");
    let opened = Journal::open(&dir).map_err(|source| StartError::Path {
        what: "journal",
        path: dir,
        source,
        hint: "the user of the daemon must be able to write there",
    })?;
    let same_boot = opened.replay.boot_id == settings.boot_id;
    let mut core = Core::new(now, settings, opened.replay, opened.end, opened.segments);
    load_snapshot(&mut core, &state_dir.join("snapshot"));
    let mut children = Children::default();
    for (run, pid, kernel_start) in core.unsettled() {
        let started = Started { pid, kernel_start };
        let found = match same_boot {
            true => find(run, started, &mut children, poll),
            false if pid == 0 => Found::NeverStarted,
            false => Found::Gone,
        };
        core.settle(now, run, found);
    }
    Ok((core, opened.journal, children))
}

fn load_snapshot(core: &mut Core, path: &Path) {
    match fs::read(path) {
        Ok(bytes) => {
            let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            if !core.load_snapshot(lines) {
                log::warn!("snapshot {} is not whole and was not used", path.display());
            }
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => log::warn!("snapshot {}: {why}", path.display()),
    }
}

/// Finds out what became of a run of an earlier daemon in the same boot.
fn find(run: RunId, started: Started, children: &mut Children, poll: &Registry) -> Found {
    let started = match started.pid {
        0 => match find_unnoted(run) {
            Some(started) => started,
            None => return Found::NeverStarted,
        },
        _ => started,
    };
    match children.adopt(run, started, poll, FIRST_ADOPTED_TOKEN) {
        Ok(true) => Found::Alive(started),
        Ok(false) => Found::Gone,
        Err(why) => {
            log::error!("run={run} can't be watched: {why}");
            Found::Gone
        }
    }
}

/// Looks for a process that was started just before the daemon died, with only its intent in the
/// journal: its environment names the run.
fn find_unnoted(run: RunId) -> Option<Started> {
    let pids = proc_fs::find_by_run_id(&run.to_string()).ok()?;
    let leads = |pid: &&rustix::process::Pid| rustix::process::getpgid(Some(**pid)) == Ok(**pid);
    let pid = *pids.iter().find(leads).or(pids.first())?;
    let kernel_start = proc_fs::kernel_start(pid)?;
    Some(Started { pid: pid.as_raw_nonzero().get().unsigned_abs(), kernel_start })
}
