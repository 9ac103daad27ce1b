//! Attempts, ends, stops.

use super::{Def, FRESH_MS, Ledger};
use schedule::core::daemon::Core;
use schedule::core::event::Signal;
use schedule::core::ids::RunId;
use schedule::core::launch::{LaunchPlan, MAX_LAUNCHING};
use schedule::core::outcome::Outcome;
use schedule::core::scheduler::RunPhase;
use schedule::core::time::Now;
use std::rc::Rc;

/// Longest pause between two attempts, ms.
const MAX_PAUSE_MS: u64 = 2_000;

/// How far a run should have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// To be launched as soon as the keeper takes it.
    Queued,
    /// Not launched by an earlier daemon; it waits for the first table.
    Resumable,
    /// The keeper was asked for it; `stop`: it is to be stopped as soon as it is there.
    Asked {
        stop: bool,
    },
    /// To be tried again.
    Retry {
        at_ms: u64,
    },
    Alive,
    /// Asked to end; `told`: TERM was sent.
    Stopping {
        kill_ms: u64,
        told: bool,
    },
    Killed,
    /// Of an earlier daemon; nobody looked yet.
    Unsettled,
    Gone,
}

/// How a run should be recorded to have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Exactly(Outcome),
    /// Somebody saw it: when by the wall clock, and after how long.
    Seen(Outcome, i64, u64),
    /// There was no process, or nobody saw its end.
    NoProcess,
}

/// What was found of a run of an earlier daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It has a process, or it is known how that ended.
    Alive,
    NotLaunched,
    Lost,
}

/// A run as it should be.
pub struct Run {
    pub job: u32,
    pub slot: Option<i64>,
    pub epoch: u32,
    /// Which database its job is of.
    pub named: usize,
    pub def: Rc<Def>,
    pub decided_mono_ms: u64,
    pub state: State,
    /// It had a process.
    pub made: bool,
    /// When that began.
    pub began: Option<Now>,
    /// Its launch waits for a file, and the daemon knows.
    pub waits: bool,
    /// Its process took no signal, and the daemon knows.
    pub refused: bool,
    /// When it is killed, for it was told to end, as the journal has it on the disk.
    pub kill_ms: Option<u64>,
    /// When it was killed.
    pub killed_ms: Option<u64>,
    /// It was sent TERM, by whichever daemon.
    was_told: bool,
    /// How it ended.
    pub end: Option<End>,
    /// It had been told to end by then.
    pub ended_told: bool,
    /// Somebody has stopped it, and this daemon was told so.
    pub is_asked: bool,
    /// The same of any daemon.
    pub was_asked: bool,
    /// It took no signal, and this daemon knows that it goes on.
    pub goes_on: bool,
    /// The journal has on the disk who has stopped it.
    pub is_by: bool,
    pub intent_seen: bool,
    /// Where the log has its intent.
    pub intent_at: Option<u64>,
    pub end_seen: bool,
    /// A daemon that starts now knows that its slot is taken.
    pub slot_durable: bool,
    /// A daemon that starts now knows of it.
    pub durable: bool,
    /// Where on the disk its end is written, and which.
    pub durable_end: Option<(u64, Outcome)>,
}

fn patience_ms() -> u64 {
    FRESH_MS.unsigned_abs()
}

impl Run {
    pub fn new(
        (job, slot): (u32, Option<i64>),
        epoch: u32,
        named: usize,
        def: Rc<Def>,
        mono_ms: u64,
    ) -> Run {
        Run {
            job,
            slot,
            epoch,
            named,
            def,
            decided_mono_ms: mono_ms,
            state: State::Queued,
            made: false,
            began: None,
            waits: false,
            refused: false,
            kill_ms: None,
            killed_ms: None,
            was_told: false,
            end: None,
            ended_told: false,
            is_asked: false,
            was_asked: false,
            goes_on: false,
            is_by: false,
            intent_seen: false,
            intent_at: None,
            end_seen: false,
            slot_durable: false,
            durable: false,
            durable_end: None,
        }
    }
}

impl Ledger {
    fn run(&mut self, id: RunId) -> &mut Run {
        self.runs.get_mut(&id).unwrap_or_else(|| panic!("run {id} was never decided"))
    }

    /// A keeper is there, or no longer.
    pub fn keeper(&mut self, is_there: bool) {
        let is_lost = self.has_keeper && !is_there;
        self.has_keeper = is_there;
        for id in self.live.iter().filter(|_| is_lost) {
            // What it was told it may not have done.
            if let Some(Run { state: State::Stopping { told, .. }, .. }) = self.runs.get_mut(id) {
                *told = false;
            }
        }
    }

