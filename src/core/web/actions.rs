//! What clients make the daemon do: start, stop, sync, clear.
//!
//! A command is carried out at once as far as it can be; for the rest (a launch, an exchange, a
//! file) its client waits. A ticket stands for such a client. It is answered once, with what was
//! really done, in the form it asked for: JSON for programs, a redirection for forms.

use super::Web;
use super::audit;
use super::call::Call;
use super::message::{Done, Message};
use super::missing;
use super::sources::{self, Source};
use super::stops::Stops;
use crate::core::change::{By, Mistake};
use crate::core::event::Action;
use crate::core::files::{FileName, FileTrouble};
use crate::core::http::Response;
use crate::core::ids::{ConnId, JobId, RunId};
use crate::core::journal::{Cause, Remarks};
use crate::core::places::{Peer, Places};
use crate::core::plain;
use crate::core::scheduler::{Begun, PauseOrder, Scheduler};
use crate::core::state_label::StateLabel;
use crate::core::table::Phase;
use crate::core::time::{Now, datetime, rfc3339};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Clients that may wait for the result of a command at a time; beyond, one is told not to.
const MAX_WAITING: usize = 1_000;

/// What a client is told that is to wait no longer.
const TOO_MANY_WAIT: &str = "too many wait for results: this one is not known yet, and what was \
                             asked for may be done all the same: look before you ask again";

/// What a client is told whose command is under way when another program takes over.
const STARTS_ANEW: &str =
    "it was begun, but the daemon starts again before its result is known: look what became of it";

/// The same when the daemon ends.
const ENDS: &str =
    "it was begun, but the daemon ends before its result is known: look what became of it";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Start each of these jobs once, with what is said of it.
    Start(Vec<JobId>, String),
    /// Stop all runs of these jobs.
    Stop(Vec<JobId>),
    /// Stop a run.
    StopRun(RunId),
    /// Skip slots, or launch them again.
    Pause(PauseOrder),
    /// Ask the database now.
    Sync,
    /// Empty files.
    Clear(Vec<Source>),
}

impl Command {
    /// Whether it is about jobs, which nobody knows before the first table.
    pub(super) fn needs_table(&self) -> bool {
        match self {
            Command::Start(..) | Command::Stop(_) | Command::StopRun(_) => true,
            Command::Sync | Command::Pause(_) => false,
            Command::Clear(sources) => sources.iter().any(|source| *source != Source::Log),
        }
    }
}

/// How a client is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// What was done as JSON, or a problem.
    Json,
    /// A redirection with this status to this path of the server; the message line tells.
    Back(u16, String),
}

impl Form {
    /// An answer that tells no result, but why there is none. A command was begun: 202. Of a change
    /// that says that it is made, and here nobody knows: 504.
    fn without_result(self, why: &str, is_change: bool) -> Response {
        match self {
            Form::Back(status, path) => Response::redirect(status, &path),
            Form::Json if is_change => Response::problem(504, why),
            Form::Json => Response::json(202, json!({ "detail": why }).to_string()),
        }
    }
}

/// A client that waits.
#[derive(Debug)]
struct Pending {
    /// None = it has gone.
    conn: Option<ConnId>,
    form: Form,
    verb: &'static str,
    /// Who it is; a change is noted elsewhere.
    by: Option<By>,
    /// What is cleared, if it is one thing.
    of: Option<Source>,
    done: Vec<Done>,
    /// Parts whose result is not known yet.
    left: usize,
    /// What it is answered, where the result alone does not say it.
    answer: Option<Response>,
}

/// The clients that wait.
#[derive(Debug, Default)]
pub struct Waiting {
    last: u64,
    pending: BTreeMap<u64, Pending>,
    /// The tickets of those that have not gone.
    places: Places<u64>,
    runs: BTreeMap<RunId, (u64, JobId)>,
    /// Stops whose signal has reached nobody yet, as far as is known.
    pub(super) stops: Stops,
    /// Waiting for the exchange after the one under way.
    sync_next: Vec<u64>,
    /// Waiting for the exchange under way.
    sync_now: Vec<u64>,
}

impl Waiting {
    /// An exchange begins: what it answers is new to those who asked before.
    pub fn sync_begins(&mut self) {
        self.sync_now.append(&mut self.sync_next);
    }

    /// A client waits for the exchange after the one under way.
    pub(super) fn wait_for_sync(&mut self, ticket: u64) {
        self.sync_next.push(ticket);
    }

