//! Answers that are no success, for people.

use super::super::Web;
use super::super::call::Call;
use super::super::route::Place;
use super::super::routes::ROUTES;
use super::super::texts::fill;
use super::frame::{Frame, Part};
use super::look::Look;
use super::{answer, render, unkept};
use crate::core::http::{Request, Response};
use crate::core::ids::ConnId;
use crate::core::scheduler::Scheduler;
use crate::core::time::Now;
use askama::Template;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    status: u16,
    title: &'static str,
    detail: String,
}

impl Web {
    /// A problem as a page. It is not kept: what is asked for in vain differs each time.
    pub(super) fn error_page(
        &mut self,
        scheduler: &Scheduler,
        call: &Call<'_>,
        problem: &Response,
    ) -> Response {
        let request = call.request;
        let look = Look::of(request);
        let t = look.texts();
        let status = problem.status();
        let title = match status {
            400 => t.bad_request,
            403 | 409 => t.refused,
            404 => t.not_there,
            405 => t.not_allowed,
            500.. => t.broken,
            _ => t.refused,
        };
        let frame = self.frame(scheduler, call, look, (Part::None, title), "/".to_owned());
        let page = ErrorPage { frame, status, title, detail: detail(problem) };
        kept(problem, answer(request, look, render(status, &page)))
    }

    /// That a change is in the database, and not in force yet.
    pub(in crate::core::web) fn not_yet_page(
        &mut self,
        scheduler: &Scheduler,
        (now, conn, request): (Now, ConnId, &Request),
        why: &str,
    ) -> Response {
        let call = Place::of(ROUTES, request.path()).call(now, conn, request);
        let look = Look::of(request);
        let t = look.texts();
        let (status, title, detail) = (202, t.not_yet, fill(t.not_yet_why, &[why]));
        let frame = self.frame(scheduler, &call, look, (Part::None, title), "/".to_owned());
        let page = ErrorPage { frame, status, title, detail };
        unkept(request, look, render(status, &page))
    }
}

/// A page in place of a problem, with what that says to the browser.
pub(super) fn kept(problem: &Response, page: Response) -> Response {
    let kept = ["Allow", "Retry-After"].into_iter();
    let kept = kept.filter_map(|name| Some((name, problem.header_value(name)?.to_owned())));
    kept.fold(page, |page, (name, value)| page.header(name, value))
}

/// What is wrong and what to do, of a problem (RFC 9457) or of plain text.
fn detail(problem: &Response) -> String {
    let bytes = problem.body().bytes();
    let json: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    match json["detail"].as_str() {
        Some(detail) => detail.to_owned(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}
