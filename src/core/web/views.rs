//! What the daemon shows of jobs and runs, whatever the form: JSON, text or HTML.

use super::states::{Line, block_of, is_paused};
use crate::core::definition::{Block, Definition, Schedule};
use crate::core::history::PastRun;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::Remarks;
use crate::core::limits::{LISTED_COMMAND_CHARS, LISTED_JSON_COMMAND_CHARS, cut};
use crate::core::scheduler::{Run, RunPhase, Scheduler};
use crate::core::state_label::StateLabel;
use crate::core::table::{Job, Phase};
use crate::core::time::{Now, rfc3339};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Due instants that the view of a job shows.
const NEXT_DUES: usize = 10;

/// Rows that are told one by one.
pub(super) const MAX_BAD_ROWS: usize = 100;

/// A line of the list of jobs.
#[derive(Serialize)]
pub struct JobLine<'a> {
    pub(super) id: JobId,
    pub(super) name: &'a str,
    /// The beginning of it.
    pub(super) command: Cow<'a, str>,
    pub(super) cron: &'a str,
    pub(super) tag: &'a str,
    /// As the original has it.
    pub(super) state: &'static str,
    /// Why it is never started when it should be, whatever its state: a word.
    pub(super) blocked: Option<&'static str>,
    /// The same as a sentence where that is a mistake.
    pub(super) error: Option<&'a str>,
    /// Whether slots of it that fall due now are skipped because somebody wanted that.
    pub(super) paused: bool,
    pub(super) running: usize,
    pub(super) max_concurrence: u32,
    pub(super) overtime: u64,
    pub(super) next_due: Option<String>,
    pub(super) last_run: Option<Value>,
    /// When that was, where its row alone knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_run_time: Option<String>,
    pub(super) md5: String,
    /// What is said in columns for people, by their names.
    #[serde(flatten)]
    pub(super) notes: BTreeMap<&'static str, Cow<'a, str>>,
}

/// The lines of a job: one, or two while a new definition waits for the old one to drain.
pub(super) fn rows<'a>(
    scheduler: &Scheduler,
    job: &'a Job,
) -> impl Iterator<Item = Line<'a>> + use<'a> {
    let waiting = match job.phase() {
        Phase::Replaced(next) => Some((job, &**next, StateLabel::Waiting)),
        Phase::Active | Phase::Draining | Phase::Disabled => None,
    };
    std::iter::once((job, &job.def, state_of(scheduler, job))).chain(waiting)
}

/// The original's state label of a job.
pub fn state_of(scheduler: &Scheduler, job: &Job) -> StateLabel {
    let phases = || job.live.iter().filter_map(|run| Some(scheduler.runs().get(run)?.phase()));
    match job.phase() {
        Phase::Active => {}
        Phase::Draining | Phase::Replaced(_) => return StateLabel::Deleting,
        Phase::Disabled => return StateLabel::Disabled,
    }
    let Some(first) = phases().next() else {
        let last = job.history.as_ref().and_then(|history| history.runs.back());
        // That it will never run again matters more than how it ended.
        return match (job.block(), last) {
            (Some(block), _) => block.state(),
            (None, Some(run)) => run.state(),
            (None, None) => StateLabel::Never,
        };
    };
    let mut states = phases().map(RunPhase::state);
    if states.clone().any(|state| state == StateLabel::Running) {
        return StateLabel::Running;
    }
    if states.all(|state| state == StateLabel::Stopping) {
        return StateLabel::Stopping;
    }
    match first.state() {
        StateLabel::Backoff => StateLabel::Backoff,
        _ => StateLabel::Starting,
    }
}

/// How many runs of a job have a process: those that are about to get one are not counted.
pub(super) fn processes_of(scheduler: &Scheduler, job: &Job) -> usize {
    let has = |run: &&RunId| scheduler.runs().get(run).is_some_and(|run| run.pid != 0);
    job.live.iter().filter(has).count()
}

