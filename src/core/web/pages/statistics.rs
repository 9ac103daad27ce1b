//! `/jobs/ID/statistics`: what the runs of a job came to.

use super::super::Web;
use super::super::root::Root;
use super::super::route::Place;
use super::super::routes::ROUTES;
use super::super::statistics::{self, Asker, Wanted};
use super::super::texts::{StatisticsTexts, Texts, fill, of_statistics};
use super::frame::{Frame, Part};
use super::look::Look;
use super::words::{self, Moment};
use super::{answer, render};
use crate::core::http::{Request, Response};
use crate::core::ids::JobId;
use crate::core::plain;
use crate::core::protocol::Past;
use crate::core::scheduler::Scheduler;
use crate::core::statistics::{ERROR_PERCENT, Summary, Told, WINDOWS};
use askama::Template;

#[derive(Template)]
#[template(path = "statistics.html")]
struct StatisticsPage {
    frame: Frame,
    s: &'static StatisticsTexts,
    job: JobId,
    name: String,
    /// What a table is called, and its first column.
    tables: Vec<(&'static str, &'static str, Vec<Row>)>,
    /// What is measured.
    measured: [&'static str; 3],
    /// Which runs are not counted, and why; empty: all are.
    why: String,
    /// How far percentiles are right.
    error: String,
}

/// A stretch of time.
struct Row {
    what: String,
    /// When it began; empty for a day.
    since: String,
    /// Runs, those that were good, failed, were told to end; slots that were skipped.
    counts: [u64; 5],
    /// Of time, of processors, of memory: half, 95 of 100, all have no more.
    figures: [[String; 3]; 3],
}

impl Web {
    /// The page, once the database has answered or has not.
    pub(in crate::core::web) fn statistics_page(
        &mut self,
        scheduler: &Scheduler,
        (now, conn): Asker,
        (wanted, request): (&Wanted, &Request),
        said: Result<Box<Past>, String>,
    ) -> Response {
        let call = Place::of(ROUTES, request.path()).call(now, conn, request);
        let found = match statistics::found(said) {
            Ok(found) => found,
            Err(problem) => return self.for_people(scheduler, &call, problem),
        };
        let look = Look::of(request);
        let (t, s) = (look.texts(), of_statistics(look.lang));
        let zone = &scheduler.settings().zone;
        let name = scheduler.table().get(wanted.job).map_or("", |job| &*job.def.name).to_owned();
        let path = format!("/jobs/{}/statistics", wanted.job);
        let title = format!("{}: {name}", t.statistics);
        let mut frame = self.frame(scheduler, &call, look, (Part::Jobs, &title), path);
        frame.events = Root::of(request).to("/api/v1/events?per_page=1&state=-");
        let windows = WINDOWS.into_iter().zip(&found.windows).map(|(window, told)| {
            let since = Moment::new(now, wanted.since_ms(scheduler, window), zone);
            Row { since: fill(s.since, &[&since.text]), ..row(t, name_of(s, window.days), told) }
        });
        let days = found.days.iter().map(|day| row(t, day.day.clone(), &day.told));
        let page = StatisticsPage {
            frame,
            s,
            measured: [t.took, t.cpu, t.peak],
            job: wanted.job,
            name,
            tables: vec![
                (s.until_now, s.window, windows.collect()),
                (s.by_day, s.day, days.collect()),
            ],
            why: found.uncounted.map_or(String::new(), |_| fill(s.not_counted, &[&found.from])),
            error: fill(s.off_by, &[&ERROR_PERCENT.to_string()]),
        };
        answer(request, look, render(200, &page)).header("Cache-Control", "no-store")
    }
}

fn name_of(s: &StatisticsTexts, days: u32) -> String {
    match days {
        1 => fill(s.hours, &["24"]),
        days => fill(s.days, &[&days.to_string()]),
    }
}

fn row(t: &Texts, what: String, told: &Told) -> Row {
    let took = |ms| words::duration(t, ms);
    let three = |summary: Option<&Summary>, say: &dyn Fn(u64) -> String| match summary {
        Some(summary) => [summary.p50, summary.p95, summary.max].map(say),
        None => ["–"; 3].map(str::to_owned),
    };
    Row {
        what,
        since: String::new(),
        counts: [told.runs, told.ok, told.failed, told.stopped, told.skipped],
        figures: [
            three(told.duration_ms.as_ref(), &took),
            three(told.cpu_ms.as_ref(), &took),
            three(told.max_rss_bytes.as_ref(), &plain::size),
        ],
    }
}
