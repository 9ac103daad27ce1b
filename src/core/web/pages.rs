//! Pages for people. They work without JavaScript; with it they follow what happens.
//!
//! - `look`: language and colours
//! - `frame`: what is around every page
//! - `list`: `/`, the jobs; `row` is one line of it
//! - `job`: `/jobs/ID`; `plot` draws its past
//! - `log`: `/log`; `chosen`: what of a text is shown
//! - `ask`: what a link would do, behind a button
//! - `error`: answers that are no success, for people
//! - `words`: times, durations and outcomes as text
//! - `links`, `assets`, `cache`: addresses, files, rendered pages

mod ask;
mod assets;
mod cache;
mod chosen;
mod error;
pub(super) mod frame;
mod job;
mod links;
mod list;
mod log;
mod look;
mod plot;
mod row;
mod words;

pub use cache::PageCache;

use super::Web;
use super::wanted::wants_text;
use crate::core::http::{Body, Method, Request, Response, http_date};
use crate::core::scheduler::Scheduler;
use crate::core::time::Now;
use askama::Template;
use cache::{Key, Page};
use look::Look;

/// How long a choice of language or colours is remembered, in seconds: a year.
const CHOICE_S: u32 = 31_536_000;

#[derive(Clone, Copy)]
enum Kind<'a> {
    List,
    Job(&'a str),
    Log,
}

impl Web {
    /// How many pages were rendered since the start: far fewer than were asked for.
    pub fn pages_rendered(&self) -> u64 {
        self.pages.rendered()
    }

    /// The answer if the request is for a page or for what belongs to pages.
    pub(super) fn page(
        &mut self,
        scheduler: &Scheduler,
        now: Now,
        request: &Request,
    ) -> Option<Response> {
        let segments = request.segments();
        let listed = matches!(segments[..], ["" | "index.php"]);
        if listed && request.method.is_read() && wants_text(request, "text/html") {
            return None;
        }
        let kind = match segments[..] {
            ["" | "index.php"] => Kind::List,
            ["jobs", id] => Kind::Job(id),
            ["log"] => Kind::Log,
            ["assets", name] if request.method.is_read() => {
                return self.pages.assets.answer(name, request.query("v").as_deref());
            }
            ["favicon.ico"] if request.method.is_read() => {
                return self.pages.assets.answer("favicon.svg", None);
            }
            _ => return None,
        };
        Some(match request.method {
            Method::Get | Method::Head => self.rendered(scheduler, now, request, kind),
            Method::Options => Response::options("GET, HEAD, OPTIONS"),
            _ => Response::method_not_allowed("GET, HEAD, OPTIONS"),
        })
    }

    /// An answer to a browser: a problem becomes a page.
    pub(super) fn for_people(
        &mut self,
        scheduler: &Scheduler,
        now: Now,
        request: &Request,
        response: Response,
    ) -> Response {
        let is_page = !request.path().starts_with("/api/");
        // What asks is one already.
        let made = response.content_type().starts_with("text/html");
        if response.status() < 400
            || made
            || !is_page
            || !request.header_lists("accept", "text/html")
        {
            return response;
        }
        self.error_page(scheduler, now, request, &response)
    }

    fn rendered(
        &mut self,
        scheduler: &Scheduler,
        now: Now,
        request: &Request,
        kind: Kind<'_>,
    ) -> Response {
        let look = Look::of(request);
        let key = Key { path: request.path(), query: request.raw_query(), look };
        let stamp = (scheduler.revision(), now.wall_ms.div_euclid(1000));
        let page = match self.pages.find(key, stamp) {
            Some(page) => page,
            None => {
                let made = match kind {
                    Kind::List => self.list_page(scheduler, now, request, look),
                    Kind::Job(id) => self.job_page(scheduler, now, request, look, id),
                    Kind::Log => self.log_page(scheduler, now, request, look),
                };
                match made {
                    Ok(page) => self.pages.keep(key, stamp, page),
                    Err(problem) => return problem,
                }
            }
        };
        // It is as of now, also where it is the same as before: from a cache it is as of then.
        let instant = http_date(now.wall_ms);
        answer(request, look, page).header("Last-Modified", instant)
    }
}

fn answer(request: &Request, look: Look, page: Page) -> Response {
    let response = Response::new(page.status, "text/html; charset=utf-8", Body::Shared(page.body));
    let response = response
        .etag(page.etag)
        .header("Cache-Control", "no-cache")
        .header("Vary", "Accept-Language, Cookie");
    remember(request, look, response)
}

/// Keeps a choice that was made by a link (`?lang=zh`, `?theme=dark`) for the next pages.
fn remember(request: &Request, look: Look, mut response: Response) -> Response {
    for (name, value) in [("lang", look.lang_name()), ("theme", look.theme.name())] {
        if request.query(name).is_some() {
            let cookie = format!("{name}={value}; Path=/; Max-Age={CHOICE_S}; SameSite=Lax");
            response = response.header("Set-Cookie", cookie);
        }
    }
    response
}

/// Templates write into memory, which does not fail; if one did, the page would say so.
fn render(status: u16, template: &impl Template) -> Page {
    match template.render() {
        Ok(html) => Page::new(status, html),
        Err(why) => Page::new(500, format!("The page could not be made: {why}\n")),
    }
}
