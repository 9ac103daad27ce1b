//! The loop: sleep, read the clocks once, listen, reap, think, act. It holds no decisions.

mod files;
mod panicked;
mod reading;
mod renew;
mod tending;

use crate::core::daemon::Core;
use crate::core::event::{Action, Event, PushFailure};
use crate::core::ids::ConnId;
use crate::core::renewals::{MemoryLimit, Panics};
use crate::core::scheduler::Kept;
use crate::core::time::Now;
use crate::shell::children::Children;
use crate::shell::clock::{self, WallTimer};
use crate::shell::container;
use crate::shell::files::lanes::Lanes;
use crate::shell::helpers::Helpers;
use crate::shell::instance;
use crate::shell::journal::Journal;
use crate::shell::lock::Lock;
use crate::shell::logging;
use crate::shell::notify::Notify;
use crate::shell::output::Outputs;
use crate::shell::predecessor::Lookout;
use crate::shell::renewal::{Renewal, Why};
use crate::shell::server::Server;
use crate::shell::set_aside::SetAside;
use crate::shell::signals::{Signals, Wish};
use crate::shell::snapshot;
use crate::shell::sys;
use crate::shell::trusted::mounts::Mounts;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

const SIGNALS: Token = Token(0);
const TIMER: Token = Token(1);
/// The socket to the keeper.
pub const KEEPER: Token = Token(4);
/// A program that is asked whether it could take the place of this one.
const PROBE_STDIN: Token = Token(5);
const PROBE_STDOUT: Token = Token(6);
/// Processes that look at files.
const FILES: Token = Token(7);
/// Helpers of the lanes to the database have tokens from 8 on (`shell::helpers`), two each. Pidfds
/// of runs have them from here on, connections from [`FIRST_SERVER_TOKEN`] on.
pub const FIRST_WATCHED_TOKEN: usize = 32;
/// See [`FIRST_WATCHED_TOKEN`].
pub const FIRST_SERVER_TOKEN: usize = 1 << 30;

/// Requests are taken in for this long, in microseconds; then what is due is looked at again.
const LISTEN_US: u64 = 3_000;

/// While so many files are to be read for clients, no further request is taken in: the server knows
/// whose turn it is, what is planned is done in its order.
const MAX_READS: usize = 4;

/// Actions are performed for this long, in microseconds; then the sockets are looked at again.
/// Launches are not counted, only their number is bounded: the keeper, which goes before the
/// daemon, would use that time up, and the rest of a burst wait for the clients.
const ACT_US: u64 = 3_000;

/// Events taken from the kernel in one turn.
const MAX_EVENTS: usize = 1024;

/// The daemon and all its descriptors.
pub struct Daemon {
    poll: Poll,
    core: Core,
    server: Server,
    outputs: Outputs,
    children: Children,
    journal: Journal,
    set_aside: SetAside,
    signals: Signals,
    timer: WallTimer,
    helpers: Helpers,
    mounts: Mounts,
    lanes: Lanes<reading::Reader>,
    scratch: Vec<u8>,
    state_dir: PathBuf,
    /// The clocks as they were read in this turn: what the core is told is told by them.
    now: Now,
    /// When the core was last told how the process is, monotonic ms.
    examined_ms: Option<u64>,
    /// Actions are left over from the last turn.
    pressed: bool,
    exiting: bool,
    notify: Notify,
    lock: Lock,
    state_lock: Lock,
    /// The numbers of the state directories that were its own, the first as it started.
    own: Vec<u64>,
    /// Why what counts can't be put where it belongs; it was said.
    astray: Option<String>,
    /// The keeper is to make its socket again, and that was said.
    is_calling: bool,
    renewal: Option<Renewal>,
    lookout: Lookout,
    keeping: Keeping,
}

/// What is needed to put another program in place of this one.
pub struct Keeping {
    /// The program that upgrades execute.
    pub program: PathBuf,
    /// The pid file's name.
    pub lock_path: PathBuf,
    /// When it panicked lately.
    pub panics: Panics,
    /// How much memory it may take.
    pub memory: MemoryLimit,
}

/// What a daemon is made of, opened by `shell::start`.
pub struct Parts {
    /// The poll that the server's sockets, the keeper's and the pidfds are registered with.
    pub poll: Poll,
    /// The core, its past settled.
    pub core: Core,
    /// The sockets.
    pub server: Server,
    /// The files runs write to.
    pub outputs: Outputs,
    /// The processes of runs.
    pub children: Children,
    /// The journal's files.
    pub journal: Journal,
    /// The state directory of the group.
    pub state_dir: PathBuf,
    /// The lock of the group.
    pub lock: Lock,
    /// The lock of the state directory.
    pub state_lock: Lock,
    /// For another program.
    pub keeping: Keeping,
}

