//! From a configuration to a daemon that is ready to loop: everything is opened here, and what
//! can't be opened is a start-up mistake with a message that says what to do.
//!
//! - `before`: whether the daemon before has worked in the same state directory
//! - `needs`: what is tried before

pub mod before;
pub mod needs;

use crate::core::config::{Base, Config, Server as ServerConfig};
use crate::core::cron;
use crate::core::daemon::Core;
use crate::core::event::Event;
use crate::core::http::Limits;
use crate::core::ids::RunId;
use crate::core::renewals::{MemoryLimit, Panics};
use crate::core::replay::Replay;
use crate::core::scheduler::{Place, Settings};
use crate::core::web::LARGER_BODIES;
use crate::shell::children::Children;
use crate::shell::clock;
use crate::shell::config_file;
use crate::shell::daemon::{
    Daemon, FIRST_SERVER_TOKEN, FIRST_WATCHED_TOKEN, KEEPER, Keeping, Parts,
};
use crate::shell::database::read_set_aside;
use crate::shell::far_files;
use crate::shell::guard::{guard_in, guard_of};
use crate::shell::handover::Handover;
use crate::shell::journal::{Journal, Opened};
use crate::shell::keeper::ends;
use crate::shell::lock::{self, Lock};
use crate::shell::logging;
use crate::shell::output::{Outputs, Swept};
use crate::shell::own;
use crate::shell::owner;
use crate::shell::predecessor;
use crate::shell::proc_fs;
use crate::shell::process;
use crate::shell::renewal;
use crate::shell::server::{self, Server};
use crate::shell::snapshot;
use crate::shell::sys;
use crate::shell::system_zone::system_zone;
use crate::shell::trusted::hard_links;
use before::Before;
use mio::{Poll, Registry, Token};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Bytes that a journal may take on disk.
const JOURNAL_LIMIT_BYTES: u64 = 256 << 20;

/// What of the journal waits in memory while it can't be written, in bytes: some 8,000 runs from
/// intent to end.
const MAX_UNWRITTEN_BYTES: usize = 8 << 20;

/// Memory is looked at once in so many milliseconds; oftener in a build for tests.
const MEMORY_MS: u64 = if cfg!(debug_assertions) { 1_000 } else { 60_000 };

/// Directory entries looked at in search of output files that a crash left behind.
const MAX_SWEPT: usize = 100_000;

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has no such group.
    #[error("no [server_{0}] in the configuration; there is {1}")]
    NoServer(u32, String),
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
    /// Runs are kept where they are.
    #[error(
        "statedir can't become {} while the daemon runs: stop it with the old configuration, then \
         start it with the new one",
        .0.display()
    )]
    StateDir(PathBuf),
    /// A daemon of this user can't work in the state directory, or not go on there.
    #[error("{0}")]
    Unusable(String),
    /// The log can't be opened.
    #[error("{0}")]
    Log(String),
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
    /// Whether it took the place of another program in this process.
    pub renewed: bool,
    /// What of the configuration could not be done, though the daemon runs; empty = nothing.
    pub trouble: String,
}

