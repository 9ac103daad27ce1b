//! What a request asks for.

use crate::core::http::{Request, Response};
use crate::core::ids::{JobId, RUN_ID_CHARS};
use crate::core::plain;
use crate::core::protocol::RunsAsk;
use crate::core::run_kind::RunKind;
use crate::core::scheduler::Scheduler;
use crate::core::time::datetime;
use crate::core::web::filter::Filter;
use crate::core::web::parameters::{check_tag, one_of};
use crate::core::web::values::{instant, number};
use std::collections::BTreeSet;

/// The parameters of a list of runs.
pub(in crate::core::web) const PARAMETERS: &[&str] =
    &["limit", "before", "outcome", "since", "until", "tag", "q", "skips"];

/// Runs on a page where the client does not say.
const DEFAULT_LIMIT: usize = 100;

/// Runs on a page at the most.
const MAX_LIMIT: usize = 1_000;

/// Words that are looked for at the most, and the characters of all of them.
const MAX_WORDS: usize = 8;
const MAX_WORDS_CHARS: usize = 200;

/// A list that is asked for.
#[derive(Debug)]
pub struct Wanted {
    /// The job whose runs they are.
    pub job: Option<JobId>,
    /// The jobs that have the tag, if one is named.
    pub jobs: Option<BTreeSet<JobId>>,
    /// How they stand; empty: however.
    pub kinds: Vec<RunKind>,
    /// In lower case.
    pub words: Vec<String>,
    /// Unix ms.
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
    /// The run behind which they stand; empty: from the newest on.
    pub before: String,
    pub limit: usize,
    pub skips: bool,
}

impl Wanted {
    pub fn new(
        scheduler: &Scheduler,
        request: &Request,
        job: Option<JobId>,
    ) -> Result<Wanted, Response> {
        let limit = number(request, "limit", DEFAULT_LIMIT, Some(MAX_LIMIT))?;
        let zone = &scheduler.settings().zone;
        let instant = |name| instant(request, name, zone);
        let (since_ms, until_ms) = (instant("since")?, instant("until")?);
        one_of(request, "skips", &["0", "1"])?;
        check_tag(scheduler, request)?;
        let before = request.query("before").filter(|run| !run.is_empty());
        let before = before.map(|run| asked_run(&run)).transpose();
        let before = before.map_err(|_| no_cursor())?.unwrap_or_default();
        Ok(Wanted {
            job,
            jobs: tagged(scheduler, request),
            kinds: kinds(request)?,
            words: words(request)?,
            since_ms,
            until_ms,
            before,
            limit,
            skips: request.query("skips").is_some_and(|value| value == "1"),
        })
    }

    /// Whether nothing is left out but by the limit.
    pub fn is_all(&self) -> bool {
        self.jobs.is_none()
            && self.kinds.is_empty()
            && self.words.is_empty()
            && self.since_ms.is_none()
            && self.until_ms.is_none()
            && !self.skips
    }

    /// The jobs whose runs are wanted; none: all.
    fn job_ids(&self) -> Option<Vec<u32>> {
        match (self.job, &self.jobs) {
            (None, None) => None,
            (Some(job), None) => Some(vec![job.0]),
            (Some(job), Some(jobs)) => Some(jobs.get(&job).map(|job| job.0).into_iter().collect()),
            (None, Some(jobs)) => Some(jobs.iter().map(|job| job.0).collect()),
        }
    }

    /// Whether runs of this job are.
    pub fn takes_job(&self, id: JobId) -> bool {
        self.job.is_none_or(|job| job == id)
            && self.jobs.as_ref().is_none_or(|jobs| jobs.contains(&id))
    }

    /// Whether runs that stand like this are.
    pub fn takes_kind(&self, kind: RunKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Whether words of the command are looked for.
    pub fn has_words(&self) -> bool {
        !self.words.is_empty()
    }

    /// Whether runs of this command are. In a list of many no copy is made without need.
    pub fn takes_command(&self, command: &str) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let command = command.to_lowercase();
        self.words.iter().all(|word| command.contains(word))
    }

    /// The question to the database, but for where the run stands behind which they do.
    pub fn ask(&self, scheduler: &Scheduler) -> RunsAsk {
        let settings = scheduler.settings();
        let mut kinds = self.kinds.clone();
        if kinds.contains(&RunKind::Unknown) && !kinds.contains(&RunKind::Running) {
            // What has no end there, and is not alive.
            kinds.push(RunKind::Running);
        }
        let at = |ms: Option<i64>| ms.map(|ms| datetime(ms, &settings.zone)).unwrap_or_default();
        RunsAsk {
            server_id: settings.server_id,
            run: String::new(),
            jobs: self.job_ids(),
            kinds,
            since: at(self.since_ms),
            until: at(self.until_ms),
            before: self.before.clone(),
            below: None,
            near: None,
            words: self.words.clone(),
            limit: self.limit,
            skips: self.skips,
            oldest: false,
        }
    }
}

/// The id of a run. The rows of the original have other ids than ours.
pub fn asked_run(text: &str) -> Result<String, Response> {
    let is_one = (1..=RUN_ID_CHARS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if is_one {
        return Ok(text.to_owned());
    }
    let shown = plain::shown(text);
    Err(Response::problem(400, &format!("`{shown}` is no id of a run")))
}

pub fn no_cursor() -> Response {
    Response::problem(400, "before: the id of a run: that in `next` of the page before")
}

/// `ok`, `failed`, or the exact words, several with commas in between.
fn kinds(request: &Request) -> Result<Vec<RunKind>, Response> {
    let Some(text) = request.query("outcome").filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut kinds = BTreeSet::new();
    for word in text.split(',') {
        let exact = RunKind::ALL[1..].iter().find(|kind| kind.label() == word);
        match (word, exact) {
            ("ok", _) => _ = kinds.insert(RunKind::Success),
            ("failed", _) => kinds.extend(RunKind::FAILED),
            (_, Some(kind)) => _ = kinds.insert(*kind),
            (_, None) => {
                let exact = RunKind::ALL[1..].iter().map(|kind| kind.label());
                let there: Vec<&str> = ["ok", "failed"].into_iter().chain(exact).collect();
                let shown = plain::shown(word);
                let why = format!("outcome: `{shown}` is none of {}", there.join(", "));
                return Err(Response::problem(400, &why));
            }
        }
    }
    Ok(kinds.into_iter().collect())
}

fn words(request: &Request) -> Result<Vec<String>, Response> {
    let text = request.query("q").unwrap_or_default().to_lowercase();
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if words.len() > MAX_WORDS || text.chars().count() > MAX_WORDS_CHARS {
        let why = format!("q: at most {MAX_WORDS} words, {MAX_WORDS_CHARS} characters in all");
        return Err(Response::problem(400, &why));
    }
    Ok(words)
}

/// The jobs of today that have the tag.
fn tagged(scheduler: &Scheduler, request: &Request) -> Option<BTreeSet<JobId>> {
    request.query("tag").filter(|tag| !tag.is_empty())?;
    let filter = Filter::new(request);
    let table = scheduler.table();
    let jobs = table.iter().chain(table.disabled());
    let of_tag = jobs.filter(|job| filter.takes_tag(scheduler, &job.def));
    Some(of_tag.map(|job| job.def.id).collect())
}
