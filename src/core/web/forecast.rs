//! `GET /api/v1/forecast`: what starts between two instants. It takes seconds where jobs are many,
//! so it is worked on in slices, one forecast after the other, while its client waits.

use super::Web;
use super::call::Call;
use super::filter::Filter;
use super::missing;
use super::parameters::check_tag;
use super::values::{instant, number};
use crate::core::forecast::{Forecast, Found, Span};
use crate::core::http::{Request, Response};
use crate::core::ids::{ConnId, JobId};
use crate::core::places::{Peer, Places};
use crate::core::scheduler::Scheduler;
use crate::core::time::{Now, days_later, rfc3339};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt::Write;

/// Clients that may wait for a forecast at a time; beyond, one is told to ask again. One forecast
/// takes memory at a time: of the others only the question is kept.
const MAX_WAITING: usize = 16;

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

/// What a client is told that is to wait no longer.
const TOO_MANY_WAIT: &str = "too many wait for a forecast: ask again in a while";

/// What is asked for.
#[derive(Debug)]
struct Question {
    conn: ConnId,
    span: Span,
    limit: usize,
    filter: Filter,
}

/// How far the first of the questions has got.
#[derive(Debug)]
enum Stage {
    /// Its jobs are gathered; the last one that was looked at.
    Gathering(Forecast, Option<JobId>),
    Counting(Forecast),
    /// The answer is written; how many slots it has so far.
    Writing(Box<Found>, String, usize),
}

/// The clients that wait for a forecast, and what is done for the first of them.
#[derive(Debug, Default)]
pub struct Forecasts {
    questions: VecDeque<Question>,
    places: Places<ConnId>,
    stage: Option<Stage>,
}

impl Forecasts {
    /// Whether somebody waits.
    pub(super) fn are_wanted(&self) -> bool {
        !self.questions.is_empty()
    }

    /// A client waits no longer; what was begun for it is let go.
    pub(super) fn forget(&mut self, conn: ConnId) {
        if !self.places.leave(conn) {
            return;
        }
        if self.questions.front().is_some_and(|first| first.conn == conn) {
            self.stage = None;
        }
        self.questions.retain(|question| question.conn != conn);
    }
}

impl Web {
    /// Takes a question in.
    pub(super) fn forecast(
        &mut self,
        scheduler: &Scheduler,
        call: &Call<'_>,
    ) -> Result<(), Response> {
        let Call { now, conn, request, .. } = *call;
        let span = span(scheduler, request, now)?;
        let limit = number(request, "limit", DEFAULT_SLOTS, Some(MAX_SLOTS))?;
        missing::table_unread(scheduler).map_or(Ok(()), |why| Err(missing::answer(why)))?;
        check_tag(scheduler, request)?;
        self.make_room_for_question(request.peer);
        self.forecasts.places.take(conn, request.peer);
        let filter = Filter::new(request);
        self.forecasts.questions.push_back(Question { conn, span, limit, filter });
        Ok(())
    }

    fn make_room_for_question(&mut self, newcomer: Peer) {
        let forecasts = &mut self.forecasts;
        if forecasts.places.len() < MAX_WAITING {
            return;
        }
        if let Some(conn) = forecasts.places.gives_way_to(newcomer) {
            forecasts.forget(conn);
            self.respond(conn, Response::problem(503, TOO_MANY_WAIT));
        }
    }

    /// Does a slice of what the first client waits for. What is due goes before.
    pub(super) fn forecast_some(&mut self, scheduler: &Scheduler) {
        if scheduler.busy() {
            return;
        }
        let Some(question) = self.forecasts.questions.front() else { return };
        let begun = self.forecasts.stage.take().unwrap_or_else(|| question.begin(scheduler));
        match question.go_on(scheduler, begun) {
            Ok(stage) => self.forecasts.stage = Some(stage),
            Err(text) => {
                let conn = question.conn;
                self.forecasts.forget(conn);
                self.respond(conn, Response::json(200, text));
            }
        }
    }
}

impl Question {
    fn begin(&self, scheduler: &Scheduler) -> Stage {
        let zone = &scheduler.settings().zone;
        Stage::Gathering(Forecast::new(self.span, self.limit, zone), None)
    }

    /// The next slice. `Err` is the answer.
    fn go_on(&self, scheduler: &Scheduler, stage: Stage) -> Result<Stage, String> {
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
    let from_ms = instant(request, "from")?.unwrap_or(now.wall_ms);
    let to_ms = instant(request, "to")?.unwrap_or(from_ms + DAY_MS);
    let refuse = |why: &str| Err(Response::problem(400, why));
    if to_ms <= from_ms {
        return refuse("to: an instant later than `from`");
    }
    // Days by the wall clock may be an hour longer.
    let zone = &scheduler.settings().zone;
    let day = |days: i64| days_later(from_ms, days, zone).max(from_ms + days * DAY_MS);
    if to_ms > day(MAX_DAYS) {
        return refuse(&format!("to: at most {MAX_DAYS} days later than `from`"));
    }
    Ok(Span { from_ms, to_ms })
}
