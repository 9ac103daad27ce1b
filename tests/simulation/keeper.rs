//! A fake keeper: it starts processes and sees them end, also while there is no daemon.

use super::ledger::Settled;
use super::process::Process;
use super::world::{Spawning, World};
use schedule::core::event::{Ended, Event, Started};
use schedule::core::ids::{JobId, RunId};
use schedule::core::launch::{LaunchError, LaunchPlan, MAX_LAUNCHING};
use schedule::core::outcome::{Exit, Outcome, Usage};
use schedule::core::scheduler::Found;
use schedule::core::time::Now;
use std::collections::{BTreeMap, VecDeque};

/// Keepers before it that one knows: fewer than in life, so that more of them come about.
const MAX_KEEPERS: usize = 10;

/// The number of another installation with the same server id.
const NEIGHBOUR: u64 = 4_711;

/// A launch that was asked for.
pub struct Order {
    run: RunId,
    plan: LaunchPlan,
    not_after_ms: u64,
    /// When the keeper comes to it, by the monotonic clock.
    at_ms: u64,
}

/// How a run ended, and when.
#[derive(Clone)]
pub struct KeptEnd {
    pub started: Started,
    pub at: Now,
    pub exit: Exit,
}

/// What it tells the daemon.
enum Notice {
    Waits(RunId),
    Launched(RunId, Result<Started, LaunchError>),
    Ended(RunId, KeptEnd),
}

/// What a keeper leaves for the next.
#[derive(Clone, Default)]
pub struct Legacy {
    keepers: Vec<String>,
    ends: BTreeMap<RunId, KeptEnd>,
}

/// The parent of runs.
#[derive(Default)]
pub struct Keeper {
    id: String,
    after: Vec<String>,
    orders: VecDeque<Order>,
    /// Those of which a file is on a file system that does not answer until then.
    waiting: Vec<Order>,
    notices: VecDeque<Notice>,
    /// Ends that no daemon has in its journal.
    ends: BTreeMap<RunId, KeptEnd>,
    /// Launches that the daemon has no answer to.
    outstanding: Vec<RunId>,
    /// Those of them of which it has said that they wait.
    told_to_wait: Vec<RunId>,
    /// It does nothing until then, by the monotonic clock.
    pub still_until_ms: u64,
}

impl Keeper {
    /// When it has something to do or to say.
    pub fn next_ms(&self) -> Option<u64> {
        let orders = self.orders.front().into_iter().chain(&self.waiting);
        let order = orders.map(|order| order.at_ms.max(self.still_until_ms)).min();
        // What it has said already is there to be read.
        if self.notices.is_empty() { order } else { Some(0) }
    }
}

impl World {
    /// The daemon asks for a launch.
    pub fn order(&mut self, run: RunId, plan: LaunchPlan, not_after_ms: u64) {
        self.ledger.launching(self.now, run, &plan);
        // Elsewhere on the machine, with the same table, at the same instant.
        let neighbour = RunId::next(1, NEIGHBOUR, 0, self.now.wall_ms).instance;
        let theirs = RunId { instance: neighbour, ..run };
        self.neighbours.insert(theirs.to_string());
        let wait_ms = if self.random.one_in(4) { self.random.below(40) } else { 0 };
        let at_ms = self.now.mono_ms + wait_ms;
        let keeper = self.keeper.as_mut().expect("a launch is asked for without a keeper");
        let at_ms = keeper.orders.back().map_or(at_ms, |last| at_ms.max(last.at_ms));
        keeper.orders.push_back(Order { run, plan, not_after_ms, at_ms });
        keeper.outstanding.push(run);
        let waiting = keeper.outstanding.len();
        assert!(waiting <= MAX_LAUNCHING, "{waiting} launches are asked for");
    }

