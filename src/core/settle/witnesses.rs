//! Which records are tried to find out whether the database takes any.

use crate::core::ids::JobId;
use crate::core::journal::Entry;
use crate::core::protocol::Statement;
use std::collections::BTreeMap;

/// So many records at most are tried for one that is taken: the newest of each job, and others.
const MAX_WITNESSES: usize = 32;

/// Records among which one is likely to be taken, if any is: the newest of each job, and others.
/// Which come first is another each time, for there may not be the time for all.
pub fn witnesses<'a>(
    entries: &[Entry<'a>],
    statement: Option<Statement>,
    any: usize,
) -> Vec<Entry<'a>> {
    let all: Vec<_> = entries.iter().filter(|entry| may_tell(entry, statement)).collect();
    let newest: BTreeMap<JobId, &Entry<'a>> =
        all.iter().filter_map(|entry| Some((job(entry)?, *entry))).collect();
    let mut newest: Vec<_> = newest.into_values().collect();
    let first = any % newest.len().max(1);
    newest.rotate_left(first);
    newest.truncate(MAX_WITNESSES / 2);
    let step = all.len().div_ceil(MAX_WITNESSES / 2).max(1);
    let mut others: Vec<_> = all.iter().skip(any % step).step_by(step).copied().collect();
    let first = any % others.len().max(1);
    others.rotate_left(first);
    newest.into_iter().chain(others).cloned().collect()
}

/// Whether to write it may tell that the statement is taken.
fn may_tell(entry: &Entry<'_>, statement: Option<Statement>) -> bool {
    match (entry, statement) {
        (Entry::Run(run), Some(Statement::Update)) => run.end.is_some(),
        (Entry::Run(_), Some(Statement::Insert | Statement::LastRun) | None) => true,
        (Entry::Skip(_), statement) => statement == Some(Statement::Skip),
        (Entry::Act(_), statement) => statement == Some(Statement::Act),
        _ => false,
    }
}

fn job(entry: &Entry<'_>) -> Option<JobId> {
    match entry {
        Entry::Run(run) => Some(run.job),
        Entry::Skip(skip) => Some(skip.job),
        Entry::Act(act) => act.job,
        _ => None,
    }
}
