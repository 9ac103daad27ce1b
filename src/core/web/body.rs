//! What a request to change something says: what is to be otherwise, and what of it was seen.

use crate::core::change::Wanted;
use crate::core::http::{Request, Response};
use crate::core::json;
use crate::core::plain;
use crate::core::version::Version;
use serde_json::Value;

/// The columns that a body names. Of what type it says that it is does not matter: `curl -d` calls
/// it a form, and what a page of another site sends is refused before.
pub(super) fn columns(request: &Request) -> Result<Wanted, Response> {
    body(request, "{\"name\": \"backup\", \"cron\": \"0 3 * * *\"}")
}

/// The same of anything; `example` is what a body may look like.
pub(super) fn body(request: &Request, example: &str) -> Result<Wanted, Response> {
    let refuse = |why: String| {
        Err(Response::problem(400, &format!("the body is no JSON object such as {example}: {why}")))
    };
    match json::read(&request.body) {
        Ok(Value::Object(columns)) => Ok(columns),
        Ok(_) => refuse("it is another value".into()),
        Err(_) if request.body.is_empty() => refuse("there is none".into()),
        Err(why) => refuse(why.to_string()),
    }
}

/// What the row must be (RFC 9110 §13.1.1).
pub(super) fn expected(request: &Request) -> Result<Option<Version>, Response> {
    let mut all = request.headers("if-match");
    let (Some(text), more) = (all.next(), all.next()) else { return Ok(None) };
    let text = str::from_utf8(text).unwrap_or_default();
    if text == "*" && more.is_none() {
        return Ok(None);
    }
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match quoted.map(str::parse).filter(|_| more.is_none()) {
        Some(Ok(version)) => Ok(Some(version)),
        _ => {
            let shown = plain::shown(text);
            let hint = "send the `version` of the job's answer, one and in double quotes, not the \
                        ETag";
            Err(Response::problem(400, &format!("If-Match: `{shown}` is no version: {hint}")))
        }
    }
}
