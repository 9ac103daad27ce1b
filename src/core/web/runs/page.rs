//! A page of runs: what the daemon knows and what the database has, in one order.

use super::known::{self, Known};
use super::wanted::{Wanted, no_cursor};
use super::{is_job, json, view};
use crate::core::http::Response;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::SkipEntry;
use crate::core::plain;
use crate::core::protocol::{Past, Place, RunRecord, SkipRecord};
use crate::core::scheduler::{DatabaseState, Scheduler};
use crate::core::table::Job;
use crate::core::time::{Now, datetime, rfc3339};
use crate::core::web::missing;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Ranges of skipped slots on a page at the most.
const MAX_SKIPS: usize = 1_000;

/// A run, and who knows it.
enum Line<'a> {
    Known(&'a Job, Known<'a>),
    Row(&'a RunRecord),
}

/// The page, if the daemon knows all of it itself.
pub fn known_page(scheduler: &Scheduler, now: Now, wanted: &Wanted) -> Option<Response> {
    let job = scheduler.table().get(wanted.job?)?;
    let below = match wanted.before.is_empty() {
        true => None,
        false => Some(known::place_of(scheduler, &wanted.before)?),
    };
    let after_ms = known::whole_after_ms(job).filter(|_| wanted.is_all())?;
    let newest = known::newest(scheduler, wanted, below.as_ref(), wanted.limit);
    let is_whole = newest.len() == wanted.limit
        && newest.iter().all(|(_, _, known)| known.started_ms() > after_ms);
    if !is_whole {
        return None;
    }
    // There is at least the one that is remembered longest.
    let next = newest.last().map(|(place, ..)| place.run.clone());
    let lines = newest.into_iter().map(|(place, job, known)| (place, Line::Known(job, known)));
    let lines: Vec<_> = lines.collect();
    Some(json(text(scheduler, now, &lines, next, None, None)))
}

/// The page, with what the database says or without.
pub fn answer(
    scheduler: &Scheduler,
    now: Now,
    wanted: &Wanted,
    result: Result<Box<Past>, String>,
) -> Response {
    let (past, away) = match result {
        Ok(past) => (*past, None),
        Err(why) => (Past::default(), Some(format!("database: {why}"))),
    };
    let end = past.end.unwrap_or_default();
    let below = match wanted.before.is_empty() {
        true => None,
        false => {
            let known = known::place_of(scheduler, &wanted.before).or(end.below);
            match known.or_else(|| known::place_by_id(scheduler, &wanted.before)) {
                Some(place) => Some(place),
                None if away.is_none() => return no_cursor(),
                None => Some(Place::default()),
            }
        }
    };
    let by_rows = away.is_none() && wanted.has_words() && scheduler.outbox().waiting_bytes() == 0;
    let mut lines = merged(scheduler, wanted, below.as_ref(), (&past.runs, by_rows));
    if let Some(down_to) = &end.down_to {
        lines.retain(|(place, _)| place >= down_to);
    }
    let is_cut = lines.len() > wanted.limit;
    lines.truncate(wanted.limit);
    let last = lines.last().map(|(place, _)| place.clone());
    let next = if is_cut { last } else { end.down_to.and_then(|it| cursor(scheduler, it, last)) };
    let goes_on = |place: &Place| below.as_ref().is_none_or(|below| place < below);
    let next =
        next.filter(|next| goes_on(&known::place_of(scheduler, &next.run).unwrap_or(next.clone())));
    let unknown = wanted.job.filter(|job| !is_job(scheduler, *job));
    if let Some(job) = unknown.filter(|_| lines.is_empty() && wanted.is_all()) {
        let (status, told) = missing::no_job(scheduler, job);
        let what = away.map(|why| format!("; what runs it had is not known now: {why}"));
        return missing::answer((status, told + &what.unwrap_or_default()));
    }
    let bounds = (below.as_ref(), next.as_ref());
    let skips = wanted.skips.then(|| skips(scheduler, wanted, bounds, &past.skips));
    let next = next.map(|place| place.run);
    let why = away.or_else(|| untold(scheduler));
    json(text(scheduler, now, &lines, next, skips, why))
}

/// Why there may be records that neither the database has nor the daemon remembers.
pub fn untold(scheduler: &Scheduler) -> Option<String> {
    let aside = scheduler.set_aside().tried();
    match &scheduler.sync_state().database {
        _ if !scheduler.has_recalled() => {
            Some("the daemon has only just begun, and remembers its last runs in a moment".into())
        }
        DatabaseState::Down { message, .. } if scheduler.outbox().waiting_bytes() > 0 => {
            Some(format!("records wait to be written there: database: {message}"))
        }
        _ if aside > 0 => {
            let records = plain::counted(aside, "record");
            Some(format!("the database has refused {records} (`records_refused` of the status)"))
        }
        DatabaseState::Down { .. } | DatabaseState::Unknown | DatabaseState::Up => None,
    }
}

/// Behind which run the next page begins, where all was looked at `down_to` there. A run that the
/// daemon knows stands where the daemon says: elsewhere than in the database, if the zone was
/// another one when it was recorded.
fn cursor(scheduler: &Scheduler, down_to: Place, last: Option<Place>) -> Option<Place> {
    match known::place_of(scheduler, &down_to.run) {
        Some(place) if place != down_to => last.or(Some(down_to)),
        Some(_) | None => Some(down_to),
    }
}