    /// What a client is answered once the last part of its command is done.
    pub(super) fn answer_with(&mut self, ticket: u64, response: Response) {
        // One of a whole group is long.
        if let Some(pending) = self.pending.get_mut(&ticket) {
            pending.answer = Some(response);
        }
    }
}

impl Web {
    /// What was done last over the web, as the original's page says it; empty at first.
    pub fn last_message(&self) -> &str {
        self.message.original()
    }

    /// That, as the program before this one knew it.
    pub(in crate::core) fn go_on_saying(&mut self, message: &str) {
        self.message = Message::plain(message.to_owned());
    }

    /// Carries a command out. Its client is answered now or later.
    pub(super) fn command(
        &mut self,
        scheduler: &mut Scheduler,
        call: &Call<'_>,
        form: Form,
        command: Command,
    ) {
        let now = call.now;
        let verb = match &command {
            Command::Start(..) => "start",
            Command::Stop(_) | Command::StopRun(_) => "stop",
            Command::Pause(order) if order.is_pause => "pause_many",
            Command::Pause(_) => "resume_many",
            Command::Sync => "flush",
            Command::Clear(_) => "clear",
        };
        let by = call.by();
        let who = by.name().to_owned();
        // Who has paused something is written down with the pause.
        let by = Some(by).filter(|_| !matches!(command, Command::Pause(_)));
        let ticket = self.ticket(call, form, verb, by);
        match command {
            // Each one goes to the front of the queue.
            Command::Start(jobs, note) => {
                let remarks = Remarks { who: who.into(), note: note.into(), ..Remarks::default() };
                for job in jobs.iter().rev() {
                    self.start_by(scheduler, now, ticket, *job, &remarks);
                }
            }
            Command::Stop(jobs) => {
                for job in jobs {
                    self.stop_job_by(scheduler, now, (ticket, &who), job);
                }
            }
            Command::StopRun(run) => self.stop_run_by(scheduler, now, (ticket, &who), run),
            Command::Pause(order) => self.pause_by(scheduler, call, ticket, &order),
            Command::Sync => {
                scheduler.sync_now();
                self.waiting.sync_next.push(ticket);
                self.expect(ticket);
            }
            Command::Clear(sources) => {
                if let Some(pending) = self.waiting.pending.get_mut(&ticket) {
                    pending.of = sources.first().filter(|_| sources.len() == 1).cloned();
                }
                sources.iter().for_each(|source| self.clear_by(scheduler, ticket, source));
            }
        }
        self.one_less(scheduler, now, ticket);
    }

    /// What is probably a mistake of what was done last goes with its message.
    pub(super) fn say_also(&mut self, warnings: &[Mistake]) {
        for Mistake { column, why } in warnings {
            self.message.add(&format!("{column}: {why}"));
        }
    }

    /// A ticket for a client that waits for one thing, and for what else it will expect.
    pub(super) fn ticket(
        &mut self,
        call: &Call<'_>,
        form: Form,
        verb: &'static str,
        by: Option<By>,
    ) -> u64 {
        let (conn, peer) = (Some(call.conn), call.request.peer);
        self.make_room_for_command(peer);
        let ticket = self.waiting.last + 1;
        self.waiting.last = ticket;
        self.waiting.places.take(ticket, peer);
        let (of, answer, done) = (None, None, Vec::new());
        let pending = Pending { conn, form, verb, by, of, done, left: 1, answer };
        self.waiting.pending.insert(ticket, pending);
        ticket
    }

    /// Where as many wait as may, who has gone is forgotten, or who is displaced is told that it
    /// need not wait.
    fn make_room_for_command(&mut self, newcomer: Peer) {
        let waiting = &mut self.waiting;
        if waiting.pending.len() < MAX_WAITING {
            return;
        }
        let gone = waiting.pending.iter().find(|(_, it)| it.conn.is_none()).map(|(it, _)| *it);
        let Some(ticket) = gone.or_else(|| waiting.places.gives_way_to(newcomer)) else { return };
        waiting.places.leave(ticket);
        let Some(Pending { conn: Some(conn), form, verb, .. }) = waiting.pending.remove(&ticket)
        else {
            return;
        };
        self.message = Message::plain(format!("{verb}: {TOO_MANY_WAIT}"));
        let is_change = self.changes.contains_key(&ticket);
        self.respond(conn, form.without_result(TOO_MANY_WAIT, is_change));
    }

