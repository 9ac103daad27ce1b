//! `/jobs/ID`: a job, its runs, its output.

use super::super::Web;
use super::super::call::Call;
use super::super::missing;
use super::super::parameters;
use super::super::root::Root;
use super::super::state_words::state_text;
use super::super::texts::{
    ActTexts, Texts, WhyTexts, acts, column_label, fill, why, written_columns,
};
use super::super::views;
use super::audit::{self, ActRow};
use super::cache::RenderedPage;
use super::chosen::{self, Chosen};
use super::frame::{Alert, Frame, Part, blocked_alert, disabled_alert, pause_alert};
use super::look::Look;
use super::pauses;
use super::plot::{self, Plots};
use super::row::{self, Row};
use super::words::{self, Moment};
use super::{links, render};
use crate::core::columns::Column;
use crate::core::definition::Definition;
use crate::core::history::PastRun;
use crate::core::http::{Request, Response};
use crate::core::ids::{BadJobId, JobId, RunId};
use crate::core::journal::{Remarks, SkipEntry};
use crate::core::plain;
use crate::core::scheduler::{Run, Scheduler};
use crate::core::state_label::StateLabel;
use crate::core::table::{Job, Phase};
use crate::core::time::Now;
use askama::Template;

/// Runs that an alert names one by one.
const NAMED: usize = 5;

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage<'a> {
    frame: Frame,
    row: Row<'a>,
    /// Whether its row is in force.
    enabled: bool,
    /// Whether its row says that it is paused.
    paused: bool,
    alerts: Vec<Alert>,
    zone: String,
    output: &'a str,
    stderr: &'a str,
    md5: String,
    /// Date and time for people, RFC 3339 for the script.
    dues: Vec<(String, String)>,
    plots: Plots,
    runs: Vec<RunRow>,
    skips: Vec<Skip>,
    a: &'static ActTexts,
    w: &'static WhyTexts,
    /// Of one job, its name is not said each time.
    of_all: bool,
    /// What was done with it.
    acts: Vec<ActRow>,
    sources: Vec<OutputChoice>,
    chosen: Chosen,
    /// Where the text that is chosen is without scripts: an address, and a stream of it.
    plain: (String, &'static str),
}

struct RunRow {
    id: String,
    live: bool,
    state: StateLabel,
    outcome: String,
    /// What it wrote last before it failed.
    last_line: String,
    /// What was said when it was started.
    note: String,
    started: Moment,
    took: String,
    cpu: String,
    peak: String,
    cause: &'static str,
    slot: Option<Moment>,
    pid: u32,
}

struct Skip {
    reason: &'static str,
    count: u64,
    first: Moment,
    last: Moment,
}

/// Something whose end can be looked at.
struct OutputChoice {
    /// The address without a query, and the stream that goes there.
    at: (String, &'static str),
    href: String,
    label: String,
    chosen: bool,
}

impl Web {
    /// Renders the page of a job. `run` and `stream` of the query choose what output is shown.
    ///
    /// # Errors
    /// There is no such job, or none such output of it: the answer that says so.
    pub(super) fn job_page(
        &self,
        scheduler: &Scheduler,
        call: &Call<'_>,
        look: Look,
    ) -> Result<RenderedPage, Response> {
        let Call { now, request, argument: id, .. } = *call;
        let job = job_of_text(scheduler, id)?;
        parameters::check_output(scheduler, request, job.def.id)?;
        let t = look.texts();
        let mut row =
            row::row(scheduler, now, look, (job, &job.def, views::state_of(scheduler, job)));
        row.command = (&*job.def.command).into();
        row.notes = row::notes(look, &job.def, usize::MAX);
        row.raw = job.def.unfilled().unwrap_or("").into();
        let def = &job.def;
        let runs = run_rows(scheduler, now, look, job);
        let here = chosen::address(&format!("/jobs/{id}"), request, &["run", "stream"]);
        let mut frame = self.frame(scheduler, call, look, (Part::Jobs, row.name), here);
        frame.events = frame.root.to(&format!("/api/v1/events?id={id}&state=all"));
        let sources = sources(t, def, &runs, request);
        let shown = sources.iter().find(|source| source.chosen).or(sources.first());
        let own = || (frame.root.to(&format!("/api/v1/jobs/{id}/output")), "stdout");
        let page = JobPage {
            plain: shown.map_or_else(own, |source| source.at.clone()),
            chosen: Chosen::of(request)?,
            enabled: job.scheduled().is_some(),
            paused: pauses::of_job(scheduler, t, job).is_some(),
            alerts: alerts(scheduler, look, job),
            zone: zone_name(scheduler, t, def),
            output: &def.output,
            stderr: &def.stderr,
            md5: def.md5_hex(),
            dues: dues(scheduler, job),
            plots: plot::plots(t, job, row::zone_of(scheduler, def)),
            skips: skips(scheduler, now, t, job),
            a: acts(look.lang),
            w: why(look.lang),
            of_all: false,
            acts: audit::of_job(scheduler, call, def.id),
            sources,
            runs,
            row,
            frame,
        };
        Ok(render(200, &page))
    }
}

fn job_of_text<'a>(scheduler: &'a Scheduler, id: &str) -> Result<&'a Job, Response> {
    let no_id = |why: BadJobId| Response::problem(404, &why.to_string());
    let id = id.parse::<JobId>().map_err(no_id)?;
    scheduler.table().get(id).ok_or_else(|| missing::answer(missing::no_job(scheduler, id)))
}

