//! What changes something, and where files and streams are: which request is which command.

use super::Web;
use super::actions::{Command, Form, stream_named};
use super::missing;
use super::root::Root;
use super::sources::Source;
use crate::core::http::{Method, Request, Response, query_pairs};
use crate::core::ids::{ConnId, JobId, RunId};
use crate::core::launch::Stream;
use crate::core::plain;
use crate::core::scheduler::Scheduler;
use crate::core::time::Now;

/// Jobs of a selection at the most.
const MAX_SELECTED: usize = 1_000;

/// What a route came to.
pub(super) enum Routed {
    /// An answer.
    Now(Response),
    /// The client is answered later, or was already.
    Later,
    /// It is somebody else's.
    Other,
}

impl From<Response> for Routed {
    fn from(response: Response) -> Routed {
        Routed::Now(response)
    }
}

impl Web {
    /// Commands of programs and of forms.
    pub(super) fn route_commands(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        conn: ConnId,
        request: &Request,
    ) -> Routed {
        let command = match request.segments()[..] {
            ["api", "v1", "jobs", id, "start"] => job(id).map(|id| Command::Start(vec![id])),
            ["api", "v1", "jobs", id, "stop"] => job(id).map(|id| Command::Stop(vec![id])),
            ["api", "v1", "jobs", id, "output", "clear"] => job(id)
                .and_then(|id| Ok(Command::Clear(vec![Source::Job(id, stream_of(request)?)]))),
            ["api", "v1", "runs", id, "stop"] => run(id).map(Command::StopRun),
            ["api", "v1", "runs", id, "output", "clear"] => run(id)
                .and_then(|id| Ok(Command::Clear(vec![Source::Run(id, stream_of(request)?)]))),
            ["api", "v1", "log", "clear"] => Ok(Command::Clear(vec![Source::Log])),
            ["api", "v1", "sync"] => Ok(Command::Sync),
            ["actions"] => return self.form(scheduler, now, conn, request),
            _ => return Routed::Other,
        };
        if let Some(response) = self.refuse_unless_post(request) {
            return response.into();
        }
        match command {
            Ok(command) => self.command(scheduler, now, (conn, request.peer), Form::Json, command),
            Err(response) => return response.into(),
        }
        Routed::Later
    }

    fn refuse_unless_post(&self, request: &Request) -> Option<Response> {
        match request.method {
            Method::Post => self.listening.check_change(request).err(),
            Method::Options => Some(Response::options("POST, OPTIONS")),
            _ => Some(Response::method_not_allowed("POST, OPTIONS")),
        }
    }

    /// `POST /actions`: the buttons of the pages, which work without scripts.
    fn form(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        conn: ConnId,
        request: &Request,
    ) -> Routed {
        if let Some(response) = self.refuse_unless_post(request) {
            return response.into();
        }
        let back = same_site(request.form("back").as_deref().unwrap_or("/"));
        let back = Root::of(request).to(&back);
        match form_command(request) {
            // What a page is sent back to could not tell that nothing was done.
            Ok(command) if command.needs_table() && !scheduler.knows_table() => {
                let unread = missing::table_unread(scheduler).map(super::missing::answer);
                return unread.map_or(Routed::Later, Routed::Now);
            }
            Ok(command) => {
                self.command(scheduler, now, (conn, request.peer), Form::Back(303, back), command)
            }
            Err(response) => return response.into(),
        }
        Routed::Later
    }

