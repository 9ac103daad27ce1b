//! Rows that are disabled: they are known and can be shown, and are never due.

use super::{Job, Phase, Table};
use crate::core::definition::Definition;
use crate::core::ids::JobId;
use std::ops::Bound;

impl Table {
    /// How many rows are disabled.
    pub fn disabled_len(&self) -> usize {
        self.disabled.len()
    }

    /// Whether the row of a job is disabled. It may drain yet.
    pub fn is_disabled(&self, id: JobId) -> bool {
        self.disabled.contains_key(&id)
    }

    /// The disabled rows that have no run alive, by id.
    pub fn disabled(&self) -> impl Iterator<Item = &Job> {
        self.disabled.values().filter(|row| !self.jobs.contains_key(&row.def.id)).map(|row| &**row)
    }

    /// What each row says that was read, and whether it is in force, by id from the first one after
    /// `after` on. Of a job that is replaced it is the new definition.
    pub fn rows_after(&self, after: Option<JobId>) -> impl Iterator<Item = (&Definition, bool)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let jobs = self.iter_after(after).filter_map(Job::scheduled);
        let disabled = self.disabled.range((from, Bound::Unbounded)).map(|(_, row)| &row.def);
        let (mut jobs, mut disabled) = (jobs.peekable(), disabled.peekable());
        std::iter::from_fn(move || match (jobs.peek(), disabled.peek()) {
            (Some(def), Some(row)) if row.id < def.id => disabled.next().map(|row| (row, false)),
            (None, _) => disabled.next().map(|row| (row, false)),
            (Some(_), _) => jobs.next().map(|def| (def, true)),
        })
    }

    /// A row is disabled: its job goes out of force, and the row is known. Returns whether the job
    /// has to wait for runs that are alive.
    pub fn disable(&mut self, def: Definition, seen: u32) -> bool {
        let id = def.id;
        let live = self.jobs.get(&id).is_some_and(|job| !job.live.is_empty());
        let past = match live {
            // It goes there with its last run.
            true => None,
            false => self.get_mut(id).and_then(|job| job.history.take()),
        };
        // One whose row was gone before drains already.
        if !self.jobs.get(&id).is_some_and(|job| matches!(job.phase, Phase::Draining)) {
            self.remove(id);
        }
        self.generation += 1;
        let row = Job { phase: Phase::Disabled, history: past, ..Job::new(def, seen) };
        self.disabled.insert(id, Box::new(row));
        live
    }

    /// Notes that a sync saw a row that is disabled and says the same as before. Returns whether
    /// that is so.
    pub fn see_disabled(&mut self, def: &Definition, seen: u32) -> bool {
        let known = self.disabled.get_mut(&def.id).filter(|row| row.def.says_the_same(def));
        known.map(|row| row.seen = seen).is_some()
    }

    /// Forgets disabled rows that this sync did not see, of the next `most` above `after`. Returns
    /// what they were, and the last one that was looked at if there are more.
    pub fn sweep_disabled(
        &mut self,
        after: Option<JobId>,
        most: usize,
        seen: u32,
    ) -> (Vec<Definition>, Option<JobId>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows: Vec<_> = self.disabled.range((from, Bound::Unbounded)).take(most).collect();
        let last = rows.last().map(|(id, _)| **id).filter(|_| rows.len() == most);
        let gone = rows.into_iter().filter(|(_, row)| row.seen != seen);
        let gone: Vec<JobId> = gone.map(|(id, _)| *id).collect();
        self.generation += gone.len() as u64;
        let rows = gone.iter().filter_map(|id| self.disabled.remove(id)).map(|row| row.def);
        (rows.collect(), last)
    }
}