    /// The keeper does what its time has come for, daemon or not.
    pub fn keep(&mut self) {
        let now = self.now;
        loop {
            let Some(keeper) = &mut self.keeper else { return self.orphans_end() };
            if keeper.still_until_ms > now.mono_ms {
                return;
            }
            if keeper.orders.front().is_none_or(|order| order.at_ms > now.mono_ms) {
                break;
            }
            let Some(order) = keeper.orders.pop_front() else { return };
            if !self.calm && now.mono_ms <= order.not_after_ms && self.random.one_in(25) {
                self.wait_for_file(order);
                continue;
            }
            self.obey(&order);
        }
        self.open_files();
        for (run, process) in self.processes.reap(now.mono_ms, true) {
            let ago_ms = now.mono_ms - process.end_ms.max(process.started.at.mono_ms);
            let at =
                Now { mono_ms: now.mono_ms - ago_ms, wall_ms: now.wall_ms - ago_ms.cast_signed() };
            let end = KeptEnd { started: process.started, at, exit: process.exit };
            let Some(keeper) = &mut self.keeper else { return };
            keeper.ends.insert(run, end.clone());
            keeper.notices.push_back(Notice::Ended(run, end));
        }
        if self.core.is_none() {
            self.orphans_end();
        }
    }

    fn obey(&mut self, order: &Order) {
        let result = self.fulfil(order);
        let Some(keeper) = &mut self.keeper else { return };
        keeper.notices.push_back(Notice::Launched(order.run, result));
    }

    fn wait_for_file(&mut self, order: Order) {
        let at_ms = self.now.mono_ms + self.random.below(40_000);
        self.tell(|| format!("run {} waits for its file until {at_ms}", order.run));
        let Some(keeper) = &mut self.keeper else { return };
        keeper.notices.push_back(Notice::Waits(order.run));
        keeper.waiting.push(Order { at_ms, ..order });
    }

    /// Launches what has waited for its file. What a daemon that is gone wanted is not launched.
    fn open_files(&mut self) {
        let now_ms = self.now.mono_ms;
        let Some(keeper) = &mut self.keeper else { return };
        if self.core.is_none() {
            keeper.waiting.clear();
        }
        let there: Vec<Order> =
            keeper.waiting.extract_if(.., |order| order.at_ms <= now_ms).collect();
        there.iter().for_each(|order| self.obey(order));
    }

    /// A run is told to end: one that waits for its file is not launched.
    pub fn stop_waiting(&mut self, run: RunId) {
        let Some(keeper) = &mut self.keeper else { return };
        let before = keeper.waiting.len();
        keeper.waiting.retain(|order| order.run != run);
        if keeper.waiting.len() < before {
            let text = "stopped before it was started".into();
            let error = LaunchError { errno: 0, retryable: false, text };
            keeper.notices.push_back(Notice::Launched(run, Err(error)));
        }
    }

    /// Those that have no keeper end, and there is no daemon to see that.
    fn orphans_end(&mut self) {
        if self.core.is_none() {
            self.processes.reap(self.now.mono_ms, false);
        }
    }

    /// Makes a process, or fails to.
    fn fulfil(&mut self, order: &Order) -> Result<Started, LaunchError> {
        let (now, run) = (self.now, order.run);
        let failure = match self.spawning {
            _ if now.mono_ms > order.not_after_ms => Some((false, "it is too late now")),
            Spawning::Short(until_ms) if now.mono_ms < until_ms => Some((true, "EAGAIN")),
            _ if !self.calm && self.random.one_in(40) => Some((false, "/no/dir/out: ENOENT")),
            _ => None,
        };
        self.tell(|| format!("the keeper launches {run}: {:?} {failure:?}", order.plan));
        if let Some((retryable, text)) = failure {
            return Err(LaunchError { errno: 11, retryable, text: text.into() });
        }
        self.check_limit(run);
        self.ledger.process_made(now, run);
        self.launches += 1;
        let (duration_ms, exit) = self.profile.fate(&mut self.random);
        let process = Process {
            job: JobId(order.plan.job_id),
            started: Started { pid: 0, kernel_start: 0, at: now },
            end_ms: now.mono_ms + duration_ms,
            exit,
            ignores_term: self.random.one_in(3),
            strange: self.random.one_in(6),
            own: true,
        };
        Ok(self.processes.start(run, process))
    }

