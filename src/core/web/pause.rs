//! `POST /api/v1/pause` and `POST /api/v1/resume`: slots of a job, of a tag, or of all jobs are
//! skipped for a while. A job's pause stands in its row, and is a change like any other; one of a
//! tag, or of all, needs no database.

use super::Web;
use super::actions::{Command, Form};
use super::body::body;
use super::call::Call;
use super::change::Asker;
use super::pause_form::{tag_id, until};
use super::pausing::pauses_json;
use crate::core::change::{Change, NOTE, Wanted};
use crate::core::config::did_you_mean;
use crate::core::http::Response;
use crate::core::ids::JobId;
use crate::core::journal::{NOTE_CHARS, PauseOf};
use crate::core::plain;
use crate::core::scheduler::{PauseOrder, Scheduler};
use crate::core::time::{OPEN_END, OPEN_END_MS, rfc3339};
use serde_json::{Value, json};

/// What a body may look like.
const EXAMPLE: &str = "{\"all\": true, \"until\": \"2026-12-01T07:00:00+08:00\"}";

/// What stands in a body.
const FIELDS: [&str; 5] = ["job", "tag", "all", "until", NOTE];

/// Whose slots.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Job(JobId),
    Many(PauseOf),
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Wants {
    /// A change of a row.
    Job(Change),
    /// What the daemon does itself.
    Many(PauseOrder),
}

/// `POST /api/v1/pause`
pub(super) fn pause(scheduler: &Scheduler, call: &Call<'_>) -> Result<Wants, Response> {
    wants(scheduler, call, true)
}

/// `POST /api/v1/resume`
pub(super) fn resume(scheduler: &Scheduler, call: &Call<'_>) -> Result<Wants, Response> {
    wants(scheduler, call, false)
}

fn refuse(why: &str) -> Response {
    Response::problem(400, why)
}

fn wants(scheduler: &Scheduler, call: &Call<'_>, is_pause: bool) -> Result<Wants, Response> {
    let body = body(call.request, EXAMPLE)?;
    if let Some(name) = body.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let hint = did_you_mean(name, FIELDS)
            .map_or(format!("there are {}", FIELDS.join(", ")), |it| {
                format!("did you mean `{it}`?")
            });
        return Err(refuse(&format!("there is no field `{}`: {hint}", plain::shown(name))));
    }
    let given = |name: &str| body.get(name).filter(|value| !value.is_null());
    let whose = whose(scheduler, &body)?;
    let until_ms = given("until").map(|it| until(call.now, it)).transpose()?;
    if until_ms.is_some() && !is_pause {
        return Err(refuse("until: what is resumed is so at once: leave it out"));
    }
    let note = match given(NOTE) {
        None => String::new(),
        Some(Value::String(text)) if text.chars().count() <= NOTE_CHARS => text.trim().to_owned(),
        Some(_) => return Err(refuse(&format!("note: a text of {NOTE_CHARS} characters at most"))),
    };
    Ok(wanted(scheduler, whose, is_pause, until_ms.filter(|it| *it < OPEN_END_MS), note))
}

fn wanted(
    scheduler: &Scheduler,
    whose: Whose,
    is_pause: bool,
    until_ms: Option<i64>,
    note: String,
) -> Wants {
    match whose {
        Whose::Many(of) => Wants::Many(PauseOrder { of, is_pause, until_ms, note }),
        Whose::Job(id) => {
            let zone = &scheduler.settings().zone;
            let end = until_ms.map_or(OPEN_END.to_owned(), |at_ms| rfc3339(at_ms, zone));
            let until = if is_pause { end } else { String::new() };
            Wants::Job(Change::Pause { id, until, note })
        }
    }
}

/// One of the three that a body may name.
fn whose(scheduler: &Scheduler, body: &Wanted) -> Result<Whose, Response> {
    let given = |name: &str| body.get(name).filter(|value| !value.is_null());
    match (given("job"), given("tag"), given("all")) {
        (Some(job), None, None | Some(Value::Bool(false))) => {
            let id = job.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|id| *id > 0);
            let id = id.ok_or_else(|| refuse("job: the id of a job, a whole number from 1 on"))?;
            Ok(Whose::Job(JobId(id)))
        }
        (None, Some(tag), None | Some(Value::Bool(false))) => {
            Ok(Whose::Many(PauseOf::Tag(tag_id(scheduler, tag)?)))
        }
        (None, None, Some(Value::Bool(true))) => Ok(Whose::Many(PauseOf::All)),
        _ => Err(refuse("name one of `job` (an id), `tag` (an id or a name), `all` (true)")),
    }
}

impl Web {
    /// Somebody wants slots to be skipped, or launched again.
    pub(super) fn pause(
        &mut self,
        scheduler: &mut Scheduler,
        call: &Call<'_>,
        wants: Wants,
    ) -> Result<(), Response> {
        match wants {
            Wants::Job(change) => self.change(scheduler, call, change, Asker::Program),
            Wants::Many(order) => {
                self.command(scheduler, call, Form::Json, Command::Pause(order));
                Ok(())
            }
        }
    }

    /// The same of a tag, or of all, for who waits for it.
    pub(super) fn pause_by(
        &mut self,
        scheduler: &mut Scheduler,
        call: &Call<'_>,
        ticket: u64,
        order: &PauseOrder,
    ) {
        let done = order.carry_out(scheduler, call.now, call.by());
        let told = done
            .map_err(|why| (409, why))
            .map(|changed| json!({ "changed": changed, "pauses": pauses_json(scheduler) }));
        self.note(ticket, order.of.to_string(), told);
    }
}
