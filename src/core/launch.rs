//! What a launch needs to know and what can go wrong with it: data between the deciding core and
//! the acting shell.

use serde::{Deserialize, Serialize};

/// Launches asked for and not answered yet: enough that the keeper never waits for the daemon,
/// few enough that what is started by hand does not wait behind them for long (0.1 s).
pub const MAX_LAUNCHING: usize = 256;

/// Everything a run's process is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// The job: `SCHEDULE_JOB_ID`.
    pub job_id: u32,
    /// The run: `SCHEDULE_RUN_ID`, and the name of its output files. Letters, digits, `-`, `_`
    /// and `.`, not starting with a dot.
    pub run_id: String,
    /// The daemon's group: `SCHEDULE_SERVER_ID`.
    pub server_id: u32,
    /// Shell command, placeholders filled in.
    pub command: String,
    /// File to which stdout is appended; empty = a file of this run in the state directory.
    pub output: String,
    /// File to which stderr is appended; empty = a file of this run in the state directory.
    pub stderr: String,
    /// The due instant, RFC 3339, or empty for a run started by hand: `SCHEDULE_SLOT`.
    pub slot: String,
}

/// Which of a run's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// No process could be made of a plan. Nothing of it is left running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchError {
    /// The system's error number; 0 where the plan itself is at fault.
    pub errno: i32,
    /// The machine is short of something that may be there in a moment (`EAGAIN`, `ENOMEM`,
    /// `EMFILE`, `ENFILE`): the same launch may succeed later, in the same slot.
    pub retryable: bool,
    /// What is wrong, where, and what to do: one line.
    pub text: String,
}
