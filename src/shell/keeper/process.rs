//! The keeper itself: `schedule keeper STATEDIR`, with a socket to its daemon as stdin.

use super::channel::Channel;
use super::ends::Ends;
use super::opening::{Opened, Opening};
use super::runs::{LOOK, Runs};
use super::{KEEPER_TITLE, SOCKET, socket_in};
use crate::core::event::Started;
use crate::core::ids::RunId;
use crate::core::keeping::{self, Notice, Order};
use crate::core::launch::{LaunchError, LaunchPlan};
use crate::shell::clock;
use crate::shell::journal::is_full;
use crate::shell::own;
use crate::shell::proc_fs;
use crate::shell::process::{Launcher, settle_process};
use crate::shell::signals::{Signals, Wish};
use crate::shell::sys;
use mio::net::{UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};
use rustix::fs::OFlags;
use rustix::net::SendFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const LISTENER: Token = Token(0);
const DAEMON: Token = Token(1);
const SIGNALS: Token = Token(2);
const FILES: Token = Token(3);

/// Starts are told so many at a time, or when there is nothing more to start.
const NOTICES_AT_ONCE: usize = 16;

/// So many launches of a stretch go before all else. With those beyond, the daemon's clients and
/// the jobs themselves share the processors.
const STRETCH_LAUNCHES: u32 = 112;

/// And for so long at the most, ms.
const STRETCH_MS: u64 = 50;

/// A stretch is over when nothing was launched for so long, ms.
const PAUSE_MS: u64 = 20;

/// What is done ahead for later launches is done in pieces, so long apart, ms: jobs run as well.
const PREPARE_MS: u64 = 1;

/// Ends that could not be left on a full disk are tried again after this long.
const LEAVE_AGAIN: Duration = Duration::from_secs(1);

/// Launches close after one another.
#[derive(Default)]
struct Stretch {
    began_ms: u64,
    last_ms: u64,
    launches: u32,
}

impl Stretch {
    /// There is one more at this reading of the monotonic clock, ms.
    fn goes_on(&mut self, mono_ms: u64) {
        if self.is_over(mono_ms) {
            (self.began_ms, self.launches) = (mono_ms, 0);
        }
        self.last_ms = mono_ms;
        self.launches += 1;
        let is_short = mono_ms - self.began_ms < STRETCH_MS;
        sys::go_first(is_short && self.launches <= STRETCH_LAUNCHES);
    }

    fn is_over(&self, mono_ms: u64) -> bool {
        mono_ms - self.last_ms > PAUSE_MS
    }
}

/// The keeper and what it keeps.
struct Keeper {
    poll: Poll,
    state_dir: PathBuf,
    listener: UnixListener,
    socket: Socket,
    signals: Signals,
    launcher: Launcher,
    id: String,
    /// The daemon that is served.
    daemon: Option<Channel>,
    runs: Runs,
    opening: Opening,
    ends: Ends,
    /// Starts that were not told yet.
    unsaid: usize,
    stretch: Stretch,
}

/// The file of the listening socket.
struct Socket {
    _dir: OwnedFd,
    path: PathBuf,
    /// Device and inode.
    id: (u64, u64),
}

/// Serves the daemon at stdin, and those that come after it, until there is nothing left to keep.
/// Exit status 1: it could not be set up.
pub fn run(state_dir: &Path) -> ExitCode {
    let served = take_daemon().and_then(|daemon| {
        let keeper = Keeper::new(state_dir, &daemon).inspect_err(|why| say_why(&daemon, why));
        // Its channel is to be the only one that the daemon has.
        drop(daemon);
        keeper?.serve()
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("schedule keeper: {}: {why}", state_dir.display());
            ExitCode::FAILURE
        }
    }
}

/// A job must not find the daemon's socket as its stdin.
fn take_daemon() -> io::Result<OwnedFd> {
    let daemon = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let null = rustix::fs::open(c"/dev/null", rustix::fs::OFlags::RDWR, 0o0.into())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(daemon)
}

/// Nobody reads its stderr: the daemon tells why there is no keeper.
fn say_why(daemon: &OwnedFd, why: &io::Error) {
    let mut line = Vec::new();
    keeping::encode(&mut line, &Notice::CannotServe(why.to_string()));
    let _ = rustix::net::send(daemon, &line, SendFlags::NOSIGNAL);
}

/// A name that no other keeper ever has: pids and start times come again after a reboot.
fn own_id() -> io::Result<String> {
    let pid = rustix::process::getpid();
    let start = proc_fs::kernel_start(pid).unwrap_or(0);
    Ok(format!("{}-{start}-{}", pid.as_raw_nonzero(), proc_fs::boot_id()?))
}