    /// Takes the answers out of what is planned.
    fn planned_answers(&mut self) -> Vec<(ConnId, Response)> {
        let mut answers = Vec::new();
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Respond(conn, response) => answers.push((conn, *response)),
                other => self.actions.push_back(other),
            }
        }
        answers
    }

    /// The daemon is about to end, or another program to take its place: the answers that were
    /// planned, and one for each client that waits. One whose connection died without an answer
    /// may send its command again by itself, and it would be done twice.
    pub(in crate::core) fn last_answers(
        &mut self,
        scheduler: &Scheduler,
        now: Now,
        ends: bool,
    ) -> Vec<(ConnId, Response)> {
        let mut answers = self.planned_answers();
        let told = if ends { ENDS } else { STARTS_ANEW };
        for (ticket, pending) in std::mem::take(&mut self.waiting.pending) {
            self.waiting.places.leave(ticket);
            let time = datetime(now.wall_ms, &scheduler.settings().zone);
            let asked = self.changes.remove(&ticket);
            if !asked.as_ref().is_some_and(|it| it.is_dry_run()) {
                self.message = Message::plain(format!("{} at {time}: {told}", pending.verb));
            }
            let response = match pending.form {
                // Nobody is there who could show what a redirection leads to.
                Form::Back(..) if ends => Response::text(202, format!("{told}\n")),
                form => form.without_result(told, asked.is_some()),
            };
            answers.extend(pending.conn.map(|conn| (conn, response)));
        }
        answers
    }

    /// A client has gone; what it wanted is done nevertheless, but for a file that waits.
    pub(super) fn forget_waiting(&mut self, scheduler: &mut Scheduler, conn: ConnId) {
        let waiting = &mut self.waiting;
        for (ticket, pending) in &mut waiting.pending {
            if pending.conn == Some(conn) {
                pending.conn = None;
                waiting.places.leave(*ticket);
                scheduler.edits.client_gone(*ticket);
            }
        }
    }

    pub(super) fn expect(&mut self, ticket: u64) {
        if let Some(pending) = self.waiting.pending.get_mut(&ticket) {
            pending.left += 1;
        }
    }

    pub(super) fn note(&mut self, ticket: u64, what: String, result: Result<Value, (u16, String)>) {
        if let Some(pending) = self.waiting.pending.get_mut(&ticket) {
            pending.done.push(Done { what, result });
        }
    }

    /// A part is done; after the last one the client is answered.
    pub(super) fn one_less(&mut self, scheduler: &mut Scheduler, now: Now, ticket: u64) {
        let Some(pending) = self.waiting.pending.get_mut(&ticket) else { return };
        pending.left -= 1;
        if pending.left > 0 {
            return;
        }
        let Some(pending) = self.waiting.pending.remove(&ticket) else { return };
        self.waiting.places.leave(ticket);
        // What only told what would be done has done nothing.
        if !pending.done.is_empty() || pending.answer.is_none() {
            let time = datetime(now.wall_ms, &scheduler.settings().zone);
            self.message = Message::of(pending.verb, &pending.done, &time);
        }
        if let Some(by) = &pending.by {
            let of = (pending.verb, pending.of.as_ref());
            for Done { what, result } in &pending.done {
                scheduler.acts.did(audit::did(now, by, of, (what, result)));
            }
        }
        scheduler.touch_daemon();
        let response = match (pending.form, pending.answer) {
            (_, Some(answer)) => answer,
            (Form::Back(status, path), None) => Response::redirect(status, &path),
            (Form::Json, None) => match pending.done.into_iter().next() {
                Some(Done { result: Ok(value), .. }) => super::api::json_answer(&value),
                Some(Done { result: Err((status, why)), .. }) => Response::problem(status, &why),
                None => Response::problem(400, "nothing was named: give a job"),
            },
        };
        if let Some(conn) = pending.conn {
            self.respond(conn, response);
        }
    }

    fn start_by(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        ticket: u64,
        id: JobId,
        remarks: &Remarks,
    ) {
        if let Some(why) = why_not_start(scheduler, id) {
            return self.note(ticket, id.to_string(), Err(why));
        }
        match scheduler.start_run(now, id, (None, Cause::Manual), Some(Box::new(remarks.clone()))) {
            Some(run) => {
                self.waiting.runs.insert(run, (ticket, id));
                self.expect(ticket);
            }
            None => self.note(ticket, id.to_string(), Err(missing::no_job(scheduler, id))),
        }
    }

    /// Tells how far a run is that somebody may wait for.
    pub(in crate::core) fn run_answered(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        run: RunId,
        begun: Begun,
    ) {
        let Some((ticket, job)) = self.waiting.runs.remove(&run) else { return };
        let live = scheduler.runs().get(&run);
        let view = |state: StateLabel, reason: Option<&str>| {
            json!({
                "run_id": run,
                "job_id": job,
                "pid": live.map(|run| run.pid).filter(|pid| *pid != 0),
                "started_at": live.map(|run| rfc3339(run.at_ms, &scheduler.settings().zone)),
                "state": state,
                "reason": reason,
            })
        };
        let done = match begun {
            Begun::Yes => Ok(view(StateLabel::Running, None)),
            Begun::Not(state, why) => Ok(view(state, Some(&why))),
            Begun::Never(why) => Err((500, format!("run {run} could not be started: {why}"))),
        };
        self.note(ticket, job.to_string(), done);
        self.one_less(scheduler, now, ticket);
    }

    /// An exchange that brings the table has ended; called again when its answer is in force.
    pub(in crate::core) fn sync_answered(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        result: Result<(), String>,
    ) {
        let jobs = scheduler.table().len();
        for ticket in std::mem::take(&mut self.waiting.sync_now) {
            if self.is_change_in_force(scheduler, now, ticket, &result) {
                continue;
            }
            let done = match &result {
                Ok(()) => Ok(json!({ "database": "up", "jobs": jobs })),
                Err(why) => Err((503, format!("database: {why}"))),
            };
            self.note(ticket, String::new(), done);
            self.one_less(scheduler, now, ticket);
        }
    }

    fn clear_by(&mut self, scheduler: &Scheduler, ticket: u64, source: &Source) {
        match sources::names_of(scheduler, source) {
            Ok(names) => {
                self.expect(ticket);
                if names.contains(&FileName::Log) {
                    log::info!("the log is cleared over the web");
                }
                self.push_action(Action::ClearFile(ticket, names));
            }
            Err(trouble) => self.note(ticket, String::new(), Err(trouble)),
        }
    }

    pub(in crate::core) fn file_cleared(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        ticket: u64,
        result: Result<(), FileTrouble>,
    ) {
        let done = result.map(|()| json!({ "cleared": true })).map_err(FileTrouble::told);
        self.note(ticket, String::new(), done);
        self.one_less(scheduler, now, ticket);
    }
}

