//! Figures for `/metrics` that are counted where things happen.

use crate::core::outcome::{Exit, Outcome};

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
    /// Runs that ended, by outcome: success, failure (exit status not 0), signal, spawn failed,
    /// lost.
    pub outcomes: [u64; 5],
    /// Runs that somebody told to end, and that ended with another status than 0.
    pub stopped: u64,
    /// Skipped slots by reason, in the order of `SkipReason`.
    pub skipped: [u64; 4],
}

/// The names of [`Metrics::outcomes`].
pub const OUTCOMES: [&str; 5] = ["success", "failure", "signal", "spawn_failed", "lost"];

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
            outcomes: [0; 5],
            stopped: 0,
            skipped: [0; 4],
        }
    }

    /// All counts in a row, for [`Metrics::resume`].
    pub fn figures(&self) -> Vec<u64> {
        let parts = |of: &Histogram<10>| of.counts.into_iter().chain([of.beyond, of.sum_us]);
        let histograms = parts(&self.lateness).chain(parts(&self.turns));
        // What was added later stands last.
        histograms.chain(self.outcomes).chain(self.skipped).chain([self.stopped]).collect()
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
        self.outcomes.iter_mut().for_each(|count| *count = next());
        self.skipped.iter_mut().for_each(|count| *count = next());
        self.stopped = next();
    }

    /// Counts the end of a run. One that ended as it was told to is no failure.
    pub fn ended(&mut self, outcome: &Outcome, stopped: bool) {
        if stopped && !outcome.is_success() {
            self.stopped += 1;
            return;
        }
        let place = match outcome {
            Outcome::Ended(exit) | Outcome::LeftBehind(exit, _) => match exit {
                Exit::Code(0) => 0,
                Exit::Code(_) => 1,
                Exit::Signal { .. } => 2,
            },
            Outcome::SpawnFailed(_) => 3,
            Outcome::Lost(_) => 4,
        };
        self.outcomes[place] += 1;
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}
