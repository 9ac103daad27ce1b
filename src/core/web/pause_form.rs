//! What the fields of a form say of a pause.

use super::call::Call;
use super::parameters;
use crate::core::change::NOTE;
use crate::core::http::Response;
use crate::core::journal::{NOTE_CHARS, PauseOf};
use crate::core::scheduler::{PauseOrder, Scheduler};
use crate::core::table::Table;
use crate::core::time::{self, Now, OPEN_END_MS};
use serde_json::Value;

fn refuse(why: &str) -> Response {
    Response::problem(400, why)
}

/// What a form says of a pause: its end, as it is written and in unix ms, and why. No end: somebody
/// has to end it.
pub(super) fn of_form(call: &Call<'_>) -> Result<(Option<(String, i64)>, String), Response> {
    let field = |name: &str| call.request.form(name).unwrap_or_default().trim().to_owned();
    let end = match field("until") {
        text if text.is_empty() => None,
        text => {
            let end_ms = until(call.now, &Value::from(text.as_str()))?;
            Some((text, end_ms))
        }
    };
    Ok((end, field(NOTE).chars().take(NOTE_CHARS).collect()))
}

/// What a form wants of a tag, or of all jobs where it names none.
pub(super) fn order_of_form(
    scheduler: &Scheduler,
    call: &Call<'_>,
    is_pause: bool,
) -> Result<PauseOrder, Response> {
    let (end, note) = of_form(call)?;
    // Who names a job does not mean all of them.
    let field = |name: &str| call.request.form(name).filter(|text| !text.trim().is_empty());
    if field("job").is_some() || field("run").is_some() {
        return Err(refuse("a job is paused by /jobs/ID/pause, and resumed by /jobs/ID/resume"));
    }
    let Some(tag) = call.request.form("tag") else {
        return Err(refuse("tag: the id of a tag; empty: all jobs"));
    };
    let of = match tag.trim() {
        "" => PauseOf::All,
        id => {
            let id: u32 = id.parse().map_err(|_| refuse("tag: the id of a tag"))?;
            PauseOf::Tag(tag_id(scheduler, &id.into())?)
        }
    };
    let until_ms = end.map(|(_, end_ms)| end_ms).filter(|it| is_pause && *it < OPEN_END_MS);
    Ok(PauseOrder { of, is_pause, until_ms, note })
}

/// The end of a pause.
pub(super) fn until(now: Now, value: &Value) -> Result<i64, Response> {
    let text = value.as_str().unwrap_or_default();
    let at_ms = time::instant(text).map_err(|why| refuse(&format!("until: {why}")))?;
    match at_ms > now.wall_ms {
        true => Ok(at_ms),
        false => Err(refuse("until: it is past: name an instant to come, or leave it out")),
    }
}

/// The id of a tag that a row or a job has, or that is paused. Before the first table nobody knows
/// which there are, and a number is believed.
pub(super) fn tag_id(scheduler: &Scheduler, tag: &Value) -> Result<u32, Response> {
    let (text, may_be_name) = match tag {
        Value::Number(number) => (number.to_string(), false),
        Value::String(name) => (name.clone(), true),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(refuse("tag: its id or its name"));
        }
    };
    let Table { tags, .. } = scheduler.table();
    let is_it = |(_, name): &(&u32, &String)| may_be_name && **name == text;
    let named = tags.iter().find(is_it).map(|(id, _)| *id);
    let id = text.parse::<u32>().ok().filter(|id| *id > 0);
    let is_paused = |id: &u32| scheduler.pauses().has(PauseOf::Tag(*id));
    match (named, id) {
        (Some(id), _) => Ok(id),
        (None, Some(id)) if is_paused(&id) => Ok(id),
        (None, Some(id)) => parameters::check_tag_named(scheduler, &text).map(|()| id),
        (None, None) => {
            parameters::check_tag_named(scheduler, &text)?;
            Err(Response::problem(503, "which tags there are is not known yet: name its id"))
        }
    }
}
