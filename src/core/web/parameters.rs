//! Which parameters there are, and which values make sense. One that is misspelt, or means nothing,
//! would look to a program like a list without jobs: it is refused, with what there is.

use super::call::{Awaits, Call};
use super::filter::Paging;
use super::sort::Sort;
use super::sources;
use super::states::ALL;
use crate::core::config::did_you_mean;
use crate::core::http::{Request, Response};
use crate::core::ids::{BadJobId, BadRunId, JobId, RUN_ID_CHARS, RunId};
use crate::core::plain::{self, isolated};
use crate::core::scheduler::{DatabaseState, Scheduler};
use crate::core::state_label::StateLabel;

/// The first parameter that there is not, and what there is.
pub(super) fn unknown(call: &Call<'_>) -> Option<(String, Vec<&'static str>)> {
    let known = call.parameters?;
    let is_known = |name: &str| known.iter().any(|list| list.contains(&name));
    let (name, _) = call.request.query_pairs().find(|(name, _)| !is_known(name))?;
    Some((plain::shown(&name), known.concat()))
}

/// Refuses a program's request with a parameter that there is not.
pub(super) fn check_names(call: &Call<'_>) -> Result<(), Response> {
    let Some((name, known)) = unknown(call) else { return Ok(()) };
    let there = match (did_you_mean(&name, known.iter().copied()), known.is_empty()) {
        (_, true) => "this takes none".to_owned(),
        (Some(right), _) => format!("did you mean `{right}`?"),
        (None, _) => format!("there are {}", known.join(", ")),
    };
    Err(Response::problem(400, &format!("there is no parameter `{name}`: {there}")))
}

/// What of a list's query can be judged without a table.
pub(super) fn check_list(request: &Request) -> Result<(), Response> {
    check_state(request)?;
    check_order(request)?;
    Paging::new(request).map(drop)
}

/// A state that never is. (Pages that show no list listen to events of such a state.)
fn check_state(request: &Request) -> Result<(), Response> {
    let states = StateLabel::ALL.map(StateLabel::label);
    one_of(request, "state", &[&states[..], &[ALL]].concat())
}

/// How a list is to be ordered.
pub(super) fn check_order(request: &Request) -> Result<(), Response> {
    one_of(request, "sort", &Sort::ALL.map(Sort::label))?;
    one_of(request, "dir", &["asc", "desc"])
}

/// That a parameter has a value that means something, if it has one.
pub(super) fn one_of(request: &Request, name: &str, choices: &[&str]) -> Result<(), Response> {
    let value = request.query(name).filter(|value| !value.is_empty());
    let Some(value) = value.filter(|value| !choices.contains(&&**value)) else { return Ok(()) };
    let shown = plain::shown(&value);
    let why = format!("{name}: `{shown}` is none of {}", choices.join(", "));
    Err(Response::problem(400, &why))
}

/// Whether something is wanted: `true`, `1`, or the name alone. What is there twice says the same.
pub(super) fn flag(request: &Request, name: &str) -> Result<bool, Response> {
    let refuse = |why: &str| Err(Response::problem(400, &format!("{name}: {why}")));
    let mut wanted = None;
    for (_, value) in request.query_pairs().filter(|(its, _)| its == name) {
        let this = match &*value {
            "false" | "0" => false,
            "" | "true" | "1" => true,
            other => return refuse(&format!("`{}` is none of true, false", plain::shown(other))),
        };
        if wanted.is_some_and(|before| before != this) {
            return refuse("it is there twice, once as true and once as false");
        }
        wanted = Some(this);
    }
    Ok(wanted.unwrap_or(false))
}

/// The id of a job in a path or a form.
pub(super) fn job_id(text: &str) -> Result<JobId, Response> {
    text.parse().map_err(|why: BadJobId| {
        let status = match why {
            BadJobId::NoNumber(_) => 400,
            // It makes sense, and is nobody's address.
            BadJobId::Otherwise(..) => 404,
        };
        Response::problem(status, &why.to_string())
    })
}

/// The id of a run in a path or a form.
pub(super) fn run_id(text: &str) -> Result<RunId, Response> {
    let read: Result<RunId, BadRunId> = text.parse();
    // A longer one would be of a year that no clock shows, and has no place in a key column.
    let read = read.and_then(|id| match text.len() > RUN_ID_CHARS {
        true => Err(BadRunId(plain::shown(text))),
        false => Ok(id),
    });
    read.map_err(|why| Response::problem(400, &why.to_string()))
}

/// The run, and the stream of it, whose output a job's page is to show.
pub(super) fn check_output(
    scheduler: &Scheduler,
    request: &Request,
    job: JobId,
) -> Result<(), Response> {
    one_of(request, "stream", &["stdout", "stderr"])?;
    let Some(asked) = request.query("run").filter(|run| !run.is_empty()) else { return Ok(()) };
    let bad = |why: BadRunId| Response::problem(400, &format!("run: {why}"));
    let run = asked.parse::<RunId>().map_err(bad)?;
    // One that is forgotten is nobody's.
    let other = sources::job_of_run(scheduler, run).filter(|of| *of != job);
    let Some(other) = other else { return Ok(()) };
    let why = format!("run {run} is one of job {other}, not of job {job}");
    Err(Response::problem(404, &format!("{why}: see /jobs/{other}?run={run}")))
}

/// Whether only the first answer of the database, which has not come and may come any moment,
/// tells what is right: which tags there are, which jobs.
pub(super) fn awaits_table(scheduler: &Scheduler, request: &Request, awaits: Awaits) -> bool {
    let down = matches!(scheduler.sync_state().database, DatabaseState::Down { .. });
    // A command is told at once: who sent it may give up, and it must not be done after that.
    if down || scheduler.knows_table() || request.query("action").is_some() {
        return false;
    }
    let tag = || request.query("tag").is_some_and(|tag| !tag.is_empty());
    match awaits {
        Awaits::Nothing => false,
        Awaits::Tags => tag() && check_list(request).is_ok(),
        Awaits::Jobs => true,
    }
}

/// A tag that neither a row nor a job has. (The original's links, with `tagid`, lead to an
/// empty list there and here.)
pub(super) fn check_tag(scheduler: &Scheduler, request: &Request) -> Result<(), Response> {
    let asked = request.query("tag").filter(|tag| !tag.is_empty());
    asked.map_or(Ok(()), |asked| check_tag_named(scheduler, &asked))
}

/// The same of one that is named elsewhere.
pub(super) fn check_tag_named(scheduler: &Scheduler, asked: &str) -> Result<(), Response> {
    /// Tags that are listed in the answer.
    const MAX_LISTED: usize = 20;
    let table = scheduler.table();
    let id = asked.parse::<u32>().ok();
    let of_jobs = || table.iter().chain(table.disabled()).any(|it| Some(it.def.tag_id) == id);
    let there = table.tags.iter().any(|(tag, name)| Some(*tag) == id || *name == *asked);
    if there || id == Some(0) || of_jobs() || !scheduler.knows_table() {
        return Ok(());
    }
    let known = table
        .tags
        .iter()
        .take(MAX_LISTED)
        .map(|(id, name)| format!("{id} ({})", isolated(&plain::line(name))));
    let known: Vec<String> = known.collect();
    let right = match known.is_empty() {
        true => "there are no tags".to_owned(),
        false => format!("write one of {}", known.join(", ")),
    };
    let shown = plain::shown(asked);
    Err(Response::problem(400, &format!("tag: `{shown}` is no tag: {right}")))
}