pub(super) fn job_line<'a>(
    scheduler: &'a Scheduler,
    job: &'a Job,
    def: &'a Definition,
    state: StateLabel,
) -> JobLine<'a> {
    let last = job.history.as_ref().and_then(|history| history.runs.back());
    JobLine {
        id: def.id,
        name: &def.name,
        command: cut(&def.command, LISTED_JSON_COMMAND_CHARS),
        cron: &def.cron,
        tag: scheduler.table().tags.get(&def.tag_id).map_or("", String::as_str),
        state: state.original(),
        blocked: block_of(job, def).map(Block::word),
        error: block_of(job, def).and_then(Block::mistake),
        running: if state == StateLabel::Waiting { 0 } else { processes_of(scheduler, job) },
        max_concurrence: def.max_concurrence,
        overtime: job.overtime,
        paused: is_paused(scheduler, job, def),
        next_due: scheduler.next_start_ms(job).map(|due| time_of(scheduler, def, due)),
        last_run: last.map(|run| past_run(scheduler, def, run)),
        last_run_time: scheduler.last_run_ms(job).map(|at| time_of(scheduler, def, at)),
        md5: def.md5_hex(),
        notes: notes(def).collect(),
    }
}

/// What a job's row says in columns for people, by their names; the beginning of it.
pub(super) fn notes(def: &Definition) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
    let said = def.optional.for_people();
    said.map(|(column, text)| (column.name(), cut(text, LISTED_COMMAND_CHARS)))
}

/// An instant in the zone of a job.
pub(super) fn time_of(scheduler: &Scheduler, def: &Definition, wall_ms: i64) -> String {
    match &def.schedule {
        Schedule::Due(_, zone) => rfc3339(wall_ms, scheduler.table().zone(*zone)),
        Schedule::Refused(..) => rfc3339(wall_ms, &scheduler.settings().zone),
    }
}

pub(super) fn past_run(scheduler: &Scheduler, def: &Definition, run: &PastRun) -> Value {
    let mut view = json!({
        "run_id": run.run,
        "cause": run.cause,
        "slot": run.slot_ms.map(|slot| time_of(scheduler, def, slot)),
        "started_at": time_of(scheduler, def, run.started_ms),
        "ended_at": time_of(scheduler, def, run.ended_ms),
        "duration_ms": run.duration_ms,
        "pid": (run.pid != 0).then_some(run.pid),
        "outcome": run.outcome.to_string(),
        "exit_code": run.outcome.exit_code(),
        "signal": run.outcome.signal(),
        "stopped": run.stopped,
        "user_ms": run.usage.user_ms,
        "system_ms": run.usage.system_ms,
        "max_rss_bytes": run.usage.max_rss_bytes,
        "attempt": run.attempt,
    });
    remark(&mut view, run.remarks.as_deref());
    view
}

/// What else is worth knowing of a run, where there is something: lists are long, and most runs
/// have none of it.
fn remark(view: &mut Value, remarks: Option<&Remarks>) {
    let Some(Ok(Value::Object(said))) = remarks.map(serde_json::to_value) else { return };
    view.as_object_mut().into_iter().for_each(|view| view.extend(said.clone()));
}

pub(super) fn next_dues(scheduler: &Scheduler, job: &Job) -> Vec<String> {
    let Some(def) = job.scheduled() else { return Vec::new() };
    let Schedule::Due(cron, zone) = &def.schedule else { return Vec::new() };
    let next = |after: &i64| cron.next_after(scheduler.table().zone(*zone), *after);
    let first = scheduler.next_start_ms(job);
    let dues = std::iter::successors(first, next).take(NEXT_DUES);
    dues.map(|due| time_of(scheduler, def, due)).collect()
}

pub(super) fn live_runs(scheduler: &Scheduler, now: Now, job: &Job) -> Vec<Value> {
    let runs = job.live.iter().rev().filter_map(|run| scheduler.runs().get(run));
    runs.map(|run| live_run(scheduler, now, &job.def, run)).collect()
}

pub(super) fn live_run(scheduler: &Scheduler, now: Now, def: &Definition, run: &Run) -> Value {
    let refused = || run.refused.as_ref().map(ToString::to_string);
    let mut view = json!({
        "run_id": run.id,
        "cause": run.cause,
        "slot": run.slot_ms.map(|slot| time_of(scheduler, def, slot)),
        "started_at": time_of(scheduler, def, run.at_ms),
        "ended_at": null,
        "duration_ms": now.mono_ms.saturating_sub(run.mono_ms),
        "pid": (run.pid != 0).then_some(run.pid),
        "outcome": run.phase().state(),
        "detail": run.waits.as_deref().map(str::to_owned).or_else(refused),
        "attempt": run.attempt,
    });
    remark(&mut view, run.remarks.as_deref());
    view
}
