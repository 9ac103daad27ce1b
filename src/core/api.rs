//! The API: a request in, an answer out. Read-only; `docs/api.md` is the description for users.

use crate::core::daemon::{Core, DatabaseState, RunPhase};
use crate::core::definition::{Definition, Schedule};
use crate::core::event::Action;
use crate::core::history::PastRun;
use crate::core::http::{Method, Request, Response};
use crate::core::ids::{ConnId, JobId};
use crate::core::table::{Job, Phase};
use crate::core::time::{Now, rfc3339};
use serde::Serialize;
use serde_json::{Value, json};

/// Jobs on a page of a list where the client does not say.
const DEFAULT_PER_PAGE: usize = 100;

/// Jobs on a page of a list at the most.
const MAX_PER_PAGE: usize = 1_000;

/// Due instants that the view of a job shows.
const NEXT_DUES: usize = 10;

/// A line of the list of jobs.
#[derive(Serialize)]
struct JobLine<'a> {
    id: JobId,
    name: &'a str,
    command: &'a str,
    cron: &'a str,
    tag: &'a str,
    state: &'static str,
    running: usize,
    max_concurrence: u32,
    overtime: u64,
    next_due: Option<String>,
    last_run: Option<Value>,
    md5: String,
}

/// What a list is narrowed to.
struct Filter {
    tag: Option<String>,
    text: Option<String>,
    state: Option<String>,
}

impl Core {
    /// Answers a request.
    pub(super) fn request(&mut self, now: Now, conn: ConnId, request: &Request) {
        let response = self.answer(now, request);
        self.respond(conn, response);
    }

    fn respond(&mut self, conn: ConnId, response: Response) {
        self.push_action(Action::Respond(conn, Box::new(response)));
    }

    fn answer(&self, now: Now, request: &Request) -> Response {
        let answer: fn(&Core, Now, &Request) -> Response = match request.segments()[..] {
            ["healthz"] => |_, _, _| Response::text(200, "ok\n"),
            ["api", "v1", "status"] => |core, now, _| json_answer(&core.status(now)),
            ["api", "v1", "jobs"] => |core, _, request| core.job_list(request),
            ["api", "v1", "jobs", _] => |core, now, request| core.job_view(now, request),
            ["api", "v1", "jobs", _, "runs"] => |core, now, request| core.job_runs(now, request),
            _ => return Response::problem(404, "there is no such page; see /api/v1/jobs"),
        };
        match request.method {
            Method::Get | Method::Head => answer(self, now, request),
            Method::Options => Response::options("GET, HEAD, OPTIONS"),
            _ => Response::method_not_allowed("GET, HEAD, OPTIONS"),
        }
    }

