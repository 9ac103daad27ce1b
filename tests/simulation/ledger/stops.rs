//! Runs that are told to end, whoever is killed meanwhile.

use super::super::process::Process;
use super::{Ledger, Run, State};
use schedule::core::event::Ended;
use schedule::core::ids::RunId;
use schedule::core::time::Now;

impl Ledger {
    /// Whether a daemon that starts finds in the journal that a run is to end.
    pub fn is_told(&self, id: RunId) -> bool {
        self.runs.get(&id).is_some_and(|run| run.kill_ms.is_some())
    }

    /// A run is sent a signal. Were daemon and keeper killed now, the next daemon would know of it.
    pub fn check_stop_known(&self, id: RunId, is_whole: bool) {
        let run = &self.runs[&id];
        let right = match run.state {
            _ if !is_whole => true,
            State::Stopping { kill_ms, .. } => run.kill_ms == Some(kill_ms),
            State::Asked { stop: true } | State::Killed => run.kill_ms.is_some(),
            _ => true,
        };
        assert!(right, "run {id} is {:?}, and the journal says {:?}", run.state, run.kill_ms);
    }

    /// A run that was told to end is over: nothing of it is left that could be killed, and it is
    /// said what else is.
    pub fn check_stop_done(
        &self,
        now: Now,
        ended: &Ended,
        process: Option<&Process>,
        is_left: bool,
    ) {
        let id = ended.run;
        let Some(run) = self.runs.get(&id) else { return };
        let told = matches!(run.state, State::Stopping { told: true, .. } | State::Killed);
        if !told {
            return;
        }
        let is_over = |it: &Process| !it.has_rest(now.mono_ms) || it.is_beyond(now.mono_ms);
        assert!(process.is_none_or(is_over), "run {id} was told to end, and a part of it goes on");
        let says = ended.outcome.to_string().contains(", left behind: ");
        // An end that the keeper saw and the order to stop may have crossed.
        let right = says == is_left || (is_left && ended.outcome.exit().is_some());
        assert!(right, "run {id} ends with {}; something is left: {is_left}", ended.outcome);
    }

    /// What the program before had told to end is still to end.
    pub fn go_on_stopping(&mut self) {
        for (id, state) in std::mem::take(&mut self.stopping) {
            let is = |run: &&mut Run| matches!(run.state, State::Alive | State::Stopping { .. });
            let run = self.runs.get_mut(&id).filter(is);
            run.into_iter().for_each(|run| run.state = state);
        }
    }

    /// Whether a run is to end whose process was not told yet.
    pub fn has_untold_stop(&self) -> bool {
        let is = |id: &RunId| matches!(self.runs[id].state, State::Stopping { told: false, .. });
        self.live.iter().any(is)
    }
}
