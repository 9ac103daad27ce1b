//! What a daemon has given into the hands of its keeper, and what it believes of it: launches that
//! the keeper owes an answer, processes, ends that it is to remember until the journal has them;
//! and what can still be found out when the keeper is gone, and what of its runs is still to end.

mod stops;

use crate::core::clock::tick_of;
use crate::core::event::{Ended, Event, Started};
use crate::core::ids::{JobId, RunId};
use crate::core::keeping::{KeptEnd, Notice};
use crate::core::last_line;
use crate::core::outcome::Outcome;
use crate::core::plain::clean;
use crate::core::time::Now;
use std::collections::{BTreeMap, BTreeSet};
use stops::{Held, Stops};

/// What is told of processes that were left behind.
const LEFT_COLUMNS: usize = 400;

/// Ends that the keeper is to remember while the journal can't be written.
const MAX_HELD: usize = 4_096;

/// A keeper that owes an answer for longer than this is killed, in milliseconds of the loop's own
/// time.
const SILENCE_MS: u64 = 30_000;

/// How often the loop looks while an answer is owed, in milliseconds.
const LOOK_MS: u64 = 1_000;

const NOT_SEEN: &str = "its keeper was killed, and nobody else is told how a process ended";

/// Processes, as they can be looked at without their keeper.
pub trait Machine {
    /// The process that has this run in its environment and began then or later, in ticks of the
    /// kernel: its pid, and when it began.
    fn find(&mut self, run: RunId, since: u64) -> Option<(u32, u64)>;

    /// Whether a process is in the hands of another installation's keeper.
    fn is_others(&mut self, started: Started) -> bool;

    /// Watches a process from now on. Returns whether it is still there.
    fn watch(&mut self, run: RunId, started: Started) -> bool;

    /// The runs whose process is watched already.
    fn watched(&self) -> BTreeSet<RunId>;

    /// The job that a process of ours is a run of, by its environment.
    fn job_of(&mut self, started: Started) -> Option<JobId>;

    /// Whether something is left of a run whose first process is gone where a signal reaches it: in
    /// its process group, or in its control group. Also where that can't be told now.
    fn reaches(&mut self, run: RunId, started: Started) -> bool;

    /// The processes that are left of these runs, as they are to be named. They are looked for
    /// among all processes; it is the last that is asked about these runs. None: that can't be told
    /// now.
    fn left(&mut self, runs: &BTreeMap<RunId, Started>) -> Option<BTreeMap<RunId, String>>;
}

/// What is to be done about a keeper that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silent {
    /// Nothing.
    No,
    /// It is to be asked for a sign of life.
    Ask,
    /// It owes answers for too long, and is to be killed: what it was asked for is lost, but what
    /// comes after is not.
    Kill,
}

/// For how long a keeper owes an answer.
#[derive(Default)]
struct Silence {
    ms: u64,
    /// When that was last counted, and when it last was asked; by the monotonic clock.
    looked_ms: u64,
    asked_ms: u64,
    /// It was asked, and has said nothing since.
    is_asked: bool,
    /// It was killed for it, and is not gone yet.
    is_over: bool,
}

/// See the module's text.
pub struct Custody {
    /// Where to send a signal.
    processes: BTreeMap<RunId, Started>,
    /// Runs that the keeper was asked to launch and has said nothing of; and when it was asked,
    /// monotonic ms.
    outstanding: BTreeMap<RunId, u64>,
    /// The same, but it has said that they wait for a file system: it owes no answer.
    waiting: BTreeMap<RunId, u64>,
    /// Ends that the core was told and the journal may not have yet.
    told: Vec<RunId>,
    /// Runs that are to end.
    stops: Stops,
    silence: Silence,
    /// Whether it answers when it is asked for a sign of life: one of an earlier version does not.
    answers: bool,
    /// While it has runs, it is asked for an answer this long after the last one, in milliseconds.
    ask_ms: u64,
}

impl Custody {
    /// Nothing is given to anybody. A keeper that has runs is asked for a sign of life each
    /// `ask_ms`.
    pub fn new(ask_ms: u64) -> Custody {
        Custody {
            processes: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            waiting: BTreeMap::new(),
            told: Vec::new(),
            stops: Stops::default(),
            silence: Silence::default(),
            answers: false,
            ask_ms,
        }
    }

    /// Another keeper is there from now on: what one before was asked for was settled.
    pub fn begins(&mut self, answers: bool) {
        debug_assert!(self.outstanding.is_empty(), "launches are forgotten with their keeper");
        debug_assert!(
            self.waiting.is_empty(),
            "launches that wait are forgotten with their keeper"
        );
        self.silence = Silence::default();
        self.answers = answers;
    }

