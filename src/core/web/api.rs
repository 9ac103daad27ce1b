//! The API: JSON for programs; `docs/api.md` is the description for users.

use super::cache::Stamp;
use super::missing;
use super::parameters::check_list;
use super::text::wants_text;
use crate::core::daemon::{Core, DatabaseState};
use crate::core::definition::Block;
use crate::core::http::{Request, Response};
use crate::core::ids::JobId;
use crate::core::plain;
use crate::core::table::{Job, Phase};
use crate::core::time::{Now, rfc3339};
use serde_json::{Value, json};

/// Rows that are told one by one.
pub(super) const MAX_BAD_ROWS: usize = 100;

/// A row that nothing is ever started for, by mistake.
pub(super) struct BadRow<'a> {
    pub id: u32,
    /// `row` where it can't even be a job, else what of it is no good: [`Block::WORDS`].
    pub what: &'static str,
    pub why: &'a str,
}

impl Core {
    /// The rows that nothing is ever started for, by mistake; of those that can't even be jobs the
    /// first ones.
    pub(super) fn bad_rows(&self) -> Vec<BadRow<'_>> {
        let rows = self.sync_state().bad_rows.iter();
        let rows = rows.map(|(id, why)| BadRow { id: *id, what: "row", why });
        let jobs = self.table().blocked().filter_map(|(job, block)| {
            Some(BadRow { id: job.def.id.0, what: block.word(), why: block.mistake()? })
        });
        rows.chain(jobs).collect()
    }

    /// How many rows nothing is ever started for, by mistake.
    pub(super) fn bad_rows_count(&self) -> u64 {
        let mistakes = self.table().blocked().filter(|(_, block)| block.mistake().is_some());
        self.sync_state().bad_rows_count + mistakes.count() as u64
    }

    /// How many jobs are never started when they should be, by reason.
    pub(super) fn blocked_by_word(&self) -> [(&'static str, u64); Block::WORDS.len()] {
        let mut counts = Block::WORDS.map(|word| (word, 0));
        for (_, block) in self.table().blocked() {
            counts.iter_mut().filter(|(word, _)| *word == block.word()).for_each(|it| it.1 += 1);
        }
        counts
    }

    /// The first of the jobs that are never started because somebody wanted that.
    fn jobs_off(&self) -> Vec<u32> {
        let jobs = self.table().blocked().filter(|(_, block)| block.mistake().is_none());
        jobs.take(MAX_BAD_ROWS).map(|(job, _)| job.def.id.0).collect()
    }

    pub(super) fn status(&self, now: Now) -> Value {
        let sync = self.sync_state();
        let counters = self.counters();
        let zone = &self.settings().zone;
        let (database, message) = match &sync.database {
            DatabaseState::Unknown => ("unknown", None),
            DatabaseState::Up => ("up", None),
            DatabaseState::Down { message, .. } => ("down", Some(message)),
        };
        let age_ms = sync.synced_mono_ms.map(|at| now.mono_ms.saturating_sub(at));
        let bad_rows = self.bad_rows().into_iter().take(MAX_BAD_ROWS);
        let bad_rows: Vec<Value> = bad_rows
            .map(|row| json!({"id": row.id, "what": row.what, "reason": row.why}))
            .collect();
        let blocked: serde_json::Map<String, Value> =
            self.blocked_by_word().into_iter().map(|(word, n)| (word.into(), json!(n))).collect();
        let stops_refused = self.stops_refused().take(MAX_BAD_ROWS).map(
            |(run, why)| json!({"run_id": run.id, "job_id": run.job, "reason": why.to_string()}),
        );
        let stops_refused: Vec<Value> = stops_refused.collect();
        json!({
            "server_id": self.settings().server_id,
            "version": env!("CARGO_PKG_VERSION"),
            "started_at": rfc3339(self.started().wall_ms, zone),
            "now": rfc3339(now.wall_ms, zone),
            "uptime_ms": now.mono_ms.saturating_sub(self.started().mono_ms),
            "draining": self.draining(),
            "jobs": self.table().len(),
            "table_read": self.knows_table(),
            "running": self.runs().len(),
            "pid": self.vitals().pid,
            "rss_bytes": self.vitals().rss_bytes,
            "revision": self.revision(),
            "database": database,
            "database_error": message,
            "sync_age_ms": age_ms,
            "sync_failures": sync.failures,
            "bad_rows": bad_rows,
            "bad_rows_total": self.bad_rows_count(),
            "blocked": blocked,
            "jobs_off": self.jobs_off(),
            "launched": counters.launched,
            "succeeded": counters.succeeded,
            "failed": counters.failed,
            "stopped": counters.stopped,
            "skipped": counters.skipped,
            "worst_lateness_ms": counters.worst_lateness_ms,
            "slow_turns": counters.slow_turns,
            "worst_turn_us": counters.worst_turn_us,
            "records_waiting_bytes": self.outbox().waiting_bytes(),
            "records_unwritten": self.records_unwritten(),
            "records_astray": self.records_astray(),
            "records_dropped": counters.records_dropped,
            "records_refused": self.set_aside().tried(),
            "records_refused_last": self.set_aside().last,
            "records_elsewhere": self.set_aside().elsewhere,
            "records_elsewhere_last": self.set_aside().last_elsewhere,
            "outputs_dropped": counters.outputs_dropped,
            "journal_error": self.disk_error(),
            "snapshot_error": self.snapshot_error(),
            "stops_refused": stops_refused,
            "php_pid": self.twin(),
        })
    }

    /// The list of jobs; as a table of text for who wants that.
    pub(super) fn job_list(&mut self, now: Now, request: &Request) -> Response {
        if wants_text(request, "application/json") {
            return self.text_list(now, request);
        }
        let target = format!("{}?{}", request.path(), request.raw_query());
        let stamp = Stamp { revision: self.revision(), mono_ms: 0 };
        self.cached(&target, stamp, |core| {
            check_list(request)?;
            core.table_unread().map_or(Ok(()), |why| Err(missing::answer(why)))?;
            let (lines, total) = core.listed(request)?;
            let line = |(job, def, state)| core.job_line(job, def, state);
            let lines: Vec<_> = lines.into_iter().map(line).collect();
            Ok(text_of(&json!({ "jobs": lines, "total": total })))
        })
        .header("Vary", "Accept")
    }

    /// The file that describes the API to programs.
    pub(super) fn openapi(&mut self) -> Response {
        let stamp = Stamp { revision: 0, mono_ms: 0 };
        self.cached("/api/v1/openapi.json", stamp, |_| Ok(OPENAPI.to_owned()))
    }

    fn find_job(&self, request: &Request) -> Result<&Job, Response> {
        let text = request.segments().get(3).map_or(String::new(), |text| (*text).to_owned());
        let Ok(id) = text.parse::<u32>() else {
            let shown = plain::shown(&text);
            return Err(Response::problem(400, &format!("`{shown}` is no job id: a number is")));
        };
        let id = JobId(id);
        self.table().get(id).ok_or_else(|| missing::answer(self.no_job(id)))
    }

    pub(super) fn job_view(&mut self, now: Now, request: &Request) -> Response {
        let job = match self.find_job(request) {
            Ok(job) => job,
            Err(response) => return response,
        };
        let (id, stamp) = (job.def.id, self.job_stamp(now, job.revision, !job.live.is_empty()));
        self.cached(request.path(), stamp, |core| Ok(text_of(&core.job_json(now, id))))
    }

    /// Everything about a job; null if there is no such job.
    fn job_json(&self, now: Now, id: JobId) -> Value {
        let Some(job) = self.table().get(id) else { return Value::Null };
        let def = &job.def;
        let mut view = json!(self.job_line(job, def, self.state_of(job)));
        let history = job.history.as_deref();
        let skips: Vec<Value> = history.map_or(Vec::new(), |history| {
            let skips = history.skips.iter().rev();
            skips
                .map(|skip| {
                    json!({
                        "reason": skip.reason,
                        "first_slot": self.time_of(def, skip.first_ms),
                        "last_slot": self.time_of(def, skip.last_ms),
                        "count": skip.count,
                    })
                })
                .collect()
        });
        let skipped: serde_json::Map<String, Value> =
            history.map_or_else(Default::default, |past| {
                let counts = past.skipped_by_reason().into_iter();
                counts.map(|(why, n)| (why.label().to_owned(), json!(n))).collect()
            });
        view["command"] = json!(*def.command);
        view["raw_command"] = json!(def.raw_command.as_deref().unwrap_or(&def.command));
        view["output"] = json!(*def.output);
        view["stderr"] = json!(*def.stderr);
        view["timezone"] = json!(*def.timezone);
        view["tag_id"] = json!(def.tag_id);
        view["next_dues"] = json!(self.next_dues(job));
        view["live"] = json!(self.live_runs(now, job));
        view["skipped"] = Value::Object(skipped);
        view["skips"] = json!(skips);
        if let Phase::Replaced(next) = &job.phase {
            view["waiting"] = json!(self.job_line(job, next, "waiting"));
            view["waiting"]["command"] = json!(*next.command);
        }
        view
    }

    /// The runs of a job that are remembered, newest first, live ones before all others.
    pub(super) fn job_runs(&mut self, now: Now, request: &Request) -> Response {
        let job = match self.find_job(request) {
            Ok(job) => job,
            Err(response) => return response,
        };
        let (id, stamp) = (job.def.id, self.job_stamp(now, job.revision, !job.live.is_empty()));
        self.cached(request.path(), stamp, |core| {
            let Some(job) = core.table().get(id) else { return Ok(String::new()) };
            let mut runs = core.live_runs(now, job);
            if let Some(history) = &job.history {
                runs.extend(history.runs.iter().rev().map(|run| core.past_run(&job.def, run)));
            }
            Ok(text_of(&json!({ "runs": runs })))
        })
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
