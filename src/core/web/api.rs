//! The API: JSON for programs; `docs/api.md` is the description for users.

use super::Web;
use super::cache::{self, Stamp};
use super::call::Call;
use super::listed;
use super::missing;
use super::parameters::{check_list, job_id};
use super::pausing;
use super::terminal;
use super::views::{self, MAX_BAD_ROWS};
use super::wanted::wants_text;
use crate::core::columns::Column;
use crate::core::cron::Lang;
use crate::core::definition::{Block, Definition, Schedule};
use crate::core::http::Response;
use crate::core::scheduler::{DatabaseState, Scheduler};
use crate::core::state_label::StateLabel;
use crate::core::table::{Job, Phase};
use crate::core::time::{Now, rfc3339};
use serde_json::{Value, json};

/// A row that nothing is ever started for, by mistake.
pub(super) struct BadRow<'a> {
    pub id: u32,
    /// `row` where it can't even be a job, else what of it is no good: [`Block::WORDS`].
    pub what: &'static str,
    pub why: &'a str,
}

impl Web {
    pub(super) fn status(&self, scheduler: &Scheduler, now: Now) -> Value {
        let sync = scheduler.sync_state();
        let counters = scheduler.counters();
        let zone = &scheduler.settings().zone;
        let (database, message) = match &sync.database {
            DatabaseState::Unknown => ("unknown", None),
            DatabaseState::Up => ("up", None),
            DatabaseState::Down { message, .. } => ("down", Some(message)),
        };
        let age_ms = sync.synced_mono_ms.map(|at| now.mono_ms.saturating_sub(at));
        let bad_rows = bad_rows(scheduler).into_iter().take(MAX_BAD_ROWS);
        let bad_rows: Vec<Value> = bad_rows
            .map(|row| json!({"id": row.id, "what": row.what, "reason": row.why}))
            .collect();
        let blocked: serde_json::Map<String, Value> = blocked_by_word(scheduler)
            .into_iter()
            .map(|(word, n)| (word.into(), json!(n)))
            .collect();
        let stops_refused = stops_refused(scheduler);
        let mut status = json!({
            "server_id": scheduler.settings().server_id,
            "version": env!("CARGO_PKG_VERSION"),
            "started_at": rfc3339(scheduler.started().wall_ms, zone),
            "now": rfc3339(now.wall_ms, zone),
            "uptime_ms": now.mono_ms.saturating_sub(scheduler.started().mono_ms),
            "draining": scheduler.draining(),
            "jobs": scheduler.table().len(),
            "table_read": scheduler.knows_table(),
            "running": scheduler.runs().len(),
            "pid": self.vitals().pid,
            "rss_bytes": self.vitals().rss_bytes,
            "revision": scheduler.revision(),
            "database": database,
            "database_error": message,
            "sync_age_ms": age_ms,
            "sync_failures": sync.failures,
            "bad_rows": bad_rows,
            "bad_rows_total": bad_rows_count(scheduler),
            "blocked": blocked,
            "jobs_off": jobs_off(scheduler),
            "launched": counters.launched,
            "succeeded": counters.succeeded,
            "failed": counters.failed,
            "stopped": counters.stopped,
            "skipped": counters.skipped,
            "worst_lateness_ms": counters.worst_lateness_ms,
            "slow_turns": counters.slow_turns,
            "worst_turn_us": counters.worst_turn_us,
            "records_waiting_bytes": scheduler.outbox().waiting_bytes(),
            "records_unwritten": scheduler.records_unwritten(),
            "records_astray": scheduler.records_astray(),
            "records_dropped": counters.records_dropped,
            "records_refused": scheduler.set_aside().tried(),
            "records_refused_last": scheduler.set_aside().last,
            "records_elsewhere": scheduler.set_aside().elsewhere,
            "records_elsewhere_last": scheduler.set_aside().last_elsewhere,
            "outputs_dropped": counters.outputs_dropped,
            "journal_error": scheduler.disk_error(),
            "snapshot_error": scheduler.snapshot_error(),
            "stops_refused": stops_refused,
            "php_pid": scheduler.twin(),
        });
        status["pauses"] = json!(pausing::pauses_json(scheduler));
        status["records_deleted"] = json!(counters.records_deleted);
        status["disabled"] = json!(scheduler.table().disabled_len());
        status["table_changing"] = json!(scheduler.is_table_changing());
        status
    }

