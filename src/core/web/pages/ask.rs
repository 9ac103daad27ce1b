//! What a link of the original would do, behind a button: a browser follows links that nobody
//! meant to press.

use super::super::Web;
use super::super::actions::Command;
use super::super::call::Call;
use super::super::root::Root;
use super::super::sources::Source;
use super::super::texts::{Texts, fill};
use super::frame::{Frame, Part};
use super::look::Look;
use super::{answer, render};
use crate::core::http::Response;
use crate::core::ids::JobId;
use crate::core::launch::Stream;
use crate::core::scheduler::Scheduler;
use askama::Template;

#[derive(Template)]
#[template(path = "ask.html")]
struct AskPage {
    frame: Frame,
    title: String,
    /// As the form of the console names it.
    action: &'static str,
    jobs: Vec<JobId>,
    /// Where its button leads afterwards, and where who does not press it goes.
    back: String,
    back_href: String,
}

impl Web {
    /// The page that asks whether a command is meant. 403, for it was not done.
    pub(in crate::core::web) fn ask_page(
        &mut self,
        scheduler: &Scheduler,
        call: &Call<'_>,
        command: &Command,
        back: String,
    ) -> Response {
        let request = call.request;
        let look = Look::of(request);
        let root = Root::of(request);
        let (title, action, jobs) = asked(scheduler, look.texts(), command);
        let back_href = root.to(&back);
        let frame = self.frame(scheduler, call, look, (Part::None, &title), "/".to_owned());
        let page = AskPage { frame, title, action, jobs, back, back_href };
        answer(request, look, render(403, &page))
    }
}

/// What a command does, in words; how a form says it, and for which jobs.
fn asked(
    scheduler: &Scheduler,
    t: &Texts,
    command: &Command,
) -> (String, &'static str, Vec<JobId>) {
    let named = |text, id: JobId| {
        let name = scheduler.table().get(id).map_or("", |job| &job.def.name);
        fill(text, &[&format!("{id} {name}")])
    };
    let all = |text, jobs: &[JobId]| {
        let names: Vec<_> = jobs.iter().map(|job| named(text, *job)).collect();
        names.join(", ")
    };
    match command {
        Command::Start(jobs, _) => (all(t.start_job, jobs), "start", jobs.clone()),
        Command::Stop(jobs) => (all(t.stop_job, jobs), "stop", jobs.clone()),
        Command::StopRun(run) => (fill(t.stop_job, &[&run.to_string()]), "stop", Vec::new()),
        // No link of the original's does that.
        Command::Pause(order) => (order.verb().to_owned(), order.verb(), Vec::new()),
        Command::Sync => (t.sync.to_owned(), "sync", Vec::new()),
        Command::Clear(sources) => match sources.first() {
            Some(Source::Job(id, Stream::Stdout)) => {
                (format!("{}: {}", named("{}", *id), t.clear_output), "clear_output", vec![*id])
            }
            Some(Source::Job(id, Stream::Stderr)) => {
                (format!("{}: {}", named("{}", *id), t.clear_errors), "clear_stderr", vec![*id])
            }
            Some(Source::Run(..) | Source::RunOf(..) | Source::Log) | None => {
                (t.clear_log.to_owned(), "clear_log", Vec::new())
            }
        },
    }
}
