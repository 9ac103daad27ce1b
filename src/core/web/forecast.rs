//! `GET /api/v1/forecast`: what starts between two instants. It takes seconds where jobs are many.

use super::call::Call;
use super::filter::Filter;
use super::missing;
use super::parameters::check_tag;
use super::values::{instant, number};
use crate::core::forecast::{Forecast, Found, Span};
use crate::core::http::{Request, Response};
use crate::core::ids::JobId;
use crate::core::scheduler::Scheduler;
use crate::core::time::{Now, days_later, rfc3339};
use serde_json::{Value, json};
use std::fmt::Write;

/// Slots that are told one by one where the client does not say.
const DEFAULT_SLOTS: usize = 1_000;

/// The same at the most.
const MAX_SLOTS: usize = 10_000;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Days of a forecast at the most.
const MAX_DAYS: i64 = 31;

/// Jobs looked at in one turn of the loop.
const JOBS_A_TURN: usize = 500;

/// Slots written in one turn of the loop.
const LINES_A_TURN: usize = 250;

/// What is asked for, and how far its answer has got.
#[derive(Debug)]
pub(super) struct Question {
    span: Span,
    limit: usize,
    filter: Filter,
    stage: Option<Stage>,
}

/// How far an answer has got.
#[derive(Debug)]
enum Stage {
    /// Its jobs are gathered; the last one that was looked at.
    Gathering(Forecast, Option<JobId>),
    Counting(Forecast),
    /// The answer is written; how many slots it has so far.
    Writing(Box<Found>, String, usize),
}

/// What a request asks for.
pub(super) fn question(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    let request = call.request;
    let span = span(scheduler, request, call.now)?;
    let limit = number(request, "limit", DEFAULT_SLOTS, Some(MAX_SLOTS))?;
    missing::table_unread(scheduler).map_or(Ok(()), |why| Err(missing::answer(why)))?;
    check_tag(scheduler, request)?;
    let filter = Filter::new(request);
    Ok(Question { span, limit, filter, stage: None })
}

impl Question {
    /// Does the next slice. The answer, if it was the last one.
    pub fn go_on(&mut self, scheduler: &Scheduler) -> Option<Response> {
        let zone = || &scheduler.settings().zone;
        let begun = || Stage::Gathering(Forecast::new(self.span, self.limit, zone()), None);
        let stage = self.stage.take().unwrap_or_else(begun);
        match self.next(scheduler, stage) {
            Ok(stage) => self.stage = Some(stage),
            Err(text) => return Some(Response::json(200, text)),
        }
        None
    }

    /// The next stage. `Err` is the answer.
    fn next(&self, scheduler: &Scheduler, stage: Stage) -> Result<Stage, String> {
        Ok(match stage {
            Stage::Gathering(forecast, after) => self.gather(scheduler, forecast, after),
            Stage::Counting(mut forecast) => match forecast.work() {
                true => Stage::Counting(forecast),
                false => Stage::Writing(Box::new(forecast.found()), String::new(), 0),
            },
            Stage::Writing(found, text, 0) if text.is_empty() => {
                let text = self.beginning(scheduler, &found);
                Stage::Writing(found, text, 0)
            }
            Stage::Writing(found, mut text, from) => {
                let to = found.slots.len().min(from + LINES_A_TURN);
                write_slots(scheduler, &found, from..to, &mut text);
                if to == found.slots.len() {
                    text.push_str("]}\n");
                    return Err(text);
                }
                Stage::Writing(found, text, to)
            }
        })
    }

    fn gather(&self, scheduler: &Scheduler, mut forecast: Forecast, after: Option<JobId>) -> Stage {
        let table = scheduler.table();
        let (mut last, mut count) = (after, 0);
        for job in table.iter_after(after).take(JOBS_A_TURN) {
            (last, count) = (Some(job.def.id), count + 1);
            let has_tag = job.scheduled().is_some_and(|def| self.filter.takes_tag(scheduler, def));
            if has_tag {
                forecast.add(table, job);
            }
        }
        match count == JOBS_A_TURN {
            true => Stage::Gathering(forecast, last),
            false => Stage::Counting(forecast),
        }
    }

    /// All of the answer but for its slots.
    fn beginning(&self, scheduler: &Scheduler, found: &Found) -> String {
        let at = |ms: i64| rfc3339(ms, &scheduler.settings().zone);
        let hours = found.hours.iter();
        let hours: Vec<Value> =
            hours.map(|hour| json!({ "at": at(hour.at_ms), "slots": hour.slots })).collect();
        let busiest = found.busiest.map(|it| json!({ "at": at(it.at_ms), "runs": it.runs }));
        let all = json!({
            "from": at(self.span.from_ms),
            "to": at(self.span.to_ms),
            "total": found.total,
            "truncated": found.total > found.slots.len() as u64,
            "busiest": busiest,
            "hours": hours,
        });
        let mut text = all.to_string();
        text.pop();
        text.push_str(",\"slots\":[");
        text
    }
}

fn write_slots(
    scheduler: &Scheduler,
    found: &Found,
    range: std::ops::Range<usize>,
    text: &mut String,
) {
    let zone = &scheduler.settings().zone;
    let begins = range.start == 0;
    for (at, (slot_ms, id, place)) in found.slots[range].iter().enumerate() {
        let job = &found.jobs[*place];
        let comma = if at == 0 && begins { "" } else { "," };
        let (name, slot) = (Value::from(&*job.name), rfc3339(*slot_ms, zone));
        let usual_ms = job.usual_ms;
        // A String takes all.
        let _ = write!(
            text,
            "{comma}{{\"job_id\":{id},\"name\":{name},\"slot\":\"{slot}\",\
             \"usual_ms\":{usual_ms}}}"
        );
    }
}

/// The stretch of time that is asked about; of itself the next 24 hours.
fn span(scheduler: &Scheduler, request: &Request, now: Now) -> Result<Span, Response> {
    let zone = &scheduler.settings().zone;
    let from_ms = instant(request, "from", zone)?.unwrap_or(now.wall_ms);
    let to_ms = instant(request, "to", zone)?.unwrap_or(from_ms + DAY_MS);
    let refuse = |why: &str| Err(Response::problem(400, why));
    if to_ms <= from_ms {
        return refuse("to: an instant later than `from`");
    }
    // Days by the wall clock may be an hour longer.
    let day = |days: i64| days_later(from_ms, days, zone).max(from_ms + days * DAY_MS);
    if to_ms > day(MAX_DAYS) {
        return refuse(&format!("to: at most {MAX_DAYS} days later than `from`"));
    }
    Ok(Span { from_ms, to_ms })
}
