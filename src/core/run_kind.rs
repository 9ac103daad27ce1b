//! How a run stands, as one small number: the column `kind` of `scheduler_logs`, by which a rare
//! outcome is found among many millions of rows.

use crate::core::list::{Listed, list};
use crate::core::outcome::OutcomeKind;

list! {
    /// How a run stands. Its place in this list is what the column has: a new value goes to the
    /// end, and none is ever taken out.
    #[derive(Default)]
    pub enum RunKind {
        /// Nobody has said: the row was written by a program that does not know the column.
        #[default]
        Unfilled = "unfilled",
        /// It has not ended.
        Running = "running",
        /// It did what it should.
        Success = "success",
        /// It exited with another status.
        Failure = "failure",
        /// A signal ended it.
        Signal = "signal",
        /// There never was a process.
        SpawnFailed = "spawn_failed",
        /// Nobody saw how it ended.
        Lost = "lost",
        /// Somebody told it to end.
        Stopped = "stopped",
        /// It has ended, and how was not kept: so are the rows of the original.
        Unknown = "unknown",
    }
}

impl From<OutcomeKind> for RunKind {
    fn from(kind: OutcomeKind) -> RunKind {
        match kind {
            OutcomeKind::Success => RunKind::Success,
            OutcomeKind::Failure => RunKind::Failure,
            OutcomeKind::Signal => RunKind::Signal,
            OutcomeKind::SpawnFailed => RunKind::SpawnFailed,
            OutcomeKind::Lost => RunKind::Lost,
            OutcomeKind::Stopped => RunKind::Stopped,
        }
    }
}

impl RunKind {
    /// Those after which somebody has to look: all that is meant by `failed`.
    pub const FAILED: [RunKind; 4] =
        [RunKind::Failure, RunKind::Signal, RunKind::SpawnFailed, RunKind::Lost];

    /// What the column has.
    pub fn code(self) -> i64 {
        self.place() as i64
    }

    /// What stands in the column; what a later version may have put there is unknown.
    pub fn of_code(text: &str) -> RunKind {
        let place = text.parse().ok().and_then(|place: usize| RunKind::ALL.get(place).copied());
        place.unwrap_or(RunKind::Unknown)
    }

    /// The same by what else stands in the row.
    pub fn of_row(outcome: &str, has_ended: bool) -> RunKind {
        RunKind::ALL.into_iter().find(|kind| kind.is(outcome, has_ended)).unwrap_or_default()
    }

    fn is(self, outcome: &str, has_ended: bool) -> bool {
        let begins = |words: &str| outcome.starts_with(words);
        match self {
            // Of these nothing else tells.
            RunKind::Unfilled | RunKind::Stopped => false,
            RunKind::Running => !has_ended && (outcome.is_empty() || outcome == "running"),
            RunKind::Success => outcome == "exit 0" || begins("exit 0,"),
            RunKind::Failure => begins("exit "),
            RunKind::Signal => begins("signal "),
            RunKind::SpawnFailed => begins("spawn failed"),
            RunKind::Lost => begins("lost"),
            RunKind::Unknown => true,
        }
    }

    /// The same in SQL: a value of [`RunKind::code`], made of `outcome`, which is a column or `''`,
    /// and the condition that a run has ended.
    pub fn sql(outcome: &str, ended: &str) -> String {
        let cases = [
            (
                format!("{outcome} IN ('', 'running') AND NOT COALESCE({ended}, 0)"),
                RunKind::Running,
            ),
            (format!("{outcome} = 'exit 0' OR {outcome} LIKE 'exit 0,%'"), RunKind::Success),
            (format!("{outcome} LIKE 'exit %'"), RunKind::Failure),
            (format!("{outcome} LIKE 'signal %'"), RunKind::Signal),
            (format!("{outcome} LIKE 'spawn failed%'"), RunKind::SpawnFailed),
            (format!("{outcome} LIKE 'lost%'"), RunKind::Lost),
        ];
        let cases = cases.map(|(condition, kind)| format!("WHEN {condition} THEN {}", kind.code()));
        format!("CASE {} ELSE {} END", cases.join(" "), RunKind::Unknown.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_how_its_run_stands() {
        for (outcome, has_ended, kind) in [
            ("running", false, RunKind::Running),
            ("", false, RunKind::Running),
            ("", true, RunKind::Unknown),
            ("running", true, RunKind::Unknown),
            ("exit 0", true, RunKind::Success),
            ("exit 0, left behind: 7 (x)", true, RunKind::Success),
            ("exit 1", true, RunKind::Failure),
            ("exit 01", true, RunKind::Failure),
            ("signal 9", true, RunKind::Signal),
            ("spawn failed: why", true, RunKind::SpawnFailed),
            ("lost: why", true, RunKind::Lost),
            ("something of tomorrow", true, RunKind::Unknown),
        ] {
            assert_eq!(RunKind::of_row(outcome, has_ended), kind, "{outcome}");
        }
        for kind in RunKind::ALL {
            assert_eq!(RunKind::of_code(&kind.code().to_string()), kind);
        }
        assert_eq!(RunKind::of_code("99"), RunKind::Unknown);
    }
}