    /// Whatever the daemon believes: as many processes as there may be, and not one more.
    fn check_limit(&self, run: RunId) {
        let Some(def) = self.def_of(run) else { return };
        let alive = self.processes.of(JobId(def.row.id));
        let limit = def.row.max_concurrence as usize;
        assert!(alive < limit, "run {run} is launched with {alive} of {limit} processes alive");
        assert!(!self.processes.alive.contains_key(&run), "run {run} is launched twice");
    }

    /// The daemon hears its keeper, all that it says or, on its way, a part.
    pub fn hear(&mut self, now: Now) {
        let Some(keeper) = &mut self.keeper else { return };
        let mut count = keeper.notices.len() as u64;
        if !self.calm && self.random.one_in(8) {
            count = self.random.below(count + 1);
        }
        let told: Vec<Notice> = keeper.notices.drain(..count as usize).collect();
        for notice in told {
            match notice {
                Notice::Waits(run) => self.told_to_wait(now, run),
                Notice::Launched(run, result) => self.launched(now, run, result),
                Notice::Ended(run, end) => self.ended(run, end),
            }
        }
    }

    fn told_to_wait(&mut self, now: Now, run: RunId) {
        if let Some(keeper) = &mut self.keeper {
            keeper.outstanding.retain(|other| *other != run);
            keeper.told_to_wait.push(run);
        }
        if let Some(core) = &mut self.core {
            core.handle(now, Event::Waits(run, "opening /far".into()));
            self.ledger.waits(run);
        }
    }

    fn launched(&mut self, now: Now, run: RunId, result: Result<Started, LaunchError>) {
        if let Some(keeper) = &mut self.keeper {
            keeper.outstanding.retain(|other| *other != run);
            keeper.told_to_wait.retain(|other| *other != run);
        }
        let Some(core) = &mut self.core else { return };
        core.handle(now, Event::Launched(run, result.clone()));
        match result {
            Ok(_) => self.ledger.launched(now, run),
            Err(why) => self.ledger.launch_failed(now, run, core, why.retryable, &why.text),
        }
    }

    fn ended(&mut self, run: RunId, end: KeptEnd) {
        self.told.push(run);
        let outcome = Outcome::Ended(end.exit);
        self.tell(|| format!("run {run} ended at {:?}: {outcome}", end.at));
        self.ledger.ended(run, &outcome, end.started.at, end.at);
        let usage = Usage { user_ms: 3, system_ms: 1, max_rss_bytes: 1 << 20 };
        if let Some(core) = &mut self.core {
            let ended = Ended { run, at: end.at, outcome, usage };
            core.handle(self.now, Event::Ended(Box::new(ended)));
        }
    }

    /// What the core was told is in the journal, as far as that can be written.
    pub fn journaled(&mut self) {
        let Some(core) = self.core.as_ref().filter(|core| core.scheduler.outbox().is_whole())
        else {
            return;
        };
        let none_waits = core.scheduler.outbox().unwritten.is_empty();
        for run in std::mem::take(&mut self.told) {
            self.ledger.check_end_kept(run, none_waits);
            if let Some(keeper) = &mut self.keeper {
                keeper.ends.remove(&run);
            }
        }
    }

    /// Processes without a keeper are watched; how they end is not seen.
    pub fn watched_end(&mut self, now: Now) {
        for (run, _) in self.processes.reap(now.mono_ms, false) {
            self.lost(now, run, "nobody saw how it ended");
        }
    }

    fn lost(&mut self, now: Now, run: RunId, why: &str) {
        let outcome = Outcome::Lost(why.into());
        self.tell(|| format!("run {run} is lost: {why}"));
        self.ledger.lost(run, &outcome);
        if let Some(core) = &mut self.core {
            core.handle(now, Event::Ended(Box::new(Ended::unseen(run, now, outcome))));
        }
    }

