//! Why a run was started, or a slot was not.

use serde::{Deserialize, Serialize};

/// Why a run was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its slot was due.
    Due,
    /// Somebody asked for it.
    Manual,
    /// `@reboot`: the first start of a daemon since the machine booted.
    Reboot,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 3] = [Cause::Due, Cause::Manual, Cause::Reboot];

    /// The word in records, log lines and answers.
    pub fn label(self) -> &'static str {
        match self {
            Cause::Due => "due",
            Cause::Manual => "manual",
            Cause::Reboot => "reboot",
        }
    }
}

/// Why a slot was not launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// As many runs as the job may have were alive.
    Overlap,
    /// The daemon is ending.
    Draining,
    /// Runs of the row's old definition were alive.
    Waiting,
    /// It came too late: the daemon was down, stood still, or the clock jumped over it.
    Misfire,
}

impl SkipReason {
    /// All of them.
    pub const ALL: [SkipReason; 4] =
        [SkipReason::Overlap, SkipReason::Draining, SkipReason::Waiting, SkipReason::Misfire];

    /// The word in records, log lines and answers.
    pub fn label(self) -> &'static str {
        match self {
            SkipReason::Overlap => "overlap",
            SkipReason::Draining => "draining",
            SkipReason::Waiting => "waiting",
            SkipReason::Misfire => "misfire",
        }
    }
}
