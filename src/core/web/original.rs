//! The original's URLs: what ops tools and bookmarks of its users ask for.
//!
//! Its buttons were links, so its actions are GET requests with `action` in the query, done first
//! whatever the path. They still work for programs; a browser is asked first, by a page with a
//! button ([`super::origin`]). A job is named by `md5`, the key as the original computes it, or by
//! `id`.

use super::Web;
use super::actions::{Command, Form};
use super::call::Call;
use super::missing;
use super::origin;
use super::output::{OriginalPage, Tail, TailForm, number};
use super::parameters::job_id;
use super::root::Root;
use super::sources::{self, Source};
use crate::core::files::FileTrouble;
use crate::core::http::{Method, Request, Response, percent_encode};
use crate::core::ids::JobId;
use crate::core::launch::Stream;
use crate::core::plain::isolated;
use crate::core::scheduler::Scheduler;
use crate::core::table::Phase;

/// Lines of `/stderr.php` where the client does not say.
const OUTPUT_LINES: usize = 100;

/// Lines of `/tail.php` where the client does not say.
const LOG_LINES: usize = 20;

/// Lines of either at the most.
const MAX_LINES: usize = 10_000;

/// Jobs by their keys: made when the first client asks, and again when the table has changed.
#[derive(Debug, Default)]
pub struct Keys {
    generation: Option<u64>,
    /// The first half of a key is enough to look one up; sorted.
    entries: Vec<([u8; 8], JobId)>,
}

impl Web {
    /// `/stderr.php`: what a job has written.
    pub(super) fn original_output(
        &mut self,
        scheduler: &Scheduler,
        request: &Request,
    ) -> Result<OriginalPage, Response> {
        Ok(OriginalPage::Output(self.named_job(scheduler, request)?, stream_of(request)))
    }

    /// Does what a link of the original says.
    pub(super) fn original_action(
        &mut self,
        scheduler: &mut Scheduler,
        call: &Call<'_>,
    ) -> Option<Response> {
        let request = call.request;
        let command = match self.original_command(scheduler, request) {
            Err(response) => return Some(response),
            Ok(command) => command,
        };
        if origin::is_browser(request) {
            return Some(self.ask_page(scheduler, call, &command, back_of(request)));
        }
        let back = way_back(request);
        // HEAD must change nothing (RFC 9110 §9.2.1).
        if request.method == Method::Head {
            return Some(Response::redirect(301, &back));
        }
        if let Err(refusal) = self.listening.check_change(request) {
            return Some(refusal);
        }
        self.command(scheduler, call, Form::Back(301, back), command);
        None
    }

    fn original_command(
        &mut self,
        scheduler: &Scheduler,
        request: &Request,
    ) -> Result<Command, Response> {
        match request.query("action").as_deref() {
            Some("flush") => Ok(Command::Sync),
            Some("clear") => Ok(Command::Clear(vec![Source::Log])),
            Some("start") => {
                self.named_job(scheduler, request).map(|id| Command::Start(vec![id], String::new()))
            }
            Some("stop") => self.named_job(scheduler, request).map(|id| Command::Stop(vec![id])),
            Some("clear_1") => self.clear_named(scheduler, request, Stream::Stdout),
            Some("clear_2") => self.clear_named(scheduler, request, Stream::Stderr),
            _ => Err(Response::problem(
                400,
                "action: none of start, stop, flush, clear, clear_1, clear_2",
            )),
        }
    }

    fn clear_named(
        &mut self,
        scheduler: &Scheduler,
        request: &Request,
        stream: Stream,
    ) -> Result<Command, Response> {
        let job = self.named_job(scheduler, request)?;
        Ok(Command::Clear(vec![Source::Job(job, stream)]))
    }