    /// Files, as they are or followed.
    pub(super) fn route_files(
        &mut self,
        scheduler: &Scheduler,
        conn: ConnId,
        request: &Request,
    ) -> Routed {
        let source = match request.segments()[..] {
            ["api", "v1", "runs", id, "output"] => {
                run(id).and_then(|id| Ok(Source::Run(id, stream_of(request)?)))
            }
            ["api", "v1", "jobs", id, "output"] => {
                job(id).and_then(|id| Ok(Source::Job(id, stream_of(request)?)))
            }
            ["api", "v1", "log"] => Ok(Source::Log),
            _ => return Routed::Other,
        };
        if let Err(response) = self.listening.check_reader(request) {
            return response.into();
        }
        let source = match (request.method, source) {
            (Method::Options, _) => return Response::options("GET, HEAD, OPTIONS").into(),
            (Method::Get | Method::Head, Ok(source)) => source,
            (Method::Get | Method::Head, Err(response)) => return response.into(),
            _ => return Response::method_not_allowed("GET, HEAD, OPTIONS").into(),
        };
        match self.show_file(scheduler, conn, request, &source) {
            Some(response) => response.into(),
            None => Routed::Later,
        }
    }
}

/// The fields of a form: `action`, `job` (as often as there are jobs), `run`, `stream`.
fn form_command(request: &Request) -> Result<Command, Response> {
    let refuse = |why: &str| Response::problem(400, why);
    let body = std::str::from_utf8(&request.body).map_err(|_| refuse("the form is not UTF-8"))?;
    let mut jobs = Vec::new();
    for (_, value) in query_pairs(body).filter(|(name, _)| name == "job") {
        jobs.push(job(&value)?);
        if jobs.len() > MAX_SELECTED {
            return Err(refuse(&format!("select at most {MAX_SELECTED} jobs at a time")));
        }
    }
    jobs.sort_unstable();
    jobs.dedup();
    let given = request.form("run").filter(|text| !text.is_empty());
    let given = given.map(|text| run(&text)).transpose()?;
    let clear = |stream| {
        let of_jobs = jobs.iter().map(move |job| Source::Job(*job, stream));
        Command::Clear(
            given.map(|run| Source::Run(run, stream)).into_iter().chain(of_jobs).collect(),
        )
    };
    let action = request.form("action").unwrap_or_default();
    Ok(match (action.as_ref(), given) {
        ("start", _) => Command::Start(jobs),
        ("stop", Some(run)) => Command::StopRun(run),
        ("stop", None) => Command::Stop(jobs),
        ("sync" | "flush", _) => Command::Sync,
        ("clear_log" | "clear", _) => Command::Clear(vec![Source::Log]),
        ("clear_output" | "clear_1", _) => clear(Stream::Stdout),
        ("clear_stderr" | "clear_2", _) => clear(Stream::Stderr),
        (other, _) => {
            let other = plain::shown(other);
            return Err(refuse(&format!(
                "action: `{other}` is none of start, stop, sync, clear_log, clear_output, \
                 clear_stderr"
            )));
        }
    })
}

/// The id of a job in a path or a form.
pub(super) fn job(text: &str) -> Result<JobId, Response> {
    let shown = plain::shown(text);
    let why = format!("`{shown}` is no job id: a number is");
    text.parse().map(JobId).map_err(|_| Response::problem(400, &why))
}

/// The id of a run in a path or a form.
pub(super) fn run(text: &str) -> Result<RunId, Response> {
    text.parse().map_err(|why: crate::core::ids::BadRunId| Response::problem(400, &why.to_string()))
}

fn stream_of(request: &Request) -> Result<Stream, Response> {
    match request.query("stream").as_deref() {
        None | Some("") => Ok(Stream::Stdout),
        Some(name) => stream_named(name)
            .ok_or_else(|| Response::problem(400, "stream: stdout or stderr, nothing else")),
    }
}

/// A path of this server to go back to; anything else becomes `/`. A browser takes `//host` and
/// `/\host` for another server (WHATWG URL §4.4, relative slash state).
pub(super) fn same_site(path: &str) -> String {
    let mut chars = path.chars();
    let begins = chars.next() == Some('/') && !matches!(chars.next(), Some('/' | '\\'));
    let good = begins && path.len() <= 2_000 && !path.contains(|c: char| c.is_control());
    if good { path.to_owned() } else { "/".to_owned() }
}
