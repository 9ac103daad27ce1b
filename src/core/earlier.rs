//! A job's row as it was earlier: made of the row as it is, and of what was changed since.

use crate::core::change::{ENABLED, Stand, What};
use crate::core::columns::{Column, JobRow};
use serde_json::Value;

/// The action after which there was no row before.
const CREATE: &str = "create";

/// A change of a row that was done.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// In a word.
    pub action: &'a str,
    /// The version of the row afterwards, as text; empty: there is no row, or it is not known.
    pub version: &'a str,
    /// Columns, with what stood there and what stands there since.
    pub what: &'a What,
}

/// A row as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// What it said; none: it was not there.
    pub stand: Option<Stand>,
    /// Each change that was taken back left the row as it then was found. If not, there were
    /// changes that nobody has told of.
    pub is_sure: bool,
}

/// The row before all of these changes, which come newest first. `present` is the row after them.
pub fn before<'a>(
    present: Option<Stand>,
    (id, server_id): (u32, u32),
    changes: impl Iterator<Item = Change<'a>>,
) -> Earlier {
    let mut stand = present;
    let mut is_sure = true;
    for change in changes.filter(|change| !change.what.is_empty()) {
        let version = stand.as_ref().map(|stand| stand.version().to_string()).unwrap_or_default();
        is_sure &= version == change.version;
        if change.action == CREATE {
            stand = None;
            continue;
        }
        let row = JobRow { id, ..JobRow::new(server_id) };
        let after = stand.unwrap_or(Stand { row, enabled: true });
        stand = Some(taken_back(after, change.what));
    }
    Earlier { stand, is_sure }
}

fn taken_back(mut stand: Stand, what: &What) -> Stand {
    for (name, pair) in what {
        let old = pair.get(0).unwrap_or(&Value::Null);
        if name == ENABLED {
            stand.enabled = old.as_bool().unwrap_or(true);
            continue;
        }
        let Some(column) = Column::ALL.iter().find(|column| column.name() == name) else {
            continue;
        };
        let text = match old {
            Value::Null => column.default_text().to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        // A value that can't stand there never did.
        let _ = stand.row.set(*column, &text);
    }
    stand
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::change::{verb, what};

    fn stand(cron: &str, limit: u32, enabled: bool) -> Stand {
        let new = JobRow::new(1);
        let row = JobRow { id: 7, cron: cron.into(), max_concurrence: limit, ..new };
        Stand { row, enabled }
    }

    /// A row's life: made, changed, disabled, deleted, made again.
    fn life() -> Vec<Option<Stand>> {
        vec![
            None,
            Some(stand("0 3 * * *", 1, true)),
            Some(stand("0 4 * * *", 2, true)),
            Some(stand("0 4 * * *", 2, false)),
            None,
            Some(stand("5 5 * * *", 1, false)),
            Some(stand("5 5 * * *", 1, true)),
        ]
    }

    #[test]
    fn each_state_of_a_life_is_found_again() {
        let life = life();
        let told = |pair: &[Option<Stand>]| {
            let (before, after) = (pair[0].as_ref(), pair[1].as_ref());
            let version = after.map(|it| it.version().to_string()).unwrap_or_default();
            (verb(before, after), version, what(before, after))
        };
        let acts: Vec<_> = life.windows(2).map(told).collect();
        for (at, right) in life.iter().enumerate() {
            let changes = acts[at..].iter().rev();
            let changes = changes.map(|(action, version, what)| Change { action, version, what });
            let found = before(life.last().cloned().flatten(), (7, 1), changes);
            assert_eq!(found, Earlier { stand: right.clone(), is_sure: true }, "{at}");
        }
        let changes = acts.iter().rev().skip(1);
        let changes = changes.map(|(action, version, what)| Change { action, version, what });
        assert!(!before(life[6].clone(), (7, 1), changes).is_sure, "one was not told");
    }
}
