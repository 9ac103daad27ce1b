//! Pages for people. They work without JavaScript; with it they follow what happens.
//!
//! - `look`: language and colours
//! - `frame`: what is around every page
//! - `list`: `/`, the jobs; `row` is one line of it
//! - `job`: `/jobs/ID`; `plot` draws its past
//! - `log`: `/log`; `chosen`: what of a text is shown
//! - `edit`: forms that change a job
//! - `audit`: `/audit`, who did what; `why`: why a job ran, or did not
//! - `statistics`: `/jobs/ID/statistics`
//! - `ask`: what a link would do, behind a button
//! - `error`: answers that are no success, for people
//! - `pauses`: what is said where jobs are paused
//! - `words`: times, durations and outcomes as text
//! - `links`, `assets`, `cache`: addresses, files, rendered pages

mod ask;
mod assets;
mod audit;
mod cache;
mod chosen;
mod edit;
mod error;
pub(super) mod frame;
mod job;
mod links;
mod list;
mod log;
mod look;
mod pauses;
mod plot;
mod row;
mod statistics;
mod why;
mod words;

pub use cache::PageCache;

use super::Web;
use super::call::Call;
use super::missing;
use super::terminal;
use super::wanted::wants_text;
use crate::core::http::{Body, Request, Response, http_date};
use crate::core::plain;
use crate::core::scheduler::Scheduler;
use askama::Template;
use cache::{Key, RenderedPage};
use look::Look;

/// How long a choice of language or colours is remembered, in seconds: a year.
const CHOICE_S: u32 = 31_536_000;

/// What a page is rendered by.
type Render = fn(&Web, &Scheduler, &Call<'_>, Look) -> Result<RenderedPage, Response>;

impl Web {
    /// How many pages were rendered since the start: far fewer than were asked for.
    pub fn pages_rendered(&self) -> u64 {
        self.pages.rendered()
    }

    /// `/`: the jobs; as a table of text for who wants that.
    pub(super) fn list(&mut self, scheduler: &Scheduler, call: &Call<'_>) -> Response {
        match wants_text(call.request, "text/html") {
            true => terminal::text_list(scheduler, call),
            false => self.rendered(scheduler, call, Web::list_page),
        }
    }

    /// `/jobs/ID`
    pub(super) fn job(&mut self, scheduler: &Scheduler, call: &Call<'_>) -> Response {
        self.rendered(scheduler, call, Web::job_page)
    }

    /// `/log`
    pub(super) fn log(&mut self, scheduler: &Scheduler, call: &Call<'_>) -> Response {
        self.rendered(scheduler, call, Web::log_page)
    }

    /// `/assets/NAME`
    pub(super) fn asset(&mut self, _: &Scheduler, call: &Call<'_>) -> Response {
        let version = call.request.query("v");
        let asset = self.pages.assets.answer(call.argument, version.as_deref());
        asset.unwrap_or_else(|| missing::no_page(&[]))
    }

    /// `/favicon.ico`
    pub(super) fn icon(&mut self, _: &Scheduler, _: &Call<'_>) -> Response {
        self.pages.assets.icon()
    }

    /// An answer to a browser: a problem becomes a page.
    pub(super) fn for_people(
        &mut self,
        scheduler: &Scheduler,
        call: &Call<'_>,
        response: Response,
    ) -> Response {
        // What asks is one already.
        let made = response.content_type().starts_with("text/html");
        if response.status() < 400
            || made
            || call.is_of_api()
            || !call.request.header_lists("accept", "text/html")
        {
            return response;
        }
        self.error_page(scheduler, call, &response)
    }

    fn rendered(&mut self, scheduler: &Scheduler, call: &Call<'_>, render: Render) -> Response {
        let (request, wall_ms) = (call.request, call.now.wall_ms);
        if let Err(problem) = Look::check(request) {
            return problem;
        }
        let look = Look::of(request);
        let key = Key { path: request.path(), query: request.raw_query(), look };
        let stamp = (scheduler.revision(), wall_ms.div_euclid(1000));
        let page = match self.pages.find(key, stamp) {
            Some(page) => page,
            None => match render(self, scheduler, call, look) {
                Ok(page) => self.pages.keep(key, stamp, page),
                Err(problem) => return problem,
            },
        };
        // It is as of now, also where it is the same as before: from a cache it is as of then.
        answer(request, look, page).header("Last-Modified", http_date(wall_ms))
    }
}

fn answer(request: &Request, look: Look, page: RenderedPage) -> Response {
    answer_kept(request, look, page, "no-cache")
}

/// One that nobody may keep.
fn unkept(request: &Request, look: Look, page: RenderedPage) -> Response {
    answer_kept(request, look, page, "no-store")
}

fn answer_kept(request: &Request, look: Look, page: RenderedPage, how: &'static str) -> Response {
    let response = Response::new(page.status, "text/html; charset=utf-8", Body::Shared(page.body));
    let response = response
        .etag(page.etag)
        .header("Cache-Control", how)
        .header("Vary", "Accept-Language, Cookie");
    remember(request, look, response)
}

/// Keeps a choice that was made by a link (`?lang=zh`, `?theme=dark`) for the next pages.
fn remember(request: &Request, look: Look, mut response: Response) -> Response {
    if Look::check(request).is_err() {
        return response;
    }
    for (name, value) in [("lang", look.lang_name()), ("theme", look.theme.name())] {
        if request.query(name).is_some() {
            let cookie = format!("{name}={value}; Path=/; Max-Age={CHOICE_S}; SameSite=Lax");
            response = response.header("Set-Cookie", cookie);
        }
    }
    response
}

/// Templates write into memory, which does not fail; if one did, the page would say so. Whatever
/// rows, tables and files say is in it: no page has a control character in it.
fn render(status: u16, template: &impl Template) -> RenderedPage {
    match template.render() {
        Ok(html) => RenderedPage::new(status, plain::without_controls(html)),
        Err(why) => RenderedPage::new(500, format!("The page could not be made: {why}\n")),
    }
}
