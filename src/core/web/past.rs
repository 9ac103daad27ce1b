//! Questions about what was, whose clients wait for the database: what the daemon knows itself is
//! answered at once, and put together with what the database says where that is needed.

use super::Web;
use super::audit;
use super::call::Call;
use super::missing;
use super::parameters::job_id;
use super::preview;
use super::runs::{self, Wanted};
use super::slow::Work;
use super::statistics;
use super::timeline;
use super::why;
use crate::core::cron::Lang;
use crate::core::http::Response;
use crate::core::ids::{ConnId, JobId};
use crate::core::places::{Peer, Places};
use crate::core::protocol::{Ask, Past};
use crate::core::scheduler::Scheduler;
use crate::core::time::Now;
use std::collections::BTreeMap;

/// Clients that may wait for the database at a time; beyond, one is told to ask again.
const MAX_WAITING: usize = 32;

/// What a client is told that is to wait no longer.
const TOO_MANY_WAIT: &str = "too many wait for the past: ask again in a while";

/// What is asked for.
#[derive(Debug)]
pub(super) enum Question {
    /// Runs.
    Runs(Box<Wanted>),
    /// The run with this id.
    Run(String),
    /// Who did what.
    Acts(Box<audit::Wanted>),
    /// The same as a page.
    AuditPage(Box<audit::Page>),
    /// An earlier definition, in the form of its job.
    Back(Box<audit::Back>),
    /// Why a job ran, or did not.
    Why(Box<why::Asked>),
    /// What runs of a job came to.
    Statistics(Box<statistics::Wanted>),
    /// A picture of the past and of what is due.
    Timeline(Box<timeline::Wanted>),
}

/// One whose client waits.
#[derive(Debug)]
struct Asked {
    conn: ConnId,
    question: Question,
}

/// The clients that wait.
#[derive(Debug, Default)]
pub struct Questions {
    last: u64,
    asked: BTreeMap<u64, Asked>,
    places: Places<u64>,
}

/// `GET /api/v1/jobs/ID/runs`
pub(super) fn runs_of_job(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    let job = job_id(call.argument)?;
    list(scheduler, call, Some(job))
}

/// `GET /api/v1/runs`
pub(super) fn all_runs(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    list(scheduler, call, None)
}

fn list(scheduler: &Scheduler, call: &Call<'_>, job: Option<JobId>) -> Result<Question, Response> {
    let wanted = Wanted::new(scheduler, call.request, job)?;
    table_is_read(scheduler)?;
    Ok(Question::Runs(Box::new(wanted)))
}

/// `GET /api/v1/runs/RUN`
pub(super) fn one_run(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    let run = runs::asked_run(call.argument)?;
    table_is_read(scheduler)?;
    Ok(Question::Run(run))
}

/// `GET /api/v1/audit`
pub(super) fn acts(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    let zone = &scheduler.settings().zone;
    Ok(Question::Acts(Box::new(audit::Wanted::of(call.request, zone)?)))
}

/// `GET /audit`
pub(super) fn audit_page(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    let zone = &scheduler.settings().zone;
    Ok(Question::AuditPage(Box::new(audit::Page::of(call.request, zone)?)))
}

/// `GET /jobs/ID/back`
pub(super) fn back(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    let job = job_id(call.argument)?;
    table_is_read(scheduler)?;
    Ok(Question::Back(Box::new(audit::Back::of(call.request, job)?)))
}

/// `GET /api/v1/jobs/ID/why`
pub(super) fn why(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    let job = job_id(call.argument)?;
    table_is_read(scheduler)?;
    let lang = preview::lang(call.request)?;
    let asked = why::Asked::of(scheduler, call.now, (call.request, job, lang))?;
    Ok(Question::Why(Box::new(asked)))
}

/// `GET /jobs/ID/why`
pub(super) fn why_page(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    let job = job_id(call.argument)?;
    table_is_read(scheduler)?;
    // The page says it in its own language.
    let asked = why::Asked::of(scheduler, call.now, (call.request, job, Lang::En))?;
    let request = Some(call.request.clone());
    Ok(Question::Why(Box::new(why::Asked { request, ..asked })))
}

/// `GET /api/v1/jobs/ID/statistics`
pub(super) fn statistics(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    let wanted = statistics::Wanted::of(scheduler, call)?;
    Ok(Question::Statistics(Box::new(wanted)))
}

/// `GET /jobs/ID/statistics`
pub(super) fn statistics_page(
    scheduler: &Scheduler,
    call: &Call<'_>,
) -> Result<Question, Response> {
    let wanted = statistics::Wanted::of_page(scheduler, call)?;
    Ok(Question::Statistics(Box::new(wanted)))
}

/// `GET /api/v1/timeline`
pub(super) fn timeline(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    Ok(Question::Timeline(Box::new(timeline::Wanted::of(scheduler, call)?)))
}

fn table_is_read(scheduler: &Scheduler) -> Result<(), Response> {
    missing::table_unread(scheduler).map_or(Ok(()), |why| Err(missing::answer(why)))
}

