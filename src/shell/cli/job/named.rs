//! Which job, or which run, is meant.

use crate::core::config::did_you_mean;
use crate::core::http::percent_encode;
use crate::core::ids::{JobId, RunId};
use crate::core::plain;
use crate::shell::cli::control::api::{Daemon, Failed};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Jobs that are asked for at a time.
const PER_PAGE: usize = 1_000;

/// A line of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub id: JobId,
    pub name: String,
}

#[derive(Debug, Deserialize)]
struct List {
    jobs: Vec<Line>,
    total: usize,
}

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Job(JobId),
    Run(RunId),
}

impl Named {
    /// Where it is in the API.
    pub fn path(self) -> String {
        match self {
            Named::Job(id) => format!("/api/v1/jobs/{id}"),
            Named::Run(run) => format!("/api/v1/runs/{run}"),
        }
    }
}

/// The job with this id, or with exactly this name. Whether there is a job with the id, the answer
/// to what is asked next tells.
pub(in crate::shell::cli) fn job(daemon: &Daemon, text: &str) -> Result<JobId, Failed> {
    match text.parse() {
        Ok(id) => Ok(id),
        Err(_) => by_name(daemon, text)?.ok_or(()).or_else(|()| Err(unknown(daemon, text)?)),
    }
}

/// The same, or the run with this id. A job may have a name that reads like the id of a run: then
/// the job is meant.
pub(super) fn job_or_run(daemon: &Daemon, text: &str) -> Result<Named, Failed> {
    if let Ok(id) = text.parse() {
        return Ok(Named::Job(id));
    }
    match (by_name(daemon, text)?, text.parse()) {
        (Some(id), _) => Ok(Named::Job(id)),
        (None, Ok(run)) => Ok(Named::Run(run)),
        (None, Err(_)) => Err(unknown(daemon, text)?),
    }
}

fn by_name(daemon: &Daemon, name: &str) -> Result<Option<JobId>, Failed> {
    let query = format!("state=all&q={}", percent_encode(name));
    let called = lines(daemon, &query)?.into_iter().filter(|line| line.name == name);
    let ids: BTreeSet<JobId> = called.map(|line| line.id).collect();
    if ids.len() > 1 {
        let ids: Vec<String> = ids.iter().map(JobId::to_string).collect();
        let (shown, ids) = (plain::shown(name), ids.join(", "));
        return Err(Failed::new(format!(
            "several jobs are called `{shown}`: say which by its id: {ids}"
        )));
    }
    Ok(ids.first().copied())
}

/// What is said of a name that no job has.
fn unknown(daemon: &Daemon, name: &str) -> Result<Failed, Failed> {
    let known = lines(daemon, "state=all")?;
    let names = known.iter().map(|line| &*line.name).filter(|name| !name.is_empty());
    let hint = match did_you_mean(name, names) {
        Some(near) => format!("did you mean `{}`?", plain::line(near)),
        None => "`schedule job list --state all` shows which there are".to_owned(),
    };
    Ok(Failed::new(format!("there is no job `{}`: {hint}", plain::shown(name))))
}

/// All jobs that a query asks for.
pub(super) fn lines(daemon: &Daemon, query: &str) -> Result<Vec<Line>, Failed> {
    let mut all = Vec::new();
    for page in 1.. {
        let path = format!("/api/v1/jobs?{query}&per_page={PER_PAGE}&page={page}");
        let List { jobs, total } = daemon.json(&path)?;
        let was_last = jobs.len() < PER_PAGE;
        all.extend(jobs);
        if was_last || all.len() >= total {
            break;
        }
    }
    Ok(all)
}
