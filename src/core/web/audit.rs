//! Who changed what, and who had the daemon do what, newest first: what the daemon remembers and
//! what the table of acts has are one list, in the order of their ids.

use super::parameters::{job_id, run_id};
use super::runs::untold;
use super::sources::Source;
use super::values::{instant, number};
use crate::core::change::{By, What};
use crate::core::cron::Zone;
use crate::core::http::{Request, Response};
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{ActEntry, DONE};
use crate::core::plain::line;
use crate::core::protocol::{ActRecord, ActsAsk, Past};
use crate::core::scheduler::{Did, Scheduler};
use crate::core::time::{self, Now, rfc3339};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Entries of a page where the client does not say.
const DEFAULT_ENTRIES: usize = 100;

/// The same at the most.
const MAX_ENTRIES: usize = 1_000;

/// Entries on a page for people.
const SHOWN_ENTRIES: usize = 50;

/// What is told where the database has no table of acts.
const NO_TABLE: &str = "the database has no table scheduler_audit, and only the last entries are \
                        known: `schedule db migrate` makes it";

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// With this job.
    pub job: Option<JobId>,
    /// By this one.
    pub who: Option<String>,
    pub since_ms: Option<i64>,
    /// Behind this one.
    pub before: Option<RunId>,
    /// Down to this one.
    pub from: Option<RunId>,
    pub limit: usize,
}

/// A page for people.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub wanted: Wanted,
    pub request: Request,
}

/// An earlier definition of a job: the one before an act.
#[derive(Clone, Debug)]
pub(super) struct Back {
    pub job: JobId,
    pub act: RunId,
    pub wanted: Wanted,
    pub request: Request,
}

impl Wanted {
    /// What a program asks for.
    pub fn of(request: &Request, zone: &Zone) -> Result<Wanted, Response> {
        let limit = number(request, "limit", DEFAULT_ENTRIES, Some(MAX_ENTRIES))?;
        let given = |name| request.query(name).filter(|text| !text.is_empty());
        Ok(Wanted {
            job: given("job").map(|text| job_id(&text)).transpose()?,
            who: given("who").map(|text| text.into_owned()),
            since_ms: instant(request, "since", zone)?,
            before: given("before").map(|text| run_id(&text)).transpose()?,
            from: None,
            limit,
        })
    }

    fn has(&self, act: &ActEntry) -> bool {
        self.job.is_none_or(|job| act.job == Some(job))
            && self.who.as_ref().is_none_or(|who| act.who == *who)
            && self.since_ms.is_none_or(|since_ms| act.at_ms >= since_ms)
            && self.from.is_none_or(|from| act.id >= from)
            && self.before.is_none_or(|before| act.id < before)
    }

    /// The least id that is wanted, if any is too early: of what was done since an instant none has
    /// an earlier time in its id.
    fn least(&self, scheduler: &Scheduler) -> Option<RunId> {
        let server_id = scheduler.settings().server_id;
        let since = self.since_ms.map(|since_ms| RunId::next(server_id, 0, 0, since_ms));
        self.from.or(since.map(|id| RunId { instance: 0, ..id }))
    }

    /// The question to the database.
    pub fn ask(&self, scheduler: &Scheduler) -> ActsAsk {
        let text = |id: Option<RunId>| id.map(|id| id.to_string()).unwrap_or_default();
        let least = self.least(scheduler).map(|id| RunId { instance: id.instance.max(1), ..id });
        ActsAsk {
            server_id: scheduler.settings().server_id,
            job: self.job.map(|job| job.0),
            who: self.who.clone().unwrap_or_default(),
            actions: Vec::new(),
            since_ms: self.since_ms,
            from: text(least),
            before: text(self.before),
            limit: self.limit,
        }
    }
}

impl Page {
    /// What a browser asks for.
    pub fn of(request: &Request, zone: &Zone) -> Result<Page, Response> {
        let wanted = Wanted { limit: SHOWN_ENTRIES, ..Wanted::of(request, zone)? };
        Ok(Page { wanted, request: request.clone() })
    }
}

impl Back {
    /// What a browser asks for.
    pub fn of(request: &Request, job: JobId) -> Result<Back, Response> {
        let act = run_id(&request.query("act").unwrap_or_default())?;
        let (job_of_it, from, limit) = (Some(job), Some(act), MAX_ENTRIES);
        let wanted = Wanted { job: job_of_it, from, limit, ..Wanted::default() };
        Ok(Back { job, act, wanted, request: request.clone() })
    }
}

/// What somebody did, as the daemon or the database tells it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub id: String,
    pub at_ms: i64,
    pub who: String,
    pub origin: String,
    pub action: String,
    pub job: Option<JobId>,
    pub run: Option<String>,
    pub version: Option<String>,
    pub what: What,
    pub result: String,
}

impl Line {
    /// As the daemon remembers it.
    pub fn known(act: &ActEntry) -> Line {
        Line {
            id: act.id.to_string(),
            at_ms: act.at_ms,
            who: act.who.clone(),
            origin: act.origin.clone(),
            action: act.action.clone(),
            job: act.job,
            run: act.run.map(|run| run.to_string()),
            version: act.version.map(|version| version.to_string()),
            what: act.what.clone(),
            result: act.result.clone(),
        }
    }