    /// Whether the keeper takes no more launches for now.
    pub(super) fn is_stuck(&self) -> bool {
        !self.has_keeper || self.asked() >= MAX_LAUNCHING
    }

    /// How many launches the keeper was asked for and has said nothing of.
    pub fn asked(&self) -> usize {
        let asked = |id: &&RunId| {
            let run = &self.runs[*id];
            matches!(run.state, State::Asked { .. }) && !run.waits
        };
        self.live.iter().filter(asked).count()
    }

    /// Whether there are such.
    pub fn is_asked(&self) -> bool {
        self.asked() > 0
    }

    /// When the process of a run began.
    pub fn began(&self, id: RunId) -> Option<Now> {
        self.runs.get(&id)?.began
    }

    /// Whether runs are waiting for their process.
    pub fn is_launching(&self) -> bool {
        let waits = |id: &RunId| match self.runs[id].state {
            State::Asked { .. } => !self.runs[id].waits,
            State::Queued => true,
            _ => false,
        };
        self.live.iter().any(waits)
    }

    /// The daemon is told that the launch of a run waits for a file.
    pub fn waits(&mut self, id: RunId) {
        self.run(id).waits = true;
    }

    /// The keeper makes a process.
    pub fn process_made(&mut self, now: Now, id: RunId) {
        self.made.insert(id);
        let run = self.run(id);
        assert!(!run.made, "run {id} gets a second process");
        run.made = true;
        run.began = Some(now);
        let late_ms = now.mono_ms.saturating_sub(run.decided_mono_ms);
        let in_time = late_ms <= patience_ms();
        assert!(in_time, "run {id} is launched {late_ms} ms after its slot was decided");
    }

    /// The keeper is asked for a process.
    pub fn launching(&mut self, now: Now, id: RunId, plan: &LaunchPlan) {
        let run = self.run(id);
        match run.state {
            State::Queued => {}
            State::Retry { at_ms } => assert!(now.mono_ms >= at_ms, "run {id} is tried too early"),
            other => panic!("run {id} is launched while it is {other:?}"),
        }
        assert!(run.intent_seen, "run {id} is launched before its intent was written");
        assert_eq!(plan.command, run.def.command, "run {id} has not the command of its job");
        assert_eq!(plan.job_id, run.job, "run {id}");
        assert_eq!(plan.slot.is_empty(), run.slot.is_none(), "run {id}: its slot");
        let job = run.job;
        assert!(
            !self.disabled.contains(&job),
            "run {id} is launched of job {job}: its row is disabled"
        );
        let job = &self.jobs[&job];
        let in_force = !job.draining && job.waiting.is_none();
        assert!(in_force, "run {id} is launched from a definition that is no longer in force");
        let limit = job.def.row.max_concurrence as usize;
        assert!(job.live.len() <= limit, "run {id}: {} of {limit} are alive", job.live.len());
        self.run(id).waits = false;
        self.run(id).state = State::Asked { stop: false };
    }

    /// The daemon hears that a run has a process.
    pub fn launched(&mut self, now: Now, id: RunId) {
        let kill_ms = now.mono_ms + self.grace_ms;
        let run = self.run(id);
        run.waits = false;
        run.state = match run.state {
            State::Asked { stop: false } => State::Alive,
            State::Asked { stop: true } => State::Stopping { kill_ms, told: false },
            other => panic!("run {id} was not asked for, it is {other:?}"),
        };
    }

    /// The launch failed: for good, or it may be tried again.
    pub fn launch_failed(&mut self, now: Now, id: RunId, core: &Core, retryable: bool, why: &str) {
        self.run(id).waits = false;
        let job = &self.jobs[&self.runs[&id].job];
        let changed = retryable && (job.draining || job.waiting.is_some());
        if changed || self.run(id).state == (State::Asked { stop: true }) {
            self.finish(id, End::NoProcess);
            return;
        }
        let age_ms = now.mono_ms - self.run(id).decided_mono_ms;
        let Some(run) = core.scheduler.runs().get(&id) else {
            let gave_up = !retryable || age_ms + MAX_PAUSE_MS >= patience_ms();
            assert!(gave_up, "run {id} is given up after {age_ms} ms");
            self.finish(id, End::Exactly(Outcome::SpawnFailed(why.into())));
            return;
        };
        assert!(retryable, "run {id} is tried again for nothing");
        let RunPhase::Retry { at_mono_ms: at_ms, .. } = run.phase() else {
            panic!("run {id} is {:?} after a failed launch", run.phase());
        };
        let in_time = at_ms <= self.run(id).decided_mono_ms + patience_ms();
        assert!(in_time, "run {id} is to be tried more than 30 s after its slot was decided");
        assert!(at_ms > now.mono_ms && at_ms <= now.mono_ms + MAX_PAUSE_MS, "run {id}: its pause");
        self.run(id).state = State::Retry { at_ms };
    }

