//! Changes that somebody made in the database itself: they are seen when the table is read. What a
//! change made here has come to is known, and no stranger's.

use super::{Acts, Did};
use crate::core::bad_rows::BadRows;
use crate::core::change::{By, Of, Stand, What, verb, what};
use crate::core::columns::{Column, JobRow};
use crate::core::ids::JobId;
use crate::core::journal::{ActEntry, DONE};
use crate::core::protocol::Mark;
use crate::core::table::Table;
use crate::core::version::Version;
use std::collections::{BTreeMap, VecDeque};

/// So many are noted one by one of a table; more are only counted.
const MAX_NOTED: usize = 1_000;

/// Who changed the table itself.
const DATABASE: &str = "database";

/// What a change made here comes to.
#[derive(Debug)]
struct Made {
    version: Option<Version>,
    what: What,
    /// It is known that it was made.
    is_done: bool,
    /// The table that is asked for has it, or what came behind it.
    is_due: bool,
    /// It is of a group that is made to be as a file says, and that is not settled yet.
    is_part: bool,
}

impl Made {
    fn of(version: Option<Version>, what: What, is_done: bool) -> Made {
        Made { version, what, is_done, is_due: false, is_part: false }
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Seen {
    /// Changes made here that are not in force yet, as far as is known, oldest first.
    made: BTreeMap<JobId, Vec<Made>>,
    /// What earlier daemons have noted last of each job. It counts for the first table.
    noted: BTreeMap<JobId, Option<Version>>,
    /// So many were noted of the table that is being put in force.
    count: usize,
    /// Some of them are parts of a group.
    has_parts: bool,
}

impl Seen {
    /// What the journal tells of.
    pub fn told_by(acts: &VecDeque<ActEntry>) -> Seen {
        let mut noted = BTreeMap::new();
        for act in acts.iter().filter(|act| act.is_done()) {
            let job = act.job.filter(|_| act.version.is_some() || act.action == "delete");
            noted.extend(job.map(|id| (id, act.version)));
        }
        Seen { noted, ..Seen::default() }
    }

    /// A change that is made here comes to this.
    pub fn said(&mut self, Mark { id, version, .. }: Mark) {
        // What is done with each job of a group is said apart.
        if id == JobId(0) {
            return;
        }
        self.made.entry(id).or_default().push(Made::of(version, What::new(), false));
    }

    /// A job of a group comes to this. Each is taken in as it is told: all of them at once would
    /// hold up everybody.
    pub fn part(&mut self, act: &ActEntry) {
        let Some(id) = act.job else { return };
        let made = Made { is_part: true, ..Made::of(act.version, act.what.clone(), false) };
        self.made.entry(id).or_default().push(made);
        self.has_parts = true;
    }

    /// It is known what came of a group. What may have been committed stays.
    pub fn parts_settled(&mut self, is_done: bool, may_be_done: bool) {
        if !std::mem::take(&mut self.has_parts) {
            return;
        }
        if !is_done && !may_be_done {
            self.made.retain(|_, made| {
                made.retain(|it| !it.is_part);
                !made.is_empty()
            });
        }
        for made in self.made.values_mut().flatten().filter(|it| it.is_part) {
            (made.is_done, made.is_part) = (is_done, false);
        }
    }

    /// It was made, or not.
    pub fn settled(&mut self, act: &ActEntry) {
        let Some(id) = act.job else { return };
        let made = self.made.entry(id).or_default();
        let known = made.iter().rposition(|it| it.version == act.version);
        match known {
            Some(at) if act.is_done() => {
                (made[at].what, made[at].is_done) = (act.what.clone(), true);
            }
            None if act.is_done() => {
                made.push(Made::of(act.version, act.what.clone(), true));
            }
            Some(_) | None => {}
        }
        if made.is_empty() {
            self.made.remove(&id);
        }
    }

    /// Whether a row is as a change made here left it.
    fn is_ours(&mut self, id: JobId, version: Option<Version>) -> bool {
        let made = self.made.entry(id).or_default();
        let at = made.iter().rposition(|it| it.version == version);
        at.into_iter().for_each(|at| drop(made.drain(..=at)));
        if made.is_empty() {
            self.made.remove(&id);
        }
        at.is_some() || self.noted.get(&id).is_some_and(|noted| *noted == version)
    }

    /// A row as the changes made here left it that nobody has seen.
    fn changed_here(&mut self, id: JobId, mut stand: Stand) -> Stand {
        for Made { what, .. } in self.made.remove(&id).unwrap_or_default() {
            for (name, value) in &what {
                let new = &value[1];
                match Column::ALL.iter().find(|column| column.name() == name) {
                    Some(column) => {
                        let text = new.as_str().map_or_else(|| new.to_string(), str::to_owned);
                        let _ = stand.row.set(*column, &text);
                    }
                    None => stand.enabled = new.as_bool().unwrap_or(stand.enabled),
                }
            }
        }
        stand
    }
}

impl Acts {
    /// The table is asked for.
    pub fn asks_for_table(&mut self) {
        for made in self.seen.made.values_mut().flatten() {
            made.is_due = made.is_done;
        }
    }

    /// A table is put in force that says this of a row. Where that is new, and no change made here
    /// tells of it, somebody has changed the table itself.
    pub fn saw(
        &mut self,
        (at_ms, id): (i64, JobId),
        before: Option<(Version, Stand)>,
        after: Option<(Version, Stand)>,
    ) {
        let version = after.as_ref().map(|(version, _)| *version);
        let known = before.as_ref().map(|(version, _)| *version);
        if known == version || self.seen.is_ours(id, version) || self.is_in_doubt(id, known) {
            return;
        }
        let (before, after) = (before.map(|(_, it)| it), after.map(|(_, it)| it));
        self.seen.count += 1;
        let before = before.map(|before| self.seen.changed_here(id, before));
        if self.seen.count > MAX_NOTED {
            return;
        }
        let action = verb(before.as_ref(), after.as_ref());
        let what = what(before.as_ref(), after.as_ref());
        self.did(Did { job: Some(id), version, what, ..by_database(at_ms, action) });
    }

    /// Whether an earlier daemon may have done it: it had asked for a change of this row, or for a
    /// new one, and it is not known yet what came of that. Then that tells of it.
    fn is_in_doubt(&self, id: JobId, known: Option<Version>) -> bool {
        let may_be = |act: &ActEntry| match (act.job, &act.change) {
            (Some(job), _) => job == id,
            (None, Some(change)) if !change.of().is_job() => false,
            (None, _) => known.is_none(),
        };
        self.is_group_in_doubt
            || self.inherited.iter().filter_map(|id| self.open.get(id)).any(may_be)
    }

    /// All of a table is in force. Changes made here that are not in it were undone by somebody,
    /// but where the row is there and bad.
    pub fn saw_all(&mut self, at_ms: i64, (table, server_id): (&Table, u32), bad: &BadRows) {
        let is_due = |made: &[Made]| made.last().is_some_and(|made| made.is_due);
        let due = self.seen.made.iter().filter(|(_, made)| is_due(made));
        let due: Vec<_> =
            due.map(|(id, made)| (*id, made.last().and_then(|made| made.version))).collect();
        for (id, version) in due {
            let after = table.row(id).map(|(def, enabled)| {
                (def.version(enabled), Stand { row: def.row(server_id), enabled })
            });
            let is_bad = after.is_none() && bad.why(Of::Job, id.0).is_some();
            if is_bad || after.as_ref().map(|(version, _)| *version) == version {
                self.seen.made.remove(&id);
                continue;
            }
            let row = JobRow { id: id.0, server_id, ..JobRow::default() };
            let before = after.as_ref().map(|(_, stand)| stand.clone());
            let before = before.unwrap_or(Stand { row, enabled: true });
            let before = version.map(|version| (version, before));
            self.saw((at_ms, id), before, after);
            self.seen.made.remove(&id);
        }
        self.seen.noted.clear();
        self.is_group_in_doubt = false;
        let count = std::mem::take(&mut self.seen.count).saturating_sub(MAX_NOTED);
        if count > 0 {
            let what = [("rows".to_owned(), count.into())].into_iter().collect();
            self.did(Did { what, ..by_database(at_ms, "edit") });
        }
    }
}

fn by_database(at_ms: i64, action: &str) -> Did {
    let by = By { who: DATABASE.into(), origin: DATABASE.into(), request: None };
    let (action, result) = (action.to_owned(), DONE.to_owned());
    Did { at_ms, by, action, result, ..Did::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was last noted of a row is no stranger's. What was noted before and undone is.
    #[test]
    fn only_what_was_noted_last_is_ours() {
        let act = |cron: &str| -> ActEntry {
            let row = JobRow { id: 1, cron: cron.into(), ..JobRow::default() };
            let act = serde_json::json!({
                "id": "1-0u93ojk0c8w1ma5kz2", "at_ms": 0, "who": "", "origin": "", "action": "edit",
                "job": 1, "version": Version::of(&row, true), "result": DONE,
            });
            serde_json::from_value(act).unwrap()
        };
        let [first, last] = ["1 0 1 1 *", "2 0 1 1 *"].map(act);
        let versions = [first.version, last.version];
        let mut seen = Seen::told_by(&VecDeque::from([first, last]));
        assert_eq!(versions.map(|version| seen.is_ours(JobId(1), version)), [false, true]);
    }
}
