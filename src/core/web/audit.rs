//! `GET /api/v1/audit`: who changed what, and who had the daemon do what; newest first.

use super::Web;
use super::call::Call;
use super::parameters::{job_id, run_id};
use super::sources::Source;
use super::values::{instant, number};
use crate::core::change::By;
use crate::core::http::{Request, Response};
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{ActEntry, DONE};
use crate::core::plain::line;
use crate::core::scheduler::{Did, Scheduler};
use crate::core::time::{Now, rfc3339};
use serde_json::{Value, json};

/// Entries of a page where the client does not say.
const DEFAULT_ENTRIES: usize = 100;

/// The same at the most.
const MAX_ENTRIES: usize = 1_000;

/// What is asked for.
struct Filter {
    job: Option<JobId>,
    who: Option<String>,
    since_ms: Option<i64>,
    before: Option<RunId>,
}

impl Filter {
    fn of(request: &Request) -> Result<Filter, Response> {
        let given = |name| request.query(name).filter(|text| !text.is_empty());
        Ok(Filter {
            job: given("job").map(|text| job_id(&text)).transpose()?,
            who: given("who").map(|text| text.into_owned()),
            since_ms: instant(request, "since")?,
            before: given("before").map(|text| run_id(&text)).transpose()?,
        })
    }

    fn has(&self, act: &ActEntry) -> bool {
        self.job.is_none_or(|job| act.job == Some(job))
            && self.who.as_ref().is_none_or(|who| act.who == *who)
            && self.since_ms.is_none_or(|since_ms| act.at_ms >= since_ms)
    }
}

impl Web {
    /// What is known of it here: the last thousand.
    pub(super) fn audit(&mut self, scheduler: &Scheduler, call: &Call<'_>) -> Response {
        let asked = Filter::of(call.request).and_then(|filter| {
            Ok((filter, number(call.request, "limit", DEFAULT_ENTRIES, Some(MAX_ENTRIES))?))
        });
        let (filter, limit) = match asked {
            Ok(asked) => asked,
            Err(refusal) => return refusal,
        };
        let acts = scheduler.acts();
        // They stand in the order in which they were settled.
        let mut is_behind = filter.before.is_none();
        let behind = |act: &&ActEntry| {
            let is_one = is_behind;
            is_behind |= Some(act.id) == filter.before;
            is_one
        };
        let mut found = acts.last().filter(behind).filter(|act| filter.has(act));
        let page: Vec<&ActEntry> = found.by_ref().take(limit).collect();
        let next = found.next().and_then(|_| page.last()).map(|act| act.id);
        let entries: Vec<Value> = page.iter().map(|act| entry(scheduler, act)).collect();
        super::api::json_answer(&json!({
            "entries": entries,
            "next": next,
            "complete": next.is_none() && acts.is_complete(),
        }))
    }
}

fn entry(scheduler: &Scheduler, act: &ActEntry) -> Value {
    json!({
        "id": act.id,
        "at": rfc3339(act.at_ms, &scheduler.settings().zone),
        "who": act.who,
        "from": act.origin,
        "action": act.action,
        "job_id": act.job,
        "run_id": act.run,
        "version": act.version,
        "what": act.what,
        "result": act.result,
    })
}

/// What is written down of a part of a command.
pub(super) fn did(
    now: Now,
    by: &By,
    (verb, of): (&str, Option<&Source>),
    (what, result): (&str, &Result<Value, (u16, String)>),
) -> Did {
    let (of_job, of_run) = match of {
        Some(Source::Job(job, _)) => (Some(*job), None),
        Some(Source::Run(run, _)) => (None, Some(*run)),
        Some(Source::Log) | None => (None, None),
    };
    let value = result.as_ref().ok();
    let told = |name: &str| value.and_then(|value| value.get(name)).cloned().unwrap_or_default();
    let job = told("job_id").as_u64().and_then(|id| u32::try_from(id).ok()).map(JobId);
    let run = told("run_id").as_str().and_then(|id| id.parse().ok());
    Did {
        at_ms: now.wall_ms,
        by: by.clone(),
        action: if verb == "flush" { "sync" } else { verb }.to_owned(),
        job: job.or_else(|| what.parse().ok()).or(of_job),
        run: run.or_else(|| what.parse().ok()).or(of_run),
        result: result.as_ref().map_or_else(|(_, why)| line(why), |_| DONE.to_owned()),
        ..Did::default()
    }
}