    fn status(&self, now: Now) -> Value {
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
            "worst_turn_us": counters.worst_turn_us,
            "records_waiting_bytes": self.outbox().waiting_bytes(),
            "records_dropped": counters.records_dropped,
            "journal_error": self.outbox().failure(),
        })
    }

    fn job_list(&self, request: &Request) -> Response {
        let number = |name: &str| match request.query(name) {
            None => Ok(None),
            Some(text) => match text.parse::<usize>() {
                Ok(number) if number > 0 => Ok(Some(number)),
                _ => Err(Response::problem(400, &format!("{name}: a whole number from 1 on"))),
            },
        };
        let (page, per_page) = match (number("page"), number("per_page")) {
            (Ok(page), Ok(per_page)) => (page.unwrap_or(1), per_page.unwrap_or(DEFAULT_PER_PAGE)),
            (Err(bad), _) | (_, Err(bad)) => return bad,
        };
        let per_page = per_page.min(MAX_PER_PAGE);
        let filter = Filter::new(request);
        let first = (page - 1).saturating_mul(per_page);
        let mut total = 0;
        let mut lines = Vec::new();
        for (job, def, state) in self.table().iter().flat_map(|job| self.rows(job)) {
            if !filter.takes(self, def, state) {
                continue;
            }
            if (first..first.saturating_add(per_page)).contains(&total) {
                lines.push(self.job_line(job, def, state));
            }
            total += 1;
        }
        json_answer(&json!({ "jobs": lines, "total": total }))
    }

    /// The lines of a job: one, or two while a new definition waits for the old one to drain.
    fn rows<'a>(
        &self,
        job: &'a Job,
    ) -> impl Iterator<Item = (&'a Job, &'a Definition, &'static str)> + use<'a> {
        let waiting = match &job.phase {
            Phase::Replaced(next) => Some((job, &**next, "waiting")),
            Phase::Active | Phase::Draining => None,
        };
        std::iter::once((job, &job.def, self.state_of(job))).chain(waiting)
    }

    /// The original's state label of a job.
    pub fn state_of(&self, job: &Job) -> &'static str {
        let phases = || job.live.iter().filter_map(|run| Some(self.runs().get(run)?.phase));
        if !matches!(job.phase, Phase::Active) {
            return "deleting";
        }
        let Some(first) = phases().next() else {
            let last = job.history.as_ref().and_then(|history| history.runs.back());
            return match (last, &job.def.schedule) {
                (Some(run), _) => run.outcome.state_label(),
                (None, Schedule::Refused(_)) => "fatal",
                (None, Schedule::Due(..)) => "",
            };
        };
        let stopping = |phase| matches!(phase, RunPhase::Stopping { .. } | RunPhase::Killed);
        if phases().any(|phase| phase == RunPhase::Live) {
            return "running";
        }
        if phases().all(stopping) {
            return "stopping";
        }
        match first {
            RunPhase::Retry { .. } => "backoff",
            _ => "starting",
        }
    }

    fn job_line<'a>(
        &'a self,
        job: &'a Job,
        def: &'a Definition,
        state: &'static str,
    ) -> JobLine<'a> {
        let last = job.history.as_ref().and_then(|history| history.runs.back());
        JobLine {
            id: def.id,
            name: &def.name,
            command: &def.command,
            cron: &def.cron,
            tag: self.table().tags.get(&def.tag_id).map_or("", String::as_str),
            state,
            running: if state == "waiting" { 0 } else { job.live.len() },
            max_concurrence: def.max_concurrence,
            overtime: job.overtime,
            next_due: job.next_due_ms.map(|due| self.time_of(def, due)),
            last_run: last.map(|run| self.past_run(def, run)),
            md5: def.md5_hex(),
        }
    }

    /// An instant in the zone of a job.
    fn time_of(&self, def: &Definition, wall_ms: i64) -> String {
        match &def.schedule {
            Schedule::Due(_, zone) => rfc3339(wall_ms, self.table().zone(*zone)),
            Schedule::Refused(_) => rfc3339(wall_ms, &self.settings().zone),
        }
    }

    fn past_run(&self, def: &Definition, run: &PastRun) -> Value {
        json!({
            "run_id": run.run,
            "cause": run.cause,
            "slot": run.slot_ms.map(|slot| self.time_of(def, slot)),
            "started_at": self.time_of(def, run.started_ms),
            "ended_at": self.time_of(def, run.ended_ms),
            "duration_ms": run.duration_ms,
            "pid": (run.pid != 0).then_some(run.pid),
            "outcome": run.outcome.to_string(),
            "exit_code": run.outcome.exit_code(),
            "signal": run.outcome.signal(),
            "user_ms": run.usage.user_ms,
            "system_ms": run.usage.system_ms,
            "max_rss_bytes": run.usage.max_rss_bytes,
        })
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

    fn job_view(&self, now: Now, request: &Request) -> Response {
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

    fn next_dues(&self, job: &Job) -> Vec<String> {
        let Some(def) = job.scheduled() else { return Vec::new() };
        let Schedule::Due(cron, zone) = &def.schedule else { return Vec::new() };
        let next = |after: &i64| cron.next_after(self.table().zone(*zone), *after);
        let first = job.next_due_ms;
        let dues = std::iter::successors(first, next).take(NEXT_DUES);
        dues.map(|due| self.time_of(def, due)).collect()
    }

    fn live_runs(&self, now: Now, job: &Job) -> Vec<Value> {
        let runs = job.live.iter().rev().filter_map(|run| self.runs().get(run));
        runs.map(|run| {
            let state = match run.phase {
                RunPhase::Queued => "starting",
                RunPhase::Retry { .. } => "backoff",
                RunPhase::Live => "running",
                RunPhase::Stopping { .. } | RunPhase::Killed => "stopping",
            };
            json!({
                "run_id": run.id,
                "cause": run.cause,
                "slot": run.slot_ms.map(|slot| self.time_of(&job.def, slot)),
                "started_at": self.time_of(&job.def, run.at_ms),
                "ended_at": null,
                "duration_ms": now.mono_ms.saturating_sub(run.mono_ms),
                "pid": (run.pid != 0).then_some(run.pid),
                "outcome": state,
            })
        })
        .collect()
    }

    /// The runs of a job that are remembered, newest first, live ones before all others.
    fn job_runs(&self, now: Now, request: &Request) -> Response {
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

impl Filter {
    fn new(request: &Request) -> Filter {
        let given = |name| request.query(name).filter(|text| !text.is_empty());
        Filter {
            tag: given("tag").map(|tag| tag.into_owned()),
            text: given("q").map(|text| text.to_lowercase()),
            state: given("state").map(|state| state.into_owned()),
        }
    }

    /// `tag` is an id or a name; `q` is found in name and command in any case.
    fn takes(&self, core: &Core, def: &Definition, state: &str) -> bool {
        let is_tag = |tag: &String| {
            tag.parse() == Ok(def.tag_id) || core.table().tags.get(&def.tag_id) == Some(tag)
        };
        let has = |text: &String| {
            def.name.to_lowercase().contains(text) || def.command.to_lowercase().contains(text)
        };
        self.tag.as_ref().is_none_or(is_tag)
            && self.state.as_ref().is_none_or(|wanted| wanted == state)
            && self.text.as_ref().is_none_or(has)
    }
}

fn json_answer(value: &Value) -> Response {
    Response::json(200, format!("{value}\n"))
}