    /// The keeper is killed under its daemon, or without one.
    pub fn keeper_dies(&mut self) {
        let now = self.now;
        let Some(mut keeper) = self.keeper.take() else { return };
        self.tell(|| format!("{} is killed", keeper.id));
        self.told.clear();
        self.processes.alive.values_mut().for_each(|process| process.own = false);
        let Some(core) = &mut self.core else { return };
        core.handle(now, Event::NoKeeper);
        self.ledger.keeper(false);
        self.keeper_at_ms = now.mono_ms;
        keeper.outstanding.append(&mut keeper.told_to_wait);
        keeper.outstanding.sort_unstable();
        for run in keeper.outstanding {
            match self.search(run).map(|process| process.started) {
                Some(started) => self.launched(now, run, Ok(started)),
                None => self.lost(now, run, "its keeper was killed while it was starting it"),
            }
        }
        // They have ended, and what it had to say of that went with it.
        for notice in keeper.notices {
            if let Notice::Ended(run, _) = notice
                && self.ledger.live.contains(&run)
            {
                self.lost(now, run, "it was gone before it could be watched");
            }
        }
    }

    /// Finds another keeper for one that was killed, when the machine has a process to spare.
    pub fn renew_keeper(&mut self, now: Now) {
        if self.keeper.is_some() || now.mono_ms < self.keeper_at_ms {
            return;
        }
        let short = matches!(self.spawning, Spawning::Short(until_ms) if now.mono_ms < until_ms);
        let event = match short {
            true => {
                self.keeper_at_ms = now.mono_ms + 1_000;
                Event::NoKeeper
            }
            false => Event::KeeperIs(self.new_keeper()),
        };
        self.ledger.keeper(!short);
        if let Some(core) = &mut self.core {
            core.handle(now, event);
        }
    }

    fn new_keeper(&mut self) -> String {
        self.keepers += 1;
        let id = format!("keeper {}", self.keepers);
        let Legacy { keepers: after, ends } = self.legacy.clone();
        self.tell(|| format!("{id} begins, after {after:?} with {:?}", ends.keys()));
        self.keeper = Some(Keeper { id: id.clone(), after, ends, ..Keeper::default() });
        id
    }

    /// It has no daemon, and nothing to keep: it leaves word, if the disk has room for it.
    pub fn keeper_may_go(&mut self) {
        let busy = self.processes.alive.values().any(|process| process.own);
        // Ends that it can't leave it keeps.
        let full = self.disk.room.is_some();
        let Some(keeper) = self.keeper.take_if(|keeper| {
            let none = keeper.orders.is_empty() && keeper.waiting.is_empty();
            let done = none && (keeper.ends.is_empty() || !full);
            !busy && done && keeper.still_until_ms <= self.now.mono_ms
        }) else {
            return;
        };
        if full {
            return;
        }
        let mut keepers = keeper.after;
        self.left_word.insert(keeper.id.clone());
        keepers.push(keeper.id);
        keepers.drain(..keepers.len().saturating_sub(MAX_KEEPERS));
        self.legacy = Legacy { keepers, ends: keeper.ends };
    }

    /// It stands still, and whatever it is asked for waits.
    pub fn keeper_stands_still(&mut self) {
        let ms = if self.random.one_in(3) { 45_000 } else { 3_000 };
        let until_ms = self.now.mono_ms + self.random.below(ms);
        self.tell(|| format!("the keeper stands still until {until_ms}"));
        if let Some(keeper) = &mut self.keeper {
            keeper.still_until_ms = until_ms;
        }
    }

    /// Runs of which the journal has nothing: nobody can be asked to count those.
    pub fn forget_run(&mut self, run: RunId) {
        self.processes.alive.remove(&run);
        if let Some(keeper) = &mut self.keeper {
            keeper.orders.retain(|order| order.run != run);
            keeper.waiting.retain(|order| order.run != run);
            keeper.ends.remove(&run);
        }
    }

