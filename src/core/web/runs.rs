//! Runs of the whole past, newest first: `GET /api/v1/runs`, `…/jobs/ID/runs` and `…/runs/RUN`.
//! What the daemon knows itself is put together with what the database has; of a run that both know
//! the daemon knows more. Where the database does not answer, what is known is told, and that it is
//! not all.
//!
//! - `wanted`: what a request asks for
//! - `known`: what the daemon knows itself
//! - `page`: both in one order
//! - `view`: a run as JSON

mod known;
mod page;
mod view;
mod wanted;

use crate::core::http::{Response, etag_of};
use crate::core::ids::{JobId, RunId};
use crate::core::protocol::{Past, RunsAsk};
use crate::core::scheduler::Scheduler;
use crate::core::time::Now;
pub(super) use page::{answer, known_page, untold};
pub(super) use wanted::{PARAMETERS, Wanted, asked_run};

/// What the database is asked for a page.
pub(super) fn page_ask(scheduler: &Scheduler, wanted: &Wanted) -> RunsAsk {
    RunsAsk {
        below: known::place_of(scheduler, &wanted.before),
        near: known::place_by_id(scheduler, &wanted.before),
        ..wanted.ask(scheduler)
    }
}

/// What the database is asked for a run.
pub(super) fn one_ask(scheduler: &Scheduler, run: &str) -> RunsAsk {
    RunsAsk {
        server_id: scheduler.settings().server_id,
        run: run.to_owned(),
        limit: 1,
        ..RunsAsk::default()
    }
}

/// The run, if the daemon knows it itself.
pub(super) fn one_known(scheduler: &Scheduler, now: Now, run: &str) -> Option<Response> {
    let id: RunId = run.parse().ok()?;
    let job = super::sources::job_of_run(scheduler, id)?;
    let known = known::run_of(scheduler, job, id)?;
    Some(json(format!("{}\n", view::known(scheduler, now, job, known))))
}

/// A run, as the daemon knows it or the database says.
pub(super) fn one(
    scheduler: &Scheduler,
    now: Now,
    run: &str,
    said: Result<Box<Past>, String>,
) -> Response {
    if let Some(known) = one_known(scheduler, now, run) {
        return known;
    }
    match said {
        Err(why) => Response::problem(503, &format!("run {run}: database: {why}")),
        Ok(past) => match past.runs.first() {
            Some(row) => match serde_json::to_string(&view::row(scheduler, row)) {
                Ok(text) => json(text + "\n"),
                Err(why) => Response::problem(500, &why.to_string()),
            },
            None => Response::problem(404, &format!("there is no run {run}")),
        },
    }
}

/// A JSON answer that is not sent again where it is the same.
fn json(text: String) -> Response {
    let tag = etag_of(text.as_bytes());
    Response::json(200, text).etag(tag).header("Cache-Control", "no-cache")
}

/// Whether a job is known by its row.
fn is_job(scheduler: &Scheduler, job: JobId) -> bool {
    scheduler.table().get(job).is_some()
}
