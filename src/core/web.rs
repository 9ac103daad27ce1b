//! The web: a request in, an answer out.
//!
//! - `views`: what is shown of jobs and runs, whatever the form
//! - `filter`: what a list is narrowed to, and its pages; `listed`: its lines, in order
//! - `parameters`: which there are, and which values make sense
//! - `pages`: HTML for people, in the words of `texts`
//! - `api`: JSON for programs; `cache`: its answers, rendered once per change
//! - `text`: tables for terminals; `metrics`: figures for monitoring
//! - `routes`: which request is which command; `actions`: what commands do
//! - `output`: what runs have written and the log, followed if wanted; `download`: as it is
//! - `stream`: what changes, as server-sent events
//! - `missing`: what is asked for and is not there
//! - `original`: the URLs of the program this one replaces
//! - `root`: addresses that hold below a path of a proxy
//! - `origin`: what keeps other sites out

mod actions;
mod api;
mod cache;
mod download;
mod filter;
mod lines;
mod listed;
mod metrics;
mod missing;
mod origin;
mod original;
mod output;
mod pages;
mod parameters;
mod root;
mod routes;
mod stops;
mod stream;
mod text;
mod texts;
mod views;

use crate::core::daemon::{Core, DatabaseState};
use crate::core::event::{Action, Vitals};
use crate::core::http::{Method, Request, Response};
use crate::core::ids::ConnId;
use crate::core::time::Now;
use routes::Routed;

pub(in crate::core) use actions::Begun;
pub use stream::DISPLACED;

/// Clients that may wait for the first answer of the database.
const MAX_EARLY: usize = 100;

/// So long they wait; a database that answers at all takes less. Then they are told to ask again.
const EARLY_PATIENCE_MS: u64 = 1_000;

/// A client that asked for what only the first answer of the database can tell.
#[derive(Debug)]
struct Early {
    conn: ConnId,
    request: Request,
    until_ms: u64,
}

/// What the web keeps between requests.
#[derive(Debug, Default)]
pub struct Web {
    /// How the process and its server are.
    pub vitals: Vitals,
    /// What was done last.
    message: String,
    listening: origin::Listening,
    /// Clients that wait for the result of a command.
    pub waiting: actions::Waiting,
    readers: output::Readers,
    streams: stream::Streams,
    keys: original::Keys,
    cache: cache::Cache,
    /// In the order in which they asked.
    early: Vec<Early>,
    /// Pages as they were rendered.
    pub pages: pages::PageCache,
}

impl Core {
    /// Says under which names the daemon is asked, and whether only this machine can connect.
    pub fn listens_on(&mut self, names: Vec<String>, loopback: bool) {
        self.web.listening = origin::Listening::new(names, loopback);
    }

    /// How the process and its server were within the last second.
    pub fn vitals(&self) -> &Vitals {
        &self.web.vitals
    }

    /// Answers a request, now or later.
    pub(super) fn request(&mut self, now: Now, conn: ConnId, request: &Request) {
        if request.segments()[..] == ["healthz"] {
            return self.respond(conn, health(request));
        }
        if let Err(refusal) = self.web.listening.check_host(request) {
            // Never as a page: what is around that tells of the daemon.
            return self.respond(conn, refusal);
        }
        if request.path().starts_with("/api/")
            && let Err(response) = parameters::check_names(request)
        {
            return self.respond(conn, response);
        }
        if self.web.early.len() < MAX_EARLY && self.awaits_table(request) {
            let until_ms = now.mono_ms + EARLY_PATIENCE_MS;
            self.web.early.push(Early { conn, request: request.clone(), until_ms });
            return;
        }
        self.serve(now, conn, request);
    }

    /// Answers a request by what is known now.
    fn serve(&mut self, now: Now, conn: ConnId, request: &Request) {
        let routed = match self.route_original(now, conn, request) {
            Routed::Other => self.route_commands(now, conn, request),
            routed => routed,
        };
        let routed = match routed {
            Routed::Other => self.route_files(conn, request),
            routed => routed,
        };
        match routed {
            Routed::Now(response) => self.respond_to(now, conn, request, response),
            Routed::Later => {}
            Routed::Other => self.read(now, conn, request),
        }
    }

