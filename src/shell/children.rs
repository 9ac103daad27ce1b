//! The processes of runs. Their parent is the keeper, which starts them and tells how they end;
//! where it is dead, they are only watched.

use crate::core::event::{Ended, Event, Signal, Started};
use crate::core::ids::RunId;
use crate::core::keeping::{KeptEnd, Notice};
use crate::core::launch::{LaunchError, LaunchPlan};
use crate::core::outcome::Outcome;
use crate::core::plain::clean;
use crate::core::refusal::Refusal;
use crate::core::time::Now;
use crate::shell::cgroup;
use crate::shell::clock;
use crate::shell::keeper::client::Keeper;
use crate::shell::own;
use crate::shell::proc_fs;
use crate::shell::process::signal_group;
use crate::shell::refused::{self, Members};
use crate::shell::search;
use crate::shell::sys::{self, Pid};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A keeper that can't be started is tried again after this long, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// What is told of processes that were left behind.
const LEFT_COLUMNS: usize = 400;

/// Ends that the keeper is to remember while the journal can't be written.
const MAX_HELD: usize = 4_096;

/// The runs that have a process, and who has them.
pub struct Children {
    state_dir: PathBuf,
    control_groups: bool,
    poll: Registry,
    keeper_token: Token,
    first_token: usize,
    keeper: Option<Keeper>,
    retry_at_ms: u64,
    /// Runs without a keeper, by the token of their pidfd.
    watched: BTreeMap<usize, (RunId, OwnedFd)>,
    /// Runs without a keeper and, for want of a descriptor, without a pidfd: looked at each second.
    unwatched: BTreeMap<RunId, Started>,
    /// Signals that could not be sent for want of a descriptor.
    unsent: BTreeMap<RunId, Signal>,
    /// When to see to both next, by the monotonic clock.
    look_at_ms: u64,
    /// Where to send a signal.
    processes: BTreeMap<RunId, Started>,
    next_token: usize,
    /// Who is in their process groups.
    members: Members,
    /// Ends that the core was told and the journal may not have yet.
    told: Vec<RunId>,
}

/// What happened to a run, or to the keeper.
pub enum News {
    /// What became of a launch.
    Launched(RunId, Result<Started, LaunchError>),
    /// A process is gone.
    Ended(Box<Ended>),
    /// What this run writes is not kept.
    NoOutput(RunId, String),
    /// The launch of this run waits for a file system.
    Waits(RunId, String),
    /// A signal did not reach this run, or not all of it.
    Refused(RunId, Box<Refusal>),
    /// This keeper launches from now on.
    KeeperIs(String),
    /// Nothing can be launched for now.
    NoKeeper,
}

impl Children {
    /// Finds or starts the keeper. Its notices come with `keeper_token`, pidfds have tokens from
    /// `first_token` on. Also returns what the keeper knows of runs of earlier daemons.
    ///
    /// # Errors
    /// No process, no descriptor, or the state directory can't be used.
    pub fn new(
        state_dir: &Path,
        control_groups: bool,
        poll: &Registry,
        keeper_token: Token,
        first_token: usize,
    ) -> io::Result<(Children, Vec<Notice>)> {
        let mut children = Children {
            state_dir: state_dir.into(),
            control_groups,
            poll: poll.try_clone()?,
            keeper_token,
            first_token,
            keeper: None,
            retry_at_ms: 0,
            watched: BTreeMap::new(),
            unwatched: BTreeMap::new(),
            unsent: BTreeMap::new(),
            look_at_ms: 0,
            processes: BTreeMap::new(),
            next_token: 0,
            members: Members::default(),
            told: Vec::new(),
        };
        let notices = children.find_keeper()?;
        Ok((children, notices))
    }

    fn find_keeper(&mut self) -> io::Result<Vec<Notice>> {
        let (keeper, notices) = Keeper::find(&self.state_dir)?;
        self.keep_by(keeper)?;
        Ok(notices)
    }