    /// As the database has it.
    pub fn row(act: &ActRecord) -> Line {
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        Line {
            id: act.uniq_id.clone(),
            at_ms: time::instant(&act.at).unwrap_or_default(),
            who: act.who.clone(),
            origin: act.origin.clone(),
            action: act.action.clone(),
            job: (act.job_id != 0).then_some(JobId(act.job_id)),
            run: some(&act.run_id),
            version: some(&act.version),
            what: serde_json::from_str(&act.what).unwrap_or_default(),
            result: act.result.clone(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.result == DONE
    }

    fn json(&self, scheduler: &Scheduler) -> Value {
        json!({
            "id": self.id,
            "at": rfc3339(self.at_ms, &scheduler.settings().zone),
            "who": self.who,
            "from": self.origin,
            "action": self.action,
            "job_id": self.job,
            "run_id": self.run,
            "version": self.version,
            "what": self.what,
            "result": self.result,
        })
    }
}

/// Entries in order, and what is behind them.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub lines: Vec<Line>,
    /// The next page begins behind this one; none: there is none.
    pub next: Option<String>,
    /// Why there may be more than that.
    pub why: Option<String>,
}

/// What the daemon remembers of it, newest first.
fn remembered<'a>(
    scheduler: &'a Scheduler,
    wanted: &'a Wanted,
) -> impl Iterator<Item = &'a ActEntry> {
    let mut acts: Vec<&ActEntry> = scheduler.acts().last().filter(|it| wanted.has(it)).collect();
    // They stand in the order in which they were settled.
    acts.sort_unstable_by_key(|act| std::cmp::Reverse(act.id));
    acts.into_iter()
}

/// The page, if the daemon knows all of it itself.
pub(super) fn known(scheduler: &Scheduler, wanted: &Wanted) -> Option<Found> {
    let whole_after = scheduler.acts().whole_after();
    let mut acts = remembered(scheduler, wanted);
    let is_known = |act: &&ActEntry| act.id.sequence > whole_after;
    let lines: Vec<Line> =
        acts.by_ref().take(wanted.limit).take_while(is_known).map(Line::known).collect();
    let is_full = lines.len() == wanted.limit;
    let is_all = wanted.least(scheduler).is_some_and(|least| least.sequence > whole_after);
    if !is_full && !is_all {
        return None;
    }
    let ends = is_all && acts.next().is_none();
    let next = lines.last().map(|line| line.id.clone()).filter(|_| !ends);
    Some(Found { lines, next, why: None })
}

/// The page, of what the daemon remembers and what the database says.
pub(super) fn together(scheduler: &Scheduler, wanted: &Wanted, past: &Past) -> Found {
    let acts = scheduler.acts();
    let known: BTreeSet<String> = acts.last().map(|act| act.id.to_string()).collect();
    let rows = past.acts.iter().filter(|row| !known.contains(&row.uniq_id)).map(Line::row);
    let mut lines: Vec<Line> = remembered(scheduler, wanted).map(Line::known).chain(rows).collect();
    lines.sort_by(|one, other| other.id.cmp(&one.id));
    let end = past.acts_end.clone().unwrap_or_default();
    if let Some(down_to) = &end.down_to {
        lines.retain(|line| line.id >= *down_to);
    }
    let is_cut = lines.len() > wanted.limit;
    lines.truncate(wanted.limit);
    let last = || lines.last().map(|line| line.id.clone());
    let next = if is_cut { last() } else { end.down_to };
    let why = if end.no_table { Some(NO_TABLE.to_owned()) } else { untold(scheduler) };
    Found { lines, next, why }
}

/// What the daemon remembers, where nobody else is there to ask.
pub(super) fn alone(scheduler: &Scheduler, wanted: &Wanted, why: String) -> Found {
    let acts = remembered(scheduler, wanted).take(wanted.limit);
    Found { lines: acts.map(Line::known).collect(), next: None, why: Some(why) }
}

/// The answer to a program, if the daemon knows it itself.
pub(super) fn known_answer(scheduler: &Scheduler, wanted: &Wanted) -> Option<Response> {
    known(scheduler, wanted).map(|found| told(scheduler, &found))
}

/// The answer to a program.
pub(super) fn answer(
    scheduler: &Scheduler,
    wanted: &Wanted,
    said: Result<Box<Past>, String>,
) -> Response {
    match said {
        Ok(past) => told(scheduler, &together(scheduler, wanted, &past)),
        Err(why) => {
            let why = format!("who did what is in the database, and it does not answer: {why}");
            Response::problem(503, &why)
        }
    }
}

fn told(scheduler: &Scheduler, found: &Found) -> Response {
    let entries: Vec<Value> = found.lines.iter().map(|line| line.json(scheduler)).collect();
    let mut told = json!({
        "entries": entries,
        "next": found.next,
        "complete": found.next.is_none() && found.why.is_none(),
    });
    if let Some(why) = &found.why {
        told["why"] = json!(why);
    }
    super::api::json_answer(&told)
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
        Some(Source::RunOf(job, run, _)) => (Some(*job), Some(*run)),
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
