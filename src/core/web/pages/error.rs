//! Answers that are no success, for people.

use super::super::Web;
use super::super::call::Call;
use super::frame::{Frame, Part};
use super::look::Look;
use super::{answer, render};
use crate::core::http::Response;
use crate::core::scheduler::Scheduler;
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
        let page = answer(request, look, render(status, &page));
        let kept = ["Allow", "Retry-After"].into_iter();
        let kept = kept.filter_map(|name| Some((name, problem.header_value(name)?.to_owned())));
        kept.fold(page, |page, (name, value)| page.header(name, value))
    }
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
