//! Fake processes: they end by themselves, or when they are told to, or not at once.

use schedule::core::event::{Signal, Started};
use schedule::core::ids::{JobId, RunId};
use schedule::core::outcome::Exit;
use schedule::core::refusal::Refusal;
use std::collections::BTreeMap;

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
}

/// Those that are there.
#[derive(Default)]
pub struct Processes {
    pub alive: BTreeMap<RunId, Process>,
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
            _ if process.strange => return Some(refusal(process.started.pid)),
            Signal::Term if process.ignores_term => return None,
            Signal::Term => 15,
            Signal::Kill => 9,
        };
        let end_ms = mono_ms + delay_ms;
        if end_ms < process.end_ms {
            process.end_ms = end_ms;
            process.exit = Exit::Signal { number, core_dumped: false };
        }
        None
    }

    /// Takes out those that have ended: children of the keeper, or those that are watched.
    pub fn reap(&mut self, mono_ms: u64, own: bool) -> Vec<(RunId, Process)> {
        let ended =
            |(_, process): &(&RunId, &Process)| process.end_ms <= mono_ms && process.own == own;
        let ended: Vec<RunId> = self.alive.iter().filter(ended).map(|(id, _)| *id).collect();
        let take = |id| Some((id, self.alive.remove(&id)?));
        ended.into_iter().filter_map(take).collect()
    }

    /// When the next one ends.
    pub fn next_end_ms(&self) -> Option<u64> {
        self.alive.values().map(|process| process.end_ms).min()
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
