//! `GET /api/v1/timeline`: what ran, runs and will run between two instants, in lanes and bins. The
//! past is what the database says, and what the daemon knows that is newer; the future is what the
//! schedules say. It is put together in slices.

use super::call::Call;
use super::filter::Filter;
use super::missing;
use super::parameters::check_tag;
use super::runs::untold;
use super::values::instant;
use crate::core::http::{Request, Response};
use crate::core::ids::{JobId, RunId};
use crate::core::places::Peer;
use crate::core::protocol::{Past, TimelineAsk};
use crate::core::run_kind::RunKind;
use crate::core::scheduler::Scheduler;
use crate::core::table::Job;
use crate::core::time::{days_later, rfc3339};
use crate::core::timeline::{Bins, Lane, Planned, skip};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Half of the time that is shown where the client does not say, ms.
const HALF_MS: i64 = 12 * 3_600_000;

/// How long a bin of that time is, ms.
const BIN_MS: i64 = 600_000;

/// Days at the most.
const MAX_DAYS: i64 = 31;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Jobs that have a lane each; where they are more, a tag has one.
const MAX_JOB_LANES: usize = 40;

/// Tags that have a lane; all others share the last one.
const MAX_TAG_LANES: usize = 100;

/// Runs that ended so short a time ago the database need not have yet, ms.
const FRESH_MS: i64 = 60_000;

/// Of those, and those that are alive, so many are told apart at the most.
const MAX_KNOWN: usize = 5_000;

/// Jobs looked at in one turn of the loop.
const JOBS_A_TURN: usize = 500;

/// Lanes written in one turn of the loop.
const LANES_A_TURN: usize = 8;

/// What a client wants to see.
#[derive(Debug)]
pub(super) struct Wanted {
    pub peer: Peer,
    bins: Bins,
    /// When it was asked, unix ms.
    at_ms: i64,
    lanes: Vec<Named>,
    /// The jobs, and the lane of each.
    jobs: BTreeMap<JobId, usize>,
    /// Runs that the daemon counts itself.
    known: BTreeSet<RunId>,
}

/// What a lane is called: a job, a tag, or neither.
#[derive(Debug)]
struct Named {
    job: Option<(JobId, String)>,
    tag: Option<(u32, String)>,
    jobs: usize,
}

/// A picture that is put together.
#[derive(Debug)]
pub(super) struct Question {
    wanted: Box<Wanted>,
    /// Why not all of the past is known.
    why: Option<String>,
    /// The database has said nothing: of what ended, too, only the daemon knows.
    alone: bool,
    lanes: BTreeMap<usize, Lane>,
    stage: Stage,
}

/// How far it is.
#[derive(Debug)]
enum Stage {
    /// Its jobs are looked at; the last one that was.
    Gathering(Planned, Option<JobId>),
    /// What is due is counted.
    Counting(Planned),
    /// So many lanes are written.
    Writing(String, usize),
}

impl Wanted {
    /// What a request asks for.
    pub fn of(scheduler: &Scheduler, call: &Call<'_>) -> Result<Wanted, Response> {
        let request = call.request;
        let at_ms = call.now.wall_ms;
        let (from_ms, to_ms) = span(scheduler, request, at_ms)?;
        missing::table_unread(scheduler).map_or(Ok(()), |why| Err(missing::answer(why)))?;
        check_tag(scheduler, request)?;
        let (lanes, jobs) = lanes(scheduler, &Filter::new(request));
        let bins = Bins::new(from_ms, to_ms);
        let known = fresh(scheduler, at_ms, &jobs);
        Ok(Wanted { peer: request.peer, bins, at_ms, lanes, jobs, known })
    }

    /// Whether some of it is over.
    pub fn has_past(&self) -> bool {
        self.bins.from_ms < self.at_ms
    }

    /// The question to the database.
    pub fn ask(&self, scheduler: &Scheduler) -> TimelineAsk {
        let settings = scheduler.settings();
        TimelineAsk {
            server_id: settings.server_id,
            timezone: settings.timezone.clone(),
            bins: self.bins,
            until_ms: self.at_ms + FRESH_MS,
            jobs: self.jobs.iter().map(|(job, lane)| (job.0, *lane)).collect(),
            known: self.known.iter().map(RunId::to_string).collect(),
        }
    }
}