    /// The job that `md5`, or else `id`, names.
    fn named_job(&mut self, scheduler: &Scheduler, request: &Request) -> Result<JobId, Response> {
        if let Some(key) = request.query("md5").filter(|key| !key.is_empty()) {
            return self
                .job_by_key(scheduler, &key)
                .ok_or_else(|| missing::answer(missing::no_key(scheduler)));
        }
        match request.query("id").filter(|id| !id.is_empty()) {
            None => Err(Response::problem(400, "name a job: md5=KEY or id=NUMBER")),
            Some(text) => {
                let id = job_id(&text)?;
                let job = scheduler.table().get(id).map(|_| id);
                job.ok_or_else(|| missing::answer(missing::no_job(scheduler, id)))
            }
        }
    }

    /// The job whose definition, or waiting definition, has this key.
    pub(super) fn job_by_key(&mut self, scheduler: &Scheduler, key: &str) -> Option<JobId> {
        if key.len() != 32 || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let key = u128::from_str_radix(key, 16).ok()?.to_be_bytes();
        self.index_keys(scheduler);
        let (entries, half) = (&self.keys.entries, &key[..8]);
        let first = entries.partition_point(|(known, _)| known[..] < *half);
        let same = entries[first..].iter().take_while(|(known, _)| known[..] == *half);
        let has = |id: &JobId| {
            scheduler.table().get(*id).is_some_and(|job| {
                let next = match job.phase() {
                    Phase::Replaced(next) => next.md5 == key,
                    Phase::Active | Phase::Draining | Phase::Disabled => false,
                };
                job.def.md5 == key || next
            })
        };
        same.map(|(_, id)| *id).find(has)
    }

    fn index_keys(&mut self, scheduler: &Scheduler) {
        let generation = scheduler.table().generation();
        if self.keys.generation == Some(generation) {
            return;
        }
        let mut entries = Vec::with_capacity(scheduler.table().len());
        let half = |key: &[u8; 16]| {
            let mut half = [0; 8];
            half.copy_from_slice(&key[..8]);
            half
        };
        for job in scheduler.table().iter().chain(scheduler.table().disabled()) {
            entries.push((half(&job.def.md5), job.def.id));
            if let Phase::Replaced(next) = job.phase() {
                entries.push((half(&next.md5), job.def.id));
            }
        }
        entries.sort_unstable();
        self.keys = Keys { generation: Some(generation), entries };
    }

    /// Has a file read for a page of the original.
    pub(super) fn show_original(
        &mut self,
        scheduler: &Scheduler,
        call: &Call<'_>,
        page: OriginalPage,
    ) -> Option<Response> {
        let (default_lines, source) = match page {
            OriginalPage::Output(job, stream) => (OUTPUT_LINES, Source::Job(job, stream)),
            OriginalPage::Log => (LOG_LINES, Source::Log),
        };
        let lines = match number(call.request, "size", default_lines, MAX_LINES) {
            Ok(lines) => lines,
            Err(response) => return Some(response),
        };
        match sources::names_of(scheduler, &source) {
            Ok(names) => {
                let form = TailForm::Original(page);
                let tail = Tail { lines, level: None, head_only: false, form };
                self.read_tail(call.conn, names, tail);
                None
            }
            Err((_, why)) => {
                Some(self.original_page(scheduler, &page, Err(FileTrouble::Missing(why))))
            }
        }
    }

