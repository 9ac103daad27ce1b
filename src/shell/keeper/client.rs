//! The daemon's side of the keeper: found or started, then a socket that never blocks the loop.

use super::aliases::Aliases;
use super::channel::Channel;
use super::{SOCKET, socket_path};
use crate::core::event;
use crate::core::ids::RunId;
use crate::core::keeping::{self, Notice, Order};
use crate::core::launch::LaunchPlan;
use crate::shell::helper::ended_early;
use crate::shell::holder::{self, Holder};
use crate::shell::journal::list_segments;
use crate::shell::owner;
use crate::shell::proc_fs;
use crate::shell::process::inherited_environment;
use crate::shell::search;
use crate::shell::sys::{self, Pid, Spawn};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Signal, geteuid, kill_process};
use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// A keeper that does not say within this time what it knows is stopped or out of its mind. Long,
/// for how its runs end is lost with it.
const PATIENCE: Duration = Duration::from_secs(5);

/// One that makes another socket is looked for once in this time.
const CALLED_AGAIN: Duration = Duration::from_millis(10);

/// Launches are handed over so many at a time, or when there are no more: the keeper goes before
/// the daemon, which comes to the next one only when those before are done.
const LAUNCHES_AT_ONCE: usize = 16;

/// A keeper that a daemon talks to.
pub struct Keeper {
    channel: Channel,
    id: String,
    after: Vec<String>,
    version: String,
    answers: bool,
    process: Option<Pid>,
    aliases: Aliases,
    /// Launches that were not handed over yet.
    unsent: usize,
}

impl Keeper {
    /// The keeper of this group: the one that is there, else a new one. Also what it knows of
    /// runs that earlier daemons had it start.
    ///
    /// # Errors
    /// No process, no descriptor, or the state directory can't be used; or the keeper that is there
    /// is another user's, with runs that go on.
    pub fn find(state_dir: &Path) -> io::Result<(Keeper, Vec<Notice>)> {
        match Keeper::connect(state_dir) {
            // A new one in its place would not know of its runs.
            Err(NotFound::Hidden(why)) => Err(why),
            Err(NotFound::None) => match holder::find_keeper(state_dir) {
                Some(keeper) => Keeper::call_back(state_dir, &keeper),
                None => Keeper::start(state_dir),
            },
            Ok(found) => Ok(found),
        }
    }

    /// Has a keeper whose socket somebody took away, alone or with the state directory, make
    /// another: what it has runs, and would be started a second time beside it.
    fn call_back(state_dir: &Path, keeper: &Holder) -> io::Result<(Keeper, Vec<Notice>)> {
        let (pid, path) = (keeper.pid.as_raw_nonzero(), state_dir.join(SOCKET));
        let deadline = Instant::now() + PATIENCE;
        // If it is about to end, it needs none any more.
        let _ = keeper.signal(Signal::USR1);
        while !keeper.has_ended(CALLED_AGAIN) {
            match Keeper::connect(state_dir) {
                Err(NotFound::Hidden(why)) => return Err(why),
                Err(NotFound::None) if Instant::now() < deadline => {}
                Err(NotFound::None) => {
                    // One of an earlier version makes none. What the journal knows is watched.
                    let segments = list_segments(&state_dir.join("journal"));
                    if segments.unwrap_or_default().is_empty() {
                        return Err(io::Error::other(format!(
                            "keeper pid {pid} goes on with runs of which there is no journal any \
                             more, and {} is gone: wait until they have ended, or end them",
                            path.display()
                        )));
                    }
                    log::error!("keeper pid {pid} makes no other socket and is killed");
                    kill(keeper.pid);
                    break;
                }
                Ok(found) => {
                    log::warn!("keeper pid {pid} goes on; somebody took {} away", path.display());
                    return Ok(found);
                }
            }
        }
        Keeper::start(state_dir)
    }

