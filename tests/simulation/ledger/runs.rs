//! Attempts, ends, stops.

use super::{Def, FRESH_MS, Ledger};
use schedule::core::daemon::{Core, RunPhase};
use schedule::core::event::Signal;
use schedule::core::ids::RunId;
use schedule::core::launch::LaunchPlan;
use schedule::core::outcome::Outcome;
use schedule::core::time::Now;
use std::rc::Rc;

/// Longest pause between two attempts, ms.
const MAX_PAUSE_MS: u64 = 2_000;

/// How far a run should have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// To be launched in this turn.
    Queued,
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
    /// There was no process, or nobody saw its end.
    NoProcess,
}

/// A run as it should be.
pub struct Run {
    pub job: u32,
    pub slot: Option<i64>,
    pub epoch: u32,
    pub def: Rc<Def>,
    pub decided_mono_ms: u64,
    pub state: State,
    /// How it ended.
    pub end: Option<End>,
    pub intent_seen: bool,
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
    pub fn new(job: u32, slot: Option<i64>, epoch: u32, def: Rc<Def>, mono_ms: u64) -> Run {
        Run {
            job,
            slot,
            epoch,
            def,
            decided_mono_ms: mono_ms,
            state: State::Queued,
            end: None,
            intent_seen: false,
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

    /// A process is about to be made.
    pub fn launching(&mut self, now: Now, id: RunId, plan: &LaunchPlan) {
        let run = self.run(id);
        let in_time = now.mono_ms - run.decided_mono_ms <= patience_ms() + 100;
        assert!(in_time, "run {id} is tried more than 30 s after its slot was decided");
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
        let job = &self.jobs[&job];
        let in_force = !job.draining && job.waiting.is_none();
        assert!(in_force, "run {id} is launched from a definition that is no longer in force");
        let limit = job.def.row.max_concurrence as usize;
        assert!(job.live.len() <= limit, "run {id}: {} of {limit} are alive", job.live.len());
    }

    pub fn launched(&mut self, id: RunId) {
        self.run(id).state = State::Alive;
    }

    /// The launch failed: for good, or it may be tried again.
    pub fn launch_failed(&mut self, now: Now, id: RunId, core: &Core, retryable: bool, why: &str) {
        let age_ms = now.mono_ms - self.run(id).decided_mono_ms;
        let Some(run) = core.runs().get(&id) else {
            let gave_up = !retryable || age_ms + MAX_PAUSE_MS >= patience_ms();
            assert!(gave_up, "run {id} is given up after {age_ms} ms");
            self.finish(id, End::Exactly(Outcome::SpawnFailed(why.into())));
            return;
        };
        assert!(retryable, "run {id} is tried again for nothing");
        let RunPhase::Retry { at_mono_ms: at_ms, .. } = run.phase else {
            panic!("run {id} is {:?} after a failed launch", run.phase);
        };
        let in_time = at_ms <= self.run(id).decided_mono_ms + patience_ms();
        assert!(in_time, "run {id} is to be tried more than 30 s after its slot was decided");
        assert!(at_ms > now.mono_ms && at_ms <= now.mono_ms + MAX_PAUSE_MS, "run {id}: its pause");
        self.run(id).state = State::Retry { at_ms };
    }

    /// A machine that stood still finds retries whose time is over.
    pub(super) fn give_up_late_retries(&mut self, now: Now) {
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
    }

    /// A run has ended, or never will begin.
    pub fn finish(&mut self, id: RunId, end: End) {
        let run = self.run(id);
        assert_ne!(run.state, State::Gone, "run {id} ends twice");
        run.state = State::Gone;
        run.end = Some(end);
        let job = run.job;
        self.live.remove(&id);
        self.left(job, id);
    }

    /// What became of a run of an earlier daemon.
    pub fn settled(&mut self, id: RunId, alive: bool) {
        match alive {
            true => self.run(id).state = State::Alive,
            false => self.finish(id, End::NoProcess),
        }
    }

    /// Somebody stops a run.
    pub fn stopped(&mut self, now: Now, id: RunId) {
        let kill_ms = now.mono_ms + self.grace_ms;
        match self.run(id).state {
            State::Queued | State::Retry { .. } => self.finish(id, End::NoProcess),
            State::Alive => self.run(id).state = State::Stopping { kill_ms, told: false },
            _ => {}
        }
    }

    pub fn signalled(&mut self, now: Now, id: RunId, signal: Signal) {
        let run = self.run(id);
        run.state = match (run.state, signal) {
            (State::Stopping { kill_ms, told: false }, Signal::Term) => {
                State::Stopping { kill_ms, told: true }
            }
            (State::Stopping { kill_ms, told: true }, Signal::Kill) if now.mono_ms >= kill_ms => {
                State::Killed
            }
            // Its end and the order to kill it crossed.
            (State::Gone, _) => State::Gone,
            (state, signal) => panic!("run {id} gets {signal:?} while it is {state:?}"),
        };
    }

    /// Everything that was to be done in this turn has been done; `ticked` is its reading.
    pub fn check_runs(&self, ticked: Now, core: &Core) {
        let alive: Vec<&RunId> = core.runs().keys().collect();
        let expected: Vec<&RunId> = self.live.iter().collect();
        assert_eq!(alive, expected, "runs that have not ended (left) and those that should be");
        for id in &self.live {
            let state = self.runs[id].state;
            let done = match state {
                State::Queued | State::Unsettled | State::Gone => false,
                State::Retry { at_ms } => at_ms > ticked.mono_ms,
                State::Stopping { kill_ms, told } => told && kill_ms > ticked.mono_ms,
                State::Alive | State::Killed => true,
            };
            assert!(done, "run {id} is still {state:?}");
        }
        self.check_told(core);
    }
}
