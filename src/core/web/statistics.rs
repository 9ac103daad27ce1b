//! `GET /api/v1/jobs/ID/statistics`: what the runs of a job came to in the last 24 hours, 7 and 30
//! days. The database says that; what it does not know yet is not in it.

use super::call::Call;
use super::missing;
use super::parameters::job_id;
use super::wanted::wants_text;
use crate::core::http::{Request, Response};
use crate::core::ids::{ConnId, JobId};
use crate::core::plain;
use crate::core::protocol::{Past, Statistics, StatisticsAsk, Uncounted};
use crate::core::scheduler::Scheduler;
use crate::core::statistics::{ERROR_PERCENT, Summary, WINDOWS, Window, days_before};
use crate::core::time::{Now, datetime, instant_of, rfc3339};
use serde_json::{Value, json};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What a client wants to know, and in which form.
#[derive(Debug)]
pub(super) struct Wanted {
    pub job: JobId,
    /// When it asked, unix ms.
    pub at_ms: i64,
    /// As a table of text.
    text: bool,
    /// The request of a page.
    pub page: Option<Box<Request>>,
}

impl Wanted {
    /// What a program asks for.
    pub fn of(scheduler: &Scheduler, call: &Call<'_>) -> Result<Wanted, Response> {
        let job = job_id(call.argument)?;
        if scheduler.table().get(job).is_none() {
            return Err(missing::answer(missing::no_job(scheduler, job)));
        }
        let text = wants_text(call.request, "application/json");
        Ok(Wanted { job, at_ms: call.now.wall_ms, text, page: None })
    }

    /// What a person asks for.
    pub fn of_page(scheduler: &Scheduler, call: &Call<'_>) -> Result<Wanted, Response> {
        let page = Some(Box::new(call.request.clone()));
        Ok(Wanted { text: false, page, ..Wanted::of(scheduler, call)? })
    }

    /// The question to the database.
    pub fn ask(&self, scheduler: &Scheduler) -> StatisticsAsk {
        let settings = scheduler.settings();
        StatisticsAsk {
            server_id: settings.server_id,
            job: self.job.0,
            today: self.today(scheduler),
            since: datetime(self.at_ms - DAY_MS, &settings.zone),
        }
    }

    fn today(&self, scheduler: &Scheduler) -> String {
        let mut day = datetime(self.at_ms, &scheduler.settings().zone);
        day.truncate(10);
        day
    }

    /// When a stretch of time begins, unix ms.
    pub fn since_ms(&self, scheduler: &Scheduler, window: Window) -> i64 {
        if window.days == 1 {
            return self.at_ms - DAY_MS;
        }
        let day = days_before(&self.today(scheduler), window.days);
        let midnight = instant_of(&format!("{day} 00:00:00"), &scheduler.settings().zone, None);
        midnight.unwrap_or(self.at_ms - i64::from(window.days) * DAY_MS)
    }
}

/// What the database has said, or why it has not.
pub(super) fn found(said: Result<Box<Past>, String>) -> Result<Box<Statistics>, Response> {
    let away = |why: &str| Response::problem(503, &format!("statistics: database: {why}"));
    let past = said.map_err(|why| away(&why))?;
    let found = past.statistics.ok_or_else(|| away("it has answered something else"))?;
    match found.windows.len() == WINDOWS.len() {
        true => Ok(found),
        false => Err(away("it has answered something else")),
    }
}

/// The answer to a program.
pub(super) fn answer(
    scheduler: &Scheduler,
    wanted: &Wanted,
    said: Result<Box<Past>, String>,
) -> Response {
    let found = match found(said) {
        Ok(found) => found,
        Err(problem) => return problem,
    };
    let response = match wanted.text {
        true => Response::text(200, text(scheduler, wanted, &found)),
        false => Response::json(200, format!("{}\n", view(scheduler, wanted, &found))),
    };
    response.header("Cache-Control", "no-cache").header("Vary", "Accept")
}

/// Why not all is told.
pub(super) fn why(found: &Statistics) -> Option<String> {
    let from = &found.from;
    let why = match found.uncounted? {
        Uncounted::NoTable => {
            "for that there is no table scheduler_statistics, which is optional: `schedule db \
             migrate` makes it"
        }
        Uncounted::NoIndex | Uncounted::NotYet => "they are counted in a while",
    };
    Some(format!("runs from before {from} are not all counted: {why}"))
}

fn view(scheduler: &Scheduler, wanted: &Wanted, found: &Statistics) -> Value {
    let at = |ms: i64| rfc3339(ms.div_euclid(1_000) * 1_000, &scheduler.settings().zone);
    let windows = WINDOWS.into_iter().zip(&found.windows).map(|(window, told)| {
        let mut view = json!(told);
        view["window"] = json!(window.word);
        view["since"] = json!(at(wanted.since_ms(scheduler, window)));
        view
    });
    let windows: Vec<Value> = windows.collect();
    let mut view = json!({
        "job_id": wanted.job,
        "name": scheduler.table().get(wanted.job).map(|job| &*job.def.name),
        "at": at(wanted.at_ms),
        "windows": windows,
        "days": found.days,
        "error_percent": ERROR_PERCENT,
        "complete": found.uncounted.is_none(),
    });
    if let Some(why) = why(found) {
        view["why"] = json!(why);
    }
    view
}

/// The same for terminals.
fn text(scheduler: &Scheduler, wanted: &Wanted, found: &Statistics) -> String {
    let titles = [
        "WINDOW",
        "RUNS",
        "OK",
        "FAILED",
        "STOPPED",
        "SKIPPED",
        "TOOK P50",
        "P95",
        "MAX",
        "CPU P50",
        "P95",
        "MAX",
        "MEMORY P50",
        "P95",
        "MAX",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for (window, told) in WINDOWS.into_iter().zip(&found.windows) {
        let counts = [told.runs, told.ok, told.failed, told.stopped, told.skipped];
        let figures = three(told.duration_ms.as_ref(), plain::took)
            .into_iter()
            .chain(three(told.cpu_ms.as_ref(), plain::took))
            .chain(three(told.max_rss_bytes.as_ref(), plain::size));
        let counts = counts.iter().map(u64::to_string);
        rows.push([window.word.to_owned()].into_iter().chain(counts).chain(figures).collect());
    }
    let name = scheduler.table().get(wanted.job).map_or("", |job| &*job.def.name);
    let mut text = format!("{} {}\n{}", wanted.job, plain::line(name), plain::table(&rows));
    text.extend(why(found).map(|why| why + "\n"));
    text
}

fn three(summary: Option<&Summary>, told: fn(u64) -> String) -> [String; 3] {
    summary.map_or_else(
        || ["-"; 3].map(str::to_owned),
        |summary| [summary.p50, summary.p95, summary.max].map(told),
    )
}

/// Who asked, and when, for the page.
pub(super) type Asker = (Now, ConnId);