    /// One that does not answer is killed. Were it left to itself, it would some day start what
    /// it was asked for long ago, beside the keeper that has taken its place.
    fn connect(state_dir: &Path) -> Result<(Keeper, Vec<Notice>), NotFound> {
        let (_dir, path) =
            socket_path(state_dir).map_err(|why| NotFound::here(state_dir, state_dir, why))?;
        let socket = state_dir.join(SOCKET);
        let stream =
            UnixStream::connect(path).map_err(|why| NotFound::here(state_dir, &socket, why))?;
        let other = socket_peercred(&stream).map_err(|_| NotFound::None)?;
        if other.uid != geteuid() {
            return Err(NotFound::Hidden(strangers(other.pid, other.uid.as_raw())));
        }
        let process = other.pid;
        Keeper::greet(stream, process).map_err(|why| {
            if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&why.kind()) {
                log::error!("keeper pid {process} does not answer and is killed");
                kill(process);
            }
            NotFound::None
        })
    }

    /// A new one, in the place of any other.
    ///
    /// # Errors
    /// See [`Keeper::find`].
    pub fn start(state_dir: &Path) -> io::Result<(Keeper, Vec<Notice>)> {
        let (ours, its) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let environment = inherited_environment();
        let envp: Vec<&CStr> = environment.iter().map(AsRef::as_ref).collect();
        let state_dir = CString::new(state_dir.as_os_str().as_bytes())?;
        // In a process group of its own: a terminal's Ctrl-C is for the daemon.
        let child = sys::spawn(&Spawn {
            program: c"/proc/self/exe",
            search_path: false,
            argv: &[c"schedule", c"keeper", &state_dir],
            envp: &envp,
            stdin: its.as_fd(),
            stdout: null.as_fd(),
            stderr: null.as_fd(),
            group: None,
        })?;
        drop(its);
        // It has no run yet, and nobody would ever talk to it.
        Keeper::greet(UnixStream::from(ours), child.pid()).inspect_err(|_| {
            kill(child.pid());
        })
    }

    /// Hears what the keeper knows, and tells it what jobs are to find around them.
    fn greet(stream: UnixStream, process: Pid) -> io::Result<(Keeper, Vec<Notice>)> {
        let deadline = Instant::now() + PATIENCE;
        let (mut input, mut notices) = (Vec::new(), Vec::new());
        let mut buffer = [0; 4096];
        let mut complete = false;
        while !complete {
            let left = deadline.saturating_duration_since(Instant::now());
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match (&stream).read(&mut buffer) {
                Ok(0) => return Err(ended_early()),
                Ok(read) => input.extend_from_slice(&buffer[..read]),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                Err(why) => return Err(why),
            }
            let batch: Vec<Notice> = keeping::decode(&mut input, warn);
            if let [Notice::CannotServe(why), ..] = &*batch {
                return Err(io::Error::other(why.clone()));
            }
            // A run may have ended since, and that be told in the same breath.
            complete = batch.contains(&Notice::Complete);
            notices.extend(batch);
        }
        let Some(Notice::Keeper { id, after, version, answers, instances }) =
            notices.first().cloned()
        else {
            return Err(io::Error::other("the keeper does not say who it is"));
        };
        stream.set_read_timeout(None)?;
        stream.set_nonblocking(true)?;
        // Of a run that has ended since, the first half of that may have come by now.
        let channel = Channel::new(mio::net::UnixStream::from_std(stream), input);
        let mut keeper = Keeper {
            channel,
            id,
            after,
            version,
            answers,
            process: Some(process),
            aliases: Aliases::new(instances),
            unsent: 0,
        };
        keeper.order(&Order::Surroundings {
            environment: inherited_environment().into_iter().map(CString::into_bytes).collect(),
            // None: it was deleted, and the keeper stays where it is.
            directory: std::env::current_dir().unwrap_or_default().into_os_string().into_vec(),
        });
        Ok((keeper, notices))
    }

    /// Names this keeper, as no other.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its process; none if it was killed for its silence.
    pub fn process(&self) -> Option<Pid> {
        self.process
    }

    /// The keepers before it, oldest first: it knows everything that they knew.
    pub fn after(&self) -> &[String] {
        &self.after
    }

    /// Whether it answers when it is asked for a sign of life.
    pub fn answers(&self) -> bool {
        self.answers
    }

    /// Whether it is of another version than this daemon.
    pub fn is_stale(&self) -> bool {
        self.version != env!("CARGO_PKG_VERSION") || self.aliases.are_needed()
    }

    /// What it said when it was found, with the ids of those of these runs that it has.
    pub fn recognise(
        &mut self,
        runs: impl Iterator<Item = RunId>,
        said: Vec<Notice>,
    ) -> Vec<Notice> {
        for run in runs {
            self.aliases.of(run);
        }
        said.into_iter().map(|notice| self.aliases.read(notice)).collect()
    }

    /// What to register with the poll, readable and writable.
    pub fn source(&mut self) -> &mut mio::net::UnixStream {
        self.channel.source()
    }

    /// Asks for a sign of life.
    pub fn ask(&mut self) {
        self.order(&Order::Answer);
    }

    /// It owes answers for too long.
    pub fn kill_silent(&mut self) {
        if let Some(process) = self.process.take() {
            log::error!("keeper {} answers no more and is killed", self.id);
            kill(process);
        }
    }

    /// Asks for a launch that is no use after this reading of the monotonic clock; after the last
    /// of several, [`Keeper::send`].
    pub fn launch(&mut self, run: RunId, plan: Box<LaunchPlan>, not_after_ms: u64) {
        let run = self.aliases.of(run);
        self.channel.say(&Order::Launch { run, plan, not_after_ms });
        self.unsent += 1;
        if self.unsent >= LAUNCHES_AT_ONCE {
            self.send();
        }
    }

    /// Says whether runs to come get control groups.
    pub fn use_groups(&mut self, wanted: bool) {
        self.order(&Order::ControlGroups(wanted));
    }

    /// Says that nothing of a run may be left; to be said before its process group is signalled.
    pub fn stop(&mut self, run: RunId, signal: event::Signal) {
        let run = self.aliases.of(run);
        self.order(&Order::Stop(run, signal));
    }

    /// Says that a run does not end, though it was told to.
    pub fn go_on(&mut self, run: RunId) {
        let run = self.aliases.of(run);
        self.order(&Order::GoOn(run));
    }

    /// Says that the end of a run is in the journal.
    pub fn forget(&mut self, run: RunId) {
        let alias = self.aliases.of(run);
        self.aliases.forget(run);
        self.order(&Order::Forget(alias));
    }

    fn order(&mut self, order: &Order) {
        self.channel.say(order);
        self.send();
    }

    /// Hands over what the keeper takes now.
    pub fn send(&mut self) {
        self.unsent = 0;
        self.channel.send();
    }

    /// What the keeper says now, and whether it is still there.
    pub fn listen(&mut self) -> (Vec<Notice>, bool) {
        let (notices, alive) = self.channel.hear(warn);
        (notices.into_iter().map(|notice| self.aliases.read(notice)).collect(), alive)
    }
}

