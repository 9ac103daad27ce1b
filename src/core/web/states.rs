//! The lines of a list, and the states by which they are found.

use crate::core::definition::{Block, Definition};
use crate::core::scheduler::Scheduler;
use crate::core::state_label::StateLabel;
use crate::core::table::{Job, Phase};

/// A line of a list: the job, the definition that is shown, its state.
pub(super) type Line<'a> = (&'a Job, &'a Definition, StateLabel);

/// Why no slot of a line of the list is ever launched. Of what drains none is due anyway.
pub(super) fn block_of<'a>(job: &'a Job, def: &Definition) -> Option<Block<'a>> {
    job.block().filter(|_| has_slots(job, def))
}

/// The states by which a line is found: its own, that of what keeps it from ever being started
/// where runs of it are alive all the same, and that it is paused.
pub(super) fn states_of(
    scheduler: &Scheduler,
    (job, def, state): Line<'_>,
) -> impl Iterator<Item = StateLabel> + use<> {
    let drains = matches!(job.phase(), Phase::Draining);
    let disabled = drains && scheduler.table().is_disabled(def.id);
    let block = block_of(job, def).map(Block::state);
    let also = block.or(disabled.then_some(StateLabel::Disabled));
    let paused = is_paused(scheduler, job, def).then_some(StateLabel::Paused);
    std::iter::once(state).chain(also.filter(|also| *also != state)).chain(paused)
}

/// Whether slots of a line that fall due now are skipped because somebody wanted that.
pub(super) fn is_paused(scheduler: &Scheduler, job: &Job, def: &Definition) -> bool {
    has_slots(job, def) && scheduler.is_paused(def)
}

/// Whether the slots of a job are those of this line.
fn has_slots(job: &Job, def: &Definition) -> bool {
    job.scheduled().is_some_and(|scheduled| std::ptr::eq(scheduled, def))
}

/// Whether lists have a state where nobody asks for one: disabled rows are not in force, and may be
/// many.
pub(super) fn is_in_force(state: StateLabel) -> bool {
    state != StateLabel::Disabled
}

/// What stands for all states, of what is in force and of what is not.
pub(super) const ALL: &str = "all";
