//! Runs of the whole past, newest first: `GET /api/v1/runs`, `…/jobs/ID/runs` and `…/runs/RUN`.
//! What the daemon knows itself is put together with what the database has; of a run that both know
//! the daemon knows more. Where the database does not answer, what is known is told, and that it is
//! not all.
//!
//! - `wanted`: what a request asks for
//! - `known`: what the daemon knows itself
//! - `page`: both in one order
//! - `view`: a run as JSON

mod known;
mod page;
mod view;
mod wanted;

use super::Web;
use super::call::Call;
use super::missing;
use super::parameters::job_id;
use crate::core::http::{Response, etag_of};
use crate::core::ids::{ConnId, JobId, RunId};
use crate::core::places::{Peer, Places};
use crate::core::protocol::{Past, RunsAsk};
use crate::core::scheduler::Scheduler;
use crate::core::time::Now;
use std::collections::BTreeMap;
pub(super) use wanted::PARAMETERS;
use wanted::{Wanted, asked_run};

/// Clients that may wait for the database at a time; beyond, one is told to ask again.
const MAX_WAITING: usize = 32;

/// What a client is told that is to wait no longer.
const TOO_MANY_WAIT: &str = "too many wait for the past: ask again in a while";

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    /// Runs of a job.
    OfJob,
    /// Runs of all jobs.
    All,
    /// One run.
    One,
}

/// A question whose client waits.
#[derive(Debug)]
struct Question {
    conn: ConnId,
    what: What,
}

#[derive(Debug)]
enum What {
    List(Box<Wanted>),
    One(String),
}

/// The clients that wait.
#[derive(Debug, Default)]
pub struct Questions {
    last: u64,
    asked: BTreeMap<u64, Question>,
    places: Places<u64>,
}

impl Web {
    /// Answers, or asks the database.
    pub(super) fn runs(
        &mut self,
        scheduler: &mut Scheduler,
        call: &Call<'_>,
        which: Which,
    ) -> Result<Option<Response>, Response> {
        let what = match which {
            Which::One => What::One(asked_run(call.argument)?),
            Which::All => What::List(Box::new(Wanted::new(scheduler, call.request, None)?)),
            Which::OfJob => {
                let job = job_id(call.argument)?;
                What::List(Box::new(Wanted::new(scheduler, call.request, Some(job))?))
            }
        };
        missing::table_unread(scheduler).map_or(Ok(()), |why| Err(missing::answer(why)))?;
        let known = match &what {
            What::One(run) => one_known(scheduler, call.now, run),
            What::List(wanted) => page::known_page(scheduler, call.now, wanted),
        };
        if known.is_some() {
            return Ok(known);
        }
        let ask = match &what {
            What::One(run) => RunsAsk {
                server_id: scheduler.settings().server_id,
                run: run.clone(),
                limit: 1,
                ..RunsAsk::default()
            },
            What::List(wanted) => RunsAsk {
                below: known::place_of(scheduler, &wanted.before),
                near: known::place_by_id(scheduler, &wanted.before),
                ..wanted.ask(scheduler)
            },
        };
        self.ask_past(scheduler, call, Question { conn: call.conn, what }, ask);
        Ok(None)
    }

    fn ask_past(
        &mut self,
        scheduler: &mut Scheduler,
        call: &Call<'_>,
        question: Question,
        ask: RunsAsk,
    ) {
        self.make_room_for_past(scheduler, call.request.peer);
        let questions = &mut self.questions;
        questions.last += 1;
        let ticket = questions.last;
        questions.places.take(ticket, call.request.peer);
        questions.asked.insert(ticket, question);
        scheduler.reads.add(call.now, ticket, ask);
    }

    fn make_room_for_past(&mut self, scheduler: &mut Scheduler, newcomer: Peer) {
        if self.questions.asked.len() < MAX_WAITING {
            return;
        }
        let Some(ticket) = self.questions.places.gives_way_to(newcomer) else { return };
        scheduler.reads.forget(ticket);
        if let Some(question) = self.questions.take(ticket) {
            self.respond(question.conn, Response::problem(503, TOO_MANY_WAIT));
        }
    }

    /// The database has answered, or has not.
    pub(super) fn past_answered(
        &mut self,
        scheduler: &Scheduler,
        now: Now,
        ticket: u64,
        result: Result<Box<Past>, String>,
    ) {
        let Some(Question { conn, what }) = self.questions.take(ticket) else { return };
        let response = match what {
            What::One(run) => one(scheduler, now, &run, result),
            What::List(wanted) => page::answer(scheduler, now, &wanted, result),
        };
        self.respond(conn, response);
    }

    /// A client waits no longer.
    pub(super) fn forget_question(&mut self, scheduler: &mut Scheduler, conn: ConnId) {
        let of_it = self.questions.asked.iter().filter(|(_, question)| question.conn == conn);
        let tickets: Vec<u64> = of_it.map(|(ticket, _)| *ticket).collect();
        for ticket in tickets {
            self.questions.take(ticket);
            scheduler.reads.forget(ticket);
        }
    }
}

impl Questions {
    fn take(&mut self, ticket: u64) -> Option<Question> {
        self.places.leave(ticket);
        self.asked.remove(&ticket)
    }
}

/// The run, if the daemon knows it itself.
fn one_known(scheduler: &Scheduler, now: Now, run: &str) -> Option<Response> {
    let id: RunId = run.parse().ok()?;
    let job = super::sources::job_of_run(scheduler, id)?;
    let known = known::run_of(scheduler, job, id)?;
    Some(json(format!("{}\n", view::known(scheduler, now, job, known))))
}

fn one(scheduler: &Scheduler, now: Now, run: &str, result: Result<Box<Past>, String>) -> Response {
    if let Some(known) = one_known(scheduler, now, run) {
        return known;
    }
    match result {
        Err(why) => Response::problem(503, &format!("run {run}: database: {why}")),
        Ok(past) => match past.runs.first() {
            Some(row) => match serde_json::to_string(&view::row(scheduler, row)) {
                Ok(text) => json(text + "\n"),
                Err(why) => Response::problem(500, &why.to_string()),
            },
            None => Response::problem(404, &format!("there is no run {run}")),
        },
    }
}

/// A JSON answer that is not sent again where it is the same.
fn json(text: String) -> Response {
    let tag = etag_of(text.as_bytes());
    Response::json(200, text).etag(tag).header("Cache-Control", "no-cache")
}

/// Whether a job is known by its row.
fn is_job(scheduler: &Scheduler, job: JobId) -> bool {
    scheduler.table().get(job).is_some()
}