    /// A client waits for nothing any more.
    pub(super) fn client_gone(&mut self, conn: ConnId) {
        self.forget_reader(conn);
        self.forget_follower(conn);
        self.forget_waiting(conn);
        self.web.early.retain(|early| early.conn != conn);
    }

    fn respond(&mut self, conn: ConnId, response: Response) {
        self.push_action(Action::Respond(conn, Box::new(response)));
    }

    /// Answers with a page instead of a problem if a browser asks for no program.
    fn respond_to(&mut self, now: Now, conn: ConnId, request: &Request, response: Response) {
        let response = self.for_people(now, request, response);
        self.respond(conn, response);
    }

    /// What only reads.
    fn read(&mut self, now: Now, conn: ConnId, request: &Request) {
        let segments = request.segments();
        if segments[..] == ["api", "v1", "events"] && request.method == Method::Get {
            return match self.web.listening.check_reader(request) {
                Ok(()) => self.open_events(now, conn, request),
                Err(response) => self.respond_to(now, conn, request, response),
            };
        }
        if let Some(page) = self.page(now, request) {
            return self.respond_to(now, conn, request, page);
        }
        let answer: fn(&mut Core, Now, &Request) -> Response = match segments[..] {
            ["" | "index.php"] => |core, now, request| core.text_list(now, request),
            ["metrics"] => |core, now, _| core.metrics_page(now),
            ["api", "v1", "openapi.json"] => |core, _, _| core.openapi(),
            ["api", "v1", "events"] => |_, _, _| Response::event_stream(),
            ["api", "v1", "status"] => |core, now, _| api::json_answer(&core.status(now)),
            ["api", "v1", "jobs"] => |core, now, request| core.job_list(now, request),
            ["api", "v1", "jobs", _] => |core, now, request| core.job_view(now, request),
            ["api", "v1", "jobs", _, "runs"] => |core, now, request| core.job_runs(now, request),
            _ => {
                let response = missing::no_page(request);
                return self.respond_to(now, conn, request, response);
            }
        };
        let response = match request.method {
            Method::Get | Method::Head => answer(self, now, request),
            Method::Options => Response::options("GET, HEAD, OPTIONS"),
            _ => Response::method_not_allowed("GET, HEAD, OPTIONS"),
        };
        self.respond_to(now, conn, request, response);
    }

    /// What is due: results, followed files, news.
    pub(super) fn web_tick(&mut self, now: Now) {
        if self.web.waiting.synced && !self.sync_applying() {
            self.web.waiting.synced = false;
            self.sync_answered(now, Ok(()));
        }
        self.answer_early(now);
        self.poll_followed(now);
        self.tell_news(now);
    }

    /// Answers who waited for the first answer of the database, with it or without.
    fn answer_early(&mut self, now: Now) {
        let down = matches!(self.sync_state().database, DatabaseState::Down { .. });
        let told = down || self.knows_table();
        let is_over = |early: &&Early| told || early.until_ms <= now.mono_ms;
        let over = self.web.early.iter().take_while(is_over).count();
        let over: Vec<Early> = self.web.early.drain(..over).collect();
        for early in over {
            self.serve(now, early.conn, &early.request);
        }
    }

    /// Whether there is more to tell right now.
    pub(super) fn web_busy(&self) -> bool {
        self.telling()
    }

    /// When [`Core::web_tick`] has something to do, monotonic ms.
    pub(super) fn web_wake(&self) -> Option<u64> {
        let early = self.web.early.first().map(|early| early.until_ms);
        self.follow_wake().into_iter().chain(self.news_wake()).chain(early).min()
    }
}

/// Probes ask under any name. So nothing else is there: no action of the original, which is done on
/// every other path, and no page, whatever is asked and how.
fn health(request: &Request) -> Response {
    match request.method {
        Method::Get | Method::Head => Response::text(200, "ok\n"),
        Method::Options => Response::options("GET, HEAD, OPTIONS"),
        _ => Response::method_not_allowed("GET, HEAD, OPTIONS"),
    }
}