/// Why a job can't be started by hand right now.
pub fn why_not_start(scheduler: &Scheduler, id: JobId) -> Option<(u16, String)> {
    let conflict = |why: String| Some((409, why));
    let Some(job) = scheduler.table().get(id) else {
        return Some(missing::no_job(scheduler, id));
    };
    let (limit, live) = (job.def.max_concurrence, job.live.len());
    let flaw = job.def.command_flaw();
    if scheduler.draining() {
        let why = "the daemon is ending: it starts nothing more; ask the next one";
        return conflict(why.into());
    }
    match job.phase() {
        Phase::Disabled => conflict(format!(
            "job {id} is disabled: enable it (its page, `schedule job enable {id}`, or status = 1 \
             in its row), and start it then"
        )),
        Phase::Draining if scheduler.table().is_disabled(id) => conflict(format!(
            "job {id} is disabled, and its last run ends in peace: enable it (its page, `schedule \
             job enable {id}`, or status = 1 in its row), and start it then"
        )),
        Phase::Draining => {
            conflict(format!("job {id} is draining: its row is gone, its last run ends in peace"))
        }
        Phase::Replaced(_) => conflict(format!(
            "job {id} waits for {} of its old definition: stop what is alive, or wait",
            plain::counted(live as u64, "live run")
        )),
        Phase::Active if flaw.is_some() => flaw.map(|why| (409, format!("job {id}: {why}"))),
        Phase::Active if limit == 0 => {
            conflict(format!("job {id} has max_concurrence = 0, that is never: raise it"))
        }
        Phase::Active if live >= limit as usize => {
            let runs: Vec<String> = job.live.iter().take(5).map(RunId::to_string).collect();
            let runs = runs.join(", ");
            conflict(format!(
                "job {id} is at its overlap limit of {}: {live} alive ({runs}): wait for one to \
                 end, stop one, or raise max_concurrence",
                plain::counted(u64::from(limit), "run")
            ))
        }
        Phase::Active => None,
    }
}
