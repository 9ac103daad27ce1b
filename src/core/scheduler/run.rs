//! Runs that have not ended: how far each has got, which are launched next, and which are looked
//! at again at what time.
//!
//! A run begins when its slot is decided, or when somebody asks for it. From that instant on it
//! counts against the limit of its job, until its process is really gone. In between it is in one
//! phase, and a phase is changed in one place, [`Runs::set_phase`], which knows the edges:
//!
//! ```text
//!    decided          asked for            has a process        told to end     killed
//!
//!    Queued ────────► Launching ─────────► Live ◄─────────────► Stopping ─────► Killed
//!       │               │  ▲                ▲ ▲                                   │
//!       │  the machine  │  │ once more      │ └───────────────────────────────────┘
//!       │  is short     ▼  │                │          the process takes no signal
//!       │              Retry                │
//!       └───────────────────────────────────┘
//!          the daemon before launched it and could not say so
//! ```
//!
//! Each phase may also be the last one: the run is then no longer here.
//!
//! - `Queued`: it is in line for its launch. Its intent goes to the journal right before that, so a
//!   daemon that is killed with a thousand in line leaves few in doubt.
//! - `Launching`: the keeper was asked, and has not answered. At most
//!   [`MAX_LAUNCHING`](crate::core::launch::MAX_LAUNCHING) are asked for at a time. A launch that
//!   waits for a file system does not count among those: others are not to wait for it. Who stops
//!   such a run has it stopped as soon as it is there.
//! - `Retry`: the machine was short of processes, memory or descriptors. That is a backoff and no
//!   new attempt: the slot is the same. When the pause is over the run is in line again; when its
//!   slot is no longer fresh it has failed.
//! - `Live`: it has a process. A run of an earlier daemon is here as soon as its process is known.
//! - `Stopping`: TERM was sent, and KILL follows when the grace time is over. If the process is
//!   another user's and takes no signal, the run goes on as if nobody had asked: it is `Live`.
//! - `Killed`: KILL was sent. The run still counts, for its process may need a moment to go.
//!
//! What belongs to a phase goes with it: a time at which the run is looked at again, and a place
//! among those that were asked for. So neither is ever left behind.

use crate::core::clock;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{Cause, End, Remarks, RunEntry, cut_command};
use crate::core::refusal::Refusal;
use crate::core::state_label::StateLabel;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A run that has not ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its job.
    pub job: JobId,
    /// The due instant, unix ms; none for a run started by hand.
    pub slot_ms: Option<i64>,
    /// Why it was started.
    pub cause: Cause,
    /// Which attempt at its slot it is; the first is 1.
    pub attempt: u32,
    /// When it was launched, or decided as long as it is not; unix ms.
    pub at_ms: i64,
    /// The same by the monotonic clock.
    pub mono_ms: u64,
    /// Live runs of the job when it was decided, itself included.
    pub concurrent: u32,
    /// Process id, also of its process group; 0 = none yet.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`; without a process, the earliest that it could have there.
    pub kernel_start: u64,
    /// When it is told to end, by the monotonic clock, ms; none = never.
    pub deadline_ms: Option<u64>,
    /// When it is killed, for it was told to end: by the monotonic clock, ms. The journal knows it.
    pub kill_ms: Option<u64>,
    /// How far it has got.
    pub(super) phase: RunPhase,
    /// What its launch waits for, once that has taken long.
    pub waits: Option<Box<str>>,
    /// Who did not take the signal when it was told to end.
    pub refused: Option<Box<Refusal>>,
    /// Its intent is in the journal.
    pub intended: bool,
    /// The database that its job is of: see [`crate::core::homes::mark`].
    pub home: u32,
    /// What else is worth knowing of it.
    pub remarks: Option<Box<Remarks>>,
}

/// How far a run has got: see the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunPhase {
    /// About to be launched.
    Queued,
    /// The machine was short of something; tried again at this reading of the monotonic clock.
    Retry {
        /// When.
        at_mono_ms: u64,
        /// The pause before.
        pause_ms: u64,
    },
    /// Its launch was asked for.
    Launching {
        /// The pause before, if it was tried already; ms.
        pause_ms: Option<u64>,
        /// It is to be stopped as soon as it is there.
        stop: bool,
    },
    /// There is a process.
    Live,
    /// It was asked to end and is killed at this reading of the monotonic clock.
    Stopping {
        /// When.
        kill_at_mono_ms: u64,
    },
    /// It was killed and is not gone yet.
    Killed,
}

impl RunPhase {
    /// The state that is shown of it.
    pub fn state(self) -> StateLabel {
        match self {
            RunPhase::Queued | RunPhase::Launching { .. } => StateLabel::Starting,
            RunPhase::Retry { .. } => StateLabel::Backoff,
            RunPhase::Live => StateLabel::Running,
            RunPhase::Stopping { .. } | RunPhase::Killed => StateLabel::Stopping,
        }
    }