/// The stretch of time that is asked for.
fn span(scheduler: &Scheduler, request: &Request, at_ms: i64) -> Result<(i64, i64), Response> {
    let zone = &scheduler.settings().zone;
    let (from_ms, to_ms) = (instant(request, "from", zone)?, instant(request, "to", zone)?);
    // A picture that is asked for again and again has the same bins for a while.
    let begin_ms = (at_ms - HALF_MS).div_euclid(BIN_MS) * BIN_MS;
    let from_ms = from_ms.unwrap_or_else(|| to_ms.map_or(begin_ms, |to| to - 2 * HALF_MS));
    let to_ms = to_ms.unwrap_or(from_ms + 2 * HALF_MS);
    let refuse = |why: &str| Err(Response::problem(400, why));
    if to_ms <= from_ms {
        return refuse("to: an instant later than `from`");
    }
    // Days by the wall clock may be an hour longer.
    if to_ms > days_later(from_ms, MAX_DAYS, zone).max(from_ms + MAX_DAYS * DAY_MS) {
        return refuse(&format!("to: at most {MAX_DAYS} days later than `from`"));
    }
    Ok((from_ms, to_ms))
}

/// The lanes, and which jobs are in which.
fn lanes(scheduler: &Scheduler, filter: &Filter) -> (Vec<Named>, BTreeMap<JobId, usize>) {
    let table = scheduler.table();
    let all = table.iter().chain(table.disabled());
    let mut wanted: Vec<&Job> = all.filter(|job| filter.takes_tag(scheduler, &job.def)).collect();
    wanted.sort_by_key(|job| job.def.id);
    let tag = |id: u32| (id, table.tags.get(&id).cloned().unwrap_or_default());
    let mut jobs = BTreeMap::new();
    if wanted.len() <= MAX_JOB_LANES {
        let named = wanted.iter().enumerate().map(|(lane, job)| {
            jobs.insert(job.def.id, lane);
            let tag = Some(tag(job.def.tag_id)).filter(|(id, _)| *id > 0);
            Named { job: Some((job.def.id, job.def.name.to_string())), tag, jobs: 1 }
        });
        return (named.collect(), jobs);
    }
    let mut places: BTreeMap<u32, usize> = BTreeMap::new();
    let mut lanes: Vec<Named> = Vec::new();
    for job in wanted {
        let id = job.def.tag_id;
        let lane = *places.entry(id).or_insert_with(|| {
            let lane = lanes.len().min(MAX_TAG_LANES);
            if lane == lanes.len() {
                let tag = Some(tag(id)).filter(|_| lane < MAX_TAG_LANES);
                lanes.push(Named { job: None, tag, jobs: 0 });
            }
            lane
        });
        lanes[lane].jobs += 1;
        jobs.insert(job.def.id, lane);
    }
    (lanes, jobs)
}

/// Runs that are alive, or ended so lately that the database need not know.
fn fresh(scheduler: &Scheduler, at_ms: i64, jobs: &BTreeMap<JobId, usize>) -> BTreeSet<RunId> {
    let mut known = BTreeSet::new();
    for job in jobs.keys().filter_map(|job| scheduler.table().get(*job)) {
        if known.len() >= MAX_KNOWN {
            break;
        }
        known.extend(job.live.iter().copied());
        let past = job.history.iter().flat_map(|history| history.runs.iter().rev());
        let lately = past.take_while(|run| run.ended_ms > at_ms - FRESH_MS);
        known.extend(lately.map(|run| run.run));
    }
    known
}

impl Question {
    /// What the database has said is put together with what is known. Without a past it has not
    /// been asked.
    pub fn new(
        scheduler: &Scheduler,
        wanted: Box<Wanted>,
        said: Option<Result<Box<Past>, String>>,
    ) -> Question {
        let mut lanes = BTreeMap::new();
        let (mut why, mut alone) = (None, false);
        match said {
            None => {}
            Some(Err(away)) => (why, alone) = (Some(format!("database: {away}")), true),
            Some(Ok(past)) => {
                why = untold(scheduler);
                let from_ms = past.lanes_end.as_ref().and_then(|end| end.from_ms);
                if let Some(from_ms) = from_ms {
                    let from = rfc3339(from_ms, &scheduler.settings().zone);
                    why = Some(format!(
                        "there are too many runs: those from before {from} are not counted; ask \
                         for a shorter time"
                    ));
                }
                for told in past.lanes {
                    lanes.insert(told.lane, told.cells.into_iter().collect());
                }
            }
        }
        let planned = Planned::new(wanted.bins, wanted.at_ms);
        Question { wanted, why, alone, lanes, stage: Stage::Gathering(planned, None) }
    }