/// Opens everything that group `server_id` needs. Logging is set up by the caller.
///
/// # Errors
/// See [`StartError`]; nothing is left behind but an empty state directory.
pub fn prepare(config: &Config, server_id: u32) -> Result<Ready, StartError> {
    // Before anything marks its descriptors as close-on-exec.
    let mut handed = Handover::take();
    let server = server_of(config, server_id)?;
    sys::give_large_blocks_back();
    let settle = process::settle_process();
    settle.map_err(|why| StartError::System("descriptors", why))?;
    if let Err(why) = sys::take_precedence(sys::Precedence::Share) {
        log::debug!("the daemon has no precedence over its jobs: {why}");
    }
    // Before any of them is waited for.
    far_files::told(config, server_id).iter().for_each(|text| log::warn!("{text}"));
    if !hard_links::are_prevented() {
        log::warn!("{}", hard_links::UNPROTECTED);
    }
    let lock_path = PathBuf::from(config.base.pidfile.path(server_id));
    let lock = take_lock(&lock_path, server_id, handed.as_ref())?;
    let state_dir = PathBuf::from(config.base.statedir.path(server_id));
    let me = rustix::process::geteuid().as_raw();
    owner::strangers_above(config, server_id, me).iter().for_each(|it| log::warn!("{it}"));
    make_dir("state directory", &state_dir)?;
    needs::state_dir(&state_dir, me).map_err(|wrong| StartError::Unusable(wrong.to_string()))?;
    own::tighten_dir(&state_dir);
    config.database.file().into_iter().for_each(|path| own::tighten_database(path));
    let state_lock = take_state_lock(&state_dir, handed.as_ref())?;
    let before = Before::look(clock::now().wall_ms, &state_dir, &lock, handed.is_some());
    let settings = Settings { instance: before.instance, ..settings(config, server, &state_dir)? };
    let poll = Poll::new().map_err(|why| StartError::System("the poll", why))?;
    let (listening, trouble) =
        take_sockets(&config.base, server, poll.registry(), handed.as_mut())?;
    let address = listening.local_addr();
    let address = address.map_err(|why| StartError::System("the socket", why))?;
    let outputs = Outputs::new(&state_dir);
    let (mut core, journal, children) =
        recall(config, settings, (&state_dir, &before), poll.registry(), handed.as_ref())?;
    let live: Vec<String> = core.scheduler.runs().keys().map(RunId::to_string).collect();
    let keep = config.base.keep_output as usize;
    let swept = if keep > 0 { outputs.sweep(keep, &live, MAX_SWEPT) } else { Swept::default() };
    if let Some(why) = swept.trouble {
        log::warn!("old outputs can't be deleted, {} of them; the first: {why}", swept.refused);
    }
    let configured = std::iter::once(&server.host).chain(&server.names).cloned();
    core.web.listens_on(
        configured.chain(config_file::own_names()).collect(),
        address.ip().is_loopback(),
    );
    let keeping = keeping(config, lock_path, handed.as_ref());
    let renewed = handed.is_some();
    let server = listening;
    let parts = Parts {
        poll,
        core,
        server,
        outputs,
        children,
        journal,
        state_dir,
        lock,
        state_lock,
        keeping,
    };
    let daemon = Daemon::new(parts).map_err(|why| StartError::System("the loop", why))?;
    Ok(Ready { daemon, address, renewed, trouble })
}

fn keeping(config: &Config, lock_path: PathBuf, handed: Option<&Handover>) -> Keeping {
    Keeping {
        program: handed.map_or_else(renewal::program, |handed| handed.program.clone()),
        lock_path,
        panics: Panics::of(handed.map(|handed| handed.panics_ms.clone()).unwrap_or_default()),
        memory: MemoryLimit::new(
            u64::from(config.base.memory_limit_mb) << 20,
            MEMORY_MS,
            clock::now().mono_ms,
        ),
    }
}

/// Whether a daemon could start: what can be found out without touching one that runs.
///
/// # Errors
/// See [`StartError`].
pub fn probe(config: &Config, server_id: u32) -> Result<(), StartError> {
    let server = server_of(config, server_id)?;
    let state_dir = PathBuf::from(config.base.statedir.path(server_id));
    if renewal::probed_state_dir().is_some_and(|old| old != state_dir) {
        return Err(StartError::StateDir(state_dir));
    }
    make_dir("state directory", &state_dir)?;
    needs::renewal(&state_dir).map_err(StartError::Unusable)?;
    let lock_path = PathBuf::from(config.base.pidfile.path(server_id));
    if renewal::probed_pid_file().is_some_and(|old| old != lock_path) {
        Lock::try_take(&lock_path, server_id)?;
    }
    if let Some(log) = config.base.log_path(server_id) {
        logging::try_open(Path::new(&log)).map_err(|why| StartError::Log(why.to_string()))?;
    }
    settings(config, server, &state_dir).map(|_| ())
}

/// The lock of the program before, if it is on the directory that is there; else a new one, before
/// the old one is given back: the keeper of a directory that a daemon has is that daemon's.
fn take_state_lock(path: &Path, handed: Option<&Handover>) -> Result<Lock, StartError> {
    let old = handed.filter(|handed| handed.state_dir == path);
    let guard = old.and_then(|handed| sys::take_descriptor(handed.state_guard?));
    match old.and_then(|handed| sys::take_descriptor(handed.state_lock)) {
        Some(file) if lock::is_at(&file, path) => Ok(Lock::adopt(file, guard, &guard_in(path))),
        _ => Ok(Lock::state_dir(path)?),
    }
}

