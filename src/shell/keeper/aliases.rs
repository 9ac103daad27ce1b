//! What a keeper of an earlier version calls runs: it knows no instance numbers, and passes over
//! what it can't read. It goes when it has no runs left; until then it is told of runs without
//! their instance. Its processes have the whole id in their environment.

use crate::core::ids::RunId;
use crate::core::keeping::{KeptEnd, Notice};
use std::collections::BTreeMap;

/// See the module's text. Of a keeper that knows instances there is none.
#[derive(Debug, Default)]
pub struct Aliases {
    runs: Option<BTreeMap<RunId, RunId>>,
}

impl Aliases {
    /// For a keeper that knows instances, or not.
    pub fn new(knows_instances: bool) -> Aliases {
        Aliases { runs: (!knows_instances).then(BTreeMap::new) }
    }

    /// Whether there are any.
    pub fn are_needed(&self) -> bool {
        self.runs.is_some()
    }

    /// What the keeper is to call a run.
    pub fn of(&mut self, run: RunId) -> RunId {
        let Some(runs) = &mut self.runs else { return run };
        let alias = run.without_instance();
        runs.insert(alias, run);
        alias
    }

    /// Nothing more will be said of a run.
    pub fn forget(&mut self, run: RunId) {
        if let Some(runs) = &mut self.runs {
            runs.remove(&run.without_instance());
        }
    }

    /// The notice, with the run's own id.
    pub fn read(&self, notice: Notice) -> Notice {
        let Some(runs) = &self.runs else { return notice };
        let own = |alias: RunId| runs.get(&alias).copied().unwrap_or(alias);
        match notice {
            Notice::Started(run, started) => Notice::Started(own(run), started),
            Notice::Stopping(run, asked_ms) => Notice::Stopping(own(run), asked_ms),
            Notice::NoOutput(run, why) => Notice::NoOutput(own(run), why),
            Notice::Refused(run, refusal) => Notice::Refused(own(run), refusal),
            Notice::Waits(run, what) => Notice::Waits(own(run), what),
            Notice::Failed(run, error) => Notice::Failed(own(run), error),
            Notice::Ended(end) => Notice::Ended(KeptEnd { run: own(end.run), ..end }),
            other @ (Notice::Keeper { .. }
            | Notice::Complete
            | Notice::CannotServe(_)
            | Notice::Here) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keeper_of_an_earlier_version_is_understood() {
        let run = RunId::next(1, 7, 0, 1_800_000_000_000);
        let old = RunId { server_id: 1, sequence: 99, instance: 0 };
        let mut aliases = Aliases::new(false);
        let alias = aliases.of(run);
        assert_eq!((alias.instance, alias.sequence), (0, run.sequence));
        assert_eq!(aliases.read(Notice::Stopping(alias, 5)), Notice::Stopping(run, 5));
        assert_eq!(aliases.read(Notice::Stopping(old, 5)), Notice::Stopping(old, 5));
        aliases.forget(run);
        assert_eq!(aliases.read(Notice::Stopping(alias, 5)), Notice::Stopping(alias, 5));
        assert_eq!(Aliases::new(true).of(run), run);
    }
}