    /// Does the next slice. The answer, if it was the last one.
    pub fn go_on(&mut self, scheduler: &Scheduler) -> Option<Response> {
        let stage = std::mem::replace(&mut self.stage, Stage::Writing(String::new(), 0));
        self.stage = match stage {
            Stage::Gathering(planned, after) => self.gather(scheduler, planned, after),
            Stage::Counting(mut planned) => match planned.work() {
                true => Stage::Counting(planned),
                false => {
                    for (lane, cells) in planned.found() {
                        let lane = self.lanes.entry(lane).or_default();
                        cells
                            .iter()
                            .for_each(|(bin, cell)| lane.entry(*bin).or_default().add(cell));
                    }
                    Stage::Writing(self.beginning(scheduler), 0)
                }
            },
            Stage::Writing(mut text, from) => {
                let to = self.wanted.lanes.len().min(from + LANES_A_TURN);
                (from..to).for_each(|lane| self.write_lane(lane, &mut text));
                if to == self.wanted.lanes.len() {
                    text.push_str("]}\n");
                    return Some(Response::json(200, text).header("Cache-Control", "no-cache"));
                }
                Stage::Writing(text, to)
            }
        };
        None
    }

    fn gather(
        &mut self,
        scheduler: &Scheduler,
        mut planned: Planned,
        after: Option<JobId>,
    ) -> Stage {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let rest = self.wanted.jobs.range((from, std::ops::Bound::Unbounded)).take(JOBS_A_TURN);
        let some: Vec<(JobId, usize)> = rest.map(|(job, lane)| (*job, *lane)).collect();
        for (id, lane) in &some {
            let Some(job) = scheduler.table().get(*id) else { continue };
            self.count(scheduler, job, *lane);
            planned.add(scheduler.table(), job, *lane);
        }
        match some.last() {
            Some((last, _)) if some.len() == JOBS_A_TURN => Stage::Gathering(planned, Some(*last)),
            Some(_) | None => Stage::Counting(planned),
        }
    }

    /// Counts what the daemon knows of a job's past and the database need not know.
    fn count(&mut self, scheduler: &Scheduler, job: &Job, lane: usize) {
        let Wanted { bins, at_ms, known, .. } = &*self.wanted;
        let mut found: Vec<(i64, RunKind, u64)> = Vec::new();
        for run in job.live.iter().filter_map(|run| scheduler.runs().get(run)) {
            let took_ms = u64::try_from(at_ms - run.at_ms).unwrap_or(0);
            found.push((run.at_ms, RunKind::Running, took_ms));
        }
        for run in job.history.iter().flat_map(|history| &history.runs) {
            if self.alone || known.contains(&run.run) || run.started_ms > *at_ms {
                let kind = run.outcome.kind(run.stopped).into();
                found.push((run.started_ms, kind, run.duration_ms));
            }
        }
        let lane = self.lanes.entry(lane).or_default();
        for (begun_ms, kind, took_ms) in found {
            if let Some(bin) = bins.of(begun_ms) {
                lane.entry(bin).or_default().count(kind, took_ms);
            }
        }
        for it in job.history.iter().flat_map(|history| &history.skips).filter(|_| self.alone) {
            skip(lane, *bins, (it.first_ms, it.last_ms), it.count);
        }
    }

    /// All of the answer but for its lanes.
    fn beginning(&self, scheduler: &Scheduler) -> String {
        let Wanted { bins, at_ms, .. } = &*self.wanted;
        let at = |ms: i64| rfc3339(ms, &scheduler.settings().zone);
        let mut all = json!({
            "from": at(bins.from_ms),
            "to": at(bins.to_ms),
            "at": at(*at_ms),
            "bin_ms": bins.bin_ms,
            "bins": bins.count(),
            "complete": self.why.is_none(),
        });
        if let Some(why) = &self.why {
            all["why"] = json!(why);
        }
        let mut text = all.to_string();
        text.pop();
        text.push_str(",\"lanes\":[");
        text
    }

    fn write_lane(&self, lane: usize, text: &mut String) {
        let Named { job, tag, jobs } = &self.wanted.lanes[lane];
        let cells = self.lanes.get(&lane);
        let cells = cells.into_iter().flatten().map(|(bin, cell)| {
            let mut view = json!(cell);
            view["bin"] = json!(bin);
            view
        });
        let cells: Vec<Value> = cells.collect();
        let view = json!({
            "job_id": job.as_ref().map(|(id, _)| id),
            "name": job.as_ref().map(|(_, name)| name),
            "tag_id": tag.as_ref().map(|(id, _)| id),
            "tag": tag.as_ref().map(|(_, name)| name),
            "jobs": jobs,
            "cells": cells,
        });
        let comma = if lane == 0 { "" } else { "," };
        // A String takes all.
        let _ = write!(text, "{comma}{view}");
    }
}
