//! Fake processes: they end by themselves, or when they are told to, or not at once. A run may have
//! others than the one that leads it.

use schedule::core::event::{Signal, Started};
use schedule::core::ids::{JobId, RunId};
use schedule::core::outcome::Exit;
use schedule::core::refusal::Refusal;
use std::collections::{BTreeMap, BTreeSet};

/// What was killed and is there after this long, ms, can't be killed.
pub const KILLED_MS: u64 = 2_000;

/// A process of a run.
pub struct Process {
    pub job: JobId,
    pub started: Started,
    /// When it ends, by the monotonic clock.
    pub end_ms: u64,
    pub exit: Exit,
    /// What TERM does: nothing to some.
    pub ignores_term: bool,
    /// It is another user's, and takes no signal.
    pub strange: bool,
    /// Whether it is the child of the keeper that is there; else it is only watched.
    pub own: bool,
    /// The daemon watches it.
    pub watched: bool,
    /// It has ended, and its run has not.
    pub gone: bool,
    /// Others of the run, in its process group or control group, are there until then. They take no
    /// notice of TERM.
    pub rest_ms: u64,
    /// When KILL was sent to the run last, by the monotonic clock.
    pub killed_ms: Option<u64>,
}

impl Process {
    /// Whether something of its run is there that a signal reaches.
    pub fn has_rest(&self, mono_ms: u64) -> bool {
        self.rest_ms > mono_ms
    }

    /// Whether what is there now can't be killed.
    pub fn is_beyond(&self, mono_ms: u64) -> bool {
        self.killed_ms.is_some_and(|at_ms| mono_ms > at_ms + KILLED_MS)
    }
}

/// Those that are there.
#[derive(Default)]
pub struct Processes {
    pub alive: BTreeMap<RunId, Process>,
    /// Runs with a process that no signal to the run reaches: it goes on for ever.
    pub strays: BTreeSet<RunId>,
    next_pid: u32,
}

impl Processes {
    pub fn start(&mut self, run: RunId, mut process: Process) -> Started {
        self.next_pid += 1;
        let pid = 300 + self.next_pid % 30_000;
        let kernel_start = 1_000 + u64::from(self.next_pid);
        process.started = Started { pid, kernel_start, ..process.started };
        let started = process.started;
        self.alive.insert(run, process);
        started
    }

    /// Returns who does not take it.
    pub fn signal(
        &mut self,
        run: RunId,
        signal: Signal,
        mono_ms: u64,
        delay_ms: u64,
    ) -> Option<Refusal> {
        let process = self.alive.get_mut(&run)?;
        let number = match signal {
            _ if process.strange && !process.gone => return Some(refusal(process.started.pid)),
            Signal::Term if process.ignores_term => return None,
            Signal::Term => 15,
            Signal::Kill => 9,
        };
        let end_ms = mono_ms + delay_ms;
        if signal == Signal::Kill {
            process.rest_ms = process.rest_ms.min(end_ms);
            process.killed_ms = Some(mono_ms);
        }
        if end_ms < process.end_ms {
            process.end_ms = end_ms;
            process.exit = Exit::Signal { number, core_dumped: false };
        }
        None
    }

    /// Those that have ended since they were asked for last: children of the keeper, or those that
    /// are watched.
    pub fn reap(&mut self, mono_ms: u64, own: bool) -> Vec<RunId> {
        let mut ended = Vec::new();
        for (run, process) in &mut self.alive {
            if process.end_ms <= mono_ms && process.own == own && !process.gone {
                process.gone = true;
                ended.push(*run);
            }
        }
        ended
    }

    /// When the next one ends, or the rest of the run of one that has.
    pub fn next_end_ms(&self) -> Option<u64> {
        let next = |process: &Process| match (process.gone, process.own) {
            (false, _) => Some(process.end_ms),
            (true, true) => {
                let beyond_ms = process.killed_ms.map_or(u64::MAX, |at_ms| at_ms + KILLED_MS + 1);
                Some(process.rest_ms.min(beyond_ms))
            }
            // The daemon looks.
            (true, false) => None,
        };
        self.alive.values().filter_map(next).min()
    }

    /// All end, with what else is of their runs.
    pub fn end_all(&mut self) {
        for process in self.alive.values_mut() {
            (process.end_ms, process.rest_ms) = (0, 0);
        }
    }

    /// Those of a job.
    pub fn of(&self, job: JobId) -> usize {
        self.alive.values().filter(|process| process.job == job).count()
    }
}

fn refusal(pid: u32) -> Refusal {
    Refusal {
        group: pid,
        pids: vec![pid],
        user: "root".into(),
        of: 1,
        leader: true,
        killable: false,
    }
}