    /// Whether a run may get from here to there.
    fn may_become(self, next: RunPhase) -> bool {
        match (self, next) {
            (
                RunPhase::Queued,
                RunPhase::Launching { pause_ms: None, stop: false } | RunPhase::Live,
            )
            | (RunPhase::Retry { .. }, RunPhase::Launching { pause_ms: Some(_), stop: false })
            | (RunPhase::Launching { .. }, RunPhase::Live)
            | (RunPhase::Launching { stop: false, .. }, RunPhase::Retry { .. })
            | (RunPhase::Live, RunPhase::Stopping { .. } | RunPhase::Killed)
            | (RunPhase::Stopping { .. }, RunPhase::Killed | RunPhase::Live)
            | (RunPhase::Killed, RunPhase::Live) => true,
            (
                RunPhase::Launching { pause_ms: before, stop: false },
                RunPhase::Launching { pause_ms, stop: true },
            ) => before == pause_ms,
            // A daemon that starts finds out what it knew already.
            (before, next) => before == next,
        }
    }

    /// Whether it has, or had, a process.
    fn has_process(self) -> bool {
        match self {
            RunPhase::Live | RunPhase::Stopping { .. } | RunPhase::Killed => true,
            RunPhase::Queued | RunPhase::Retry { .. } | RunPhase::Launching { .. } => false,
        }
    }

    /// When a run in this phase is looked at again, by the monotonic clock, ms.
    fn timer_ms(self) -> Option<u64> {
        match self {
            RunPhase::Retry { at_mono_ms: at, .. } | RunPhase::Stopping { kill_at_mono_ms: at } => {
                Some(at)
            }
            RunPhase::Queued | RunPhase::Launching { .. } | RunPhase::Live | RunPhase::Killed => {
                None
            }
        }
    }
}

impl Run {
    /// How far it has got.
    pub fn phase(&self) -> RunPhase {
        self.phase
    }

    /// Whether it waits for its launch.
    pub(super) fn is_unstarted(&self) -> bool {
        matches!(self.phase, RunPhase::Queued | RunPhase::Retry { .. })
    }

    /// Whether it has a process and was not told to end.
    pub(super) fn is_live(&self) -> bool {
        self.phase == RunPhase::Live
    }

    /// Whether it was told to end and has a process.
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.phase, RunPhase::Stopping { .. } | RunPhase::Killed)
    }

    /// Whether a launch at this reading of the monotonic clock is still within the slot.
    pub(super) fn is_fresh_at(&self, mono_ms: u64) -> bool {
        mono_ms.saturating_sub(self.mono_ms) <= clock::FRESH_MS.unsigned_abs()
    }

    /// The journal's entry of this run.
    pub fn entry<'a>(
        &self,
        name: &'a str,
        command: &'a str,
        md5: &'a str,
        end: Option<End>,
    ) -> RunEntry<'a> {
        RunEntry {
            run: self.id,
            job: self.job,
            slot_ms: self.slot_ms,
            cause: self.cause,
            attempt: self.attempt,
            at_ms: self.at_ms,
            name: name.into(),
            command: cut_command(command).into(),
            md5: md5.into(),
            concurrent: self.concurrent,
            pid: self.pid,
            kernel_start: self.kernel_start,
            deadline_ms: self.deadline_ms,
            kill_ms: self.kill_ms,
            end,
            home: self.home,
            remarks: self.remarks.clone(),
        }
    }
}

/// See the module's text.
#[derive(Default)]
pub struct Runs {
    all: BTreeMap<RunId, Run>,
    /// Those that are looked at again, by the monotonic clock.
    timers: BTreeSet<(u64, RunId)>,
    /// Those whose process is to be started, each after its intent was written to the journal. Some
    /// may have ended since.
    line: VecDeque<RunId>,
    /// Those whose launch was asked for and not answered yet.
    asked: BTreeSet<RunId>,
}

impl Runs {
    /// By id.
    pub fn all(&self) -> &BTreeMap<RunId, Run> {
        &self.all
    }

    /// One of them.
    pub fn get(&self, id: &RunId) -> Option<&Run> {
        self.all.get(id)
    }

    /// The same, to change what is not its phase.
    pub fn get_mut(&mut self, id: &RunId) -> Option<&mut Run> {
        self.all.get_mut(id)
    }

    /// Each of them.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Run> {
        self.all.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A run is decided, or known from the journal.
    pub fn insert(&mut self, run: Run) {
        let is_new = matches!(run.phase, RunPhase::Queued | RunPhase::Live);
        debug_assert!(is_new, "run {} begins as {:?}", run.id, run.phase);
        let before = self.all.insert(run.id, run);
        debug_assert!(before.is_none(), "two runs have one id: {before:?}");
    }

