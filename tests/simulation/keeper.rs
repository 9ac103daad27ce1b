//! A fake keeper: it starts processes and sees them end, also while there is no daemon.

use super::ledger::remarks::last_words;
use super::process::Process;
use super::world::{Spawning, World};
use schedule::core::event::{Event, Started};
use schedule::core::ids::{JobId, RunId};
use schedule::core::keeping::{KeptEnd, Notice};
use schedule::core::launch::{LaunchError, LaunchPlan, MAX_LAUNCHING};
use schedule::core::outcome::Usage;
use schedule::core::time::Now;
use std::collections::{BTreeMap, VecDeque};

/// Keepers before it that one knows: fewer than in life, so that more of them come about.
const MAX_KEEPERS: usize = 10;

/// What is told of a process that no signal reaches.
pub const STRAY: &str = "4711 stray";

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

/// What a keeper leaves for the next.
#[derive(Clone, Default)]
pub struct Legacy {
    keepers: Vec<String>,
    ends: BTreeMap<RunId, KeptEnd>,
}

/// The parent of runs.
#[derive(Default)]
pub struct Keeper {
    pub id: String,
    pub after: Vec<String>,
    orders: VecDeque<Order>,
    /// Those of which a file is on a file system that does not answer until then.
    waiting: Vec<Order>,
    notices: VecDeque<Notice>,
    /// Ends that no daemon has in its journal.
    pub ends: BTreeMap<RunId, KeptEnd>,
    /// Runs that were told to end, and when; by the monotonic clock.
    pub stops: BTreeMap<RunId, u64>,
    /// It is asked for a sign of life.
    pub is_asked: bool,
    /// It does nothing from then until then, by the monotonic clock.
    pub still_from_ms: u64,
    pub still_until_ms: u64,
}

impl Keeper {
    /// When it has something to do or to say.
    pub fn next_ms(&self) -> Option<u64> {
        let orders = self.orders.front().into_iter().chain(&self.waiting);
        let order = orders.map(|order| order.at_ms.max(self.still_until_ms)).min();
        let order = order.or(self.is_asked.then_some(self.still_until_ms));
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
        self.custody.asks(run, self.now.mono_ms);
        let waiting = self.ledger.asked();
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
        if let Some(keeper) = self.keeper.as_mut().filter(|keeper| keeper.is_asked) {
            keeper.is_asked = false;
            keeper.notices.push_back(Notice::Here);
        }
        self.processes.reap(now.mono_ms, true);
        for (run, process) in self.take_ended() {
            let ago_ms = now.mono_ms - process.end_ms.max(process.started.at.mono_ms);
            let at =
                Now { mono_ms: now.mono_ms - ago_ms, wall_ms: now.wall_ms - ago_ms.cast_signed() };
            let usage = Usage { user_ms: 3, system_ms: 1, max_rss_bytes: 1 << 20 };
            let Some(keeper) = &mut self.keeper else { return };
            let is_told = keeper.stops.remove(&run).is_some();
            let is_left = is_told && self.processes.strays.contains(&run);
            let left = if is_left { STRAY.to_owned() } else { String::new() };
            let (started, exit) = (process.started, process.exit);
            let last_line = match exit.is_success() {
                true => String::new(),
                false => last_words(run),
            };
            let last_line = last_line.into();
            let end = KeptEnd { run, started, at, exit, usage, left, last_line };
            keeper.ends.insert(run, end.clone());
            keeper.notices.push_back(Notice::Ended(end));
        }
        if self.core.is_none() {
            self.orphans_end();
        }
    }

    /// Takes out the keeper's runs that are over: of one that was told to end nothing may be left,
    /// as far as it can be killed.
    fn take_ended(&mut self) -> Vec<(RunId, Process)> {
        let now_ms = self.now.mono_ms;
        let Some(keeper) = &self.keeper else { return Vec::new() };
        let is_over = |run: &RunId, process: &mut Process| {
            let waits = keeper.stops.contains_key(run) && process.has_rest(now_ms);
            process.own && process.gone && (!waits || process.is_beyond(now_ms))
        };
        self.processes.alive.extract_if(.., is_over).collect()
    }

    /// The keeper hears that a run is told to end, or that it goes on.
    pub fn keeper_stops(&mut self, run: RunId, goes_on: bool) {
        let now_ms = self.now.mono_ms;
        let is_own = self.processes.alive.get(&run).is_some_and(|process| process.own);
        let Some(keeper) = self.keeper.as_mut().filter(|_| is_own) else { return };
        match goes_on {
            true => drop(keeper.stops.remove(&run)),
            false => drop(keeper.stops.entry(run).or_insert(now_ms)),
        }
    }

    fn obey(&mut self, order: &Order) {
        let result = self.fulfil(order);
        let Some(keeper) = &mut self.keeper else { return };
        keeper.notices.push_back(began(order.run, result));
    }

    fn wait_for_file(&mut self, order: Order) {
        let at_ms = self.now.mono_ms + self.random.below(40_000);
        self.tell(|| format!("run {} waits for its file until {at_ms}", order.run));
        let Some(keeper) = &mut self.keeper else { return };
        keeper.notices.push_back(Notice::Waits(order.run, "opening /far".into()));
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
            keeper.notices.push_back(Notice::Failed(run, error));
        }
    }

    /// Those that have no keeper end, and there is no daemon to see that.
    fn orphans_end(&mut self) {
        let now_ms = self.now.mono_ms;
        if self.core.is_none() {
            self.processes.reap(now_ms, false);
            let has_any = |process: &Process| !process.gone || process.has_rest(now_ms);
            self.processes.alive.retain(|_, process| process.own || has_any(process));
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
        self.disk.files.made(order.plan.job_id, run);
        self.launches += 1;
        let (duration_ms, exit) = self.profile.fate(&mut self.random);
        let end_ms = now.mono_ms + duration_ms;
        let others = &mut self.others;
        let rest_ms = if others.one_in(3) { end_ms + others.below(60_000) } else { 0 };
        if others.one_in(6) {
            self.processes.strays.insert(run);
        }
        let process = Process {
            job: JobId(order.plan.job_id),
            started: Started { pid: 0, kernel_start: 0, at: now },
            end_ms,
            exit,
            ignores_term: self.random.one_in(3),
            strange: self.random.one_in(6),
            own: true,
            watched: false,
            gone: false,
            rest_ms,
            killed_ms: None,
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
        told.into_iter().for_each(|notice| self.is_told(now, notice));
    }

    /// The processes have no keeper any more.
    pub fn orphan(&mut self) {
        self.processes.alive.values_mut().for_each(|process| process.own = false);
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
            false => {
                self.custody.begins(true);
                Event::KeeperIs(self.new_keeper())
            }
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
        let now_ms = self.now.mono_ms;
        if let Some(keeper) = &mut self.keeper {
            if keeper.still_until_ms <= now_ms {
                keeper.still_from_ms = now_ms;
            }
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
            self.orphan();
        }
        let Some(keeper) = &mut self.keeper else { return self.new_keeper() };
        keeper.orders.iter_mut().for_each(|order| order.at_ms = 0);
        self.keep();
        let Some(keeper) = &mut self.keeper else { return self.new_keeper() };
        keeper.waiting.clear();
        keeper.is_asked = false;
        let Some(keeper) = &mut self.keeper else { return self.new_keeper() };
        keeper.notices.clear();
        keeper.id.clone()
    }
}

/// What a keeper says of a launch.
fn began(run: RunId, result: Result<Started, LaunchError>) -> Notice {
    match result {
        Ok(started) => Notice::Started(run, started),
        Err(error) => Notice::Failed(run, error),
    }
}
