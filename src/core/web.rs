//! The web: a request in, an answer out.
//!
//! - `views`: what is shown of jobs and runs, whatever the form
//! - `filter`: what a list is narrowed to, and its pages; `listed`: its lines, in order;
//!   `sort`: which orders there are; `states`: of lines, as the original calls them
//! - `parameters`: which there are, and which values make sense; `values`: numbers and instants
//! - `pages`: HTML for people, in the words of `texts`
//! - `api`: JSON for programs; `cache`: its answers, rendered once per change
//! - `terminal`: tables for terminals, for whom `wanted` says; `metrics`: figures for monitoring
//! - `routes`: what there is at which path; `route`: what one is, and how it is found; `call`: what
//!   its function is given; `named`: what a request names
//! - `actions`: what commands do; `stops`: the stops among them
//! - `pause`: slots are skipped for a while; `pausing`: what is told of that
//! - `change`: jobs are changed; `repeats`: a request that is sent again makes nothing twice
//! - `output`: what runs have written and the log, followed if wanted; `download`: as it is
//! - `sources`: in which files that is
//! - `past`: questions about what was: `runs`, `audit`, `why`, `statistics`, `timeline`, from
//!   memory and the database
//! - `slow`: answers that are worked on in slices: `forecast`, what starts between two instants;
//!   `export`, all that the group says
//! - `stream`: what changes, as server-sent events
//! - `missing`: what is asked for and is not there
//! - `original`: the URLs of the program this one replaces
//! - `root`: addresses that hold below a path of a proxy
//! - `origin`: what keeps other sites out

mod actions;
mod api;
mod audit;
mod body;
mod cache;
mod call;
mod change;
mod download;
mod entry;
mod export;
mod filter;
mod forecast;
mod lines;
mod listed;
mod message;
mod metrics;
mod missing;
mod named;
mod origin;
mod original;
mod output;
mod pages;
mod parameters;
mod past;
mod pause;
mod pause_form;
mod pausing;
mod preview;
mod repeats;
mod root;
mod route;
mod routes;
mod runs;
mod slow;
mod sort;
mod sources;
mod state_words;
mod states;
mod statistics;
mod stops;
mod stream;
mod terminal;
mod texts;
mod timeline;
mod values;
mod views;
mod wanted;
mod why;
mod words;

use crate::core::event::{Action, Vitals};
use crate::core::http::{Request, Response};
use crate::core::ids::ConnId;
use crate::core::scheduler::{DatabaseState, News, Scheduler};
use crate::core::time::Now;
use actions::Form;
use call::Call;
use change::Asker;
use route::{Does, Place};
use slow::Work;
use std::collections::VecDeque;

pub use route::{Role, Route};
pub use routes::{LARGER_BODIES, ROUTES};
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
    since_ms: u64,
    until_ms: u64,
}

/// What the web keeps between requests.
#[derive(Debug, Default)]
pub struct Web {
    /// How the process and its server are.
    pub vitals: Vitals,
    /// What was done last.
    message: message::Message,
    listening: origin::Listening,
    /// Clients that wait for the result of a command.
    pub waiting: actions::Waiting,
    readers: output::Readers,
    streams: stream::Streams,
    slow: slow::Slow,
    questions: past::Questions,
    keys: original::Keys,
    /// Changes of jobs that were asked for.
    changes: change::Changes,
    /// Requests that may come again.
    repeats: repeats::Repeats,
    cache: cache::Cache,
    /// In the order in which they asked.
    early: Vec<Early>,
    /// Pages as they were rendered.
    pub pages: pages::PageCache,
    /// What the shell is to do for clients.
    actions: VecDeque<Action>,
    /// How many of them read a file.
    reads: usize,
}

impl Web {
    /// Says under which names the daemon is asked, and whether only this machine can connect.
    pub fn listens_on(&mut self, names: Vec<String>, loopback: bool) {
        self.listening = origin::Listening::new(names, loopback);
    }

