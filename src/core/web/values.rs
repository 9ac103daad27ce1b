//! Values of parameters: numbers and instants.

use crate::core::cron::Zone;
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
pub(super) fn instant(request: &Request, name: &str, zone: &Zone) -> Result<Option<i64>, Response> {
    let text = request.query(name).filter(|text| !text.is_empty());
    text.map(|text| instant_of(name, &text, zone)).transpose()
}

/// The same of a text.
pub(super) fn instant_of(name: &str, text: &str, zone: &Zone) -> Result<i64, Response> {
    // A plus that is not encoded is read as a blank. Within an instant it can only be a plus.
    let text = match text.rsplit_once(' ') {
        Some((time, offset)) if time.contains(['T', 't']) => format!("{time}+{offset}"),
        Some(_) | None => text.to_owned(),
    };
    let refuse = |why: &str| Response::problem(400, &format!("{name}: {why}"));
    let at_ms = time::instant_in(&text, zone).map_err(|why| refuse(&why))?;
    match time::SCHEDULED_MS.contains(&at_ms) {
        true => Ok(at_ms),
        false => Err(refuse("an instant of the years 1970 to 9998")),
    }
}
