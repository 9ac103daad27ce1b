//! How runs ended and why slots were skipped since the daemon started, and whether a program in its
//! place would know.

use super::slots::LATE;
use super::{End, Ledger};
use schedule::core::daemon::Core;
use schedule::core::journal::SkipReason;
use schedule::core::outcome::{Exit, Outcome, OutcomeKind};
use schedule::core::scheduler::Carried;
use std::collections::BTreeMap;

/// A program takes the daemon's place in one of so many turns.
const TURNS: u32 = 16;

/// What was counted.
#[derive(Default)]
pub struct Figures {
    /// Runs that ended; none: there was no process, or nobody saw its end.
    ends: BTreeMap<Option<OutcomeKind>, u64>,
    skipped: BTreeMap<SkipReason, u64>,
    turn: u32,
}

impl Figures {
    /// A slot was skipped.
    pub fn skipped(&mut self, reason: SkipReason) {
        *self.skipped.entry(reason).or_default() += 1;
    }
}

impl Ledger {
    /// A run has ended; `told`: somebody wanted that.
    pub(super) fn count_end(&mut self, end: &End, told: bool) {
        let (End::Exactly(outcome) | End::Seen(outcome, ..)) = end else {
            return *self.figures.ends.entry(None).or_default() += 1;
        };
        let kind = match outcome {
            Outcome::SpawnFailed(_) | Outcome::Lost(_) => None,
            Outcome::Ended(exit) | Outcome::LeftBehind(exit, _) => Some(match exit {
                Exit::Code(0) => OutcomeKind::Success,
                _ if told => OutcomeKind::Stopped,
                Exit::Code(_) => OutcomeKind::Failure,
                Exit::Signal { .. } => OutcomeKind::Signal,
            }),
        };
        *self.figures.ends.entry(kind).or_default() += 1;
    }

    /// What the daemon would give to a program in its place, at the end of a turn. Slots that came
    /// too late are not compared: of a job that is gone they are not counted to the end.
    pub fn check_figures(&mut self, core: &Core) {
        self.figures.turn += 1;
        if !self.figures.turn.is_multiple_of(TURNS) {
            return;
        }
        let given = serde_json::to_string(&core.carry()).unwrap();
        let carried: Carried = serde_json::from_str(&given).unwrap();
        let metrics = carried.metrics();
        assert_eq!(metrics, *core.scheduler.metrics(), "figures in the next program, and in this");
        for reason in SkipReason::ALL.into_iter().filter(|it| !LATE.contains(it)) {
            let due = self.figures.skipped.get(&reason).copied().unwrap_or(0);
            let counted = metrics.skipped.get(reason);
            assert_eq!(counted, due, "{reason:?}: slots counted, and those that were skipped");
        }
        let mut ends: BTreeMap<Option<OutcomeKind>, u64> = BTreeMap::new();
        for (kind, count) in metrics.outcomes.iter().filter(|(_, count)| *count > 0) {
            let none = [OutcomeKind::SpawnFailed, OutcomeKind::Lost].contains(&kind);
            *ends.entry((!none).then_some(kind)).or_default() += count;
        }
        assert_eq!(ends, self.figures.ends, "how runs ended, as counted and as it was");
    }
}