    /// The page with the lines of a file.
    pub(super) fn original_page(
        &self,
        scheduler: &Scheduler,
        page: &OriginalPage,
        read: Result<Vec<u8>, FileTrouble>,
    ) -> Response {
        let (title, action, back) = match page {
            OriginalPage::Log => ("Log".to_owned(), "clear_log", "/tail.php".to_owned()),
            OriginalPage::Output(id, stream) => {
                let (number, action) = match stream {
                    Stream::Stdout => (1, "clear_output"),
                    Stream::Stderr => (2, "clear_stderr"),
                };
                let job = scheduler.table().get(*id);
                let name = isolated(job.map_or("", |job| &job.def.name));
                let back = format!("/stderr.php?id={id}&type={number}");
                (format!("{id} {name}: {}", action.trim_start_matches("clear_")), action, back)
            }
        };
        let text = match &read {
            Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Err(
                FileTrouble::Missing(why) | FileTrouble::Unusable(why) | FileTrouble::NoAnswer(why),
            ) => why.clone(),
        };
        let status = if matches!(read, Err(FileTrouble::NoAnswer(_))) { 504 } else { 200 };
        let job = match page {
            OriginalPage::Output(id, _) => {
                format!("<input type=\"hidden\" name=\"job\" value=\"{id}\">")
            }
            OriginalPage::Log => String::new(),
        };
        let (title, text, back) = (escape(&title), escape(&text), escape(&back));
        let message = escape(self.last_message());
        Response::html(
            status,
            format!(
                "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
                 <meta name=\"viewport\" content=\"width=device-width\">\n\
                 <link rel=\"icon\" href=\"./favicon.ico\">\n\
                 <title>{title}</title></head>\n<body>\n<p><a href=\"./\">All jobs</a></p>\n\
                 <h1>{title}</h1>\n<p>{message}</p>\n<pre>{text}</pre>\n\
                 <form method=\"post\" action=\"./actions\">{job}\
                 <input type=\"hidden\" name=\"back\" value=\"{back}\">\
                 <button name=\"action\" value=\"{action}\">Clear</button></form>\n\
                 </body></html>\n"
            ),
        )
    }
}

/// Whether a request is one of the original's links that act. They are GET with `action`, on any
/// path that is not the API's.
pub(super) fn is_action(request: &Request) -> bool {
    let asked = || request.query("action").is_some_and(|action| !action.is_empty());
    request.method.is_read() && request.segments()[0] != "api" && asked()
}

/// `/tail.php`: the daemon's log.
pub(super) fn log(_: &mut Web, _: &Scheduler, _: &Request) -> Result<OriginalPage, Response> {
    Ok(OriginalPage::Log)
}

/// `/index.html` and `/stderr.html` are elsewhere.
pub(super) fn moved(_: &mut Web, _: &Scheduler, call: &Call<'_>) -> Response {
    let request = call.request;
    let back = match origin::is_browser(request) {
        true => Root::of(request).to(&back_of(request)),
        false => way_back(request),
    };
    Response::redirect(301, &back)
}

fn stream_of(request: &Request) -> Stream {
    match request.query("type").as_deref() {
        Some("1") => Stream::Stdout,
        _ => Stream::Stderr,
    }
}

/// Where the original sent its client after an action: to the page, with the filters kept.
fn back_of(request: &Request) -> String {
    let output = matches!(request.segments()[..], ["stderr.html" | "stderr.php"]);
    let (path, kept): (&str, &[&str]) = match output {
        true => ("/stderr.php", &["md5", "id", "type", "size"]),
        false if request.path() == "/tail.php" => ("/tail.php", &["size"]),
        false => ("/", &["id", "tagid", "tag", "q", "state", "sort", "dir", "page", "per_page"]),
    };
    let mut back = path.to_owned();
    let pairs = request.query_pairs();
    for (name, value) in pairs.filter(|(name, value)| kept.contains(&&**name) && !value.is_empty())
    {
        back.push(if back.contains('?') { '&' } else { '?' });
        back.push_str(&name);
        back.push('=');
        back.push_str(&percent_encode(&value));
    }
    back
}

/// The same for a program, seen from the address it asked for. PHP's puts a relative address behind
/// its own and leaves the dots in it, so the page of jobs goes by its other name and not by `./`.
fn way_back(request: &Request) -> String {
    let back = back_of(request);
    let back = match back.strip_prefix("/") {
        Some(filters) if filters.is_empty() || filters.starts_with('?') => {
            format!("/index.php{filters}")
        }
        _ => back,
    };
    let way = Root::of(request).to(&back);
    way.strip_prefix("./").unwrap_or(&way).to_owned()
}

/// Text for HTML, within quotes, too.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