    /// A run has ended.
    pub fn remove(&mut self, id: RunId) -> Option<Run> {
        let run = self.all.remove(&id)?;
        self.asked.remove(&id);
        if let Some(at_ms) = run.phase.timer_ms() {
            self.timers.remove(&(at_ms, id));
        }
        Some(run)
    }

    /// A run has got further, with all that belongs to that.
    pub fn set_phase(&mut self, id: RunId, next: RunPhase) {
        let Some(run) = self.all.get_mut(&id) else { return };
        let before = run.phase;
        debug_assert!(before.may_become(next), "run {id} is {before:?} and becomes {next:?}");
        if let Some(at_ms) = before.timer_ms() {
            self.timers.remove(&(at_ms, id));
        }
        run.phase = next;
        self.timers.extend(next.timer_ms().map(|at_ms| (at_ms, id)));
        match (before, next) {
            (RunPhase::Launching { .. }, RunPhase::Launching { .. }) => {}
            (_, RunPhase::Launching { .. }) => _ = self.asked.insert(id),
            _ => {
                run.waits = None;
                self.asked.remove(&id);
            }
        }
    }

    /// The launch of a run waits for a file system: it is not counted among those that are under
    /// way. Returns whether it was one.
    pub fn waits(&mut self, id: RunId, what: &str) -> bool {
        let launching = |run: &&mut Run| matches!(run.phase, RunPhase::Launching { .. });
        let Some(run) = self.all.get_mut(&id).filter(launching) else { return false };
        self.asked.remove(&id);
        run.waits = Some(what.into());
        true
    }

    /// A run is to be launched when those before it are; `first`: somebody waits for it.
    pub fn stand_in_line(&mut self, id: RunId, first: bool) {
        match first {
            true => self.line.push_front(id),
            false => self.line.push_back(id),
        }
    }

    /// Those that are in line, the next one first. Some may have ended.
    pub fn line(&self) -> &VecDeque<RunId> {
        &self.line
    }

    /// The first in line has had its turn.
    pub fn next_in_line(&mut self) {
        self.line.pop_front();
    }

    /// How many launches were asked for and not answered yet.
    pub fn asked(&self) -> usize {
        self.asked.len()
    }

    /// When the next one is to be looked at again, by the monotonic clock, ms.
    pub fn next_timer_ms(&self) -> Option<u64> {
        self.timers.first().map(|(at_ms, _)| *at_ms)
    }

    /// One whose time has come, once.
    pub fn take_timer(&mut self, mono_ms: u64) -> Option<RunId> {
        self.next_timer_ms().filter(|at_ms| *at_ms <= mono_ms)?;
        self.timers.pop_first().map(|(_, id)| id)
    }

    /// Whether there is an intent in the journal, and nobody knows yet what became of it.
    pub fn has_open_intent(&self) -> bool {
        self.all.values().any(|run| run.intended && run.pid == 0)
    }

    /// What must never be.
    pub(super) fn check(&self, id: RunId, run: &Run) {
        assert_eq!(id, run.id, "a run is kept by the id of another");
        let (phase, pid) = (run.phase, run.pid);
        assert_eq!(phase.has_process(), pid != 0, "run {id} is {phase:?} with pid {pid}");
        assert!(run.attempt >= 1, "run {id} is attempt 0");
        let is_launching = matches!(phase, RunPhase::Launching { .. });
        let is_asked = self.asked.contains(&id);
        assert_eq!(is_asked, is_launching && run.waits.is_none(), "run {id} is {phase:?}: asked");
        assert!(run.waits.is_none() || is_launching, "run {id} is {phase:?} and waits for a file");
        assert!(run.intended || run.is_unstarted(), "run {id} is {phase:?} without its intent");
        match phase {
            RunPhase::Retry { at_mono_ms: at_ms, .. } => {
                let is_seen = self.timers.contains(&(at_ms, id)) || !self.line.is_empty();
                assert!(is_seen, "run {id} is tried again, and nobody will");
            }
            RunPhase::Stopping { kill_at_mono_ms: at_ms } => {
                assert!(self.timers.contains(&(at_ms, id)), "run {id} is stopped and never killed");
                let noted = run.kill_ms == Some(at_ms);
                assert!(noted, "run {id} is killed at {at_ms}, noted is {:?}", run.kill_ms);
            }
            RunPhase::Queued | RunPhase::Launching { .. } | RunPhase::Live | RunPhase::Killed => {}
        }
    }

    /// The same of all together: nothing is left behind of a run that has ended.
    pub(super) fn check_all(&self) {
        let most = self.all.len();
        assert!(self.timers.len() <= most, "more runs have a timer than there are");
        assert!(self.asked.len() <= most, "more launches are asked for than there are runs");
        let last = self.timers.last().map(|(_, id)| id);
        assert!(last.is_none_or(|id| self.all.contains_key(id)), "a timer is left of run {last:?}");
        let last = self.asked.last();
        assert!(last.is_none_or(|id| self.all.contains_key(id)), "run {last:?} is asked for");
    }
}
