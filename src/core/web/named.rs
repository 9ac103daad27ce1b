//! What a request names: a job, a run, a file, a command.

use super::Web;
use super::actions::{Command, Form};
use super::call::Call;
use super::missing;
use super::parameters::{job_id, run_id};
use super::pause_form;
use super::root::Root;
use super::sources::Source;
use crate::core::http::{Request, Response, query_pairs};
use crate::core::json;
use crate::core::launch::Stream;
use crate::core::plain;
use crate::core::scheduler::Scheduler;
use serde_json::Value;

/// Characters of a note: the width of `scheduler_logs.note`.
const MAX_NOTE_CHARS: usize = 200;

/// Jobs of a selection at the most.
const MAX_SELECTED: usize = 1_000;

/// `POST /api/v1/jobs/ID/start`
pub(super) fn start_job(call: &Call<'_>) -> Result<Command, Response> {
    Ok(Command::Start(vec![job_id(call.argument)?], note_of(call.request)?))
}

/// What is said of a start: the body's `note`, if there is a body. A client that sends a form, or
/// something that is no object, has always been answered.
fn note_of(request: &Request) -> Result<String, Response> {
    let refuse = |why: String| Err(Response::problem(400, &why));
    let body = match json::read(&request.body) {
        Ok(Value::Object(body)) => body,
        // It was meant to be one, and the note would be lost.
        Err(why) if request.body.trim_ascii_start().starts_with(b"{") => {
            return refuse(format!("the body is no JSON: {why}: write {{\"note\": \"...\"}}"));
        }
        Ok(_) | Err(_) => return Ok(String::new()),
    };
    if let Some(other) = body.keys().find(|name| *name != "note") {
        let other = plain::shown(other);
        return refuse(format!("the body has `{other}`: only a `note` can be given with a start"));
    }
    match body.get("note") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(note)) => note_in(note),
        Some(_) => refuse("note: it is a text".into()),
    }
}

/// A line, with nothing in it that acts.
fn note_in(note: &str) -> Result<String, Response> {
    let note = note.trim();
    let chars = note.chars().count();
    if chars > MAX_NOTE_CHARS {
        let why = format!("note: it has {chars} characters, and {MAX_NOTE_CHARS} are kept");
        return Err(Response::problem(400, &why));
    }
    Ok(plain::clean(note, usize::MAX))
}

/// `POST /api/v1/jobs/ID/stop`
pub(super) fn stop_job(call: &Call<'_>) -> Result<Command, Response> {
    Ok(Command::Stop(vec![job_id(call.argument)?]))
}

/// `POST /api/v1/runs/RUN/stop`
pub(super) fn stop_run(call: &Call<'_>) -> Result<Command, Response> {
    Ok(Command::StopRun(run_id(call.argument)?))
}

/// `POST /api/v1/jobs/ID/output/clear`
pub(super) fn clear_job(call: &Call<'_>) -> Result<Command, Response> {
    Ok(Command::Clear(vec![job_file(call)?]))
}

/// `POST /api/v1/runs/RUN/output/clear`
pub(super) fn clear_run(call: &Call<'_>) -> Result<Command, Response> {
    Ok(Command::Clear(vec![run_file(call)?]))
}

/// `POST /api/v1/log/clear`
pub(super) fn clear_log(call: &Call<'_>) -> Result<Command, Response> {
    Ok(Command::Clear(vec![log(call)?]))
}

/// `POST /api/v1/sync`
pub(super) fn sync(_: &Call<'_>) -> Result<Command, Response> {
    Ok(Command::Sync)
}

/// What a job's newest runs have written.
pub(super) fn job_file(call: &Call<'_>) -> Result<Source, Response> {
    Ok(Source::Job(job_id(call.argument)?, stream_of(call.request)?))
}

/// What a run has written.
pub(super) fn run_file(call: &Call<'_>) -> Result<Source, Response> {
    let (run, stream) = (run_id(call.argument)?, stream_of(call.request)?);
    Ok(match call.request.query("job").filter(|job| !job.is_empty()) {
        None => Source::Run(run, stream),
        Some(job) => Source::RunOf(job_id(&job)?, run, stream),
    })
}