impl Keeper {
    fn new(state_dir: &Path, daemon: &OwnedFd) -> io::Result<Keeper> {
        settle_process()?;
        let _ = sys::take_precedence(sys::Precedence::First);
        let name = state_dir.display();
        // Without it ps shows the command line.
        let _ = sys::set_title(&format!("{KEEPER_TITLE}{name}"), c"schedule");
        let poll = Poll::new()?;
        let mut listener = Socket::bind(state_dir)?;
        poll.registry().register(&mut listener.0, LISTENER, Interest::READABLE)?;
        let signals = Signals::register(poll.registry(), SIGNALS)?;
        let mut keeper = Keeper {
            id: own_id()?,
            opening: Opening::new(poll.registry(), FILES)?,
            poll,
            state_dir: state_dir.into(),
            listener: listener.0,
            socket: listener.1,
            signals,
            launcher: Launcher::new(state_dir)?,
            daemon: None,
            runs: Runs::new(state_dir),
            unsaid: 0,
            stretch: Stretch::default(),
            ends: Ends::inherit(state_dir),
        };
        let stream = std::os::unix::net::UnixStream::from(daemon.try_clone()?);
        stream.set_nonblocking(true)?;
        keeper.welcome(UnixStream::from_std(stream))?;
        Ok(keeper)
    }

