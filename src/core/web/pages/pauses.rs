//! What pages say of pauses: a banner on each page where all jobs, or those with a tag, are paused.

use super::super::texts::{Texts, fill};
use super::row::zone_of;
use crate::core::cron::Zone;
use crate::core::journal::{PauseEntry, PauseOf};
use crate::core::scheduler::{Pausing, Scheduler};
use crate::core::table::Job;
use crate::core::time::datetime;

/// When a pause ends.
fn end(t: &Texts, until_ms: Option<i64>, zone: &Zone) -> String {
    until_ms
        .map_or(t.paused_open.to_owned(), |at_ms| fill(t.paused_until, &[&datetime(at_ms, zone)]))
}

/// A text, and below it until when, by whom and why.
pub(super) type Told = (String, Vec<(String, String)>);

/// What every page says of the pause of a tag or of all jobs.
pub(super) struct OfMany {
    /// Whose they are.
    pub text: String,
    /// Until when, and by whom and why.
    pub end: String,
    pub said: String,
    /// The tag's id; empty: all jobs.
    pub tag: String,
}

/// What every page says.
pub(super) fn of_many(scheduler: &Scheduler, t: &Texts) -> Vec<OfMany> {
    let zone = &scheduler.settings().zone;
    let tags = &scheduler.table().tags;
    let told = |pause: &PauseEntry| {
        let (text, tag) = match pause.of {
            PauseOf::All => (t.paused_all.to_owned(), String::new()),
            PauseOf::Tag(id) => {
                let name = tags.get(&id).cloned().unwrap_or_else(|| id.to_string());
                (fill(t.paused_tag, &[&name]), id.to_string())
            }
        };
        let end = end(t, pause.until_ms, zone);
        OfMany { text, end, said: said(&pause.who, &pause.note), tag }
    };
    scheduler.pauses().in_force().map(told).collect()
}

/// Who wanted it, and why.
fn said(who: &str, note: &str) -> String {
    match (who, note) {
        ("", note) => note.to_owned(),
        (who, "") => who.to_owned(),
        (who, note) => format!("{who}: {note}"),
    }
}

/// What a job's own page says beside that: its own row has it paused.
pub(super) fn of_job(scheduler: &Scheduler, t: &Texts, job: &Job) -> Option<Told> {
    let def = job.scheduled()?;
    let own = scheduler.pausing(def).into_iter().find(|it| it.entry.is_none());
    own.map(|Pausing { until_ms, .. }| {
        let rows = vec![(end(t, until_ms, zone_of(scheduler, def)), String::new())];
        (t.paused_job.to_owned(), rows)
    })
}
