//! What is said of a plan, before it is done and afterwards.

use super::{Plan, Step};
use crate::core::change::{Decided, What, verb};
use crate::core::version::Version;
use serde_json::{Value, json};
use std::fmt::Display;

/// Bytes of an answer; one that would be longer is refused. A file has half of that.
pub const MAX_REPORT_BYTES: usize = 32 << 20;

/// The answer: what is changed, or would be, and the version of the group now.
pub fn report(plan: &Plan, version: Version, dry_run: bool) -> String {
    let tags = plan.tags.iter().map(|it| text_step("tag", it, "name"));
    let variables = plan.variables.iter().map(|it| text_step("variable", it, "value"));
    let changes: Vec<Value> = tags.chain(variables).chain(plan.jobs.iter().map(job_step)).collect();
    let answer = json!({
        "version": version,
        "dry_run": dry_run,
        "changes": changes,
        "unchanged": plan.unchanged,
        "left": plan.left,
        "warnings": plan.warnings,
    });
    format!("{answer}\n")
}

fn text_step<K: Display>(kind: &str, step: &Step<K>, column: &str) -> Value {
    let Step { key, before, after } = step;
    let action = match (before, after) {
        (None, _) => "create",
        (Some(_), None) => "delete",
        (Some(_), Some(_)) => "edit",
    };
    json!({
        "kind": kind,
        "key": key.to_string(),
        "action": action,
        "columns": { column: [before, after] },
    })
}

fn job_step(decided: &Decided) -> Value {
    let Decided { before, after, .. } = decided;
    let row = after.as_ref().or(before.as_ref()).map(|stand| &stand.row);
    let id = row.map_or(0, |row| row.id);
    json!({
        "kind": "job",
        "key": if id == 0 { String::new() } else { id.to_string() },
        "name": row.map(|row| &*row.name).unwrap_or_default(),
        "action": verb(before.as_ref(), after.as_ref()),
        "columns": decided.what(),
    })
}

/// The same for the record of who did what: each tag and variable, and how many jobs. Those have
/// records of their own.
pub fn summary(plan: &Plan) -> What {
    let pair = |before: &Option<String>, after: &Option<String>| json!([before, after]);
    let tags = plan.tags.iter().map(|it| (format!("tags.{}", it.key), pair(&it.before, &it.after)));
    let variables = plan.variables.iter();
    let variables =
        variables.map(|it| (format!("variables.{}", it.key), pair(&it.before, &it.after)));
    tags.chain(variables).chain([("jobs".to_owned(), plan.jobs.len().into())]).collect()
}