    fn serve(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(16);
        let mut left = Ok(());
        while self.daemon.is_some() || !self.runs.is_empty() || !self.has_left(&mut left) {
            let look = self.runs.holds_ends().then_some(LOOK);
            let idle = self.daemon.is_none() && self.runs.is_empty();
            let again = idle.then_some(LEAVE_AGAIN);
            let opening = self.opening.next_ms().map(clock::until);
            let wait = self.prepare().into_iter().chain(look).chain(again).chain(opening).min();
            match self.poll.poll(&mut events, wait) {
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            self.signals.drain();
            // The runs are what it is there for: no signal but KILL ends it before them.
            if self.signals.wishes().contains(&Wish::ReopenLog) {
                self.listen_again();
            }
            self.obey();
            self.reap();
            self.open_on();
            // The next daemon is heard when all that the last one said was done.
            while self.daemon.is_none()
                && let Ok((stream, _)) = self.listener.accept()
            {
                self.welcome(stream)?;
            }
            self.send();
        }
        // The next daemon starts the next keeper as soon as the socket is gone: by then nothing of
        // ours is to be left for that one to take away.
        self.runs.leave();
        drop(self.launcher);
        self.socket.remove();
        left
    }

    /// Makes another socket where somebody took it away, alone or with the state directory: the
    /// next daemon looks for it there. The one that asked for that looks whether it was done.
    fn listen_again(&mut self) {
        if Socket::id_at(&self.state_dir.join(SOCKET)) == Some(self.socket.id) {
            return;
        }
        let Ok((mut listener, socket)) = Socket::bind(&self.state_dir) else { return };
        let registry = self.poll.registry();
        let _ = registry.deregister(&mut self.listener);
        if registry.register(&mut listener, LISTENER, Interest::READABLE).is_ok() {
            // The old one may be in a directory that was moved.
            self.socket.remove();
            (self.listener, self.socket) = (listener, socket);
        }
    }

    /// Leaves the ends for the next keeper. On a full disk it goes on as long as it has some: they
    /// are known to nobody else.
    fn has_left(&self, left: &mut io::Result<()>) -> bool {
        *left = self.ends.bequeath(&self.id);
        let must_stay = |why: &io::Error| is_full(why) && !self.ends.is_empty();
        !left.as_ref().is_err_and(must_stay)
    }

    /// Between stretches, does a piece of what would cost the next one time. Returns when there is
    /// more of it to do.
    fn prepare(&mut self) -> Option<Duration> {
        if !self.launcher.is_unprepared() {
            return None;
        }
        if !self.stretch.is_over(clock::now().mono_ms) {
            return Some(Duration::from_millis(PAUSE_MS));
        }
        self.launcher.prepare();
        Some(Duration::from_millis(PREPARE_MS))
    }

    /// Tells a daemon everything.
    fn welcome(&mut self, mut stream: UnixStream) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, DAEMON, interest)?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (id, after) = (self.id.clone(), self.ends.after().to_vec());
        let mut daemon = Channel::new(stream, Vec::new());
        daemon.say(&Notice::Keeper { id, after, version, answers: true, instances: true });
        for (run, started, asked_ms) in self.runs.iter() {
            daemon.say(&Notice::Started(run, started));
            asked_ms.into_iter().for_each(|ms| daemon.say(&Notice::Stopping(run, ms)));
        }
        for end in self.ends.iter() {
            daemon.say(&Notice::Ended(end.clone()));
        }
        daemon.say(&Notice::Complete);
        self.daemon = Some(daemon);
        self.send();
        Ok(())
    }

    /// Does what the daemon wants, up to the end of what it said.
    fn obey(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        // A line that makes no sense is of another version: it can only be passed over.
        let (orders, alive) = daemon.hear(|_| ());
        self.launcher.refresh();
        orders.into_iter().for_each(|order| self.perform(order));
        if !alive {
            self.daemon = None;
            // They were not started, and the next daemon will ask for them if it wants them.
            self.opening.forget_all();
        }
    }

    fn perform(&mut self, order: Order) {
        match order {
            Order::Surroundings { environment, directory } => {
                self.launcher.surround(environment, &directory);
            }
            Order::Launch { run, plan, not_after_ms } => {
                let now_ms = clock::now().mono_ms;
                let far = self.launcher.far_files(&plan);
                match far.is_empty() || now_ms > not_after_ms {
                    true => self.launch_and_tell(run, &plan, not_after_ms),
                    false => return self.opening.begin(now_ms, run, plan, not_after_ms, far),
                }
                // Not each by itself: the daemon would wake for it, and take the processor from
                // the processes that are being made. Nor all at the end: it has more to order.
                self.unsaid += 1;
                if self.unsaid >= NOTICES_AT_ONCE {
                    self.send();
                }
            }
            Order::ControlGroups(wanted) => self.runs.use_groups(wanted),
            Order::Stop(run, signal) => match self.opening.forget(run) {
                true => {
                    let text = "stopped before it was started".into();
                    let error = LaunchError { errno: 0, retryable: false, text };
                    self.say(&Notice::Failed(run, error));
                }
                false => {
                    self.runs.stop(clock::now(), run, signal);
                    self.tell_refused();
                }
            },
            Order::GoOn(run) => self.runs.go_on(run),
            Order::Forget(run) => self.ends.forget(run),
            Order::Answer => self.say(&Notice::Here),
        }
    }

    fn launch_and_tell(&mut self, run: RunId, plan: &LaunchPlan, not_after_ms: u64) {
        let notice = match self.launch(run, plan, not_after_ms) {
            Ok(started) => Notice::Started(run, started),
            Err(error) => Notice::Failed(run, error),
        };
        self.say(&notice);
    }

    /// Launches runs whose files were opened elsewhere, and tells of those that wait.
    fn open_on(&mut self) {
        let (opened, waiting) = self.opening.turn(clock::now().mono_ms);
        for Opened { run, plan, not_after_ms, files } in opened {
            match files {
                Ok(files) => {
                    self.launcher.give(files);
                    self.launch_and_tell(run, &plan, not_after_ms);
                    self.launcher.forget_given();
                }
                Err(error) => self.say(&Notice::Failed(run, error)),
            }
        }
        for (run, what) in waiting {
            self.say(&Notice::Waits(run, what));
        }
    }

    fn launch(
        &mut self,
        run: RunId,
        plan: &LaunchPlan,
        not_after_ms: u64,
    ) -> Result<Started, LaunchError> {
        let mono_ms = clock::now().mono_ms;
        if mono_ms > not_after_ms {
            let text = "the keeper of runs stood still for too long: it is too late now".into();
            return Err(LaunchError { errno: 0, retryable: false, text });
        }
        self.stretch.goes_on(mono_ms);
        let started = self.runs.launch(&mut self.launcher, run, plan)?;
        if let Some(why) = self.launcher.take_trouble() {
            self.say(&Notice::NoOutput(run, why));
        }
        Ok(started)
    }

    /// Takes in every run that has ended.
    fn reap(&mut self) {
        let any = self.runs.take_in(clock::now());
        self.runs.take_others().into_iter().for_each(|pid| self.opening.reaped(pid));
        if any {
            // A run may have been told to end while others were being started here: the daemon said
            // so before it signalled, so before the run ended.
            self.obey();
        }
        // The last line of a run is read from its file: not where by now something may hang.
        if self.runs.holds_ends() {
            self.launcher.refresh();
        }
        for end in self.runs.ends(clock::now(), &self.launcher) {
            self.say(&Notice::Ended(end.clone()));
            self.ends.add(end);
        }
        self.tell_refused();
    }

    fn tell_refused(&mut self) {
        for (run, refusal) in self.runs.take_refused() {
            self.say(&Notice::Refused(run, refusal));
        }
    }

    fn say(&mut self, notice: &Notice) {
        if let Some(daemon) = &mut self.daemon {
            daemon.say(notice);
        }
    }

    /// Hands over what the daemon takes now; the rest when it takes more.
    fn send(&mut self) {
        self.unsaid = 0;
        if let Some(daemon) = &mut self.daemon {
            daemon.send();
        }
    }
}

impl Socket {
    fn bind(state_dir: &Path) -> io::Result<(UnixListener, Socket)> {
        let dir = own::enter_ours(state_dir, OFlags::PATH)?;
        let path = socket_in(&dir);
        // One that is there is of a keeper that is dead, or that did not answer its daemon.
        let removed = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(|why| {
            // What is in the way is in the way because it can't be removed.
            let in_the_way = removed.err().filter(|_| why.kind() == io::ErrorKind::AddrInUse);
            io::Error::other(own::told(&state_dir.join(SOCKET), &in_the_way.unwrap_or(why)))
        })?;
        let id = Socket::id_at(&path).ok_or(io::ErrorKind::NotFound)?;
        Ok((listener, Socket { _dir: dir, path, id }))
    }

    /// Which file has this name.
    fn id_at(path: &Path) -> Option<(u64, u64)> {
        std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
    }

    /// Takes the file away, unless another keeper has put its own there.
    fn remove(&self) {
        if Socket::id_at(&self.path) == Some(self.id) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