    /// The daemon as a whole.
    pub(super) fn status_view(&mut self, scheduler: &Scheduler, call: &Call<'_>) -> Response {
        json_answer(&self.status(scheduler, call.now))
    }

    /// The list of jobs; as a table of text for who wants that.
    pub(super) fn job_list(&mut self, scheduler: &Scheduler, call: &Call<'_>) -> Response {
        let request = call.request;
        if wants_text(request, "application/json") {
            return terminal::text_list(scheduler, call);
        }
        let target = format!("{}?{}", request.path(), request.raw_query());
        let stamp = Stamp { revision: scheduler.revision(), mono_ms: 0 };
        self.cached(scheduler, &target, stamp, || {
            check_list(request)?;
            missing::table_unread(scheduler).map_or(Ok(()), |why| Err(missing::answer(why)))?;
            let (lines, total) = listed::listed(scheduler, request)?;
            let line = |(job, def, state)| views::job_line(scheduler, job, def, state);
            let lines: Vec<_> = lines.into_iter().map(line).collect();
            Ok(text_of(&json!({ "jobs": lines, "total": total })))
        })
        .header("Vary", "Accept")
    }

    /// The file that describes the API to programs.
    pub(super) fn openapi(&mut self, scheduler: &Scheduler, call: &Call<'_>) -> Response {
        let stamp = Stamp { revision: 0, mono_ms: 0 };
        self.cached(scheduler, call.request.path(), stamp, || Ok(OPENAPI.to_owned()))
    }

    /// A job.
    pub(super) fn job_view(&mut self, scheduler: &Scheduler, call: &Call<'_>) -> Response {
        let now = call.now;
        let job = match find_job(scheduler, call.argument) {
            Ok(job) => job,
            Err(response) => return response,
        };
        let stamp = cache::job_stamp(scheduler, now, job);
        self.cached(scheduler, call.request.path(), stamp, || {
            Ok(text_of(&job_json(scheduler, now, job)))
        })
    }
}

/// Runs that go on though they were told to end.
fn stops_refused(scheduler: &Scheduler) -> Vec<Value> {
    let told = scheduler
        .stops_refused()
        .take(MAX_BAD_ROWS)
        .map(|(run, why)| json!({"run_id": run.id, "job_id": run.job, "reason": why.to_string()}));
    told.collect()
}

/// The rows that nothing is ever started for, by mistake; of those that can't even be jobs the
/// first ones.
pub(super) fn bad_rows(scheduler: &Scheduler) -> Vec<BadRow<'_>> {
    let rows = scheduler.sync_state().bad_rows.told().iter();
    let rows = rows.map(|row| BadRow { id: row.job(), what: "row", why: &row.why });
    let jobs = scheduler.table().blocked().filter_map(|(job, block)| {
        Some(BadRow { id: job.def.id.0, what: block.word(), why: block.mistake()? })
    });
    rows.chain(jobs).collect()
}

/// How many rows nothing is ever started for, by mistake.
pub(super) fn bad_rows_count(scheduler: &Scheduler) -> u64 {
    let mistakes = scheduler.table().blocked().filter(|(_, block)| block.mistake().is_some());
    scheduler.sync_state().bad_rows.count() + mistakes.count() as u64
}

