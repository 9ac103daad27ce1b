//! The web: a request in, an answer out.
//!
//! - `views`: what is shown of jobs and runs, whatever the form
//! - `filter`: what a list is narrowed to, and its pages
//! - `api`: JSON for programs

mod api;
mod filter;
mod views;

use crate::core::daemon::Core;
use crate::core::event::Action;
use crate::core::http::{Method, Request, Response};
use crate::core::ids::ConnId;
use crate::core::time::Now;

impl Core {
    /// Answers a request.
    pub(super) fn request(&mut self, now: Now, conn: ConnId, request: &Request) {
        let response = self.answer(now, request);
        self.respond(conn, response);
    }

    fn respond(&mut self, conn: ConnId, response: Response) {
        self.push_action(Action::Respond(conn, Box::new(response)));
    }

    fn answer(&self, now: Now, request: &Request) -> Response {
        let answer: fn(&Core, Now, &Request) -> Response = match request.segments()[..] {
            ["healthz"] => |_, _, _| Response::text(200, "ok\n"),
            ["api", "v1", "status"] => |core, now, _| api::json_answer(&core.status(now)),
            ["api", "v1", "jobs"] => |core, _, request| core.job_list(request),
            ["api", "v1", "jobs", _] => |core, now, request| core.job_view(now, request),
            ["api", "v1", "jobs", _, "runs"] => |core, now, request| core.job_runs(now, request),
            _ => return Response::problem(404, "there is no such page; see /api/v1/jobs"),
        };
        match request.method {
            Method::Get | Method::Head => answer(self, now, request),
            Method::Options => Response::options("GET, HEAD, OPTIONS"),
            _ => Response::method_not_allowed("GET, HEAD, OPTIONS"),
        }
    }
}
