//! `/log`: the daemon's own log.

use super::super::Web;
use super::super::call::Call;
use super::super::parameters::one_of;
use super::super::texts::Texts;
use super::cache::RenderedPage;
use super::chosen::{self, Chosen};
use super::frame::{Frame, Part};
use super::look::Look;
use super::render;
use crate::core::http::Response;
use crate::core::scheduler::Scheduler;
use askama::Template;

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    frame: Frame,
    chosen: Chosen,
    /// Value, label, whether it is chosen.
    levels: Vec<(&'static str, &'static str, bool)>,
    filter: String,
}

impl Web {
    /// Renders the page around the log; the lines come from `/api/v1/log`.
    ///
    /// # Errors
    /// What is chosen of it means nothing: the answer that says so.
    pub(super) fn log_page(
        &self,
        scheduler: &Scheduler,
        call: &Call<'_>,
        look: Look,
    ) -> Result<RenderedPage, Response> {
        let request = call.request;
        one_of(request, "level", &["error", "warn", "info", "debug", "trace"])?;
        let chosen = Chosen::of(request)?;
        let t = look.texts();
        let here = chosen::address("/log", request, &["level", "filter"]);
        let mut frame = self.frame(scheduler, call, look, (Part::Log, t.log), here);
        frame.events = frame.root.to("/api/v1/events?per_page=1&state=-");
        let levels = levels(t, &request.query("level").unwrap_or_default());
        let filter = request.query("filter").unwrap_or_default().into_owned();
        Ok(render(200, &LogPage { frame, chosen, levels, filter }))
    }
}

fn levels(t: &Texts, asked: &str) -> Vec<(&'static str, &'static str, bool)> {
    let levels = [
        ("error", t.level_error),
        ("warn", t.level_warn),
        ("info", t.level_info),
        ("trace", t.level_debug),
    ];
    let asked = if asked == "debug" { "trace" } else { asked };
    let wanted = levels.iter().map(|(name, _)| *name).find(|name| *name == asked);
    let wanted = wanted.unwrap_or("info");
    levels.map(|(name, label)| (name, label, name == wanted)).into()
}
