//! The API: JSON for programs; `docs/api.md` is the description for users.

use super::filter::{Filter, Page};
use crate::core::daemon::{Core, DatabaseState};
use crate::core::definition::Schedule;
use crate::core::http::{Request, Response};
use crate::core::ids::JobId;
use crate::core::table::{Job, Phase};
use crate::core::time::{Now, rfc3339};
use serde_json::{Value, json};

impl Core {
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
        let bad_rows: Vec<Value> =
            sync.bad_rows.iter().map(|(id, why)| json!({"id": id, "reason": why})).collect();
        json!({
            "server_id": self.settings().server_id,
            "version": env!("CARGO_PKG_VERSION"),
            "started_at": rfc3339(self.started().wall_ms, zone),
            "now": rfc3339(now.wall_ms, zone),
            "uptime_ms": now.mono_ms.saturating_sub(self.started().mono_ms),
            "draining": self.draining(),
            "jobs": self.table().len(),
            "running": self.runs().len(),
            "database": database,
            "database_error": message,
            "sync_age_ms": age_ms,
            "sync_failures": sync.failures,
            "bad_rows": bad_rows,
            "launched": counters.launched,
            "succeeded": counters.succeeded,
            "failed": counters.failed,
            "skipped": counters.skipped,
            "worst_lateness_ms": counters.worst_lateness_ms,
            "slow_turns": counters.slow_turns,
            "worst_turn_us": counters.worst_turn_us,
            "records_waiting_bytes": self.outbox().waiting_bytes(),
            "records_dropped": counters.records_dropped,
            "journal_error": self.outbox().failure(),
        })
    }

    pub(super) fn job_list(&self, request: &Request) -> Response {
        let page = match Page::new(request) {
            Ok(page) => page,
            Err(bad) => return bad,
        };
        let filter = Filter::new(request);
        let mut total = 0;
        let mut lines = Vec::new();
        for (job, def, state) in self.table().iter().flat_map(|job| self.rows(job)) {
            if !filter.takes(self, def, state) {
                continue;
            }
            if page.has(total) {
                lines.push(self.job_line(job, def, state));
            }
            total += 1;
        }
        json_answer(&json!({ "jobs": lines, "total": total }))
    }

    fn find_job(&self, request: &Request) -> Result<&Job, Response> {
        let text = request.segments().get(3).map_or(String::new(), |text| (*text).to_owned());
        let Ok(id) = text.parse::<u32>() else {
            return Err(Response::problem(400, &format!("`{text}` is no job id: a number is")));
        };
        self.table().get(JobId(id)).ok_or_else(|| {
            let group = self.settings().server_id;
            let why = format!("job {id} is not in force: no row with this id, status = 1 and ");
            Response::problem(404, &format!("{why}server_id = {group}, or it was not read yet"))
        })
    }

    pub(super) fn job_view(&self, now: Now, request: &Request) -> Response {
        let job = match self.find_job(request) {
            Ok(job) => job,
            Err(response) => return response,
        };
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
        view["raw_command"] = json!(def.raw_command.as_deref().unwrap_or(&def.command));
        view["output"] = json!(def.output);
        view["stderr"] = json!(def.stderr);
        view["timezone"] = json!(def.timezone);
        view["tag_id"] = json!(def.tag_id);
        view["error"] = match &def.schedule {
            Schedule::Refused(why) => json!(why),
            Schedule::Due(..) => Value::Null,
        };
        view["next_dues"] = json!(self.next_dues(job));
        view["live"] = json!(self.live_runs(now, job));
        view["skipped"] = Value::Object(skipped);
        view["skips"] = json!(skips);
        if let Phase::Replaced(next) = &job.phase {
            view["waiting"] = json!(self.job_line(job, next, "waiting"));
        }
        json_answer(&view)
    }

    /// The runs of a job that are remembered, newest first, live ones before all others.
    pub(super) fn job_runs(&self, now: Now, request: &Request) -> Response {
        let job = match self.find_job(request) {
            Ok(job) => job,
            Err(response) => return response,
        };
        let mut runs = self.live_runs(now, job);
        if let Some(history) = &job.history {
            runs.extend(history.runs.iter().rev().map(|run| self.past_run(&job.def, run)));
        }
        json_answer(&json!({ "runs": runs }))
    }
}

pub(super) fn json_answer(value: &Value) -> Response {
    Response::json(200, format!("{value}\n"))
}