    /// The keeper is asked for a launch.
    pub fn asks(&mut self, run: RunId, mono_ms: u64) {
        let has_process = self.processes.contains_key(&run);
        debug_assert!(!has_process, "run {run} is to be launched and has a process");
        self.outstanding.insert(run, mono_ms);
    }

    /// A run is told to end. Whether the keeper hears that is to be known soon.
    pub fn stops(&mut self, run: RunId) {
        self.silence.asked_ms = 0;
        self.stops.tells(run);
    }

    /// KILL was sent to a run, at this reading of the monotonic clock, ms.
    pub fn killed(&mut self, run: RunId, mono_ms: u64) {
        self.stops.killed(run, mono_ms);
    }

    /// A run takes no signal: it is as if it had not been told to end.
    pub fn goes_on(&mut self, run: RunId) {
        self.stops.goes_on(run);
    }

    /// The keeper says this. What the core is to be told of it.
    pub fn hears(&mut self, notice: Notice) -> Option<Event<'static>> {
        (self.silence.ms, self.silence.is_asked) = (0, false);
        match notice {
            Notice::Started(run, started) => {
                self.answered(run);
                self.has_process(run, started);
                Some(Event::Launched(run, Ok(started)))
            }
            Notice::Failed(run, error) => {
                self.answered(run);
                self.stops.forget(run);
                Some(Event::Launched(run, Err(error)))
            }
            Notice::Waits(run, what) => {
                let asked = self.outstanding.remove(&run);
                self.waiting.extend(asked.map(|asked_ms| (run, asked_ms)));
                Some(Event::Waits(run, what))
            }
            Notice::NoOutput(run, why) => Some(Event::NoOutput(run, why)),
            Notice::Refused(run, refusal) => {
                if refusal.goes_on() {
                    self.goes_on(run);
                }
                Some(Event::Signalled(run, Some(refusal)))
            }
            Notice::Ended(end) => Some(Event::Ended(Box::new(self.ended(end)))),
            Notice::Keeper { .. }
            | Notice::Stopping(..)
            | Notice::Complete
            | Notice::CannotServe(_)
            | Notice::Here => None,
        }
    }

    fn answered(&mut self, run: RunId) {
        self.outstanding.remove(&run);
        self.waiting.remove(&run);
    }

    /// A run has this process.
    pub fn has_process(&mut self, run: RunId, started: Started) {
        debug_assert!(started.pid != 0, "run {run} has a process without a pid");
        self.processes.insert(run, started);
    }

    /// The process of a run.
    pub fn process(&self, run: RunId) -> Option<Started> {
        self.processes.get(&run).copied()
    }

    /// The end of a run of the keeper's. The keeper is to remember it until the journal has it.
    pub fn ended(&mut self, end: KeptEnd) -> Ended {
        self.processes.remove(&end.run);
        self.stops.forget(end.run);
        self.told.push(end.run);
        let outcome = match end.left.is_empty() {
            true => Outcome::Ended(end.exit),
            // An earlier version of the keeper tells what the processes say of themselves.
            false => Outcome::LeftBehind(end.exit, clean(&end.left, LEFT_COLUMNS).into()),
        };
        // The keeper may be of another version.
        let last_line = last_line::fitting(&end.last_line);
        Ended { run: end.run, at: end.at, outcome, usage: end.usage, last_line }
    }

    /// All that was to be written in this turn is written. Returns the ends that the keeper may
    /// forget: everything that the core was told is in the journal, unless that is not `whole`.
    /// Then the keeper still has to know: a run whose intent alone is on the disk would seem never
    /// to have been launched. Those are the first ones; what comes when the disk has been full for
    /// long left no intent either.
    pub fn journaled(&mut self, whole: bool) -> Vec<RunId> {
        let held = if whole { 0 } else { self.told.len().min(MAX_HELD) };
        self.told.split_off(held)
    }

    /// Whether there are ends that the keeper still has to remember.
    pub fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    fn has_runs(&self) -> bool {
        !self.processes.is_empty() || !self.waiting.is_empty()
    }

    fn owes_answer(&self) -> bool {
        self.silence.is_asked || !self.outstanding.is_empty()
    }

    /// Looks at a keeper. One that has runs is asked for a sign of life now and then: of one that
    /// hangs nobody hears how they end. Only time in which the loop looks is counted, so that one
    /// which was put to sleep together with the daemon is not to blame.
    pub fn looks(&mut self, mono_ms: u64) -> Silent {
        let may_ask = self.has_runs() && self.answers && !self.silence.is_asked;
        let asks = may_ask && mono_ms >= self.silence.asked_ms + self.ask_ms;
        if asks {
            (self.silence.is_asked, self.silence.asked_ms) = (true, mono_ms);
        }
        let owes = self.owes_answer();
        let silence = &mut self.silence;
        let passed_ms = mono_ms.saturating_sub(silence.looked_ms).min(LOOK_MS);
        silence.looked_ms = mono_ms;
        silence.ms = if owes { silence.ms + passed_ms } else { 0 };
        if silence.ms > SILENCE_MS && !silence.is_over {
            silence.is_over = true;
            return Silent::Kill;
        }
        if asks { Silent::Ask } else { Silent::No }
    }

    /// When [`Custody::looks`] is to be called next, by the monotonic clock.
    pub fn next_look_ms(&self) -> Option<u64> {
        match self.owes_answer() {
            true => Some(self.silence.looked_ms + LOOK_MS),
            false => {
                (self.has_runs() && self.answers).then_some(self.silence.asked_ms + self.ask_ms)
            }
        }
    }

    /// The keeper is gone, and with it how its runs end. What it was asked for and did not answer
    /// is looked for; all that have a process are watched. What the core is to be told.
    pub fn loses(&mut self, now: Now, machine: &mut impl Machine) -> Vec<Event<'static>> {
        let mut events = vec![Event::NoKeeper];
        let outstanding = std::mem::take(&mut self.outstanding);
        let waiting = std::mem::take(&mut self.waiting);
        let asked: BTreeMap<RunId, u64> = outstanding.into_iter().chain(waiting).collect();
        for (run, asked_ms) in asked {
            match machine.find(run, tick_of(asked_ms)) {
                Some((pid, kernel_start)) => {
                    let started = Started { pid, kernel_start, at: now };
                    self.has_process(run, started);
                    events.push(Event::Launched(run, Ok(started)));
                }
                None => {
                    let why = "its keeper was killed while it was starting it";
                    self.stops.forget(run);
                    events.push(lost(run, now, why));
                }
            }
        }
        let (kept, watched) = (self.processes.clone(), machine.watched());
        for (run, started) in kept.into_iter().filter(|(run, _)| !watched.contains(run)) {
            if !machine.watch(run, started) {
                events.extend(self.unseen(run, now));
            }
        }
        // Nobody remembers them any more.
        self.told.clear();
        events
    }

    /// A process that was only watched is gone, and so is its run; of one that was told to end the
    /// rest is waited for.
    pub fn unseen(&mut self, run: RunId, now: Now) -> Option<Event<'static>> {
        if self.stops.holds(run, Held { at: now, why: NOT_SEEN }) {
            return None;
        }
        self.processes.remove(&run);
        Some(lost(run, now, NOT_SEEN))
    }

    /// The process of a run that an earlier daemon told to end is gone, and nobody saw how; why.
    /// Others of the run may be there.
    pub fn holds(&mut self, run: RunId, now: Now, why: &'static str) {
        self.stops.tells(run);
        self.stops.holds(run, Held { at: now, why });
    }

    /// Whether the end of a run without a keeper is held back.
    pub fn is_held(&self, run: RunId) -> bool {
        self.stops.is_held(run)
    }

    /// When [`Custody::looks_at_held`] is to be called next, by the monotonic clock.
    pub fn next_held_ms(&self) -> Option<u64> {
        self.stops.next_look_ms()
    }

    /// Looks at runs that were told to end and have no keeper any more. What the core is to be told
    /// of those that are over.
    pub fn looks_at_held(&mut self, now: Now, machine: &mut impl Machine) -> Vec<Event<'static>> {
        let over = self.stops.over(now, &self.processes, machine);
        if over.is_empty() {
            return Vec::new();
        }
        let started = over.iter().map(|(run, (started, _))| (*run, *started)).collect();
        let Some(left) = machine.left(&started) else { return Vec::new() };
        let end = |(run, (_, held)): (RunId, (Started, Held))| {
            self.processes.remove(&run);
            self.stops.forget(run);
            match left.get(&run).filter(|left| !left.is_empty()) {
                Some(left) => {
                    let left = clean(left, LEFT_COLUMNS);
                    lost(run, held.at, &format!("{}, left behind: {left}", held.why))
                }
                None => lost(run, held.at, held.why),
            }
        };
        over.into_iter().map(end).collect()
    }
}

fn lost(run: RunId, now: Now, why: &str) -> Event<'static> {
    Event::Ended(Box::new(Ended::unseen(run, now, Outcome::Lost(why.into()))))
}
