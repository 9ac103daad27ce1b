//! What is asked for and is not there. As long as no table was read nobody knows whether it is:
//! then that is said, with 503, and not "there is no such job", which a program would believe.

use crate::core::change::Of;
use crate::core::http::Response;
use crate::core::ids::{JobId, RunId};
use crate::core::plain;
use crate::core::scheduler::{DatabaseState, Scheduler};

/// A status and what is to be said.
pub(super) type Missing = (u16, String);

/// The answer that says so.
pub(super) fn answer((status, why): Missing) -> Response {
    Response::problem(status, &why)
}

/// Why nothing can be said of jobs yet; none once a table is in force.
pub(super) fn table_unread(scheduler: &Scheduler) -> Option<Missing> {
    if scheduler.knows_table() {
        return None;
    }
    let database = match &scheduler.sync_state().database {
        DatabaseState::Down { message, .. } => format!("database: {message}"),
        DatabaseState::Unknown | DatabaseState::Up => "try again shortly".to_owned(),
    };
    Some((503, format!("the table of jobs was not read yet, {database}")))
}

/// Why there is no such job.
pub(super) fn no_job(scheduler: &Scheduler, id: JobId) -> Missing {
    if let Some(unread) = table_unread(scheduler) {
        return unread;
    }
    if let Some(why) = scheduler.sync_state().bad_rows.why(Of::Job, id.0) {
        return (404, format!("job {id} can't be one: {why}"));
    }
    let group = scheduler.settings().server_id;
    let why = "no row with this id and server_id";
    (404, format!("job {id} is not in force: {why} = {group}, or it was not read yet"))
}

/// Why there is no such run.
pub(super) fn no_run(scheduler: &Scheduler, run: RunId) -> Missing {
    table_unread(scheduler)
        .unwrap_or_else(|| (404, format!("there is no run {run}, or it ended long ago")))
}

/// Why no job has such a key.
pub(super) fn no_key(scheduler: &Scheduler) -> Missing {
    let why = "no job has this md5: its row was changed or is gone; see /api/v1/jobs";
    table_unread(scheduler).unwrap_or_else(|| (404, why.to_owned()))
}

/// That there is no such page. One that is there below another path (`in_front`) comes from a proxy
/// that leaves its own path in front of it.
pub(super) fn no_page(in_front: &[&str]) -> Response {
    let hint = match in_front {
        [] => String::new(),
        before => {
            let path = plain::line(&before.join("/"));
            format!("; if a proxy stands before it, it has to take /{path} off (docs/http.md)")
        }
    };
    Response::problem(404, &format!("there is no such page{hint}; see /api/v1/openapi.json and /"))
}
