//! The lines of a list, and the states by which they are found.

use crate::core::definition::{Block, Definition};
use crate::core::state_label::StateLabel;
use crate::core::table::Job;

/// A line of a list: the job, the definition that is shown, its state.
pub(super) type Line<'a> = (&'a Job, &'a Definition, StateLabel);

/// Why no slot of a line of the list is ever launched. Of what drains none is due anyway.
pub(super) fn block_of<'a>(job: &'a Job, def: &Definition) -> Option<Block<'a>> {
    let in_force = job.scheduled().is_some_and(|scheduled| std::ptr::eq(scheduled, def));
    job.block().filter(|_| in_force)
}

/// The states by which a line is found: its own, and that of what keeps it from ever being started
/// where runs of it are alive all the same.
pub(super) fn states_of(
    job: &Job,
    def: &Definition,
    state: StateLabel,
) -> impl Iterator<Item = StateLabel> {
    let block = block_of(job, def).map(Block::state);
    std::iter::once(state).chain(block.filter(|block| *block != state))
}
