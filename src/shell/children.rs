//! The processes of runs. Their parent is the keeper, which starts them and tells how they end;
//! where it is dead, they are only watched. What is concluded from what it says, and from what it
//! does not say, is decided in [`crate::core::custody`].

mod remains;
mod watching;

use crate::core::custody::{Custody, Silent};
use crate::core::daemon::Core;
use crate::core::event::{Event, Signal, Started};
use crate::core::ids::RunId;
use crate::core::keeping::Notice;
use crate::core::launch::LaunchPlan;
use crate::core::refusal::Refusal;
use crate::core::replay::Replay;
use crate::core::scheduler::{Carried, Place, Said};
use crate::core::time::Now;
use crate::shell::cgroup;
use crate::shell::clock;
use crate::shell::keeper::client::Keeper;
use crate::shell::own;
use crate::shell::proc_fs;
use crate::shell::process::{number, signal_group};
use crate::shell::refused;
use crate::shell::sys::{Pid, pid_of};
use mio::{Interest, Registry, Token};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use watching::Watching;

/// While it has runs, a keeper is asked for an answer this long after the last one, in
/// milliseconds; oftener in a build for tests.
const ASK_MS: u64 = if cfg!(debug_assertions) { 2_000 } else { 30_000 };

/// A keeper that can't be started is tried again after this long, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// The runs that have a process, and who has them.
pub struct Children {
    state_dir: PathBuf,
    control_groups: bool,
    poll: Registry,
    keeper_token: Token,
    keeper: Option<Keeper>,
    retry_at_ms: u64,
    custody: Custody,
    watching: Watching,
    /// Signals that could not be sent for want of a descriptor.
    unsent: BTreeMap<RunId, Signal>,
    /// When to see to both next, by the monotonic clock.
    look_at_ms: u64,
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
            keeper: None,
            retry_at_ms: 0,
            custody: Custody::new(ASK_MS),
            watching: Watching::new(state_dir.into(), poll.try_clone()?, first_token),
            unsent: BTreeMap::new(),
            look_at_ms: 0,
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
        self.custody.begins(keeper.answers());
        self.keeper = Some(keeper);
        Ok(())
    }

    /// Has the journal know the runs that the keeper has.
    pub fn recall(&mut self, replay: &mut Replay, notices: &[Notice]) {
        replay.knows_kept(notices, &mut self.watching);
    }

    /// Has the core find out what became of the runs of earlier daemons. The keeper has said this.
    pub fn settle(
        &mut self,
        core: &mut Core,
        said: Vec<Notice>,
        place: Place,
        carried: Option<&Carried>,
    ) {
        let Some(keeper) = &mut self.keeper else { return };
        let runs = core.scheduler.runs().keys().copied();
        let notices = keeper.recognise(runs, said);
        let said = Said { id: keeper.id().to_owned(), after: keeper.after().to_vec(), notices };
        let hands = (&mut self.custody, &mut self.watching);
        core.scheduler.adopt(clock::now(), said, place, carried, hands);
    }

    /// The id of the keeper; empty without one.
    fn keeper_id(&self) -> &str {
        self.keeper.as_ref().map_or("", Keeper::id)
    }

    /// Has the keeper start a run, unless the monotonic clock has passed `not_after_ms` by then.
    /// The core asks for none while there is no keeper. After the last one of several,
    /// [`Children::send`].
    pub fn launch(&mut self, run: RunId, plan: Box<LaunchPlan>, not_after_ms: u64) {
        if let Some(keeper) = &mut self.keeper {
            self.custody.asks(run, clock::now().mono_ms);
            keeper.launch(run, plan, not_after_ms);
        }
    }

    /// Hands over to the keeper what was said to it.
    pub fn send(&mut self) {
        self.keeper.iter_mut().for_each(Keeper::send);
    }

    /// What the core is to be told of what the keeper says now. If that died, of what can be found
    /// out of its runs instead.
    pub fn hear(&mut self, now: Now) -> Vec<Event<'static>> {
        let Some(keeper) = &mut self.keeper else { return Vec::new() };
        keeper.send();
        let (notices, alive) = keeper.listen();
        for notice in &notices {
            if let Notice::Ended(end) = notice {
                self.watching.remains.forget(end.run);
            }
        }
        let heard = notices.into_iter().filter_map(|notice| self.custody.hears(notice));
        let mut events: Vec<Event<'static>> = heard.collect();
        if !alive && let Some(keeper) = self.keeper.take() {
            log::error!("keeper {} is gone: how its runs end will not be known", keeper.id());
            events.extend(self.custody.loses(now, &mut self.watching));
        }
        events
    }

    /// All that was to be written in this turn is in the journal, unless that is not `whole`.
    pub fn journaled(&mut self, whole: bool) {
        for run in self.custody.journaled(whole) {
            if let Some(keeper) = &mut self.keeper {
                keeper.forget(run);
            }
        }
    }

    /// When [`Children::look_after`] is to be called next, by the monotonic clock.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let keeper = match &self.keeper {
            Some(_) => self.custody.next_look_ms(),
            None => Some(self.retry_at_ms),
        };
        let short = self.is_short().then_some(self.look_at_ms);
        keeper.into_iter().chain(short).chain(self.custody.next_held_ms()).min()
    }

    /// Finds another keeper for one that was lost, or that is of another version and `idle`; and
    /// sees to runs that could not be watched or signalled, or are to end without a keeper.
    pub fn look_after(&mut self, now: Now, idle: bool) -> Vec<Event<'static>> {
        let mut events = Vec::new();
        if self.is_short() && now.mono_ms >= self.look_at_ms {
            self.look_at_ms = now.mono_ms + RETRY_MS;
            events = self.try_again(now);
        }
        events.extend(self.custody.looks_at_held(now, &mut self.watching));
        events.extend(self.look_after_keeper(now, idle));
        events
    }

    /// Whether something could not be done for want of descriptors.
    fn is_short(&self) -> bool {
        self.watching.is_short() || !self.unsent.is_empty()
    }

    fn try_again(&mut self, now: Now) -> Vec<Event<'static>> {
        let mut events = Vec::new();
        for (run, signal) in std::mem::take(&mut self.unsent) {
            let refusal = self.try_signal(run, signal).ok().flatten();
            events.extend(refusal.map(|refusal| Event::Signalled(run, Some(refusal))));
        }
        let gone = self.watching.try_again();
        events.extend(gone.into_iter().filter_map(|run| self.unseen(run, now)));
        events
    }

    fn look_after_keeper(&mut self, now: Now, idle: bool) -> Option<Event<'static>> {
        if let Some(keeper) = &mut self.keeper {
            match self.custody.looks(now.mono_ms) {
                Silent::No => {}
                Silent::Ask => keeper.ask(),
                Silent::Kill => keeper.kill_silent(),
            }
        }
        if idle && self.keeper.as_ref().is_some_and(Keeper::is_stale) {
            return self.replace_keeper(now);
        }
        if self.keeper.is_some() || now.mono_ms < self.retry_at_ms {
            return None;
        }
        let found = self.find_keeper().map(drop);
        Some(self.keeper_event(now, found))
    }

    /// The old one ends as soon as its daemon has gone over to the new one.
    fn replace_keeper(&mut self, now: Now) -> Option<Event<'static>> {
        if now.mono_ms < self.retry_at_ms {
            return None;
        }
        log::info!("keeper {} is of another version and is replaced", self.keeper_id());
        let started = Keeper::start(&self.state_dir).and_then(|(keeper, _)| self.keep_by(keeper));
        Some(self.keeper_event(now, started))
    }

    fn keeper_event(&mut self, now: Now, found: io::Result<()>) -> Event<'static> {
        match found {
            Ok(()) => Event::KeeperIs(self.keeper_id().to_owned()),
            Err(why) => {
                log::error!("the keeper of runs can't be started: {why}");
                self.retry_at_ms = now.mono_ms + RETRY_MS;
                match self.keeper {
                    Some(_) => Event::KeeperIs(self.keeper_id().to_owned()),
                    None => Event::NoKeeper,
                }
            }
        }
    }

    /// The process whose pidfd has this token has ended.
    pub fn watched_ended(&mut self, now: Now, token: Token) -> Option<Event<'static>> {
        let run = self.watching.ended(token)?;
        self.unseen(run, now)
    }

    fn unseen(&mut self, run: RunId, now: Now) -> Option<Event<'static>> {
        let end = self.custody.unseen(run, now)?;
        self.watching.remains.forget(run);
        Some(end)
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
        self.custody.stops(run);
        self.keeper.iter_mut().for_each(|keeper| keeper.stop(run, signal));
        let process = self.custody.process(run);
        let Some((pid, started)) = process.and_then(|it| Some((pid_of(it.pid)?, it))) else {
            return Ok(None);
        };
        if proc_fs::is_running(pid, started.kernel_start) {
            self.watching.remains.is_stopped(run, pid);
        }
        let refusal = self.send_signal(run, pid, started, signal).map_err(|why| {
            let why = own::advised(&why);
            log::error!("run={run} can't be signalled now and is later: {why}");
            self.unsent.insert(run, signal);
            format!("it can't be signalled now, and is as soon as it can: {why}")
        })?;
        if signal == Signal::Kill {
            self.custody.killed(run, clock::now().mono_ms);
        }
        if refusal.as_ref().is_some_and(|refusal| refusal.goes_on()) {
            self.custody.goes_on(run);
        }
        Ok(refusal)
    }

    /// Returns who of a run did not take a signal.
    fn send_signal(
        &mut self,
        run: RunId,
        pid: Pid,
        started: Started,
        signal: Signal,
    ) -> io::Result<Option<Box<Refusal>>> {
        // The rest of a run is the keeper's, as long as there is one.
        let rest = match self.has_no_keeper(run) {
            true => self.watching.remains.signal(run, started, signal)?,
            false => Vec::new(),
        };
        match signal_group(pid, started.kernel_start, number(signal)) {
            Ok(false) => Ok(refused::among(pid, &rest, false).map(Box::new)),
            Ok(true) => Ok(self.refusal(run, pid, signal, (rest, false))),
            Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                Ok(self.refusal(run, pid, signal, (rest, true)))
            }
            Err(why) => Err(why),
        }
    }

    /// Whether nobody sees to a run but this daemon.
    fn has_no_keeper(&self, run: RunId) -> bool {
        self.custody.is_held(run) || self.watching.has(run)
    }

    /// Who of a run did not take a signal: of those in its process group, and of the `rest`. What
    /// goes on is not told to end any more.
    fn refusal(
        &mut self,
        run: RunId,
        pid: Pid,
        signal: Signal,
        (rest, nobody): (Vec<Pid>, bool),
    ) -> Option<Box<Refusal>> {
        let mut members = self.watching.remains.members.of(clock::now().mono_ms, pid);
        let dies_with_group = (signal == Signal::Term || rest.is_empty())
            && self.watching.remains.may_kill_group(run);
        members.extend(rest.into_iter().filter(|pid| !members.contains(pid)).collect::<Vec<_>>());
        let mut refusal = refused::among(pid, &members, nobody)?;
        let keeper = self.keeper.as_ref().and_then(Keeper::process);
        refusal.killable = match self.has_no_keeper(run) {
            true => dies_with_group,
            false => keeper.is_some_and(|it| cgroup::is_kept(pid, &self.state_dir, it)),
        };
        match (refusal.killable, signal) {
            // It is killed with its control group; by the keeper, which says if that is refused.
            (true, Signal::Kill) => return None,
            (false, _) if refusal.leader => {
                self.keeper.iter_mut().for_each(|keeper| keeper.go_on(run));
            }
            (_, Signal::Term) | (false, Signal::Kill) => {}
        }
        Some(Box::new(refusal))
    }
}