/// Why there is no keeper to talk to.
enum NotFound {
    /// There is none.
    None,
    /// There is one, or may be, and it can't be asked.
    Hidden(io::Error),
}

impl NotFound {
    /// What it means that the state directory, or the socket in it, does not let us in. A socket
    /// of another user whose keeper is dead stands in nobody's way.
    fn here(state_dir: &Path, path: &Path, why: io::Error) -> NotFound {
        if why.kind() != io::ErrorKind::PermissionDenied {
            return NotFound::None;
        }
        if let Some((pid, uid)) = search::keeper_of(state_dir).filter(|_| path != state_dir) {
            return NotFound::Hidden(strangers(pid, uid));
        }
        // With `hidepid` nobody knows.
        if path != state_dir && proc_fs::shows_others() {
            return NotFound::None;
        }
        let (me, owner) = (owner::user(geteuid().as_raw()), fs::symlink_metadata(path));
        let whose = owner.map_or(String::new(), |it| {
            format!(", which belongs to user '{}'", owner::user(it.uid()))
        });
        let path = path.display();
        let why = format!("{path}{whose}: {why}: chown -R '{me}' {}", state_dir.display());
        NotFound::Hidden(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }
}

/// The keeper that is there runs as another user, and so would all that it is asked to start.
fn strangers(process: Pid, uid: u32) -> io::Error {
    let (user, pid) = (owner::user(uid), process.as_raw_nonzero());
    let why = format!(
        "that of the daemon before, pid {pid}, is user '{user}'s, with runs that go on, and would \
         start all others as that user, too: {}",
        owner::advice_to_end(&user)
    );
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

fn kill(process: Pid) {
    if let Err(why) = kill_process(process, Signal::KILL) {
        log::error!("keeper pid {} can't be killed: {why}", process.as_raw_nonzero());
    }
}

fn warn(line: &[u8]) {
    let text = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
    log::warn!("keeper: this makes no sense: {text:?}");
}
