//! `/jobs/ID/back?act=ACT`: the form of a job, with the definition that it had before somebody
//! changed it. To save it is a change like any other.

use super::super::super::audit::{self, Back, Found, Line};
use super::{Sheet, blank, new_key};
use crate::core::change::Stand;
use crate::core::earlier::{self, Change};
use crate::core::http::Response;
use crate::core::ids::ConnId;
use crate::core::protocol::Past;
use crate::core::scheduler::Scheduler;
use crate::core::time::{Now, datetime};
use crate::core::web::Web;
use crate::core::web::pages::look::Look;
use crate::core::web::route::Place;
use crate::core::web::routes::ROUTES;
use crate::core::web::texts::{acts, fill};

impl Web {
    /// The form, if the daemon knows itself what was changed since.
    pub(in crate::core::web) fn back_known(
        &mut self,
        scheduler: &Scheduler,
        asked: (Now, ConnId),
        back: &Back,
    ) -> Option<Response> {
        let found = audit::known(scheduler, &back.wanted)?;
        Some(self.back_sheet(scheduler, asked, back, found))
    }

    /// The same, once the database has answered or has not.
    pub(in crate::core::web) fn back_page(
        &mut self,
        scheduler: &Scheduler,
        asked: (Now, ConnId),
        back: &Back,
        said: Result<Box<Past>, String>,
    ) -> Response {
        match said {
            Ok(past) => {
                let found = audit::together(scheduler, &back.wanted, &past);
                self.back_sheet(scheduler, asked, back, found)
            }
            Err(why) => self.no_way_back(scheduler, asked, back, (503, &why)),
        }
    }

    fn back_sheet(
        &mut self,
        scheduler: &Scheduler,
        asked: (Now, ConnId),
        back: &Back,
        found: Found,
    ) -> Response {
        let a = acts(Look::of(&back.request).lang);
        let server_id = scheduler.settings().server_id;
        let row = scheduler.table().row(back.job);
        let present = row.map(|(def, enabled)| Stand { row: def.row(server_id), enabled });
        let act = found.lines.last().filter(|line| line.id == back.act.to_string());
        let Some(act) = act.filter(|_| found.next.is_none()) else {
            return self.no_way_back(scheduler, asked, back, (404, a.no_such));
        };
        let changes = found.lines.iter().filter(|line| line.is_done()).map(change);
        let was = earlier::before(present.clone(), (back.job.0, server_id), changes);
        let Some(mut is) = was.stand else {
            return self.no_way_back(scheduler, asked, back, (404, a.was_not));
        };
        // A pause is no part of what a job is.
        let paused_until = present.as_ref().map(|present| present.row.paused_until.clone());
        is.row.paused_until = paused_until.unwrap_or_default();
        let at = datetime(act.at_ms, &scheduler.settings().zone);
        let who = if act.who.is_empty() { &act.origin } else { &act.who };
        let text = if present.is_some() { a.is_back } else { a.is_gone };
        let mut note = fill(text, &[&at, who]);
        if !was.is_sure {
            note = format!("{note} {}", a.unsure);
        }
        let (now, conn) = asked;
        let call = Place::of(ROUTES, back.request.path()).call(now, conn, &back.request);
        let sheet = match present {
            Some(present) => {
                let version = present.version().to_string();
                Sheet { job: Some(back.job), is, was: present, version, note, ..Sheet::default() }
            }
            None => {
                let (was, key) = (blank(scheduler), new_key(scheduler, &call));
                Sheet { is, was, key, note, ..Sheet::default() }
            }
        };
        self.sheet(scheduler, &call, 200, sheet)
    }

    fn no_way_back(
        &mut self,
        scheduler: &Scheduler,
        (now, conn): (Now, ConnId),
        back: &Back,
        (status, why): (u16, &str),
    ) -> Response {
        let call = Place::of(ROUTES, back.request.path()).call(now, conn, &back.request);
        self.error_page(scheduler, &call, &Response::problem(status, why))
    }
}

fn change(line: &Line) -> Change<'_> {
    let version = line.version.as_deref().unwrap_or_default();
    Change { action: &line.action, version, what: &line.what }
}