impl Daemon {
    /// Puts the parts together.
    ///
    /// # Errors
    /// No descriptors.
    pub fn new(parts: Parts) -> io::Result<Daemon> {
        let timer = WallTimer::new()?;
        let registry = parts.poll.registry();
        registry.register(&mut SourceFd(&timer.raw_fd()), TIMER, Interest::READABLE)?;
        let signals = Signals::register(registry, SIGNALS)?;
        let lanes = Lanes::new(registry, FILES, reading::REST_MS)?;
        let lookout = Lookout::new(parts.core.scheduler.settings().server_id);
        Ok(Daemon {
            poll: parts.poll,
            core: parts.core,
            server: parts.server,
            outputs: parts.outputs,
            children: parts.children,
            journal: parts.journal,
            set_aside: SetAside::of(&parts.state_dir),
            signals,
            timer,
            helpers: Helpers::default(),
            mounts: Mounts::of(&parts.state_dir),
            lanes,
            scratch: Vec::new(),
            own: instance::kept_in(&parts.state_dir).into_iter().collect(),
            state_dir: parts.state_dir,
            now: clock::now(),
            examined_ms: None,
            pressed: false,
            exiting: false,
            notify: Notify::default(),
            lock: parts.lock,
            state_lock: parts.state_lock,
            astray: None,
            is_calling: false,
            renewal: None,
            lookout,
            keeping: parts.keeping,
        })
    }

    /// From now on, `notify` tells others how the daemon is.
    pub fn announce(&mut self, notify: Notify) {
        self.notify = notify;
    }