/// Why it is never started, and what it waits for.
fn alerts(scheduler: &Scheduler, look: Look, job: &Job) -> Vec<Alert> {
    let t = look.texts();
    let block = blocked_alert(t, job.block()).or_else(|| disabled_alert(t, job));
    let drains = drains_alert(scheduler, look, job);
    let paused = pauses::of_job(scheduler, t, job).map(pause_alert);
    block.into_iter().chain(paused).chain(drains).collect()
}

/// That it ends with its runs, or what its row says by now.
fn drains_alert(scheduler: &Scheduler, look: Look, job: &Job) -> Option<Alert> {
    let t = look.texts();
    let text = row::drains(scheduler, t, job)?;
    let Phase::Replaced(next) = job.phase() else {
        return Some(Alert { kind: "warn", text: text.to_owned(), rows: Vec::new() });
    };
    let mut runs: Vec<String> = job.live.iter().take(NAMED).map(RunId::to_string).collect();
    if job.live.len() > NAMED {
        runs.push("…".to_owned());
    }
    let (before, after) = (job.def.row(0), next.row(0));
    let differs = |column: &Column| before.value(*column) != after.value(*column);
    let told = |column: Column| {
        (column_label(look.lang, column).to_owned(), after.value(column).into_owned())
    };
    let rows = written_columns().filter(differs).map(told).collect();
    Some(Alert { kind: "warn", text: fill(t.waits_for, &[&runs.join(", ")]), rows })
}

fn zone_name(scheduler: &Scheduler, t: &Texts, def: &Definition) -> String {
    if !def.timezone().is_empty() {
        return def.timezone().to_owned();
    }
    let zone = &scheduler.settings().zone;
    fill(t.configured, &[zone.iana_name().unwrap_or("UTC")])
}

fn dues(scheduler: &Scheduler, job: &Job) -> Vec<(String, String)> {
    let people = |due: &String| due.get(..19).unwrap_or(due).replace('T', " ");
    views::next_dues(scheduler, job).into_iter().map(|due| (people(&due), due)).collect()
}

/// Live runs before those that ended, the newest first.
fn run_rows(scheduler: &Scheduler, now: Now, look: Look, job: &Job) -> Vec<RunRow> {
    let live = job.live.iter().rev().filter_map(|run| scheduler.runs().get(run));
    let live = live.map(|run| live_row(scheduler, now, look, job, run));
    let past = job.history.iter().flat_map(|history| history.runs.iter().rev());
    live.chain(past.map(|run| past_row(scheduler, now, look.texts(), job, run))).collect()
}

fn live_row(scheduler: &Scheduler, now: Now, look: Look, job: &Job, run: &Run) -> RunRow {
    let t = look.texts();
    let zone = row::zone_of(scheduler, &job.def);
    let state = run.phase().state();
    let told =
        if state == StateLabel::Running { t.is_running } else { state_text(look.lang, state) };
    let refused = || run.refused.as_ref().map(|why| words::refusal(t, why));
    let detail = run.waits.as_deref().map(str::to_owned).or_else(refused);
    let detail = detail.map(|what| format!(": {what}")).unwrap_or_default();
    RunRow {
        id: run.id.to_string(),
        live: true,
        state,
        outcome: format!("{told}{detail}"),
        last_line: String::new(),
        note: note_of(run.remarks.as_deref()),
        started: Moment::new(now, run.at_ms, zone),
        took: words::duration(t, now.mono_ms.saturating_sub(run.mono_ms)),
        cpu: "–".to_owned(),
        peak: "–".to_owned(),
        cause: words::cause(t, run.cause),
        slot: run.slot_ms.map(|slot| Moment::new(now, slot, zone)),
        pid: run.pid,
    }
}

