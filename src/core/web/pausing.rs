//! What is told of pauses, as JSON.

use super::views::time_of;
use crate::core::definition::Definition;
use crate::core::journal::{PauseEntry, PauseOf};
use crate::core::scheduler::{Pausing, Scheduler};
use crate::core::time::rfc3339;
use serde_json::{Value, json};

/// What is told of a pause of a tag, or of all.
fn pause_json(scheduler: &Scheduler, pause: &PauseEntry) -> Value {
    let told = |at_ms: i64| rfc3339(at_ms, &scheduler.settings().zone);
    let (of, tag_id) = match pause.of {
        PauseOf::All => ("all", None),
        PauseOf::Tag(id) => ("tag", Some(id)),
    };
    json!({
        "of": of,
        "tag_id": tag_id,
        "tag": tag_id.and_then(|id| scheduler.table().tags.get(&id)),
        "since": told(pause.since_ms),
        "until": pause.until_ms.map(told),
        "note": pause.note,
        "who": pause.who,
    })
}

/// The pauses of tags and of all jobs.
pub(super) fn pauses_json(scheduler: &Scheduler) -> Vec<Value> {
    scheduler.pauses().in_force().map(|pause| pause_json(scheduler, pause)).collect()
}

/// What pauses a job; its own pause first.
pub(super) fn pausing_json(scheduler: &Scheduler, def: &Definition) -> Vec<Value> {
    let told = |Pausing { entry, until_ms }: Pausing<'_>| match entry {
        Some(pause) => pause_json(scheduler, pause),
        None => json!({
            "of": "job",
            "until": until_ms.map(|at_ms| time_of(scheduler, def, at_ms)),
        }),
    };
    scheduler.pausing(def).into_iter().map(told).collect()
}
