//! Runs that were told to end, as long as no keeper sees to them: nothing of them may be left.
//! Their end is held back until their process group, and where they have one their control group,
//! is empty, or what is there can't be killed.

use super::Machine;
use crate::core::event::Started;
use crate::core::ids::RunId;
use crate::core::time::Now;
use std::collections::BTreeMap;

/// How often held ends are looked at, ms.
const LOOK_MS: u64 = 50;

/// The kernel takes this long, ms, to end what was killed; what is there then can't be killed.
const KILLED_MS: u64 = 2_000;

/// A run whose first process is gone.
#[derive(Clone, Copy)]
pub struct Held {
    /// When that went, or when it turned out that it had.
    pub at: Now,
    /// Why nobody can tell how it ended.
    pub why: &'static str,
}

/// See the module's text.
#[derive(Default)]
pub struct Stops {
    /// Runs that were told to end, kept or not; and when they were killed, monotonic ms.
    told: BTreeMap<RunId, Option<u64>>,
    held: BTreeMap<RunId, Held>,
    look_at_ms: u64,
}

impl Stops {
    /// A run is told to end.
    pub fn tells(&mut self, run: RunId) {
        self.told.entry(run).or_default();
    }

    /// KILL was sent to it, perhaps once more.
    pub fn killed(&mut self, run: RunId, mono_ms: u64) {
        self.told.insert(run, Some(mono_ms));
    }

    /// It takes no signal. A run whose first process is gone is to end all the same.
    pub fn goes_on(&mut self, run: RunId) {
        if !self.held.contains_key(&run) {
            self.told.remove(&run);
        }
    }

    /// It has ended.
    pub fn forget(&mut self, run: RunId) {
        self.told.remove(&run);
        self.held.remove(&run);
    }

    /// The first process of a run without a keeper is gone. Returns whether its end is held back.
    pub fn holds(&mut self, run: RunId, held: Held) -> bool {
        let is_told = self.told.contains_key(&run);
        if is_told {
            self.held.entry(run).or_insert(held);
        }
        is_told
    }

    /// Whether the end of a run is held back.
    pub fn is_held(&self, run: RunId) -> bool {
        self.held.contains_key(&run)
    }

    /// When [`Stops::over`] is to be asked next, by the monotonic clock.
    pub fn next_look_ms(&self) -> Option<u64> {
        (!self.held.is_empty()).then_some(self.look_at_ms)
    }

    /// Those that have nothing left, or nothing that could be killed.
    pub fn over(
        &mut self,
        now: Now,
        processes: &BTreeMap<RunId, Started>,
        machine: &mut impl Machine,
    ) -> BTreeMap<RunId, (Started, Held)> {
        if self.next_look_ms().is_none_or(|at_ms| now.mono_ms < at_ms) {
            return BTreeMap::new();
        }
        self.look_at_ms = now.mono_ms + LOOK_MS;
        let mut is_over = |run: RunId, started: Started| {
            let killed_ms = self.told.get(&run).copied().flatten();
            killed_ms.is_some_and(|at_ms| now.mono_ms > at_ms + KILLED_MS)
                || !machine.reaches(run, started)
        };
        let held = self.held.iter();
        let known = held.filter_map(|(run, held)| Some((*run, (*processes.get(run)?, *held))));
        known.filter(|(run, (started, _))| is_over(*run, *started)).collect()
    }
}