    /// How the process and its server were within the last second.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Answers a request, now or later.
    pub(super) fn request(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        conn: ConnId,
        request: &Request,
    ) {
        let place = Place::of(ROUTES, request.path());
        let call = place.call(now, conn, request);
        if !place.any_host()
            && let Err(refusal) = self.listening.check_host(request)
        {
            // Never as a page: what is around that tells of the daemon.
            return self.respond(conn, refusal);
        }
        // Where there is nothing for the method, that is the answer, whatever else is wrong.
        if call.is_of_api()
            && place.route(request.method).is_some()
            && let Err(response) = parameters::check_names(&call)
        {
            return self.respond(conn, response);
        }
        let awaits = place.awaits(request.method);
        if self.early.len() < MAX_EARLY && parameters::awaits_table(scheduler, request, awaits) {
            let since_ms = now.mono_ms;
            let until_ms = since_ms + EARLY_PATIENCE_MS;
            self.early.push(Early { conn, request: request.clone(), since_ms, until_ms });
            return;
        }
        self.serve(scheduler, place, &call);
    }

    /// Answers a request by what is known now; with a page instead of a problem if a browser asks
    /// for no program.
    fn serve(&mut self, scheduler: &mut Scheduler, place: Place<'_>, call: &Call<'_>) {
        let Some(mut response) = self.answer(scheduler, place, call) else { return };
        if !place.any_host() {
            response = self.for_people(scheduler, call, response);
        }
        self.respond(call.conn, response);
    }

    /// The answer; none if the client is answered later, or was already.
    fn answer(
        &mut self,
        scheduler: &mut Scheduler,
        place: Place<'_>,
        call: &Call<'_>,
    ) -> Option<Response> {
        let request = call.request;
        if original::is_action(request) && !place.any_host() {
            return self.original_action(scheduler, call);
        }
        let Some(route) = place.route(request.method) else {
            let no_page = || missing::no_page(&route::in_front(ROUTES, request));
            return Some(place.no_route(request.method).unwrap_or_else(no_page));
        };
        if let Err(refusal) = route.does.check(&self.listening, request) {
            return Some(refusal);
        }
        self.act(scheduler, call, route.does).unwrap_or_else(Some)
    }

    /// Does what there is to do at a route. `Err` is an answer as well: why nothing was done.
    fn act(
        &mut self,
        scheduler: &mut Scheduler,
        call: &Call<'_>,
        does: Does,
    ) -> Result<Option<Response>, Response> {
        Ok(match does {
            Does::Show(show) => Some(show(self, scheduler, call)),
            Does::File(source) => self.show_file(scheduler, call, &source(call)?),
            Does::Original(page) => {
                let page = page(self, scheduler, call.request)?;
                self.show_original(scheduler, call, page)
            }
            Does::Events => self.open_events(scheduler, call),
            Does::Slow(question) => {
                let question = question(scheduler, call)?;
                self.ask_slowly(scheduler, call.asker(), question);
                None
            }
            Does::Past(question) => {
                let question = question(scheduler, call)?;
                self.look_back(scheduler, call, question)
            }
            Does::Command(command) => {
                self.command(scheduler, call, Form::Json, command(call)?);
                None
            }
            Does::Change(change) => {
                self.change(scheduler, call, change(call)?, Asker::Program)?;
                None
            }
            Does::Pause(wants) => {
                let wants = wants(scheduler, call)?;
                self.pause(scheduler, call, wants)?;
                None
            }
            Does::Sheet(sheet) => Some(sheet(self, scheduler, call)?),
            Does::Entry(change) => {
                let change = change(call)?;
                if entry::is_preview(call.request) {
                    let question = preview::by_form(scheduler, call, change)?;
                    self.ask_slowly(scheduler, call.asker(), Work::Preview(Box::new(question)));
                } else {
                    self.change(scheduler, call, change, Asker::person(call))?;
                }
                None
            }
            Does::Form => {
                self.form(scheduler, call)?;
                None
            }
        })
    }