/// How many jobs are never started when they should be, by reason.
pub(super) fn blocked_by_word(scheduler: &Scheduler) -> [(&'static str, u64); Block::WORDS.len()] {
    let mut counts = Block::WORDS.map(|word| (word, 0));
    for (_, block) in scheduler.table().blocked() {
        counts.iter_mut().filter(|(word, _)| *word == block.word()).for_each(|it| it.1 += 1);
    }
    counts
}

/// The first of the jobs that are never started because somebody wanted that.
fn jobs_off(scheduler: &Scheduler) -> Vec<u32> {
    let jobs = scheduler.table().blocked().filter(|(_, block)| block.mistake().is_none());
    jobs.take(MAX_BAD_ROWS).map(|(job, _)| job.def.id.0).collect()
}

fn find_job<'a>(scheduler: &'a Scheduler, id: &str) -> Result<&'a Job, Response> {
    let id = job_id(id)?;
    scheduler.table().get(id).ok_or_else(|| missing::answer(missing::no_job(scheduler, id)))
}

/// Everything about a job.
pub(super) fn job_json(scheduler: &Scheduler, now: Now, job: &Job) -> Value {
    let def = &job.def;
    let mut view = json!(views::job_line(scheduler, job, def, views::state_of(scheduler, job)));
    let history = job.history.as_deref();
    let skips: Vec<Value> = history.map_or(Vec::new(), |history| {
        let skips = history.skips.iter().rev();
        skips
            .map(|skip| {
                json!({
                    "reason": skip.reason,
                    "first_slot": views::time_of(scheduler, def, skip.first_ms),
                    "last_slot": views::time_of(scheduler, def, skip.last_ms),
                    "count": skip.count,
                })
            })
            .collect()
    });
    let skipped: serde_json::Map<String, Value> = history.map_or_else(Default::default, |past| {
        let counts = past.skipped.iter();
        counts.map(|(why, n)| (why.label().to_owned(), json!(n))).collect()
    });
    define(&mut view, def);
    view["enabled"] = json!(job.scheduled().is_some());
    view["version"] = json!(scheduler.table().version(def.id));
    // What waits is what a pause is about.
    let row = scheduler.table().row(def.id).map_or(def, |(row, _)| row);
    view["pauses"] = json!(pausing::pausing_json(scheduler, row));
    view["next_dues"] = json!(views::next_dues(scheduler, job));
    view["live"] = json!(views::live_runs(scheduler, now, job));
    view["skipped"] = Value::Object(skipped);
    view["skips"] = json!(skips);
    if let Some(next) = waiting(scheduler, job) {
        view["waiting"] = json!(views::job_line(scheduler, job, next, StateLabel::Waiting));
        define(&mut view["waiting"], next);
    }
    view
}

/// The definition that waits for runs of this one to end. That of a row that is not in force waits
/// as well: who changes the row next has to see what it says.
fn waiting<'a>(scheduler: &'a Scheduler, job: &'a Job) -> Option<&'a Definition> {
    match job.phase() {
        Phase::Replaced(next) => Some(next),
        Phase::Active | Phase::Draining | Phase::Disabled => {
            let (row, _) = scheduler.table().row(job.def.id)?;
            (row.version(true) != job.def.version(true)).then_some(row)
        }
    }
}

/// Adds to a line of the list the whole of what its row says.
fn define(view: &mut Value, def: &Definition) {
    view["command"] = json!(*def.command);
    view["raw_command"] = json!(def.raw());
    view["output"] = json!(*def.output);
    view["stderr"] = json!(*def.stderr);
    view["in_words"] = match &def.schedule {
        Schedule::Due(cron, _) => cron.describe(Lang::En).into(),
        Schedule::Refused(..) => Value::Null,
    };
    view["timezone"] = json!(def.timezone());
    view["tag_id"] = json!(def.tag_id);
    view["paused_until"] = json!(def.optional.text(Column::PausedUntil));
    for column in Column::for_people() {
        view[column.name()] = json!(def.optional.text(column));
    }
}

/// The description of the API: OpenAPI 3.1.
const OPENAPI: &str = include_str!("../../../docs/openapi.json");

fn text_of(value: &Value) -> String {
    format!("{value}\n")
}

pub(super) fn json_answer(value: &Value) -> Response {
    Response::json(200, text_of(value))
}
