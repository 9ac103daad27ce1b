//! What many runs came to: how many there were, how they ended, how long they took and what they
//! used.
//!
//! A [`Tally`] takes the place of its runs: it is as small for a million as for ten, and those of
//! some days make that of all of them. Percentiles come from a histogram whose bins grow by a tenth
//! each, so each is told with an error of at most 5 %. Counts, sums and the greatest are exact.

mod measure;

pub use measure::{ERROR_PERCENT, Measure, Summary};

use crate::core::run_kind::RunKind;
use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Stretches of time that statistics are told of, the shorter ones first.
pub const WINDOWS: [Window; 3] = [
    Window { word: "24h", days: 1 },
    Window { word: "7d", days: 7 },
    Window { word: "30d", days: 30 },
];

/// A stretch of time up to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// What it is called.
    pub word: &'static str,
    /// So many days. One is 24 hours; more of them begin with a day, and today comes on top.
    pub days: u32,
}

/// A run that has ended, as far as it is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// How it stands.
    pub kind: RunKind,
    /// Milliseconds it took.
    pub took_ms: u64,
    /// Milliseconds of processors.
    pub cpu_ms: u64,
    /// Bytes of memory at the most.
    pub memory_bytes: u64,
}

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs that have ended.
    pub runs: u64,
    /// Those that did what they should.
    pub ok: u64,
    /// Those after which somebody has to look.
    pub failed: u64,
    /// Those that somebody told to end. Of all others nobody knows how they ended.
    pub stopped: u64,
    /// Milliseconds that they took.
    pub took: Measure,
    /// Milliseconds of processors.
    pub cpu: Measure,
    /// Bytes of memory at the most.
    pub memory: Measure,
}

/// The same for people and programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Runs that have ended.
    pub runs: u64,
    /// Those that did what they should.
    pub ok: u64,
    /// Those after which somebody has to look.
    pub failed: u64,
    /// Those that somebody told to end.
    pub stopped: u64,
    /// Slots that were skipped.
    pub skipped: u64,
    /// How long runs took; none where that is known of none.
    pub duration_ms: Option<Summary>,
    /// What they used of processors.
    pub cpu_ms: Option<Summary>,
    /// What they used of memory.
    pub max_rss_bytes: Option<Summary>,
}

impl Tally {
    /// Counts a run. One that has not ended is none.
    pub fn count(&mut self, run: Ended) {
        let had_process = match run.kind {
            RunKind::Unfilled | RunKind::Running => return,
            RunKind::Success
            | RunKind::Failure
            | RunKind::Signal
            | RunKind::Stopped
            | RunKind::Unknown => true,
            // How long the former took nobody knows.
            RunKind::Lost | RunKind::SpawnFailed => false,
        };
        self.runs += 1;
        self.ok += u64::from(run.kind == RunKind::Success);
        self.failed += u64::from(RunKind::FAILED.contains(&run.kind));
        self.stopped += u64::from(run.kind == RunKind::Stopped);
        if had_process {
            self.took.count(run.took_ms);
        }
        // The original's rows know no more than that.
        if had_process && run.kind != RunKind::Unknown {
            self.cpu.count(run.cpu_ms);
            self.memory.count(run.memory_bytes);
        }
    }

    /// Takes in the runs of another one.
    pub fn add(&mut self, other: &Tally) {
        self.runs += other.runs;
        self.ok += other.ok;
        self.failed += other.failed;
        self.stopped += other.stopped;
        self.took.add(&other.took);
        self.cpu.add(&other.cpu);
        self.memory.add(&other.memory);
    }

    /// With so many slots that were skipped.
    pub fn told(&self, skipped: u64) -> Told {
        Told {
            runs: self.runs,
            ok: self.ok,
            failed: self.failed,
            stopped: self.stopped,
            skipped,
            duration_ms: self.took.summary(),
            cpu_ms: self.cpu.summary(),
            max_rss_bytes: self.memory.summary(),
        }
    }
}

/// The day so many days before another one, `YYYY-MM-DD`; the same where the calendar ends, or that
/// is none.
pub fn days_before(day: &str, days: u32) -> String {
    let date: Option<Date> = day.parse().ok();
    let before = date.and_then(|date| date.checked_sub(i64::from(days).days()).ok());
    before.map_or_else(|| day.to_owned(), |date| date.to_string())
}

/// The day after another one.
pub fn day_after(day: &str) -> String {
    let date: Option<Date> = day.parse().ok();
    let after = date.and_then(|date| date.tomorrow().ok());
    after.map_or_else(|| day.to_owned(), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_by_how_they_ended() {
        let mut tally = Tally::default();
        for kind in RunKind::ALL {
            tally.count(Ended { kind, took_ms: 1_000, cpu_ms: 100, memory_bytes: 1 << 20 });
        }
        assert_eq!((tally.runs, tally.ok, tally.failed, tally.stopped), (7, 1, 4, 1));
        let counts = [&tally.took, &tally.cpu, &tally.memory].map(Measure::runs);
        assert_eq!(counts, [5, 4, 4]);
        let mut both = tally.clone();
        both.add(&tally);
        let told = both.told(3);
        assert_eq!((told.runs, told.skipped, told.duration_ms.unwrap().max), (14, 3, 1_000));
    }

    #[test]
    fn days_go_over_the_ends_of_months_and_years() {
        assert_eq!(days_before("2026-03-01", 1), "2026-02-28");
        assert_eq!(days_before("2026-01-01", 366), "2024-12-31");
        assert_eq!(day_after("2026-12-31"), "2027-01-01");
        assert_eq!((days_before("x", 1), day_after("")), ("x".to_owned(), String::new()));
    }
}
