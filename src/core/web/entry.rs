//! Forms that change jobs, for a browser without scripts: what stands in their fields becomes a
//! change, and the answer leads to the job, or is the form once more, with what is wrong.
//!
//! The button *Preview* changes nothing: the form comes back with what it would come to.
//!
//! Each field comes with what it said when the form was made (`was_NAME`, or `md5_NAME` of a long
//! one): what somebody left alone is no change, also where it says something else by now.

use super::actions::Form;
use super::call::Call;
use super::parameters::job_id;
use super::pause_form;
use super::repeats::Key;
use super::root::Root;
use super::texts::written_columns;
use crate::core::change::{Change, ENABLED, Of, Wanted};
use crate::core::columns::{Column, ColumnKind};
use crate::core::definition::hex;
use crate::core::http::{Request, Response};
use crate::core::ids::JobId;
use crate::core::plain;
use crate::core::time::OPEN_END;
use crate::core::version::Version;
use md5::{Digest, Md5};
use serde_json::Value;

/// Characters of the key that a form has.
const MAX_KEY_CHARS: usize = 100;

/// Bytes of a text that goes with a form twice.
const MAX_WAS_BYTES: usize = 1_000;

/// What the names begin with of hidden fields that say what others said, or the MD5 of that.
const WAS: &str = "was_";
const DIGEST: &str = "md5_";

/// `POST /jobs/new`
pub(super) fn create(call: &Call<'_>) -> Result<Change, Response> {
    Ok(Change::Create { columns: columns(call.request) })
}

/// `POST /jobs/ID/edit`
pub(super) fn edit(call: &Call<'_>) -> Result<Change, Response> {
    let (id, expected) = (job_id(call.argument)?, Some(expected(call.request)?));
    Ok(Change::Edit { id, columns: columns(call.request), expected })
}

/// `POST /jobs/ID/delete`
pub(super) fn delete(call: &Call<'_>) -> Result<Change, Response> {
    let (id, expected) = (job_id(call.argument)?, Some(expected(call.request)?));
    Ok(Change::Delete { id, expected })
}

/// `POST /jobs/ID/enable`
pub(super) fn enable(call: &Call<'_>) -> Result<Change, Response> {
    Ok(Change::Switch { id: job_id(call.argument)?, enabled: true, expected: None })
}

/// `POST /jobs/ID/disable`
pub(super) fn disable(call: &Call<'_>) -> Result<Change, Response> {
    Ok(Change::Switch { id: job_id(call.argument)?, enabled: false, expected: None })
}

/// `POST /jobs/ID/pause`
pub(super) fn pause(call: &Call<'_>) -> Result<Change, Response> {
    let (until, note) = pause_form::of_form(call)?;
    let until = until.map_or(OPEN_END.to_owned(), |(text, _)| text);
    Ok(Change::Pause { id: job_id(call.argument)?, until, note })
}

/// `POST /jobs/ID/resume`
pub(super) fn resume(call: &Call<'_>) -> Result<Change, Response> {
    let (until, note) = (String::new(), String::new());
    Ok(Change::Pause { id: job_id(call.argument)?, until, note })
}

/// The version of the row that the form shows.
fn expected(request: &Request) -> Result<Version, Response> {
    let text = request.form("version").unwrap_or_default();
    text.parse().map_err(|_| {
        let shown = plain::shown(&text);
        let hint = "open the form again, and send the field as it is there";
        Response::problem(400, &format!("version: `{shown}` is none of a job: {hint}"))
    })
}

/// What a field says.
pub(super) fn field(request: &Request, name: &str) -> String {
    given(request, name).unwrap_or_default()
}

/// The same, if the form has it.
pub(super) fn given(request: &Request, name: &str) -> Option<String> {
    request.form(name).map(|text| lines(&text))
}

/// Browsers send every end of a line as CRLF (WHATWG HTML §4.10.22.4).
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// What comes back of a text that stands in a page, if nobody changes it.
pub(super) fn carried(text: &str) -> String {
    plain::without_controls(lines(text))
}

/// What a field said when its form was made: goes with the form, hidden.
pub(super) struct Was {
    pub name: String,
    pub value: String,
}

impl Was {
    /// Of a field that says this. Of a long text it is the MD5: a form is not to be twice as long.
    pub(super) fn of(name: &str, text: &str) -> Was {
        let (prefix, value) = match text.len() > MAX_WAS_BYTES {
            true => (DIGEST, digest(&carried(text))),
            false => (WAS, text.to_owned()),
        };
        Was { name: format!("{prefix}{name}"), value }
    }

    /// As a form says it that was sent.
    pub(super) fn sent(request: &Request, name: &str) -> Was {
        let one = |prefix: &str| {
            let name = format!("{prefix}{name}");
            given(request, &name).map(|value| Was { name, value })
        };
        let none = || Was { name: format!("{WAS}{name}"), value: String::new() };
        one(DIGEST).or_else(|| one(WAS)).unwrap_or_else(none)
    }

    fn is(&self, text: &str) -> bool {
        if self.name.starts_with(DIGEST) { digest(text) == self.value } else { text == self.value }
    }
}

fn digest(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

/// Whether somebody has written something else into a field, and what.
pub(super) fn changed(request: &Request, name: &str) -> Option<String> {
    let is = field(request, name);
    (!Was::sent(request, name).is(&is)).then_some(is)
}

/// What is to be otherwise.
fn columns(request: &Request) -> Wanted {
    let one = |column: Column| {
        let text = changed(request, column.name())?;
        let number = match column.kind() {
            ColumnKind::Number | ColumnKind::Reference => text.trim().parse::<u32>().ok(),
            ColumnKind::Text | ColumnKind::Command | ColumnKind::Link => None,
        };
        // What is no number is refused by the rules, by name.
        let value = number.map_or_else(|| Value::from(text), Value::from);
        Some((column.name().to_owned(), value))
    };
    let mut columns: Wanted = written_columns().filter_map(one).collect();
    if let Some(is) = changed(request, ENABLED) {
        columns.insert(ENABLED.to_owned(), (!is.is_empty()).into());
    }
    columns
}

/// Whether somebody wants to see what it would come to, and no more.
pub(super) fn is_preview(request: &Request) -> bool {
    request.form("do").as_deref() == Some("preview")
}

/// What keeps a form that is sent twice from making two jobs.
pub(super) fn key(request: &Request, of: Of) -> Option<Key> {
    let text = field(request, "key");
    let is_good = (1..=MAX_KEY_CHARS).contains(&text.len()) && text.is_ascii();
    is_good.then(|| Key::with(&text, request, of))
}

/// Where somebody is led who waits no longer.
pub(super) fn back(request: &Request, change: &Change) -> Form {
    Form::Back(303, way(request, change.id()))
}

/// Where a change leads: to the job, or to all of them where it is gone.
pub(super) fn done(request: &Request, job: Option<JobId>) -> Response {
    Response::redirect(303, &way(request, job))
}

/// The way to a job from the page of a request; without one, to the list.
fn way(request: &Request, job: Option<JobId>) -> String {
    let path = job.map_or("/".to_owned(), |id| format!("/jobs/{id}"));
    Root::of(request).to(&path)
}