    /// Runs until it is told to end.
    ///
    /// # Errors
    /// The kernel's event queue failed: nothing that could be waited out.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(MAX_EVENTS);
        while !self.exiting {
            self.sleep(&mut events)?;
            // What is half done after a panic is not looked at again: another program begins
            // again with what the journal and the keeper know, as after a crash.
            let turn = AssertUnwindSafe(|| self.turn(&events));
            if catch_unwind(turn).is_err() {
                self.start_anew_after_panic()?;
                break;
            }
        }
        self.notify.ending();
        self.end_helpers();
        self.answer_all(true);
        self.server.close_idle(clock::now());
        self.helpers.farewell(&mut self.scratch);
        if let Some(said_ms) = self.journal.said_ms().filter(|_| self.exiting) {
            self.lock.left_at(said_ms);
        }
        Ok(())
    }

    fn turn(&mut self, events: &Events) {
        let (now, began_us) = (clock::now(), clock::mono_us());
        self.now = now;
        self.examine(now);
        self.listen(now, events);
        self.reap(now);
        self.think(now);
        self.act();
        self.notify.turned(now, &self.core);
        self.core.handle(now, Event::Turned(clock::mono_us() - began_us));
        self.renew(now);
        // What is due does not wait for it.
        if !self.pressed
            && let Some(found) = self.lookout.look(now.mono_ms)
        {
            let pid = found.map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
            self.core.handle(now, Event::Twin(pid));
        }
    }

    /// Waits for an event, or until the core or the server has something to do.
    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        let wake = self.core.next_wake();
        let now = clock::now();
        let at_once = self.pressed
            || self.core.busy()
            || self.helpers.are_readable()
            || wake.wall_ms.is_some_and(|at| at <= now.wall_ms);
        self.timer.arm(wake.wall_ms.filter(|_| !at_once))?;
        let deadline = wake.mono_ms.into_iter().chain(self.server.next_deadline_ms());
        let renewal = self.renewal.as_ref().map(|it| it.next_ms(now.mono_ms));
        let lanes = self.lanes.next_ms();
        let log = logging::tend().map(|wait_ms| now.mono_ms + wait_ms);
        let others = [self.notify.next_ms(), renewal, self.children.next_deadline_ms(), lanes, log];
        let deadline = deadline.chain(others.into_iter().flatten()).min();
        let timeout = match (at_once, deadline) {
            (true, _) => Some(Duration::ZERO),
            (false, Some(at)) => Some(Duration::from_millis(at.saturating_sub(now.mono_ms))),
            (false, None) => None,
        };
        match self.poll.poll(events, timeout) {
            Err(why) if why.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    fn listen(&mut self, now: Now, events: &Events) {
        for event in events {
            match event.token() {
                SIGNALS => self.signals.drain(),
                TIMER => self.timer.rang(),
                PROBE_STDIN => {}
                PROBE_STDOUT => self.probe().into_iter().for_each(|it| it.readable = true),
                token if self.helpers.ready(token) => {}
                token if self.server.owns(token) => self.server.ready(event, now),
                // Told below, whether there was an event or not.
                KEEPER | FILES => {}
                token => {
                    let ended = self.children.watched_ended(now, token);
                    ended.into_iter().for_each(|event| self.core.handle(now, event));
                }
            }
        }
        self.read_answers(now);
        self.take_readings(now);
        self.server.expire(now);
        while let Some(conn) = self.server.next_gone() {
            self.core.handle(now, Event::Gone(conn));
        }
        while let Some(conn) = self.server.next_hungry() {
            self.core.handle(now, Event::PieceWanted(conn));
        }
        // The rest waits for the next turn, with what is due meanwhile before it.
        let began_us = clock::mono_us();
        while clock::mono_us() - began_us < LISTEN_US
            && self.core.web.reads_waiting() < MAX_READS
            && let Some((conn, request)) = self.server.next_request()
        {
            self.core.handle(now, Event::Request(conn, Box::new(request)));
        }
    }

    /// Takes in what the keeper says of runs, and the helper that has ended. A SIGCHLD only wakes
    /// the loop, so a lost or merged one costs nothing.
    fn reap(&mut self, now: Now) {
        for event in self.children.hear(now) {
            self.core.handle(now, event);
        }
        let idle = self.core.scheduler.runs().is_empty();
        for event in self.children.look_after(now, idle) {
            self.core.handle(now, event);
        }
        while let Some(ended) = sys::wait_any() {
            self.lanes.reaped(ended.pid);
            self.helpers.reaped(&ended);
            if let Some(renewal) = &mut self.renewal {
                renewal.reaped(&ended);
            }
        }
        self.read_answers(now);
    }

    fn think(&mut self, now: Now) {
        for wish in self.signals.wishes() {
            match wish {
                Wish::Terminate => self.core.handle(now, container::meaning_of_term()),
                Wish::Drain => self.core.handle(now, Event::Drain),
                Wish::StopRuns => self.core.handle(now, Event::StopRuns),
                Wish::Reload => self.begin_renewal(now, Why::Reload),
                Wish::Upgrade => self.begin_renewal(now, Why::Upgrade),
                Wish::ReopenLog => reopen_log(),
            }
        }
        self.core.handle(now, Event::Tick);
    }

    fn act(&mut self) {
        let mut spent_us = 0;
        self.pressed = false;
        while let Some(action) = self.core.next_action() {
            if matches!(action, Action::Launch { .. }) {
                self.perform(action);
                continue;
            }
            self.children.send();
            let began_us = clock::mono_us();
            self.perform(action);
            if self.exiting {
                break;
            }
            spent_us += clock::mono_us() - began_us;
            if spent_us >= ACT_US {
                self.pressed = true;
                break;
            }
        }
        self.children.send();
        if self.exiting {
            return;
        }
        if !self.pressed {
            // Nothing is left to be written.
            self.children.journaled(self.core.scheduler.outbox().is_whole());
        }
        self.server.flush(clock::now());
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Journal(offset, lines) => {
                let written = self.journal.write(offset, &lines);
                self.journal_written(written, lines);
            }
            Action::JournalSegment(start, lines) => {
                let written = self.journal.begin_segment(start, &lines);
                self.journal_written(written, lines);
            }
            Action::LastWord(word) => self.journal.keep_last_word(&word),
            Action::JournalCount(start, from) => {
                let records = self.journal.count(start, from);
                self.core.handle(self.now, Event::JournalCounted(start, records));
            }
            Action::JournalForget(start) => {
                if let Err(why) = self.journal.forget(start) {
                    log::warn!("journal: segment {start} can't be deleted: {why}");
                }
            }
            Action::JournalLook => self.look_at_last(),
            Action::Launch { run, plan, not_after_ms } => {
                self.children.launch(run, plan, not_after_ms);
            }
            Action::Signal(run, signal) => {
                let sent = self.children.signal(run, signal);
                self.core.handle(self.now, sent);
            }
            Action::Ask(purpose, id, question) => self.ask_helper(purpose, id, question),
            Action::EndHelper(purpose) => self.helpers.end(purpose),
            Action::KillHelper(purpose) => self.helpers.kill(purpose),
            Action::KeepSnapshot(unwritten) => {
                let kept = match self.astray.clone() {
                    Some(why) => {
                        // What the helper has told is told already.
                        Kept::Not { why: unwritten.unwrap_or(why), aside: false }
                    }
                    None => snapshot::keep(&self.state_dir, unwritten),
                };
                self.core.scheduler.snapshot_kept(kept);
            }
            Action::Respond(conn, response) => {
                self.server.respond(clock::now(), conn, *response);
            }
            Action::Push(conn, bytes) => self.push(conn, &bytes),
            Action::Finish(conn) => self.server.finish(clock::now(), conn),
            Action::ReadFile(conn, plan) => self.read_file(conn, &plan),
            Action::ClearFile(ticket, names) => self.clear_file(ticket, &names),
            Action::Exit => self.exiting = true,
        }
    }

    fn push(&mut self, conn: ConnId, bytes: &[u8]) {
        if !self.server.push(clock::now(), conn, bytes) {
            let failure = match self.server.is_streaming(conn) {
                true => PushFailure::Full,
                false => PushFailure::Gone,
            };
            self.core.handle(self.now, Event::PushFailed(conn, failure));
        }
    }
}

/// SIGUSR1, after the log was moved away.
fn reopen_log() {
    match logging::reopen() {
        Ok(true) => log::info!("the log is opened again"),
        Ok(false) => log::info!("the log goes to stderr: there is nothing to be opened again"),
        Err(why) => log::error!("{why}; lines go on to the old file"),
    }
}