/// Both in one order, each run once. The daemon knows the present command of a job only, its rows
/// have those that were run: where words are looked for and all is recorded, they decide.
fn merged<'a>(
    scheduler: &'a Scheduler,
    wanted: &Wanted,
    below: Option<&Place>,
    (rows, by_rows): (&'a [RunRecord], bool),
) -> Vec<(Place, Line<'a>)> {
    let known = known::newest(scheduler, wanted, below, wanted.limit + 1);
    let lines = known.into_iter().map(|(place, job, known)| (place, Line::Known(job, known)));
    let mut lines: Vec<(Place, Line<'_>)> = lines.collect();
    if by_rows {
        let has: BTreeSet<&str> = rows.iter().map(|row| &*row.uniq_id).collect();
        let is_alive = |line: &Line<'_>| matches!(line, Line::Known(_, Known::Live(_)));
        lines.retain(|(place, line)| is_alive(line) || has.contains(&*place.run));
    }
    let shown = lines.iter().filter(|_| by_rows).map(|(place, _)| place.run.clone());
    let there: BTreeSet<String> = shown.collect();
    for row in rows {
        let id: Option<RunId> = row.uniq_id.parse().ok();
        let known = id.and_then(|run| known::run_of(scheduler, JobId(row.job_id), run));
        // What the daemon knows it knows better: it is among those above, or not wanted.
        let is_unknown = known.is_none() || by_rows && !there.contains(&row.uniq_id);
        if is_unknown && wanted.takes_kind(view::kind(row)) {
            let place = Place { at: row.start_time.clone(), run: row.uniq_id.clone() };
            lines.push((place, Line::Row(row)));
        }
    }
    lines.sort_by(|one, other| other.0.cmp(&one.0));
    lines
}

fn text(
    scheduler: &Scheduler,
    now: Now,
    lines: &[(Place, Line<'_>)],
    next: Option<String>,
    skips: Option<Vec<Value>>,
    why: Option<String>,
) -> String {
    let mut text = String::from("{\"runs\":[");
    for (at, (_, line)) in lines.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let run = match line {
            Line::Known(job, known) => view::known(scheduler, now, job.def.id, *known).to_string(),
            Line::Row(row) => serde_json::to_string(&view::row(scheduler, row)).unwrap_or_default(),
        };
        // A String takes all.
        let _ = write!(text, "{comma}{run}");
    }
    let _ = write!(text, "],\"next\":{},\"complete\":{}", json!(next), why.is_none());
    if let Some(why) = why {
        let _ = write!(text, ",\"why\":{}", json!(why));
    }
    if let Some(skips) = skips {
        let _ = write!(text, ",\"skips\":{}", json!(skips));
    }
    text + "}\n"
}

/// Skipped slots of the stretch of time that a page has: those that the daemon knows, and those of
/// the database.
fn skips(
    scheduler: &Scheduler,
    wanted: &Wanted,
    (below, down_to): (Option<&Place>, Option<&Place>),
    rows: &[SkipRecord],
) -> Vec<Value> {
    let zone = &scheduler.settings().zone;
    // The first slot as the order has it: local time.
    let is_there = |at: &str| {
        below.is_none_or(|below| *at < *below.at)
            && down_to.is_none_or(|down_to| *at >= *down_to.at)
    };
    let table = scheduler.table();
    let jobs = table.iter().chain(table.disabled()).filter(|job| wanted.takes_job(job.def.id));
    let mut found = Vec::new();
    let mut there = BTreeSet::new();
    for job in jobs {
        let known = job.history.iter().flat_map(|past| &past.skips);
        let in_time = |skip: &&SkipEntry| {
            wanted.since_ms.is_none_or(|since| skip.last_ms >= since)
                && wanted.until_ms.is_none_or(|until| skip.first_ms < until)
                && is_there(&datetime(skip.first_ms, zone))
        };
        for skip in known.filter(in_time) {
            let first = rfc3339(skip.first_ms, zone);
            there.insert((job.def.id.0, first.clone()));
            found.push((
                first.clone(),
                json!({
                    "job_id": job.def.id,
                    "reason": skip.reason,
                    "first_slot": first,
                    "last_slot": rfc3339(skip.last_ms, zone),
                    "count": skip.count,
                }),
            ));
        }
    }
    let fresh = |row: &&SkipRecord| {
        let local: String = row.first_slot.chars().take(19).collect();
        !there.contains(&(row.job_id, row.first_slot.clone())) && is_there(&local.replace('T', " "))
    };
    found.extend(rows.iter().filter(fresh).map(|row| {
        let view = json!({
            "job_id": row.job_id,
            "reason": row.reason,
            "first_slot": row.first_slot,
            "last_slot": row.last_slot,
            "count": row.count,
        });
        (row.first_slot.clone(), view)
    }));
    found.sort_by(|one, other| other.0.cmp(&one.0));
    found.truncate(MAX_SKIPS);
    found.into_iter().map(|(_, view)| view).collect()
}
