//! Answers that take long where jobs are many: they are worked on in slices, one answer after the
//! other, while their clients wait. A forecast takes the longest: forecasts and all others take
//! turns, a slice each.

use super::Web;
use super::call::Call;
use super::change::Asker;
use super::export;
use super::forecast;
use super::preview::{self, Told};
use super::timeline;
use super::words;
use crate::core::change::Of;
use crate::core::http::Response;
use crate::core::ids::ConnId;
use crate::core::places::{Peer, Places};
use crate::core::scheduler::{NotChanged, Scheduler};
use crate::core::time::Now;
use std::collections::VecDeque;

/// Clients that may wait for such an answer at a time; beyond, one is told to ask again. A forecast
/// and one other answer take memory at a time: of the others only the question is kept.
const MAX_WAITING: usize = 16;

/// What a client is told that is to wait no longer.
const TOO_MANY_WAIT: &str =
    "too many wait for a forecast, an export or a preview: ask again in a while";

/// What is asked for, and how far its answer has got.
#[derive(Debug)]
pub(super) enum Work {
    Forecast(Box<forecast::Question>),
    Export(export::Question),
    Preview(Box<preview::Question>),
    Words(words::Question),
    Timeline(Box<timeline::Question>),
}

/// `GET /api/v1/forecast`
pub(super) fn forecast(scheduler: &Scheduler, call: &Call<'_>) -> Result<Work, Response> {
    forecast::question(scheduler, call).map(|it| Work::Forecast(Box::new(it)))
}

/// `GET /api/v1/export`
pub(super) fn export(scheduler: &Scheduler, call: &Call<'_>) -> Result<Work, Response> {
    export::question(scheduler, call).map(Work::Export)
}

/// `POST /api/v1/jobs/preview`
pub(super) fn preview(scheduler: &Scheduler, call: &Call<'_>) -> Result<Work, Response> {
    preview::question(scheduler, call).map(|it| Work::Preview(Box::new(it)))
}

/// `GET /api/v1/vars`
pub(super) fn vars(scheduler: &Scheduler, _: &Call<'_>) -> Result<Work, Response> {
    words::question(scheduler, Of::Var).map(Work::Words)
}

/// `GET /api/v1/tags`
pub(super) fn tags(scheduler: &Scheduler, _: &Call<'_>) -> Result<Work, Response> {
    words::question(scheduler, Of::Tag).map(Work::Words)
}

impl Work {
    /// Does the next slice. What is to be told, if it was the last one.
    fn go_on(&mut self, scheduler: &Scheduler) -> Option<Told> {
        match self {
            Work::Forecast(question) => question.go_on(scheduler).map(Told::Answer),
            Work::Export(question) => question.go_on(scheduler).map(Told::Answer),
            Work::Preview(question) => question.go_on(scheduler),
            Work::Words(question) => question.go_on(scheduler).map(Told::Answer),
            Work::Timeline(question) => question.go_on(scheduler).map(Told::Answer),
        }
    }
}

/// The clients that wait; something is done for the first of them that wants a forecast, and for
/// the first of the others.
#[derive(Debug, Default)]
pub struct Slow {
    questions: VecDeque<(ConnId, Work)>,
    places: Places<ConnId>,
    /// The last slice was of a forecast.
    was_forecast: bool,
}

impl Slow {
    /// Whether somebody waits.
    pub(super) fn is_wanted(&self) -> bool {
        !self.questions.is_empty()
    }

    /// Whose turn it is.
    fn next(&mut self) -> Option<&mut (ConnId, Work)> {
        let is_forecast = |work: &Work| matches!(work, Work::Forecast(_));
        let find = |wanted| self.questions.iter().position(|(_, work)| is_forecast(work) == wanted);
        let at = find(!self.was_forecast).or_else(|| find(self.was_forecast))?;
        let next = self.questions.get_mut(at)?;
        self.was_forecast = is_forecast(&next.1);
        Some(next)
    }

    /// A client waits no longer; what was begun for it is let go.
    pub(super) fn forget(&mut self, conn: ConnId) {
        if self.places.leave(conn) {
            self.questions.retain(|(asked, _)| *asked != conn);
        }
    }
}

impl Web {
    /// Takes a question in.
    pub(super) fn ask_slowly(
        &mut self,
        scheduler: &Scheduler,
        (now, conn, peer): (Now, ConnId, Peer),
        work: Work,
    ) {
        self.make_room_for_question(scheduler, now, peer);
        self.slow.places.take(conn, peer);
        self.slow.questions.push_back((conn, work));
    }

    fn make_room_for_question(&mut self, scheduler: &Scheduler, now: Now, newcomer: Peer) {
        let slow = &mut self.slow;
        if slow.places.len() < MAX_WAITING {
            return;
        }
        let Some(conn) = slow.places.gives_way_to(newcomer) else { return };
        let at = slow.questions.iter().position(|(asked, _)| *asked == conn);
        let work = at.and_then(|at| slow.questions.remove(at)).map(|(_, work)| work);
        slow.places.leave(conn);
        let mut answer = Response::problem(503, TOO_MANY_WAIT);
        if let Some(Work::Preview(question)) = &work
            && let Asker::Person(conn, request) = question.asker()
        {
            // What somebody has written is not lost.
            let why = NotChanged::Away(TOO_MANY_WAIT.into());
            answer = self.entry_again(scheduler, (now, *conn, request), &why, answer);
        }
        self.respond(conn, answer);
    }

    /// Does a slice of what a client waits for. What is due goes before.
    pub(super) fn answer_slowly(&mut self, scheduler: &Scheduler, now: Now) {
        if scheduler.busy() {
            return;
        }
        let Some((conn, work)) = self.slow.next() else { return };
        let Some(told) = work.go_on(scheduler) else { return };
        let conn = *conn;
        self.slow.forget(conn);
        let answer = match told {
            Told::Answer(answer) => answer,
            Told::Sheet(asker, found) => self.entry_previewed(scheduler, now, &asker, found),
        };
        self.respond(conn, answer);
    }
}
