//! What the fields of a form say of a pause.

use super::call::Call;
use crate::core::change::NOTE;
use crate::core::http::Response;
use crate::core::journal::{NOTE_CHARS, PauseOf};
use crate::core::scheduler::PauseOrder;
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
pub(super) fn order_of_form(call: &Call<'_>, is_pause: bool) -> Result<PauseOrder, Response> {
    let (end, note) = of_form(call)?;
    let tag = call.request.form("tag").unwrap_or_default();
    let of = match tag.trim() {
        "" => PauseOf::All,
        id => PauseOf::Tag(id.parse().map_err(|_| refuse("tag: the id of a tag"))?),
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