    /// A daemon looks for its keeper: the one that is there, when it has done all that the daemon
    /// before said, else a new one. One that stands still is killed. Returns its id.
    pub fn find_keeper(&mut self) -> String {
        let now = self.now;
        if self.keeper.as_ref().is_some_and(|keeper| keeper.still_until_ms > now.mono_ms) {
            self.tell(|| "the keeper does not answer and is killed".into());
            self.keeper = None;
            self.processes.alive.values_mut().for_each(|process| process.own = false);
        }
        let Some(keeper) = &mut self.keeper else { return self.new_keeper() };
        keeper.orders.iter_mut().for_each(|order| order.at_ms = 0);
        self.keep();
        let Some(keeper) = &mut self.keeper else { return self.new_keeper() };
        keeper.waiting.clear();
        keeper.told_to_wait.clear();
        let Some(keeper) = &mut self.keeper else { return self.new_keeper() };
        keeper.notices.clear();
        keeper.outstanding.clear();
        keeper.id.clone()
    }

    /// Finds out what became of the runs of earlier daemons, as `shell/start.rs` does it.
    pub fn settle_runs(&mut self, same_boot: bool) {
        let Some(core) = &self.core else { return };
        let noted = core.scheduler.outbox().keepers.clone();
        let unsettled = core.scheduler.unsettled();
        let id = self.find_keeper();
        let Some(keeper) = &self.keeper else { return };
        let known = |id: &String| *id == keeper.id || keeper.after.contains(id);
        let same_keeper = !noted.is_empty() && noted.iter().all(known);
        let left_word = |id: &String| *id == keeper.id || self.left_word.contains(id);
        let is_broken = noted.is_empty() || !noted.iter().all(left_word);
        assert!(same_keeper || is_broken, "{noted:?} are more than a keeper knows");
        let ends = keeper.ends.clone();
        let now = self.now;
        self.ledger.keeper(true);
        if let Some(core) = &mut self.core {
            core.handle(now, Event::KeeperIs(id));
        }
        for (run, started) in unsettled {
            let kept = self.processes.alive.get(&run).filter(|process| process.own);
            let kept = kept.map(|process| process.started);
            let found = match kept.or_else(|| ends.get(&run).map(|end| end.started)) {
                Some(known) => Found::Alive(known),
                None if same_keeper && started.pid == 0 => Found::NotLaunched,
                None => self.find(run, started, same_boot),
            };
            self.tell(|| format!("run {run} is {found:?}"));
            let settled = match &found {
                Found::Alive(_) => Settled::Alive,
                Found::NotLaunched => Settled::NotLaunched,
                Found::Gone | Found::Unknown | Found::Doubtful => Settled::Lost,
            };
            self.ledger.settled(now, run, settled);
            if let Some(core) = &mut self.core {
                core.scheduler.settle(now, run, found);
            }
        }
        for (run, end) in ends {
            match self.ledger.live.contains(&run) {
                true => self.ended(run, end),
                // The journal has it already.
                false => self.told.push(run),
            }
        }
    }

    /// The process that has this run in its environment.
    fn search(&self, run: RunId) -> Option<&Process> {
        let own = self.processes.alive.get(&run);
        let others = own.is_none() && self.neighbours.contains(&run.to_string());
        assert!(!others, "run {run}: the process of another installation is taken for it");
        own
    }

    /// Looks for the process of a run: by its pid, or by its environment.
    fn find(&self, run: RunId, started: Started, same_boot: bool) -> Found {
        match self.search(run).filter(|_| same_boot) {
            Some(process) => {
                let Started { pid, kernel_start, .. } = process.started;
                let noted = (started.pid, started.kernel_start);
                let is = started.pid == 0 || noted == (pid, kernel_start);
                assert!(is, "run {run}: its process is {pid}, not {noted:?}");
                let began = process.started.at.mono_ms / 10;
                let early = started.pid == 0 && began < started.kernel_start;
                assert!(!early, "run {run} begins at {began}, before {}", started.kernel_start);
                Found::Alive(Started { pid, kernel_start, ..started })
            }
            None if started.pid == 0 => Found::Doubtful,
            None => Found::Gone,
        }
    }
}
