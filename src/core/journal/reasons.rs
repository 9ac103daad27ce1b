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
        /// What a later version knows, whose journal this is.
        #[serde(other)]
        Other = "other",
    }
}

list! {
    /// Why a slot was not launched.
    pub enum SkipReason {
        /// As many runs as the job may have were alive.
        Overlap = "overlap",
        /// Somebody wanted it: its job, its tag, or all jobs were paused.
        Paused = "paused",
        /// The daemon is ending.
        Draining = "draining",
        /// Runs of the row's old definition were alive.
        Waiting = "waiting",
        /// It came too late: the daemon was down, stood still, or the clock jumped over it.
        Misfire = "misfire",
        /// What a later version knows, whose journal this is.
        #[serde(other)]
        Other = "other",
    }
}

/// Skipped slots by reason.
pub type Skips = Tally<SkipReason, { SkipReason::ALL.len() }>;

#[cfg(test)]
mod tests {
    use super::{Cause, SkipReason};

    /// A program that is put back in place of a later one goes on with the runs of that.
    #[test]
    fn words_of_a_later_version_are_read() {
        assert_eq!(serde_json::from_str::<Cause>(r#""retry""#).unwrap(), Cause::Other);
        assert_eq!(serde_json::from_str::<Cause>(r#""reboot""#).unwrap(), Cause::Reboot);
        assert_eq!(serde_json::from_str::<SkipReason>(r#""eclipse""#).unwrap(), SkipReason::Other);
    }
}
