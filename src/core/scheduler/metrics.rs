//! Figures for `/metrics` that are counted where things happen.

use crate::core::journal::{SkipReason, Skips};
use crate::core::outcome::{OutcomeKind, Outcomes};

/// A histogram with fixed bounds. `N` bounds and what is beyond the last one.
#[derive(Clone, Copy, Debug)]
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
        match self.bounds_us.iter().position(|bound| value_us <= *bound) {
            Some(at) => self.counts[at] += 1,
            None => self.beyond += 1,
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
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

/// The order in which [`Metrics::figures`] has them.
const OUTCOMES: [OutcomeKind; 5] = [
    OutcomeKind::Success,
    OutcomeKind::Failure,
    OutcomeKind::Signal,
    OutcomeKind::SpawnFailed,
    OutcomeKind::Lost,
];

/// The order in which [`Metrics::figures`] has them.
const SKIPS: [SkipReason; 4] =
    [SkipReason::Overlap, SkipReason::Draining, SkipReason::Waiting, SkipReason::Misfire];

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

    /// All counts in a row, for [`Metrics::resume`].
    pub fn figures(&self) -> Vec<u64> {
        let parts = |of: &Histogram<10>| of.counts.into_iter().chain([of.beyond, of.sum_us]);
        let histograms = parts(&self.lateness).chain(parts(&self.turns));
        let outcomes = OUTCOMES.map(|kind| self.outcomes.get(kind));
        let skips = SKIPS.map(|reason| self.skipped.get(reason));
        // What was added later stands last.
        let stopped = [self.outcomes.get(OutcomeKind::Stopped)];
        histograms.chain(outcomes).chain(skips).chain(stopped).collect()
    }

    /// Goes on from these counts. What is missing, because another version wrote them, is 0.
    pub fn resume(&mut self, figures: &[u64]) {
        let mut figures = figures.iter().copied();
        let mut next = || figures.next().unwrap_or(0);
        for of in [&mut self.lateness, &mut self.turns] {
            of.counts.iter_mut().for_each(|count| *count = next());
            of.beyond = next();
            of.sum_us = next();
        }
        OUTCOMES.into_iter().for_each(|kind| self.outcomes.add(kind, next()));
        SKIPS.into_iter().for_each(|reason| self.skipped.add(reason, next()));
        self.outcomes.add(OutcomeKind::Stopped, next());
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}
