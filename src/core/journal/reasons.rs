//! Why a run was started, or a slot was not.

use crate::core::list::{Tally, list};

list! {
    /// Why a run was started.
    pub enum Cause {
        /// Its slot was due.
        Due = "due",
        /// Somebody asked for it.
        Manual = "manual",
        /// `@reboot`: the first start of a daemon since the machine booted.
        Reboot = "reboot",
    }
}

list! {
    /// Why a slot was not launched.
    pub enum SkipReason {
        /// As many runs as the job may have were alive.
        Overlap = "overlap",
        /// The daemon is ending.
        Draining = "draining",
        /// Runs of the row's old definition were alive.
        Waiting = "waiting",
        /// It came too late: the daemon was down, stood still, or the clock jumped over it.
        Misfire = "misfire",
    }
}

/// Skipped slots by reason.
pub type Skips = Tally<SkipReason, { SkipReason::ALL.len() }>;
