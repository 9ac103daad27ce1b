//! Figures for `/metrics` that are counted where things happen.

use crate::core::ids::RunId;
use crate::core::journal::{Loss, Skips};
use crate::core::outcome::{OutcomeKind, Outcomes};
use crate::core::plain::counted;
use serde::{Deserialize, Serialize};

/// Counts since the daemon's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Processes started.
    pub launched: u64,
    /// Runs that ended with exit status 0.
    pub succeeded: u64,
    /// Runs that ended otherwise, failed launches included, but for those that were stopped.
    pub failed: u64,
    /// Runs that somebody told to end, and that ended with another status than 0.
    pub stopped: u64,
    /// Slots that were skipped.
    pub skipped: u64,
    /// Records that the database never hears of, since the journal was begun: it had reached its
    /// limit, a full disk had no room for them, or somebody took them away.
    pub records_dropped: u64,
    /// When that was the last time, unix ms.
    pub records_dropped_ms: i64,
    /// Why it was then.
    pub records_dropped_why: Loss,
    /// Rows of the database that were older than they are kept, and are deleted.
    pub records_deleted: u64,
    /// Turns of the loop that took more than 2 ms.
    pub slow_turns: u64,
    /// The longest turn of the loop so far: how long a client may have waited, in microseconds.
    pub worst_turn_us: u64,
    /// Runs whose outputs were not kept on a full disk, or were deleted for the journal.
    pub outputs_dropped: u64,
    /// The latest launch so far: milliseconds after its slot.
    pub worst_lateness_ms: u64,
}

impl Counters {
    /// A run has begun whose output goes nowhere.
    pub(in crate::core) fn output_not_kept(&mut self, run: RunId, why: &str) {
        self.outputs_dropped += 1;
        log::warn!("run={run} runs, and its output is not kept: {why}");
    }

    /// A run has ended. One that ended as it was told to is no failure.
    pub(super) fn ended(&mut self, kind: OutcomeKind) {
        *match kind {
            OutcomeKind::Success => &mut self.succeeded,
            OutcomeKind::Stopped => &mut self.stopped,
            OutcomeKind::Failure
            | OutcomeKind::Signal
            | OutcomeKind::SpawnFailed
            | OutcomeKind::Lost => &mut self.failed,
        } += 1;
    }

    /// So many records will never be in the database.
    pub(super) fn dropped(&mut self, count: u64, why: Loss, now_ms: i64) {
        self.records_dropped += count;
        self.records_dropped_ms = now_ms;
        self.records_dropped_why = why;
        let (why, total) = (why.told(), self.records_dropped);
        log::error!("{why}: {} dropped, {total} in all", counted(count, "record"));
    }
}

/// A histogram with fixed bounds. `N` bounds and what is beyond the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram<const N: usize> {
    /// Upper bounds, inclusive, ascending, in microseconds.
    pub bounds_us: [u64; N],
    /// How many were within each bound and above the one before.
    pub counts: [u64; N],
    /// How many were beyond the last bound.
    pub beyond: u64,
    /// All together, in microseconds.
    pub sum_us: u64,
}

impl<const N: usize> Histogram<N> {
    const fn new(bounds_us: [u64; N]) -> Self {
        Histogram { bounds_us, counts: [0; N], beyond: 0, sum_us: 0 }
    }

    /// Counts one.
    pub fn count(&mut self, value_us: u64) {
        self.sum_us = self.sum_us.saturating_add(value_us);
        *self.bucket(value_us) += 1;
    }

    /// Where a value is counted.
    pub(super) fn bucket(&mut self, value_us: u64) -> &mut u64 {
        match self.bounds_us.iter().position(|bound| value_us <= *bound) {
            Some(at) => &mut self.counts[at],
            None => &mut self.beyond,
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// How long after their slots runs were launched.
    pub lateness: Histogram<10>,
    /// How long the turns of the loop took, sleep left out.
    pub turns: Histogram<10>,
    /// Runs that ended.
    pub outcomes: Outcomes,
    /// Skipped slots.
    pub skipped: Skips,
}

impl Metrics {
    /// Nothing yet.
    pub fn new() -> Metrics {
        const MS: u64 = 1_000;
        Metrics {
            lateness: Histogram::new([
                MS,
                5 * MS,
                10 * MS,
                20 * MS,
                50 * MS,
                100 * MS,
                250 * MS,
                1_000 * MS,
                5_000 * MS,
                30_000 * MS,
            ]),
            turns: Histogram::new([
                50,
                100,
                250,
                500,
                MS,
                2_500,
                5 * MS,
                10 * MS,
                50 * MS,
                250 * MS,
            ]),
            outcomes: Outcomes::default(),
            skipped: Skips::default(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}
