//! Jobs whose rows say that they are paused: when those pauses end, for what is shown of the jobs
//! is otherwise then.

use super::Table;
use crate::core::ids::JobId;
use std::collections::{BTreeMap, BTreeSet};

/// The ends of pauses, unix ms.
#[derive(Debug, Default)]
pub struct PauseEnds {
    of: BTreeMap<JobId, i64>,
    order: BTreeSet<(i64, JobId)>,
}

impl PauseEnds {
    /// The pause of a job ends then; none: it has none that ends by itself.
    pub(super) fn set(&mut self, id: JobId, end_ms: Option<i64>) {
        if let Some(before_ms) = self.of.remove(&id) {
            self.order.remove(&(before_ms, id));
        }
        if let Some(end_ms) = end_ms.filter(|end_ms| *end_ms != i64::MAX) {
            self.of.insert(id, end_ms);
            self.order.insert((end_ms, id));
        }
    }
}

impl Table {
    /// When the first pause of a job ends, unix ms.
    pub fn next_pause_end_ms(&self) -> Option<i64> {
        self.pause_ends.order.first().map(|(end_ms, _)| *end_ms)
    }

    /// The jobs whose pauses have ended by now (unix ms), each once.
    pub fn take_ended_pauses(&mut self, wall_ms: i64) -> Vec<JobId> {
        let PauseEnds { of, order } = &mut self.pause_ends;
        let mut ended = Vec::new();
        while let Some((_, id)) = order.first().copied().filter(|(end_ms, _)| *end_ms <= wall_ms) {
            order.pop_first();
            of.remove(&id);
            ended.push(id);
        }
        ended
    }
}