    /// Retries whose time has come. A machine that stood still finds some whose time is over.
    pub(super) fn retry(&mut self, now: Now) {
        let late = |id: &&RunId| match self.runs[*id].state {
            State::Retry { at_ms } => {
                let age_ms = now.mono_ms - self.runs[*id].decided_mono_ms;
                at_ms <= now.mono_ms && age_ms > patience_ms()
            }
            _ => false,
        };
        let late: Vec<RunId> = self.live.iter().filter(late).copied().collect();
        for id in late {
            self.finish(id, End::NoProcess);
        }
        for id in &self.live {
            let Some(run) = self.runs.get_mut(id) else { continue };
            if matches!(run.state, State::Retry { at_ms } if at_ms <= now.mono_ms) {
                run.state = State::Queued;
            }
        }
    }

    /// What an earlier daemon did not launch is launched where its row is still the same.
    pub(super) fn resume(&mut self, core: &Core) {
        let resumable = |id: &&RunId| self.runs[*id].state == State::Resumable;
        let resumable: Vec<RunId> = self.live.iter().filter(resumable).copied().collect();
        for id in resumable {
            let job = &self.jobs[&self.runs[&id].job];
            let over = job.live.len() > job.def.row.max_concurrence as usize;
            // Were the daemon and its keeper killed, nobody could tell that it was started.
            if self.has_hole || over || job.draining || job.waiting.is_some() || self.draining {
                self.finish(id, End::NoProcess);
                continue;
            }
            // How long ago it was decided, the core has by the wall clock.
            let decided_mono_ms = core.scheduler.runs().get(&id).map_or(0, |run| run.mono_ms);
            let run = self.run(id);
            run.state = State::Queued;
            run.decided_mono_ms = decided_mono_ms;
        }
    }

    /// The keeper saw a run end.
    pub fn ended(&mut self, id: RunId, outcome: &Outcome, started: Now, at: Now) {
        let ms = at.mono_ms - started.mono_ms;
        self.finish(id, End::Seen(outcome.clone(), at.wall_ms, ms));
    }

    /// A run is gone, and nobody saw how.
    pub fn lost(&mut self, id: RunId, outcome: &Outcome) {
        self.finish(id, End::Exactly(outcome.clone()));
    }

    /// A run has ended, or never will begin.
    pub(super) fn finish(&mut self, id: RunId, end: End) {
        let run = self.run(id);
        assert_ne!(run.state, State::Gone, "run {id} ends twice");
        let told = matches!(run.state, State::Stopping { .. } | State::Killed);
        run.state = State::Gone;
        run.end = Some(end.clone());
        run.ended_told = told;
        let job = run.job;
        self.count_end(&end, told);
        self.live.remove(&id);
        self.left(job, id);
    }

    /// What became of a run of an earlier daemon. In this boot, by what the journal says and what
    /// the keeper heard at that time, its stop goes on.
    pub fn settled(
        &mut self,
        now: Now,
        id: RunId,
        how: Settled,
        (same_boot, heard_ms): (bool, Option<u64>),
    ) {
        let grace_ms = self.grace_ms;
        assert!(self.runs.contains_key(&id), "run {id} comes out of nothing");
        let run = self.run(id);
        assert_eq!(run.state, State::Unsettled, "run {id} has ended and is back");
        (run.is_asked, run.goes_on) = (false, false);
        let fresh = run.slot.is_some_and(|slot| now.wall_ms - slot <= FRESH_MS);
        let noted_ms = run.kill_ms.filter(|_| same_boot);
        let kill_ms = noted_ms.or(heard_ms.map(|asked_ms| asked_ms + grace_ms));
        match how {
            Settled::Alive => {
                let stopping = |kill_ms| State::Stopping { kill_ms, told: false };
                run.state = kill_ms.map_or(State::Alive, stopping);
            }
            Settled::NotLaunched if noted_ms.is_some() => self.finish(id, End::NoProcess),
            Settled::NotLaunched if fresh => run.state = State::Resumable,
            Settled::NotLaunched | Settled::Lost => self.finish(id, End::NoProcess),
        }
    }

