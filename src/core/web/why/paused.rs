//! Who paused a job: what is known of that, and how it is told.

use super::super::audit::Line;
use super::super::texts::{WhyTexts, fill};
use crate::core::change::NOTE;
use crate::core::ids::RunId;
use crate::core::journal::{PauseEntry, PauseOf};
use crate::core::scheduler::{Scheduler, Settings};
use crate::core::time;
use crate::core::why::{Done, PauseDone, Paused};
use serde_json::Value;

/// What is done with a pause, in a word.
pub(super) const VERBS: [&str; 2] = ["pause", "resume"];

/// A pause of many jobs is looked for among what was done so long before a slot, ms. One that is
/// older and in force is known anyway.
pub(super) const LOOKED_BACK_MS: i64 = 31 * 86_400_000;

/// By so much later a slot may be decided, ms.
pub(super) const LATE_MS: i64 = 86_400_000;

/// The first name that something has which is done at this time (unix ms).
pub(super) fn made_at(settings: &Settings, at_ms: i64) -> String {
    let id = RunId::next(settings.server_id, 0, 0, at_ms);
    RunId { instance: 1, ..id }.to_string()
}

/// Pauses of tags and of all jobs among what was done, and those in force, newest first.
pub(super) fn known(scheduler: &Scheduler, lines: &[Line]) -> Vec<PauseDone> {
    let done = lines.iter().filter(|line| line.job.is_none()).filter_map(of_line);
    let mut all: Vec<PauseDone> = done.chain(scheduler.pauses().in_force().map(of_entry)).collect();
    all.sort_by_key(|pause| std::cmp::Reverse(pause.done.at_ms));
    all
}

fn of_line(line: &Line) -> Option<PauseDone> {
    let new = |name: &str| line.what.get(name).and_then(|pair| pair.get(1));
    let tag = || new("tag_id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    let of = match new("all") {
        Some(_) => PauseOf::All,
        None => PauseOf::Tag(tag()?),
    };
    let until = || new("until").and_then(Value::as_str).and_then(|text| time::instant(text).ok());
    let end_ms = match line.action.as_str() {
        "pause" => until().unwrap_or(i64::MAX),
        "resume" => i64::MIN,
        _ => return None,
    };
    Some(PauseDone { of, end_ms, done: super::done(line) })
}

/// What is in force the journal knows, also where nobody else does.
fn of_entry(pause: &PauseEntry) -> PauseDone {
    let PauseEntry { of, since_ms, who, note, .. } = pause;
    let what = [(NOTE.to_owned(), vec![Value::Null, note.as_str().into()].into())];
    let what = what.into_iter().filter(|_| !note.is_empty()).collect();
    let (at_ms, who, action) = (*since_ms, who.clone(), VERBS[0].to_owned());
    let done = Done { at_ms, who, action, what, ..Done::default() };
    PauseDone { of: *of, end_ms: pause.end_ms(), done }
}

/// Who paused it, until when, and why.
pub(super) fn sentence(t: &WhyTexts, paused: &Paused, at: impl Fn(i64) -> String) -> String {
    let Paused { of, until_ms, done } = paused;
    let who = match of {
        None => t.paused_job,
        Some(PauseOf::All) => t.paused_all,
        Some(PauseOf::Tag(_)) => t.paused_tag,
    };
    let until = until_ms.map_or(t.paused_open.to_owned(), |ms| fill(t.paused_until, &[&at(ms)]));
    let said = fill(who, &[&done.who, &at(done.at_ms), &until]);
    let note = done.what.get(NOTE).and_then(|pair| pair.get(1)).and_then(Value::as_str);
    note.map_or(said.clone(), |note| format!("{said} {}", fill(t.paused_why, &[note])))
}
