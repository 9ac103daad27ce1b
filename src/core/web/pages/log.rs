//! `/log`: the daemon's own log.

use super::cache::Page;
use super::frame::{Frame, Part};
use super::look::Look;
use super::render;
use crate::core::daemon::Core;
use crate::core::http::{Request, Response};
use crate::core::time::Now;
use askama::Template;

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    frame: Frame,
}

impl Core {
    /// Renders the page around the log; the lines come from `/api/v1/log`.
    ///
    /// # Errors
    /// None so far.
    pub(super) fn log_page(
        &self,
        now: Now,
        request: &Request,
        look: Look,
    ) -> Result<Page, Response> {
        let t = look.texts();
        let place = (look, request);
        let mut frame = self.frame(now, place, Part::Log, t.log, "/log".to_owned());
        frame.events = frame.root.to("/api/v1/events?per_page=1&state=-");
        Ok(render(200, &LogPage { frame }))
    }
}