    /// Somebody stops a run.
    pub fn stopped(&mut self, now: Now, id: RunId) {
        let kill_ms = now.mono_ms + self.grace_ms;
        let run = self.run(id);
        // What the journal was told of a stop before this may have no word of anybody.
        run.is_asked |= !matches!(run.state, State::Stopping { .. } | State::Killed);
        (run.was_asked, run.goes_on) = (true, false);
        match self.run(id).state {
            State::Queued | State::Resumable | State::Retry { .. } => {
                self.finish(id, End::NoProcess);
            }
            State::Asked { .. } => self.run(id).state = State::Asked { stop: true },
            State::Alive => self.run(id).state = State::Stopping { kill_ms, told: false },
            _ => {}
        }
    }

    pub fn signalled(&mut self, now: Now, id: RunId, signal: Signal) {
        let run = self.run(id);
        if signal == Signal::Kill {
            run.killed_ms = Some(now.mono_ms);
        }
        // A daemon that panics may have decided to kill it, and the next one goes on with that.
        let was_told = run.was_told;
        run.was_told |= signal == Signal::Term;
        run.state = match (run.state, signal) {
            (State::Stopping { kill_ms, told: false }, Signal::Term) => {
                State::Stopping { kill_ms, told: true }
            }
            (State::Stopping { kill_ms, told: true }, Signal::Kill) if now.mono_ms >= kill_ms => {
                State::Killed
            }
            (State::Stopping { kill_ms, told: false }, Signal::Kill)
                if was_told && now.mono_ms >= kill_ms =>
            {
                State::Killed
            }
            // For the keeper, should the daemon be gone before the process is there.
            (State::Asked { stop: true }, Signal::Term) => State::Asked { stop: true },
            // That it does not take TERM and the order to kill it crossed, long after the stop.
            (State::Alive, Signal::Kill) if run.refused => State::Alive,
            // Its keeper, who was to see to it, is gone.
            (State::Killed, Signal::Kill) => State::Killed,
            // Its end and the order to kill it crossed.
            (State::Gone, _) => State::Gone,
            (state, signal) => panic!("run {id} gets {signal:?} while it is {state:?}"),
        };
    }

    /// Whether a process took a signal. If not, its run goes on as if nobody had stopped it.
    pub fn taken(&mut self, id: RunId, is_taken: bool) {
        let run = self.run(id);
        if !is_taken {
            // Also where it was known to take none, and the order to kill it was on its way.
            run.killed_ms = None;
            if matches!(run.state, State::Stopping { .. } | State::Killed) {
                run.state = State::Alive;
                (run.is_asked, run.goes_on) = (false, true);
            }
        }
        run.refused = !is_taken;
    }

    /// Everything that was to be done in this turn has been done; `ticked` is its reading.
    pub fn check_runs(&self, ticked: Now, core: &Core) {
        let alive: Vec<&RunId> = core.scheduler.runs().keys().collect();
        let expected: Vec<&RunId> = self.live.iter().collect();
        assert_eq!(alive, expected, "runs that have not ended (left) and those that should be");
        for id in &self.live {
            let state = self.runs[id].state;
            let done = match state {
                State::Queued => self.is_stuck(),
                State::Resumable => self.held_until.is_some(),
                State::Unsettled | State::Gone => false,
                State::Retry { at_ms } => at_ms > ticked.mono_ms,
                State::Stopping { kill_ms, told } => told && kill_ms > ticked.mono_ms,
                State::Asked { .. } | State::Alive | State::Killed => true,
            };
            assert!(done, "run {id} is still {state:?}");
        }
        let (is, should) = (core.scheduler.is_launching(), self.is_launching());
        // Without a keeper nobody has looked yet which of them have ended meanwhile.
        let right = is == should || self.is_stuck();
        assert!(right, "launches are under way: {is}, not {should}; what waits for a file is none");
        let says =
            |id: &&RunId| core.scheduler.runs().get(*id).is_some_and(|run| run.waits.is_some());
        let waiting = |id: &&RunId| self.runs[*id].waits;
        let wrong = self.live.iter().find(|id| says(id) != waiting(id));
        assert_eq!(
            wrong, None,
            "a run that waits for a file, or does not, and it is said otherwise"
        );
        self.check_refused(core);
        self.check_told(core);
    }

    /// What takes no signal is not stopping, and it is said who that is.
    fn check_refused(&self, core: &Core) {
        for id in self.live.iter().filter(|id| self.runs[*id].refused) {
            let Some(run) = core.scheduler.runs().get(id) else { continue };
            let stopping = matches!(run.phase(), RunPhase::Stopping { .. } | RunPhase::Killed);
            let right = run.refused.is_some() && !stopping;
            assert!(right, "run {id} takes no signal and is {:?}: {:?}", run.phase(), run.refused);
        }
    }
}