fn past_row(scheduler: &Scheduler, now: Now, t: &Texts, job: &Job, run: &PastRun) -> RunRow {
    let zone = row::zone_of(scheduler, &job.def);
    let known = |text: String| if run.pid == 0 { "–".to_owned() } else { text };
    RunRow {
        id: run.run.to_string(),
        live: false,
        state: run.state(),
        outcome: words::past(t, run),
        last_line: run.last_line().to_owned(),
        note: note_of(run.remarks.as_deref()),
        started: Moment::new(now, run.started_ms, zone),
        took: words::duration(t, run.duration_ms),
        cpu: known(words::duration(t, run.usage.user_ms + run.usage.system_ms)),
        peak: known(plain::size(run.usage.max_rss_bytes)),
        cause: words::cause(t, run.cause),
        slot: run.slot_ms.map(|slot| Moment::new(now, slot, zone)),
        pid: run.pid,
    }
}

fn note_of(remarks: Option<&Remarks>) -> String {
    remarks.map_or(String::new(), |remarks| remarks.note.to_string())
}

fn skips(scheduler: &Scheduler, now: Now, t: &Texts, job: &Job) -> Vec<Skip> {
    let zone = row::zone_of(scheduler, &job.def);
    let skip = |skip: &SkipEntry| Skip {
        reason: words::reason(t, skip.reason),
        count: skip.count,
        first: Moment::new(now, skip.first_ms, zone),
        last: Moment::new(now, skip.last_ms, zone),
    };
    job.history.iter().flat_map(|history| history.skips.iter().rev()).map(skip).collect()
}

/// The job's own files where it has some, then the streams of each run. Where nothing is asked for
/// it is the first, or the errors of a run that has just failed. A run that is asked for is there,
/// though it may be forgotten: another one in its place would be taken for it.
fn sources(t: &Texts, def: &Definition, runs: &[RunRow], request: &Request) -> Vec<OutputChoice> {
    let asked = request.query("run").unwrap_or_default();
    let stream = request.query("stream").unwrap_or_default();
    let fine = [StateLabel::Stopped, StateLabel::Running, StateLabel::Starting];
    let failed = |run: &RunRow| !fine.contains(&run.state);
    let ill = asked.is_empty() && stream.is_empty() && runs.first().is_some_and(failed);
    let root = Root::of(request);
    let source = |path: String, stream: &'static str, label: String, chosen: bool| {
        let at = root.to(&path);
        let mut href = at.clone();
        links::add(&mut href, "stream", stream);
        OutputChoice { at: (at, stream), href, label, chosen }
    };
    let is_stream = |name: &str| stream == name || stream.is_empty() && name == "stdout";
    let mut sources = Vec::new();
    for (file, name, label) in
        [(&def.output, "stdout", t.job_output), (&def.stderr, "stderr", t.job_errors)]
    {
        if !file.is_empty() {
            let path = format!("/api/v1/jobs/{}/output", def.id);
            let chosen = asked.is_empty() && stream == name;
            sources.push(source(path, name, label.to_owned(), chosen));
        }
    }
    let forgotten = (!asked.is_empty() && runs.iter().all(|run| run.id != asked))
        .then(|| (asked.as_ref(), String::new()));
    let known = runs.iter().map(|run| (run.id.as_str(), format!(" {}", run.started.text)));
    for (at, (run, started)) in known.chain(forgotten).enumerate() {
        for (name, label) in [("stdout", t.run_output), ("stderr", t.run_errors)] {
            let chosen = asked == run && is_stream(name)
                || ill && at == 0 && name == "stderr" && def.stderr.is_empty();
            let label = fill(label, &[&format!("{run}{started}")]);
            sources.push(source(format!("/api/v1/runs/{run}/output"), name, label, chosen));
        }
    }
    sources
}