impl Web {
    /// Answers, or asks the database.
    pub(super) fn look_back(
        &mut self,
        scheduler: &mut Scheduler,
        call: &Call<'_>,
        question: Question,
    ) -> Option<Response> {
        let now = call.now;
        let question = match question {
            Question::Timeline(wanted) if !wanted.has_past() => {
                let work = timeline::Question::new(scheduler, wanted, None);
                self.ask_slowly(scheduler, call.asker(), Work::Timeline(Box::new(work)));
                return None;
            }
            question => question,
        };
        let known = match &question {
            Question::Runs(wanted) => runs::known_page(scheduler, now, wanted),
            Question::Run(run) => runs::one_known(scheduler, now, run),
            Question::Acts(wanted) => audit::known_answer(scheduler, wanted),
            Question::AuditPage(page) => self.audit_known(scheduler, (now, call.conn), page),
            Question::Back(back) => self.back_known(scheduler, (now, call.conn), back),
            Question::Why(asked) => self.why_known(scheduler, (now, call.conn), asked),
            Question::Statistics(_) | Question::Timeline(_) => None,
        };
        if known.is_some() {
            return known;
        }
        self.make_room_for_past(scheduler, call.request.peer);
        let ask = question.ask(scheduler);
        let questions = &mut self.questions;
        questions.last += 1;
        let ticket = questions.last;
        questions.places.take(ticket, call.request.peer);
        questions.asked.insert(ticket, Asked { conn: call.conn, question });
        let since = Now { mono_ms: call.since_ms, ..now };
        scheduler.reads.add(since, ticket, ask);
        None
    }

    fn make_room_for_past(&mut self, scheduler: &mut Scheduler, newcomer: Peer) {
        if self.questions.asked.len() < MAX_WAITING {
            return;
        }
        let Some(ticket) = self.questions.places.gives_way_to(newcomer) else { return };
        scheduler.reads.forget(ticket);
        if let Some(asked) = self.questions.take(ticket) {
            self.respond(asked.conn, Response::problem(503, TOO_MANY_WAIT));
        }
    }

    /// The database has answered, or has not.
    pub(super) fn past_answered(
        &mut self,
        scheduler: &Scheduler,
        now: Now,
        ticket: u64,
        said: Result<Box<Past>, String>,
    ) {
        let Some(Asked { conn, question }) = self.questions.take(ticket) else { return };
        let response = match question {
            Question::Runs(wanted) => runs::answer(scheduler, now, &wanted, said),
            Question::Run(run) => runs::one(scheduler, now, &run, said),
            Question::Acts(wanted) => audit::answer(scheduler, &wanted, said),
            Question::AuditPage(page) => self.audit_page(scheduler, (now, conn), &page, said),
            Question::Back(back) => self.back_page(scheduler, (now, conn), &back, said),
            Question::Why(asked) => self.why_answered(scheduler, (now, conn), &asked, said),
            Question::Statistics(wanted) => match &wanted.page {
                Some(request) => {
                    self.statistics_page(scheduler, (now, conn), (&wanted, request), said)
                }
                None => statistics::answer(scheduler, &wanted, said),
            },
            Question::Timeline(wanted) => {
                let asker = (now, conn, wanted.peer);
                let work = timeline::Question::new(scheduler, wanted, Some(said));
                return self.ask_slowly(scheduler, asker, Work::Timeline(Box::new(work)));
            }
        };
        self.respond(conn, response);
    }

    /// A client waits no longer.
    pub(super) fn forget_question(&mut self, scheduler: &mut Scheduler, conn: ConnId) {
        let of_it = self.questions.asked.iter().filter(|(_, asked)| asked.conn == conn);
        let tickets: Vec<u64> = of_it.map(|(ticket, _)| *ticket).collect();
        for ticket in tickets {
            self.questions.take(ticket);
            scheduler.reads.forget(ticket);
        }
    }
}

impl Question {
    fn ask(&self, scheduler: &Scheduler) -> Ask {
        match self {
            Question::Runs(wanted) => Ask::Runs(Box::new(runs::page_ask(scheduler, wanted))),
            Question::Run(run) => Ask::Runs(Box::new(runs::one_ask(scheduler, run))),
            Question::Acts(wanted) => Ask::Acts(Box::new(wanted.ask(scheduler))),
            Question::AuditPage(page) => Ask::Acts(Box::new(page.wanted.ask(scheduler))),
            Question::Back(back) => Ask::Acts(Box::new(back.wanted.ask(scheduler))),
            Question::Why(asked) => Ask::Why(Box::new(asked.ask(scheduler))),
            Question::Statistics(wanted) => Ask::Statistics(Box::new(wanted.ask(scheduler))),
            Question::Timeline(wanted) => Ask::Timeline(Box::new(wanted.ask(scheduler))),
        }
    }
}

impl Questions {
    fn take(&mut self, ticket: u64) -> Option<Asked> {
        self.places.leave(ticket);
        self.asked.remove(&ticket)
    }
}