/// The lock of the program before, if it is on the same file; else a new one. The old one is
/// given back only after that.
fn take_lock(path: &Path, id: u32, handed: Option<&Handover>) -> Result<Lock, StartError> {
    let guard = handed.and_then(|handed| sys::take_descriptor(handed.lock_guard?));
    let old = handed.and_then(|handed| Some((sys::take_descriptor(handed.lock)?, handed)));
    match old {
        Some((file, handed)) if handed.lock_path == path => {
            Ok(Lock::adopt(file, guard, &guard_of(path)))
        }
        old => {
            let lock = Lock::take(path, id, handed.is_some())?;
            predecessor::strangers(id).iter().for_each(|text| log::warn!("{text}"));
            // Dropping it leaves the pid file of before empty: nobody takes us for its daemon.
            drop(old.map(|(file, old)| Lock::adopt(file, guard, &guard_of(&old.lock_path))));
            Ok(lock)
        }
    }
}

/// The sockets of the program before, if it listened where this one is to; else new ones. If those
/// can't be had the old ones stay: a daemon that runs does not end for that.
fn take_sockets(
    base: &Base,
    server: &ServerConfig,
    poll: &Registry,
    handed: Option<&mut Handover>,
) -> Result<(Server, String), StartError> {
    let anew = || Ok((listen(base, server, poll)?, String::new()));
    let Some(handed) = handed else { return anew() };
    let failed = |why| StartError::System("the socket", why);
    let Some(socket) = sys::take_descriptor(handed.listener) else { return anew() };
    let mut trouble = String::new();
    let mut clients: Vec<(OwnedFd, Vec<u8>)> = (handed.clients.drain(..))
        .filter_map(|(fd, input)| Some((sys::take_descriptor(fd)?, input)))
        .collect();
    let token = Token(FIRST_SERVER_TOKEN);
    let mut sockets = if same_place(&socket, server) {
        Server::adopt(socket, poll, token, limits(base)).map_err(failed)?
    } else {
        let place = (server.host.as_str(), server.port);
        let (sockets, waiting, kept) = Server::instead_of(socket, place, poll, token, limits(base))
            .map_err(|why| StartError::Bind(server.id, why.to_string()))?;
        if let Some(why) = kept {
            trouble = format!("[server_{}] {why}; the old address stays", server.id);
            log::error!("{trouble}");
        }
        clients.extend(waiting);
        sockets
    };
    sockets.adopt_clients(clock::now(), clients.into_iter(), handed.stats);
    Ok((sockets, trouble))
}

/// Whether a socket listens where the configuration wants it.
fn same_place(socket: &OwnedFd, server: &ServerConfig) -> bool {
    let Ok(address) = rustix::net::getsockname(socket) else { return false };
    let Ok(address) = std::net::SocketAddr::try_from(address) else { return false };
    (server.port == 0 || address.port() == server.port)
        && server::addresses(&server.host, server.port)
            .is_ok_and(|all| all.iter().any(|wanted| wanted.ip() == address.ip()))
}