/// The daemon's log.
pub(super) fn log(_: &Call<'_>) -> Result<Source, Response> {
    Ok(Source::Log)
}

impl Web {
    /// `POST /actions`: the buttons of the pages, which work without scripts.
    pub(super) fn form(
        &mut self,
        scheduler: &mut Scheduler,
        call: &Call<'_>,
    ) -> Result<(), Response> {
        let request = call.request;
        let command = by_form(scheduler, call)?;
        // What a page is sent back to could not tell that nothing was done.
        if command.needs_table()
            && let Some(unread) = missing::table_unread(scheduler)
        {
            return Err(missing::answer(unread));
        }
        let back = same_site(request.form("back").as_deref().unwrap_or("/"));
        let back = Root::of(request).to(&back);
        self.command(scheduler, call, Form::Back(303, back), command);
        Ok(())
    }
}

/// The fields of a form: `action`, `job` (as often as there are jobs), `run`, `stream`; `tag`, and
/// what else there is to say of a pause.
fn by_form(scheduler: &Scheduler, call: &Call<'_>) -> Result<Command, Response> {
    let request = call.request;
    let refuse = |why: &str| Response::problem(400, why);
    let body = std::str::from_utf8(&request.body).map_err(|_| refuse("the form is not UTF-8"))?;
    let mut jobs = Vec::new();
    for (_, value) in query_pairs(body).filter(|(name, _)| name == "job") {
        jobs.push(job_id(&value)?);
        if jobs.len() > MAX_SELECTED {
            return Err(refuse(&format!("select at most {MAX_SELECTED} jobs at a time")));
        }
    }
    jobs.sort_unstable();
    jobs.dedup();
    let given = request.form("run").filter(|text| !text.is_empty());
    let given = given.map(|text| run_id(&text)).transpose()?;
    let clear = |stream| {
        let of_jobs = jobs.iter().map(move |job| Source::Job(*job, stream));
        Command::Clear(
            given.map(|run| Source::Run(run, stream)).into_iter().chain(of_jobs).collect(),
        )
    };
    let action = request.form("action").unwrap_or_default();
    Ok(match (action.as_ref(), given) {
        ("start", _) => Command::Start(jobs, note_in(&request.form("note").unwrap_or_default())?),
        ("stop", Some(run)) => Command::StopRun(run),
        ("stop", None) => Command::Stop(jobs),
        ("pause", _) => Command::Pause(pause_form::order_of_form(scheduler, call, true)?),
        ("resume", _) => Command::Pause(pause_form::order_of_form(scheduler, call, false)?),
        ("sync" | "flush", _) => Command::Sync,
        ("clear_log" | "clear", _) => Command::Clear(vec![Source::Log]),
        ("clear_output" | "clear_1", _) => clear(Stream::Stdout),
        ("clear_stderr" | "clear_2", _) => clear(Stream::Stderr),
        (other, _) => {
            let other = plain::shown(other);
            return Err(refuse(&format!(
                "action: `{other}` is none of start, stop, pause, resume, sync, clear_log, \
                 clear_output, clear_stderr"
            )));
        }
    })
}

/// Which of the two files of a job or run.
fn stream_of(request: &Request) -> Result<Stream, Response> {
    match request.query("stream").as_deref() {
        None | Some("" | "stdout") => Ok(Stream::Stdout),
        Some("stderr") => Ok(Stream::Stderr),
        Some(_) => Err(Response::problem(400, "stream: stdout or stderr, nothing else")),
    }
}

/// A path of this server to go back to; anything else becomes `/`. A browser takes `//host` and
/// `/\host` for another server (WHATWG URL §4.4, relative slash state).
fn same_site(path: &str) -> String {
    let mut chars = path.chars();
    let begins = chars.next() == Some('/') && !matches!(chars.next(), Some('/' | '\\'));
    let good = begins && path.len() <= 2_000 && !path.contains(|c: char| c.is_control());
    if good { path.to_owned() } else { "/".to_owned() }
}
