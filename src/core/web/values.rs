//! Values of parameters: numbers and instants.

use crate::core::http::{Request, Response};
use crate::core::time;

/// A whole number from 1 on, `most` at the most.
pub(super) fn number(
    request: &Request,
    name: &str,
    default: usize,
    most: Option<usize>,
) -> Result<usize, Response> {
    let Some(text) = request.query(name) else { return Ok(default) };
    let is_allowed = |number: &usize| *number > 0 && most.is_none_or(|most| *number <= most);
    text.parse().ok().filter(is_allowed).ok_or_else(|| {
        let range = most.map_or("on".to_owned(), |most| format!("to {most}"));
        Response::problem(400, &format!("{name}: a whole number from 1 {range}"))
    })
}

/// An instant of the years that schedules know, if one is given; unix ms.
pub(super) fn instant(request: &Request, name: &str) -> Result<Option<i64>, Response> {
    let Some(text) = request.query(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    // A plus that is not encoded is read as a blank. Within an instant it can only be a plus.
    let text = match text.rsplit_once(' ') {
        Some((time, offset)) if time.contains(['T', 't']) => format!("{time}+{offset}"),
        Some(_) | None => text.into_owned(),
    };
    let refuse = |why: &str| Response::problem(400, &format!("{name}: {why}"));
    let at_ms = time::instant(&text).map_err(|why| refuse(&why))?;
    match time::SCHEDULED_MS.contains(&at_ms) {
        true => Ok(Some(at_ms)),
        false => Err(refuse("an instant of the years 1970 to 9998")),
    }
}
