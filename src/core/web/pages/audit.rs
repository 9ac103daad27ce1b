//! `/audit`: who did what; and, on a job's page, how that came to be what it is.

use super::super::Web;
use super::super::audit::{self, Found, Line, Page, Wanted};
use super::super::call::Call;
use super::super::root::Root;
use super::super::route::Place;
use super::super::routes::ROUTES;
use super::super::texts::{ActTexts, acts, column_label, fill, written_columns};
use super::frame::{Frame, Part};
use super::links;
use super::look::Look;
use super::words::Moment;
use super::{render, unkept};
use crate::core::change::ENABLED;
use crate::core::http::Response;
use crate::core::ids::{ConnId, JobId};
use crate::core::plain;
use crate::core::protocol::Past;
use crate::core::scheduler::Scheduler;
use crate::core::time::Now;
use askama::Template;
use serde_json::Value;

/// Entries on the page of a job.
const OF_JOB: usize = 10;

/// Columns of a value that are shown; the form has all of it.
const SHOWN_COLUMNS: usize = 200;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditSheet {
    frame: Frame,
    a: &'static ActTexts,
    /// Of all jobs, each has its name.
    of_all: bool,
    acts: Vec<ActRow>,
    job: String,
    who: String,
    /// Why it is not all.
    why: String,
    newest: String,
    older: String,
}

/// A line of the table.
pub(super) struct ActRow {
    pub id: String,
    pub at: Moment,
    pub who: String,
    pub from: String,
    pub verb: String,
    pub job: Option<(JobId, String)>,
    /// Column, what stood there, what stands there.
    pub what: Vec<(String, String, String)>,
    pub result: String,
    /// Where what was before can be brought back; empty: nothing can.
    pub back: String,
}

impl Web {
    /// `GET /audit`, if the daemon knows all of it itself.
    pub(in crate::core::web) fn audit_known(
        &self,
        scheduler: &Scheduler,
        asked: (Now, ConnId),
        page: &Page,
    ) -> Option<Response> {
        let found = audit::known(scheduler, &page.wanted)?;
        Some(self.audit_sheet(scheduler, asked, page, found))
    }

    /// The same, once the database has answered or has not.
    pub(in crate::core::web) fn audit_page(
        &self,
        scheduler: &Scheduler,
        asked: (Now, ConnId),
        page: &Page,
        said: Result<Box<Past>, String>,
    ) -> Response {
        let found = match said {
            Ok(past) => audit::together(scheduler, &page.wanted, &past),
            Err(why) => audit::alone(scheduler, &page.wanted, why),
        };
        self.audit_sheet(scheduler, asked, page, found)
    }

    fn audit_sheet(
        &self,
        scheduler: &Scheduler,
        (now, conn): (Now, ConnId),
        page: &Page,
        found: Found,
    ) -> Response {
        let Page { wanted, request } = page;
        let call = Place::of(ROUTES, request.path()).call(now, conn, request);
        let (look, root) = (Look::of(request), Root::of(request));
        let (t, a) = (look.texts(), acts(look.lang));
        let address = |before: &str| address(wanted, before);
        let before = wanted.before.map(|id| id.to_string()).unwrap_or_default();
        let mut frame =
            self.frame(scheduler, &call, look, (Part::Audit, t.audit), address(&before));
        frame.events = frame.root.to("/api/v1/events?per_page=1&state=-");
        let older = found.next.as_ref().map(|next| root.to(&address(next)));
        let newest = wanted.before.map(|_| root.to(&address("")));
        let row = |line: &Line| row(scheduler, (now, look, &root), line);
        let sheet = AuditSheet {
            frame,
            a,
            of_all: true,
            acts: found.lines.iter().map(row).collect(),
            job: wanted.job.map(|job| job.to_string()).unwrap_or_default(),
            who: wanted.who.clone().unwrap_or_default(),
            why: found.why.map(|why| fill(a.alone, &[&why])).unwrap_or_default(),
            newest: newest.unwrap_or_default(),
            older: older.unwrap_or_default(),
        };
        unkept(request, look, render(200, &sheet))
    }
}

fn address(wanted: &Wanted, before: &str) -> String {
    let mut address = "/audit".to_owned();
    let job = wanted.job.map(|job| job.to_string()).unwrap_or_default();
    let who = wanted.who.clone().unwrap_or_default();
    for (name, value) in [("job", &*job), ("who", &who), ("before", before)] {
        links::add(&mut address, name, value);
    }
    address
}

/// What the daemon remembers to have been done with a job, newest first.
pub(super) fn of_job(scheduler: &Scheduler, call: &Call<'_>, job: JobId) -> Vec<ActRow> {
    let (look, root) = (Look::of(call.request), Root::of(call.request));
    let wanted = Wanted { job: Some(job), limit: OF_JOB, ..Wanted::default() };
    let found = audit::alone(scheduler, &wanted, String::new());
    found.lines.iter().map(|line| row(scheduler, (call.now, look, &root), line)).collect()
}

fn row(scheduler: &Scheduler, (now, look, root): (Now, Look, &Root), line: &Line) -> ActRow {
    let a = acts(look.lang);
    let name = |job: JobId| {
        let known = scheduler.table().row(job);
        (job, known.map_or(String::new(), |(def, _)| def.name.to_string()))
    };
    let nothing = line.what.is_empty() || line.action == "create" || !line.is_done();
    let back = line.job.filter(|_| !nothing);
    let back = back.map(|job| root.to(&format!("/jobs/{job}/back?act={}", line.id)));
    ActRow {
        id: line.id.clone(),
        at: Moment::new(now, line.at_ms, &scheduler.settings().zone),
        who: if line.who.is_empty() { line.origin.clone() } else { line.who.clone() },
        from: line.origin.clone(),
        verb: a.verb(&line.action).to_owned(),
        job: line.job.map(name),
        what: line.what.iter().map(|(name, pair)| changed(look, name, pair)).collect(),
        result: if line.is_done() { a.done.to_owned() } else { line.result.clone() },
        back: back.unwrap_or_default(),
    }
}

fn changed(look: Look, name: &str, pair: &Value) -> (String, String, String) {
    let column = written_columns().find(|column| column.name() == name);
    let label = match column {
        Some(column) => column_label(look.lang, column).to_owned(),
        None if name == ENABLED => look.texts().in_force.to_owned(),
        None => name.to_owned(),
    };
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => plain::clean(text, SHOWN_COLUMNS),
        other => plain::clean(&other.to_string(), SHOWN_COLUMNS),
    };
    match pair.as_array().map(Vec::as_slice) {
        Some([was, is]) => (label, text(was), text(is)),
        // Of a file it is told how many there are.
        _ => (label, String::new(), text(pair)),
    }
}
