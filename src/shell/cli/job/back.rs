//! `schedule job edit JOB --back-to VERSION`: an earlier row, made of the present one and of what
//! is known to have been changed since.

use crate::core::change::NOTE;
use crate::core::columns::Column;
use crate::core::ids::JobId;
use crate::core::plain;
use crate::shell::cli::control::api::{Daemon, Failed};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The result of what was done.
const DONE: &str = "done";

/// The action after which there was no row before.
const CREATE: &str = "create";

/// Versions that are named to who asks for another one.
const NAMED: usize = 10;

/// Something that was done, as the API tells it.
#[derive(Clone, Debug, Deserialize)]
struct Entry {
    at: String,
    who: String,
    action: String,
    version: Option<String>,
    #[serde(default)]
    what: Option<Map<String, Value>>,
    result: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    entries: Vec<Entry>,
    next: Option<String>,
}

/// Changes of a job's row, newest first.
#[derive(Debug)]
pub(super) struct Changes(Vec<Entry>);

impl Changes {
    /// All that the daemon remembers, and all that the database has.
    pub fn of(daemon: &Daemon, job: JobId) -> Result<Changes, Failed> {
        let (mut all, mut before) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/audit?job={job}&limit=1000{before}");
            let Page { entries, next } = daemon.json(&path)?;
            all.extend(entries);
            match next {
                Some(next) => before = format!("&before={next}"),
                None => break,
            }
        }
        let changes = |entry: &Entry| {
            entry.result == DONE && entry.what.as_ref().is_some_and(|what| !what.is_empty())
        };
        all.retain(changes);
        Ok(Changes(all))
    }

    /// The columns that make the present row, of version `present`, be as it was at `version`. Of
    /// the row before the first change that is known nobody knows the version: those of it are
    /// returned where no other one fits, and whether they do has to be seen. None: it was never so.
    pub fn back_to(&self, present: &str, version: &str) -> Option<Map<String, Value>> {
        let mut columns = Map::new();
        if present == version {
            return Some(columns);
        }
        for Entry { action, version: made, what, .. } in &self.0 {
            if made.as_deref() == Some(version) {
                return Some(columns);
            }
            if action == CREATE {
                return None;
            }
            // Why somebody did it is no column, and a pause is no part of what a job is.
            let left_out = [NOTE, Column::PausedUntil.name()];
            let columns_of = what.iter().flatten();
            for (column, of) in columns_of.filter(|(name, _)| !left_out.contains(&name.as_str())) {
                columns.insert(column.clone(), of[0].clone());
            }
        }
        (!self.0.is_empty()).then_some(columns)
    }

    /// What is told where a version is not known.
    pub fn unknown(&self, job: JobId, version: &str) -> Failed {
        let mut told = format!(
            "job {job}: version {version} can't be made of what is known to have been changed: it \
             is older, or a change was not recorded. Name the columns"
        );
        let known = self.0.iter().filter(|entry| entry.version.is_some());
        let known: Vec<String> = known.take(NAMED).map(Entry::told).collect();
        if !known.is_empty() {
            told += "\nknown versions, the newest first:";
        }
        for line in known {
            told += &format!("\n  {line}");
        }
        Failed::new(told)
    }
}

impl Entry {
    fn told(&self) -> String {
        let Entry { at, who, action, version, .. } = self;
        let version = version.as_deref().unwrap_or_default();
        let who = if who.is_empty() { "somebody" } else { who };
        plain::line(&format!("{version}  {at}  {action} by {who}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(action: &str, version: &str, what: Value) -> Entry {
        let text = |text: &str| text.to_owned();
        let what = what.as_object().cloned();
        let version = (!version.is_empty()).then(|| text(version));
        let (at, who, result) = (text("t"), text("ann"), text(DONE));
        Entry { at, who, action: text(action), version, what, result }
    }

    #[test]
    fn changes_are_taken_back_one_by_one() {
        let changes = Changes(vec![
            entry("edit", "v4", json!({"cron": ["c3", "c4"]})),
            entry("disable", "v3", json!({"enabled": [true, false], "note": [null, "x"]})),
            entry("edit", "v2", json!({"cron": ["c1", "c3"], "max_concurrence": [1, 2]})),
        ]);
        let to = |version| changes.back_to("v4", version).map(Value::Object);
        assert_eq!(to("v4"), Some(json!({})));
        assert_eq!(to("v3"), Some(json!({"cron": "c3"})));
        assert_eq!(to("v2"), Some(json!({"cron": "c3", "enabled": true})));
        let first = json!({"cron": "c1", "enabled": true, "max_concurrence": 1});
        assert_eq!(to("v1"), Some(first), "whether that is v1 has to be seen");
        assert_eq!(Changes(Vec::new()).back_to("v4", "v1"), None);
        let made = Changes(vec![entry("create", "v1", json!({"cron": [null, "c1"]}))]);
        assert_eq!(made.back_to("v1", "v0"), None, "there was no row before");
    }
}
