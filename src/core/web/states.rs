//! The states of lines of a list, as the original calls them.

use super::views::block_of;
use crate::core::definition::{Block, Definition};
use crate::core::table::Job;

/// A line of a list: the job, the definition that is shown, its state label.
pub(super) type Line<'a> = (&'a Job, &'a Definition, &'static str);

/// States from the one that needs most attention on.
pub(super) const STATES: [&str; 13] = [
    "invalid", "fatal", "exited", "unknown", "backoff", "stopping", "starting", "waiting",
    "deleting", "running", "off", "", "stopped",
];

/// What stands for the empty state of a job that never ran, where an empty value means any.
pub(super) const NEVER: &str = "never";

/// The states by which a line is found: its own, and that of what keeps it from ever being started
/// where runs of it are alive all the same.
pub(super) fn states_of(
    job: &Job,
    def: &Definition,
    state: &'static str,
) -> [Option<&'static str>; 2] {
    let block = block_of(job, def).map(Block::state);
    [Some(state), block.filter(|block| *block != state)]
}

/// The place of a state in [`STATES`].
pub(super) fn rank(state: &str) -> usize {
    STATES.iter().position(|known| *known == state).unwrap_or(STATES.len())
}
