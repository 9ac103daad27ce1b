//! The states of jobs and runs, as the original calls them.

use crate::core::list::{Tally, list};

list! {
    /// The state of a job, or of a run that has not ended; from the one that needs most attention
    /// on.
    pub enum StateLabel {
        /// Something of its row is no good.
        Invalid = "invalid",
        /// The last run could not be started.
        Fatal = "fatal",
        /// The last run failed.
        Exited = "exited",
        /// Nobody saw how the last run ended.
        Unknown = "unknown",
        /// The machine is short of something: the launch is tried again.
        Backoff = "backoff",
        /// It was told to end.
        Stopping = "stopping",
        /// It is about to get a process.
        Starting = "starting",
        /// A new definition that waits for the runs of the old one.
        Waiting = "waiting",
        /// Its row is gone or was changed; it ends with its last run.
        Deleting = "deleting",
        /// There is a process.
        Running = "running",
        /// Somebody wanted it never to be started.
        Off = "off",
        /// Its slots are skipped for a while, because somebody wanted that.
        Paused = "paused",
        /// Its row is disabled: it is not in force.
        Disabled = "disabled",
        /// It never ran.
        Never = "never",
        /// The last run ended as it should, or as it was told to.
        Stopped = "stopped",
    }
}

/// Lines of lists by their states.
pub type States = Tally<StateLabel, { StateLabel::ALL.len() }>;

impl StateLabel {
    /// As the original has it: a job that never ran has no state.
    pub fn original(self) -> &'static str {
        if self == StateLabel::Never { "" } else { self.label() }
    }
}