    /// A client waits for nothing any more.
    pub(super) fn client_gone(&mut self, scheduler: &mut Scheduler, conn: ConnId) {
        self.forget_reader(scheduler, conn);
        self.forget_follower(conn);
        self.forget_waiting(scheduler, conn);
        self.slow.forget(conn);
        self.forget_question(scheduler, conn);
        self.early.retain(|early| early.conn != conn);
    }

    /// Hears of what somebody may wait for.
    pub(super) fn hear(&mut self, scheduler: &mut Scheduler, now: Now, news: News) {
        match news {
            News::Launch(run, begun) => self.run_answered(scheduler, now, run, begun),
            News::Signal(run, refusal) => {
                self.stop_answered(scheduler, now, run, refusal.as_deref());
            }
            News::SignalLater(run, why) => self.stop_delayed(scheduler, now, run, &why),
            News::Changed(ticket, result) => self.change_answered(scheduler, now, ticket, result),
            News::Past(ticket, result) => self.past_answered(scheduler, now, ticket, result),
            News::SyncBegins => self.waiting.sync_begins(),
            News::SyncEnded(result) => self.sync_answered(scheduler, now, result),
        }
    }

    /// The next thing to do for a client, but for news of the list of jobs.
    pub(super) fn next_answer(&mut self) -> Option<Action> {
        let action = self.actions.pop_front()?;
        self.reads -= usize::from(matches!(action, Action::ReadFile(..)));
        Some(action)
    }

    /// Plans something for the shell to do.
    fn push_action(&mut self, action: Action) {
        self.reads += usize::from(matches!(action, Action::ReadFile(..)));
        self.actions.push_back(action);
    }

    /// Plans something before all else, so that what was read for it does not wait in memory.
    fn push_action_first(&mut self, action: Action) {
        self.actions.push_front(action);
    }

    /// Files that are still to be read for clients. They take long: whose requests come next is
    /// better decided once they are done.
    pub fn reads_waiting(&self) -> usize {
        self.reads
    }

    fn respond(&mut self, conn: ConnId, response: Response) {
        self.push_action(Action::Respond(conn, Box::new(response)));
    }

    /// What is due: results, followed files, news.
    pub(super) fn tick(&mut self, scheduler: &mut Scheduler, now: Now) {
        self.answer_early(scheduler, now);
        self.poll_followed(now);
        self.tell_news(scheduler, now);
        self.late_changes(scheduler, now);
        self.answer_slowly(scheduler, now);
    }

    /// Answers who waited for the first answer of the database, with it or without.
    fn answer_early(&mut self, scheduler: &mut Scheduler, now: Now) {
        let down = matches!(scheduler.sync_state().database, DatabaseState::Down { .. });
        let told = down || scheduler.knows_table();
        let is_over = |early: &&Early| told || early.until_ms <= now.mono_ms;
        let over = self.early.iter().take_while(is_over).count();
        let over: Vec<Early> = self.early.drain(..over).collect();
        for early in over {
            let place = Place::of(ROUTES, early.request.path());
            let call = place.call(now, early.conn, &early.request);
            // What it waited for counts: nobody waits for the table, and then as long once more.
            let call = Call { since_ms: early.since_ms, ..call };
            self.serve(scheduler, place, &call);
        }
    }

    /// Whether there is more to tell right now.
    pub(super) fn busy(&self) -> bool {
        self.telling() || self.slow.is_wanted()
    }

    /// When [`Web::tick`] has something to do, monotonic ms.
    pub(super) fn next_wake(&self, scheduler: &Scheduler) -> Option<u64> {
        let early = self.early.first().map(|early| early.until_ms);
        let late = self.late_changes_wake(scheduler);
        let wakes = self.follow_wake().into_iter().chain(self.news_wake(scheduler));
        wakes.chain(early).chain(late).min()
    }
}

/// `/healthz`: the daemon answers, whatever else is wrong.
fn health(_: &mut Web, _: &Scheduler, _: &Call<'_>) -> Response {
    Response::text(200, "ok\n")
}