/// The section of a group.
///
/// # Errors
/// There is none.
pub fn server_of(config: &Config, server_id: u32) -> Result<&ServerConfig, StartError> {
    config.servers.get(&server_id).ok_or_else(|| {
        let known: Vec<String> = config.servers.keys().map(|id| format!("[server_{id}]")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        StartError::NoServer(server_id, known)
    })
}

fn make_dir(what: &'static str, path: &Path) -> Result<(), StartError> {
    own::make_dir(path).map_err(|source| StartError::Path {
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
        keep_records_ms: u64::from(base.keep_records_days) * 24 * 3_600_000,
        keep_output: base.keep_output as usize,
        output_limit_bytes: base.output_limit_bytes,
        stop_grace_ms: u64::from(base.stop_grace_s) * 1000,
        // The configuration takes no other text.
        dialect: base.cron_dialect,
        zone: zone_of(base),
        timezone: base.zone_name().to_owned(),
        database: config.database.clone(),
        moved_from: config.moved_from.clone(),
        state_dir: state_dir.to_string_lossy().into_owned(),
        journal_limit_bytes: JOURNAL_LIMIT_BYTES,
        unwritten_limit_bytes: MAX_UNWRITTEN_BYTES,
        boot_id,
        // For who has locked the state directory.
        instance: 0,
    })
}

/// The zone of schedules and displayed times.
pub fn zone_of(base: &Base) -> cron::Zone {
    base.timezone.clone().unwrap_or_else(|| system_zone().0)
}

/// What clients may hold, as a part of `memory_limit`: half a limit is left for the jobs, and a
/// quarter for what is being made for the clients.
const HELD_PART: usize = 4;

fn limits(base: &Base) -> Limits {
    let default = Limits::default();
    let held_bytes = match base.memory_limit_mb {
        0 => default.held_bytes,
        mb => ((mb as usize) << 20) / HELD_PART,
    };
    Limits {
        held_bytes,
        larger_bodies: LARGER_BODIES,
        keep_alive: base.keepalive_s > 0,
        idle_ms: u64::from(base.keepalive_s.max(1)) * 1000,
        ..default
    }
}

fn listen(base: &Base, server: &ServerConfig, poll: &Registry) -> Result<Server, StartError> {
    Server::bind(&server.host, server.port, poll, Token(FIRST_SERVER_TOKEN), limits(base))
        .map_err(|why| StartError::Bind(server.id, why.to_string()))
}

/// Opens the journal and settles what it says of the past.
fn recall(
    config: &Config,
    settings: Settings,
    (state_dir, before): (&Path, &Before),
    poll: &Registry,
    handed: Option<&Handover>,
) -> Result<(Core, Journal, Children), StartError> {
    let now = clock::now();
    let groups = config.base.control_groups;
    // A daemon that goes on in the same process has heard of its runs.
    if handed.is_none() {
        ends::look(state_dir).map_err(|(path, source)| StartError::Path {
            what: "ends of runs",
            path,
            source,
            hint: "give it to the user of the daemon (chown): without it these runs would count \
                   as lost",
        })?;
    }
    // Before room is kept for the journal, which would take what the socket of the keeper before
    // has left on a full disk: the next one could not make its own.
    let (mut children, notices) =
        Children::new(state_dir, groups, poll, KEEPER, FIRST_WATCHED_TOKEN)
            .map_err(|why| StartError::System("the keeper of runs", why))?;
    let dir = state_dir.join("journal");
    let opened = Journal::open(&dir).map_err(|source| StartError::Path {
        what: "journal",
        path: dir,
        source,
        hint: "the user of the daemon must be able to write there",
    })?;
    let Opened { journal, mut replay, end, segments } = opened;
    let carried = handed.map(|handed| handed.carried.unwritten.as_slice()).unwrap_or_default();
    let end = recall_unwritten(&mut replay, end, carried);
    // What a daemon has concluded once stands in its journal.
    let is_news = |(until_ms, _): &&(i64, String)| {
        !segments.is_empty() && replay.decided_ms.is_none_or(|at_ms| at_ms < *until_ms)
    };
    if let Some((until_ms, why)) = before.unknown.as_ref().filter(is_news) {
        replay.is_of_before(*until_ms, why);
    }
    // That is what was written. What is read may have been damaged since.
    if let Some(handed) = handed.filter(|handed| !handed.carried.held.is_empty()) {
        replay.held = handed.carried.held.iter().copied().collect();
    }
    let same_boot = replay.boot_id == settings.boot_id;
    if same_boot && before.is_copy && !replay.live.is_empty() {
        log::warn!(
            "{}: the state directory is a copy, or was moved: of the runs in its journal those \
             that no keeper of its own has count as lost, and are left alone",
            state_dir.display()
        );
    }
    children.recall(&mut replay, &notices);
    if carried.is_empty() {
        replay.count_lost(now.wall_ms);
    }
    let mut core = Core::new(now, settings, replay, end, segments);
    // Before anything is counted here.
    handed.iter().for_each(|handed| core.go_on(now, &handed.carried));
    snapshot::load(&mut core, state_dir);
    load_refused(&mut core, &state_dir.join("refused"));
    let carried = handed.map(|handed| &handed.carried);
    let place = Place { same_boot, is_copy: before.is_copy };
    children.settle(&mut core, notices, place, carried);
    Ok((core, journal, children))
}

/// Takes in what the disk had no room for: in the memory of the program before, or in the last
/// word of a daemon that was killed. Returns where the log goes on.
fn recall_unwritten(replay: &mut Replay, mut end: u64, carried: &[(u64, String)]) -> u64 {
    for (offset, lines) in carried {
        replay.log(*offset, lines.as_bytes());
        end = end.max(offset + lines.len() as u64);
    }
    replay.log_ends(end)
}

fn load_refused(core: &mut Core, path: &Path) {
    core.scheduler.homes().strange_move().iter().for_each(|told| log::warn!("{told}"));
    let now = clock::now();
    match read_set_aside(path, core.scheduler.set_aside().stand, core.scheduler.homes()) {
        Ok(aside) => core.scheduler.begin_with_set_aside(now, aside),
        Err(why) => {
            log::error!("records that were set aside: {}", own::told(path, &why));
            core.handle(now, Event::SetAsideChanged);
        }
    }
}
