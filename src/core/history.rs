//! What a job did: its last runs and the slots that were skipped, bounded.

use crate::core::ids::RunId;
use crate::core::journal::{Cause, Remarks, RunEntry, SkipEntry, Skips};
use crate::core::outcome::{Outcome, OutcomeKind, Usage};
use crate::core::state_label::StateLabel;
use std::collections::VecDeque;

/// Runs of a job that are remembered.
pub const MAX_RUNS: usize = 20;

/// Ranges of skipped slots of a job that are remembered.
pub const MAX_SKIPS: usize = 32;

/// A run that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct PastRun {
    /// The run.
    pub run: RunId,
    /// Why it was started.
    pub cause: Cause,
    /// The due instant, unix ms.
    pub slot_ms: Option<i64>,
    /// Which attempt at its slot it was; the first is 1.
    pub attempt: u32,
    /// When it was launched, unix ms.
    pub started_ms: i64,
    /// When it ended, unix ms.
    pub ended_ms: i64,
    /// How long it ran, ms.
    pub duration_ms: u64,
    /// Process id; 0 = there was none.
    pub pid: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// Somebody had asked it to end.
    pub stopped: bool,
    /// What else is worth knowing of it.
    pub remarks: Option<Box<Remarks>>,
}

impl PastRun {
    /// Nothing that anybody has to look after: it did what it should, or what it was told.
    pub fn is_well(&self) -> bool {
        match self.outcome.kind(self.stopped) {
            OutcomeKind::Success | OutcomeKind::Stopped => true,
            OutcomeKind::Failure
            | OutcomeKind::Signal
            | OutcomeKind::SpawnFailed
            | OutcomeKind::Lost => false,
        }
    }

    /// The state of a job whose last run this was: one that was told to end is `stopped`.
    pub fn state(&self) -> StateLabel {
        if self.stopped { StateLabel::Stopped } else { self.outcome.state() }
    }

    /// What it wrote last before it failed; empty: it did not fail, or that is not known.
    pub fn last_line(&self) -> &str {
        self.remarks.as_ref().map_or("", |remarks| &remarks.last_line)
    }

    /// From the journal's entry; none if the run has not ended.
    pub fn from_entry(entry: &RunEntry<'_>) -> Option<PastRun> {
        let end = entry.end.as_ref()?;
        Some(PastRun {
            run: entry.run,
            cause: entry.cause,
            slot_ms: entry.slot_ms,
            attempt: entry.attempt,
            started_ms: entry.at_ms,
            ended_ms: end.at_ms,
            duration_ms: end.duration_ms,
            pid: entry.pid,
            outcome: end.outcome.clone(),
            usage: end.usage,
            stopped: end.stopped,
            remarks: entry.remarks.clone(),
        })
    }
}

/// The past of a job.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Runs that ended, in the order of their ends; the last [`MAX_RUNS`].
    pub runs: VecDeque<PastRun>,
    /// Ranges of skipped slots, oldest first; the last [`MAX_SKIPS`].
    pub skips: VecDeque<SkipEntry>,
    /// Skipped slots by reason.
    pub skipped: Skips,
    /// Whether the last range may still grow (nothing was launched since).
    open: bool,
}

impl History {
    /// Adds a run. The oldest of too many is forgotten.
    pub fn ended(&mut self, run: PastRun) {
        self.runs.push_back(run);
        if self.runs.len() > MAX_RUNS {
            self.runs.pop_front();
        }
    }

    /// Takes in a run that an earlier daemon saw end, before all that are known.
    pub fn recall(&mut self, run: PastRun) {
        if self.runs.len() < MAX_RUNS {
            self.runs.push_front(run);
        }
    }

    /// Notes that a slot was launched: the next skipped one begins a range of its own.
    pub fn launched(&mut self) {
        self.open = false;
    }

    /// The clock was set back: what was skipped later than this is of a time that never was, and
    /// no range goes on from there.
    pub fn set_back(&mut self, wall_ms: i64) {
        self.open &= self.skips.back().is_none_or(|last| last.last_ms <= wall_ms);
    }

    /// Notes skipped slots. Returns the range they belong to and whether that is a new one.
    pub fn skipped(&mut self, skip: SkipEntry) -> (SkipEntry, bool) {
        self.skipped.add(skip.reason, skip.count);
        let open = self.open;
        // A clock that was set back does not make a range that ends before it begins.
        let goes_on = |last: &&mut SkipEntry| {
            open && last.reason == skip.reason && last.last_ms < skip.first_ms
        };
        if let Some(last) = self.skips.back_mut().filter(goes_on) {
            last.last_ms = skip.last_ms;
            last.count += skip.count;
            return (*last, false);
        }
        self.restore(skip);
        self.open = true;
        (skip, true)
    }

    /// That of a job that is enabled again: what it did is remembered, and counts begin at 0.
    pub fn begins_anew(self) -> History {
        History { skipped: Skips::default(), open: false, ..self }
    }

    /// Takes in a range as it was recorded by an earlier daemon.
    pub fn restore(&mut self, skip: SkipEntry) {
        if self.skips.len() == MAX_SKIPS {
            self.skips.pop_front();
        }
        self.skips.push_back(skip);
    }
}