    fn keep_by(&mut self, mut keeper: Keeper) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.register(keeper.source(), self.keeper_token, interest)?;
        keeper.use_groups(self.control_groups);
        self.keeper = Some(keeper);
        Ok(())
    }

    /// What the keeper said when it was found, with the ids of those of these runs that it has.
    pub fn recognise(
        &mut self,
        runs: impl Iterator<Item = RunId>,
        said: Vec<Notice>,
    ) -> Vec<Notice> {
        match &mut self.keeper {
            Some(keeper) => keeper.recognise(runs, said),
            None => said,
        }
    }

    /// The id of the keeper; empty without one.
    pub fn keeper_id(&self) -> &str {
        self.keeper.as_ref().map_or("", Keeper::id)
    }

    /// Whether there is a keeper that knows everything that those with these ids knew.
    pub fn keeper_knows_as(&self, ids: &[String]) -> bool {
        let knows_all = |keeper: &Keeper| ids.iter().all(|id| keeper.knows_as(id));
        // Of no keeper nothing is known.
        !ids.is_empty() && self.keeper.as_ref().is_some_and(knows_all)
    }

    /// Has the keeper start a run, unless the monotonic clock has passed `not_after_ms` by then.
    /// The core asks for none while there is no keeper. After the last one of several,
    /// [`Children::send`].
    pub fn launch(&mut self, run: RunId, plan: Box<LaunchPlan>, not_after_ms: u64) {
        if let Some(keeper) = &mut self.keeper {
            keeper.launch(run, plan, not_after_ms);
        }
    }

    /// Hands over to the keeper what was said to it.
    pub fn send(&mut self) {
        self.keeper.iter_mut().for_each(Keeper::send);
    }

    /// Takes note of the process of a run that the keeper has.
    pub fn kept(&mut self, run: RunId, started: Started) {
        self.processes.insert(run, started);
    }

    /// What the keeper says now. If it died, what can be found out of its runs instead.
    pub fn hear(&mut self) -> Vec<News> {
        let Some(keeper) = &mut self.keeper else { return Vec::new() };
        keeper.send();
        let (notices, alive) = keeper.listen();
        let mut news = notices.into_iter().filter_map(|notice| self.news(notice)).collect();
        if !alive && let Some(keeper) = self.keeper.take() {
            log::error!("keeper {} is gone: how its runs end will not be known", keeper.id());
            self.lose(keeper, &mut news);
        }
        news
    }

    fn news(&mut self, notice: Notice) -> Option<News> {
        match notice {
            Notice::Started(run, started) => {
                self.processes.insert(run, started);
                Some(News::Launched(run, Ok(started)))
            }
            Notice::NoOutput(run, why) => Some(News::NoOutput(run, why)),
            Notice::Refused(run, refusal) => Some(News::Refused(run, refusal)),
            Notice::Waits(run, what) => Some(News::Waits(run, what)),
            Notice::Failed(run, error) => Some(News::Launched(run, Err(error))),
            Notice::Ended(end) => Some(self.ended(end)),
            Notice::Keeper { .. }
            | Notice::Stopping(..)
            | Notice::Complete
            | Notice::CannotServe(_)
            | Notice::Here => None,
        }
    }

    /// The end of a run of the keeper's.
    pub fn ended(&mut self, end: KeptEnd) -> News {
        self.processes.remove(&end.run);
        self.told.push(end.run);
        let outcome = match end.left.is_empty() {
            true => Outcome::Ended(end.exit),
            // An earlier version of the keeper tells what the processes say of themselves.
            false => Outcome::LeftBehind(end.exit, clean(&end.left, LEFT_COLUMNS).into()),
        };
        News::Ended(Box::new(Ended { run: end.run, at: end.at, outcome, usage: end.usage }))
    }

    /// Everything that the core was told is in the journal, unless that is not `whole`: then the
    /// keeper still has to know, or a run of which only the intent is on the disk would seem never
    /// to have been launched. Those are the first ones; what comes when the disk has been full for
    /// long left no intent either.
    pub fn journaled(&mut self, whole: bool) {
        let held = if whole { 0 } else { self.told.len().min(MAX_HELD) };
        for run in self.told.drain(held..) {
            if let Some(keeper) = &mut self.keeper {
                keeper.forget(run);
            }
        }
    }

    fn lose(&mut self, keeper: Keeper, news: &mut Vec<News>) {
        news.push(News::NoKeeper);
        for (run, ordered_ms) in keeper.into_outstanding() {
            match self.find_unnoted(run, proc_fs::tick_of(ordered_ms)) {
                Some((pid, kernel_start)) => {
                    let started = Started { pid, kernel_start, at: clock::now() };
                    self.processes.insert(run, started);
                    news.push(News::Launched(run, Ok(started)));
                }
                None => {
                    let why = "its keeper was killed while it was starting it";
                    news.push(lost(run, why));
                }
            }
        }
        let unwatched = self.unwatched.keys().copied();
        let watched: BTreeSet<RunId> =
            self.watched.values().map(|(run, _)| *run).chain(unwatched).collect();
        let kept: Vec<(RunId, Started)> =
            self.processes.iter().map(|(run, started)| (*run, *started)).collect();
        for (run, started) in kept.into_iter().filter(|(run, _)| !watched.contains(run)) {
            if !self.watch(run, started) {
                news.push(lost(run, NOT_SEEN));
            }
        }
    }

    /// Looks for a process that was started just before who started it died: its environment
    /// names the run, and it began at this instant of the kernel's reckoning or later. Returns its
    /// pid and when that was. What such a keeper had no time to take back from it is taken back.
    pub fn find_unnoted(&self, run: RunId, earliest: u64) -> Option<(u32, u64)> {
        let mut found = search::find_by_run_id(&run.to_string(), earliest).ok()?;
        found.retain(|(pid, _)| !search::is_kept_elsewhere(*pid, &self.state_dir));
        let leads = |found: &&search::Process| sys::group_of(found.0) == Some(found.0);
        let (pid, kernel_start) = *found.iter().find(leads).or(found.first())?;
        sys::end_precedence_of(pid);
        Some((pid.as_raw_nonzero().get().unsigned_abs(), kernel_start))
    }

    /// Whether the process of a run is in the hands of another installation's keeper.
    pub fn is_others(&self, started: Started) -> bool {
        pid_of(started.pid).is_some_and(|pid| search::is_kept_elsewhere(pid, &self.state_dir))
    }

    /// When [`Children::look_after`] is to be called next, by the monotonic clock.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let keeper = match &self.keeper {
            Some(keeper) => keeper.next_look_ms(!self.processes.is_empty()),
            None => Some(self.retry_at_ms),
        };
        keeper.into_iter().chain(self.is_short().then_some(self.look_at_ms)).min()
    }

    /// Finds another keeper for one that was lost, or that is of another version and `idle`; and
    /// sees to runs that could not be watched or signalled.
    pub fn look_after(&mut self, now: Now, idle: bool) -> Vec<News> {
        let mut news = Vec::new();
        if self.is_short() && now.mono_ms >= self.look_at_ms {
            self.look_at_ms = now.mono_ms + RETRY_MS;
            news = self.try_again();
        }
        news.extend(self.look_after_keeper(now, idle));
        news
    }

    /// Whether something could not be done for want of descriptors.
    fn is_short(&self) -> bool {
        !self.unwatched.is_empty() || !self.unsent.is_empty()
    }

    fn try_again(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        for (run, signal) in std::mem::take(&mut self.unsent) {
            let refusal = self.try_signal(run, signal).ok().flatten();
            news.extend(refusal.map(|refusal| News::Refused(run, refusal)));
        }
        for (run, started) in self.unwatched.clone() {
            if !self.watch(run, started) {
                news.push(lost(run, NOT_SEEN));
            }
        }
        news
    }

    fn look_after_keeper(&mut self, now: Now, idle: bool) -> Option<News> {
        let has_runs = !self.processes.is_empty();
        if let Some(keeper) = &mut self.keeper {
            keeper.look_after(now.mono_ms, has_runs);
        }
        if idle && self.keeper.as_ref().is_some_and(Keeper::is_stale) {
            return self.replace_keeper(now);
        }
        if self.keeper.is_some() || now.mono_ms < self.retry_at_ms {
            return None;
        }
        let found = self.find_keeper().map(drop);
        Some(self.keeper_news(now, found))
    }

    /// The old one ends as soon as its daemon has gone over to the new one.
    fn replace_keeper(&mut self, now: Now) -> Option<News> {
        if now.mono_ms < self.retry_at_ms {
            return None;
        }
        log::info!("keeper {} is of another version and is replaced", self.keeper_id());
        let started = Keeper::start(&self.state_dir).and_then(|(keeper, _)| self.keep_by(keeper));
        Some(self.keeper_news(now, started))
    }

    fn keeper_news(&mut self, now: Now, found: io::Result<()>) -> News {
        match found {
            Ok(()) => News::KeeperIs(self.keeper_id().to_owned()),
            Err(why) => {
                log::error!("the keeper of runs can't be started: {why}");
                self.retry_at_ms = now.mono_ms + RETRY_MS;
                match self.keeper {
                    Some(_) => News::KeeperIs(self.keeper_id().to_owned()),
                    None => News::NoKeeper,
                }
            }
        }
    }

    /// Watches the process of a run that has no keeper. Returns whether it is still there.
    pub fn watch(&mut self, run: RunId, started: Started) -> bool {
        let Some(pid) = pid_of(started.pid) else { return false };
        let watched = self.try_watch(run, started, pid);
        let alive = match watched {
            Ok(alive) => alive,
            Err(_) => proc_fs::is_running(pid, started.kernel_start),
        };
        match alive {
            true => drop(self.processes.insert(run, started)),
            false => drop(self.processes.remove(&run)),
        }
        match watched {
            Err(why) if alive => {
                if self.unwatched.insert(run, started).is_none() {
                    log::warn!("run={run} can't be watched and is looked at each second: {why}");
                }
            }
            _ => drop(self.unwatched.remove(&run)),
        }
        alive
    }

    fn try_watch(&mut self, run: RunId, started: Started, pid: Pid) -> io::Result<bool> {
        // The rest is for clients, helpers and the keeper to come.
        if self.watched.len() as u64 >= sys::descriptor_limit() / 8 {
            return Err(rustix::io::Errno::MFILE.into());
        }
        let Some(fd) = proc_fs::watch(pid, started.kernel_start)? else { return Ok(false) };
        let token = self.first_token + self.next_token;
        self.next_token += 1;
        self.poll.register(&mut SourceFd(&fd.as_raw_fd()), Token(token), Interest::READABLE)?;
        self.watched.insert(token, (run, fd));
        Ok(true)
    }

    /// The run whose pidfd has this token has ended.
    pub fn watched_ended(&mut self, token: Token) -> Option<News> {
        let (run, _) = self.watched.remove(&token.0)?;
        self.processes.remove(&run);
        Some(lost(run, NOT_SEEN))
    }

    /// Sends a signal to the process group of a run, and has the keeper see to the rest of it; of
    /// one that is being started, the keeper alone takes note. A run that is gone gets none. What
    /// can't be sent now is tried again. Returns what became of it.
    pub fn signal(&mut self, run: RunId, signal: Signal) -> Event<'static> {
        match self.try_signal(run, signal) {
            Ok(refusal) => Event::Signalled(run, refusal),
            Err(why) => Event::NotSignalled(run, why),
        }
    }

    fn try_signal(&mut self, run: RunId, signal: Signal) -> Result<Option<Box<Refusal>>, String> {
        if let Some(keeper) = &mut self.keeper {
            keeper.stop(run, signal);
        }
        let process = self.processes.get(&run);
        let Some((pid, started)) = process.and_then(|it| Some((pid_of(it.pid)?, *it))) else {
            return Ok(None);
        };
        let number = match signal {
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        let nobody = match signal_group(pid, started.kernel_start, number) {
            Ok(false) => return Ok(None),
            Ok(true) => false,
            Err(why) if why.kind() == io::ErrorKind::PermissionDenied => true,
            Err(why) => {
                let why = own::advised(&why);
                log::error!("run={run} can't be signalled now and is later: {why}");
                self.unsent.insert(run, signal);
                return Err(format!("it can't be signalled now, and is as soon as it can: {why}"));
            }
        };
        Ok(self.refusal(run, pid, signal, nobody))
    }

    /// Who of a run did not take a signal. What goes on is not told to end any more.
    fn refusal(
        &mut self,
        run: RunId,
        pid: Pid,
        signal: Signal,
        nobody: bool,
    ) -> Option<Box<Refusal>> {
        let members = self.members.of(clock::now().mono_ms, pid);
        let mut refusal = refused::among(pid, &members, nobody)?;
        if let Some(keeper) = &mut self.keeper {
            refusal.killable =
                keeper.process().is_some_and(|it| cgroup::is_kept(pid, &self.state_dir, it));
            match (refusal.killable, signal) {
                // It is killed by the keeper, which says if that is refused.
                (true, Signal::Kill) => return None,
                (true, Signal::Term) => {}
                (false, _) if refusal.leader => keeper.go_on(run),
                (false, _) => {}
            }
        }
        Some(Box::new(refusal))
    }
}

const NOT_SEEN: &str = "its keeper was killed, and nobody else is told how a process ended";

fn lost(run: RunId, why: &str) -> News {
    News::Ended(Box::new(Ended::unseen(run, clock::now(), Outcome::Lost(why.into()))))
}

/// The system's type for a pid; none for 0.
pub fn pid_of(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}
