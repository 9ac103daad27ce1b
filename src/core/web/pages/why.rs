//! `/jobs/ID/why`: why a job ran, or did not.

use super::super::Web;
use super::super::root::Root;
use super::super::route::Place;
use super::super::routes::ROUTES;
use super::super::texts::{WhyTexts, column_label, fill, why as texts, written_columns};
use super::super::why::{self, Asked, Told};
use super::frame::{Frame, Part};
use super::links;
use super::look::Look;
use super::{answer, render};
use crate::core::change::Stand;
use crate::core::http::{Request, Response};
use crate::core::ids::ConnId;
use crate::core::protocol::Past;
use crate::core::scheduler::Scheduler;
use crate::core::time::{Now, datetime};
use askama::Template;

#[derive(Template)]
#[template(path = "why.html")]
struct WhyPage {
    frame: Frame,
    w: &'static WhyTexts,
    title: String,
    /// The job's page, and this one.
    leave: String,
    here: String,
    at: String,
    /// The answer, a sentence a line.
    sentences: Vec<String>,
    /// What the job was then.
    then: Vec<(&'static str, String)>,
}

impl Web {
    /// The page, if the daemon knows itself what is to be said.
    pub(in crate::core::web) fn why_known(
        &self,
        scheduler: &Scheduler,
        (now, conn): (Now, ConnId),
        asked: &Asked,
    ) -> Option<Response> {
        let told = why::known(scheduler, now, asked)?;
        Some(self.why_told(scheduler, (now, conn), asked, &told))
    }

    /// The same, once the database has answered or has not.
    pub(in crate::core::web) fn why_answered(
        &mut self,
        scheduler: &Scheduler,
        (now, conn): (Now, ConnId),
        asked: &Asked,
        said: Result<Box<Past>, String>,
    ) -> Response {
        match said {
            Ok(past) => {
                let told = why::together(scheduler, now, asked, &past);
                self.why_told(scheduler, (now, conn), asked, &told)
            }
            Err(why) => {
                let why = format!("what was is in the database, and it does not answer: {why}");
                let problem = Response::problem(503, &why);
                let Some(request) = &asked.request else { return problem };
                let call = Place::of(ROUTES, request.path()).call(now, conn, request);
                self.error_page(scheduler, &call, &problem)
            }
        }
    }

    fn why_told(
        &self,
        scheduler: &Scheduler,
        asked_by: (Now, ConnId),
        asked: &Asked,
        told: &Told,
    ) -> Response {
        match &asked.request {
            None => why::json(scheduler, asked_by.0, asked, told),
            Some(request) => self.why_page(scheduler, asked_by, (asked, request), told),
        }
    }

    fn why_page(
        &self,
        scheduler: &Scheduler,
        (now, conn): (Now, ConnId),
        (asked, request): (&Asked, &Request),
        told: &Told,
    ) -> Response {
        let call = Place::of(ROUTES, request.path()).call(now, conn, request);
        let asked = &Asked { lang: Look::of(request).lang, ..asked.clone() };
        let (look, root) = (Look::of(request), Root::of(request));
        let w = texts(look.lang);
        let row = scheduler.table().row(asked.job);
        let name = row.map_or(String::new(), |(def, _)| def.name.to_string());
        let title = fill(w.of_job, &[&format!("{} {name}", asked.job)]);
        let path = format!("/jobs/{}/why", asked.job);
        let zone = why::zone_of(scheduler, asked.job);
        let at = datetime(asked.at_ms, &zone);
        let mut here = path.clone();
        links::add(&mut here, "at", &at);
        let leave = if row.is_some() { format!("/jobs/{}", asked.job) } else { "/".to_owned() };
        let page = WhyPage {
            frame: self.frame(scheduler, &call, look, (Part::Jobs, &title), here),
            w,
            title,
            leave: root.to(&leave),
            here: root.to(&path),
            at,
            sentences: why::sentences(scheduler, now, asked, told),
            then: told.answer.then.iter().flat_map(|then| definition(look, then)).collect(),
        };
        answer(request, look, render(200, &page)).header("Cache-Control", "no-store")
    }
}

fn definition(look: Look, then: &Stand) -> Vec<(&'static str, String)> {
    let said = written_columns().map(|column| (column, then.row.value(column).into_owned()));
    let said = said.filter(|(column, text)| *text != column.default_text());
    let mut all: Vec<_> =
        said.map(|(column, text)| (column_label(look.lang, column), text)).collect();
    if !then.enabled {
        all.push((look.texts().in_force, "–".to_owned()));
    }
    all
}
