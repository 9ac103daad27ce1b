//! Jobs, variables and tags are changed: a request becomes a change, and what became of the change
//! an answer. Who asked is answered when the table in force has it, and not before.

use super::Web;
use super::actions::Form;
use super::api::job_json;
use super::body::{columns, expected};
use super::call::Call;
use super::entry;
use super::parameters::{flag, job_id};
use super::repeats::{self, Key, Known};
use super::words::{self, not_in_table};
use crate::core::apply::Mistakes;
use crate::core::change::words::User;
use crate::core::change::{By, Change, Of, Refused};
use crate::core::http::{Request, Response};
use crate::core::ids::{ConnId, JobId};
use crate::core::plain;
use crate::core::protocol::{Changed, Mark};
use crate::core::scheduler::{DatabaseState, NotChanged, Scheduler};
use crate::core::time::Now;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Who asks for a change, and so how the answer is to be.
#[derive(Debug)]
pub(super) enum Asker {
    /// A program, by the API.
    Program,
    /// A person, by a form: the answer leads to the job, or is that form once more.
    Person(ConnId, Box<Request>),
}

impl Asker {
    /// The person who has sent a form.
    pub(super) fn person(call: &Call<'_>) -> Asker {
        Asker::Person(call.conn, Box::new(call.request.clone()))
    }
}

/// A change that was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    is_new: bool,
    /// Nothing is changed by it.
    is_dry_run: bool,
    /// What is to be changed, as the message line names it; empty for what is not there yet.
    of: String,
    by: Asker,
    /// That somebody was first; it is told when the next table has what they wrote.
    refused: Option<NotChanged>,
    /// What it was made of, once it was.
    done: Option<Changed>,
    /// Then the table is waited for until then, monotonic ms, if the database is away.
    until_ms: u64,
    /// By which it may come again.
    key: Option<Key>,
}

/// So long who has changed something waits for a table that has it, while the database is away, in
/// milliseconds.
const TABLE_MS: u64 = 5_000;

impl Asked {
    /// Whether nothing is changed by it.
    pub(super) fn is_dry_run(&self) -> bool {
        self.is_dry_run
    }

    fn awaits_table(&self) -> bool {
        self.done.is_some() || self.refused.is_some()
    }
}

/// Those by ticket.
pub(super) type Changes = BTreeMap<u64, Asked>;

/// `POST /api/v1/jobs`
pub(super) fn create(call: &Call<'_>) -> Result<Change, Response> {
    Ok(Change::Create { columns: columns(call.request)? })
}

/// `PATCH /api/v1/jobs/ID`
pub(super) fn edit(call: &Call<'_>) -> Result<Change, Response> {
    let (id, expected) = (job_id(call.argument)?, expected(call.request)?);
    Ok(Change::Edit { id, columns: columns(call.request)?, expected })
}

/// `DELETE /api/v1/jobs/ID`
pub(super) fn delete(call: &Call<'_>) -> Result<Change, Response> {
    Ok(Change::Delete { id: job_id(call.argument)?, expected: expected(call.request)? })
}

/// `POST /api/v1/jobs/ID/enable`
pub(super) fn enable(call: &Call<'_>) -> Result<Change, Response> {
    let (id, expected) = (job_id(call.argument)?, expected(call.request)?);
    Ok(Change::Switch { id, enabled: true, expected })
}

/// `POST /api/v1/jobs/ID/disable`
pub(super) fn disable(call: &Call<'_>) -> Result<Change, Response> {
    let (id, expected) = (job_id(call.argument)?, expected(call.request)?);
    Ok(Change::Switch { id, enabled: false, expected })
}

/// `POST /api/v1/apply`
pub(super) fn apply(call: &Call<'_>) -> Result<Change, Response> {
    let expected = expected(call.request)?;
    let refuse = || Response::problem(400, "the body is not UTF-8");
    let file = str::from_utf8(&call.request.body).map_err(|_| refuse())?.to_owned();
    let [dry_run, prune] = [flag(call.request, "dry_run")?, flag(call.request, "prune")?];
    Ok(Change::Apply { file, prune, dry_run, expected })
}

impl Web {
    /// A job is to be changed. `Err` is an answer as well: to what was done before, or is refused.
    pub(super) fn change(
        &mut self,
        scheduler: &mut Scheduler,
        call: &Call<'_>,
        change: Change,
        asker: Asker,
    ) -> Result<(), Response> {
        if !scheduler.edits.has_room(&change) {
            let why = "other files are being applied: try again in a while";
            return Err(Response::problem(503, why));
        }
        let is_new = change.is_new();
        let is_dry_run = change.is_dry_run();
        let key = match &asker {
            _ if !is_new => None,
            Asker::Program => Key::of(call.request, change.of())?,
            Asker::Person(..) => entry::key(call.request, change.of()),
        };
        let doubt = match key.as_ref().map(|key| self.repeats.find(call.now, key)) {
            None | Some(Known::Not) => None,
            Some(Known::Doubted(doubt)) => Some(doubt),
            Some(Known::Made(mark)) => return Err(self.made(scheduler, call.now, mark, asker)),
            Some(Known::OtherBody) => {
                let plain = repeats::other_body();
                let Asker::Person(conn, request) = asker else { return Err(plain) };
                let why = NotChanged::Refused(Refused::OtherBody);
                return Err(self.entry_again(scheduler, (call.now, conn, &request), &why, plain));
            }
            Some(Known::UnderWay) => {
                return Err(match &asker {
                    Asker::Program => repeats::under_way(),
                    Asker::Person(_, request) => entry::done(request, None),
                });
            }
        };
        let form = match &asker {
            Asker::Program => Form::Json,
            Asker::Person(_, request) => entry::back(request, &change),
        };
        let ticket = self.ticket(call, form, change.verb(), None);
        if let Some(key) = &key {
            self.repeats.begin(call.now, key);
        }
        let by = By { request: key.as_ref().map(Key::noted), ..call.by() };
        let of = target(&change);
        let (refused, done, until_ms) = (None, None, 0);
        let asked = Asked { is_new, is_dry_run, of, by: asker, refused, done, until_ms, key };
        self.changes.insert(ticket, asked);
        scheduler.edits.add(call.now, ticket, change, by, doubt);
        Ok(())
    }

    /// The answer to who asks for what was made before.
    fn made(&mut self, scheduler: &Scheduler, now: Now, mark: Mark, asker: Asker) -> Response {
        let is_there = !mark.of.is_job() || scheduler.table().get(mark.id).is_some();
        match &asker {
            Asker::Program => in_force(scheduler, now, &Changed::to(mark), true),
            Asker::Person(_, request) if is_there => entry::done(request, Some(mark.id)),
            Asker::Person(conn, request) => {
                let why = not_in_table(scheduler, mark.of, mark.id);
                self.not_yet_page(scheduler, (now, *conn, request), &why)
            }
        }
    }

    /// A change was made, or not.
    pub(super) fn change_answered(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        ticket: u64,
        result: Result<Changed, NotChanged>,
    ) {
        let Some(mut asked) = self.changes.remove(&ticket) else { return };
        if let Some(key) = &asked.key {
            match &result {
                // Who asks again meanwhile waits for the table as well.
                Ok(_) => {}
                Err(NotChanged::InDoubt { doubt, .. }) => {
                    self.repeats.is(key, Known::Doubted(doubt.clone()));
                }
                Err(NotChanged::Refused(_) | NotChanged::Away(_)) => self.repeats.forget(key),
            }
        }
        asked.until_ms = now.mono_ms + TABLE_MS;
        match result {
            Ok(changed) if asked.is_dry_run => {
                self.waiting.answer_with(ticket, Response::json(200, changed.report));
                self.one_less(scheduler, now, ticket);
            }
            Ok(changed) => {
                // The next table that is asked for has it.
                asked.done = Some(changed);
                self.changes.insert(ticket, asked);
                self.waiting.wait_for_sync(ticket);
            }
            Err(why @ NotChanged::Refused(Refused::SomebodyWasFirst { .. }))
                if matches!(asked.by, Asker::Person(..)) =>
            {
                asked.refused = Some(why);
                self.changes.insert(ticket, asked);
                scheduler.sync_now();
                self.waiting.wait_for_sync(ticket);
            }
            Err(why) => self.refuse_change(scheduler, now, ticket, &asked, &why),
        }
    }

    /// Tells who asks that nothing was changed, and why.
    fn refuse_change(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        ticket: u64,
        asked: &Asked,
        why: &NotChanged,
    ) {
        let (status, told, mut response) = not_changed(scheduler, why);
        if !asked.is_dry_run {
            self.note(ticket, asked.of.clone(), Err((status, told)));
        }
        if let Asker::Person(conn, request) = &asked.by {
            response = self.entry_again(scheduler, (now, *conn, request), why, response);
        }
        self.waiting.answer_with(ticket, response);
        self.one_less(scheduler, now, ticket);
    }

    /// Tells those whose change is made that a table which has it does not come for now.
    pub(super) fn late_changes(&mut self, scheduler: &mut Scheduler, now: Now) {
        let database = &scheduler.sync_state().database;
        let DatabaseState::Down { message, .. } = database else { return };
        let message = message.clone();
        let is_late = |it: &Asked| it.awaits_table() && it.until_ms <= now.mono_ms;
        let late = self.changes.iter().filter(|(_, it)| is_late(it)).map(|(ticket, _)| *ticket);
        for ticket in late.collect::<Vec<u64>>() {
            self.is_change_in_force(scheduler, now, ticket, &Err(message.clone()));
        }
    }

    /// When that is to be looked at, monotonic ms.
    pub(super) fn late_changes_wake(&self, scheduler: &Scheduler) -> Option<u64> {
        let is_down = || matches!(scheduler.sync_state().database, DatabaseState::Down { .. });
        let waits = self.changes.values().filter(|it| it.awaits_table()).map(|it| it.until_ms);
        waits.min().filter(|_| is_down())
    }

    /// A table is in force, or could not be had. Returns whether who waits had changed a job; then
    /// the client is answered.
    pub(super) fn is_change_in_force(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        ticket: u64,
        result: &Result<(), String>,
    ) -> bool {
        let Some(asked) = self.changes.remove(&ticket) else { return false };
        if let Some(why) = &asked.refused {
            self.refuse_change(scheduler, now, ticket, &asked, why);
            return true;
        }
        let Some(changed) = asked.done else { return false };
        if let Some(key) = &asked.key {
            self.repeats.is(key, Known::Made(changed.mark));
        }
        let warnings = changed.warnings.clone();
        let (id, noun) = (changed.mark.id, changed.mark.of.noun());
        let is_group = id == JobId(0);
        let what = if is_group { "the group".to_owned() } else { format!("{noun} {id}") };
        let response = match (result, &asked.by) {
            (Ok(()), Asker::Person(_, request)) => {
                entry::done(request, changed.mark.version.map(|_| id))
            }
            (Err(why), Asker::Person(conn, request)) => {
                self.not_yet_page(scheduler, (now, *conn, request), why)
            }
            (Ok(()), Asker::Program) if is_group => group_in_force(changed),
            (Ok(()), Asker::Program) => in_force(scheduler, now, &changed, asked.is_new),
            (Err(why), Asker::Program) => {
                let told = format!(
                    "{what}: it is changed in the database, and in force once that answers \
                     again: {why}"
                );
                Response::json(202, json!({ "detail": told }).to_string())
            }
        };
        let named = if is_group { String::new() } else { id.to_string() };
        self.note(ticket, named, Ok(Value::Null));
        self.waiting.answer_with(ticket, response);
        self.one_less(scheduler, now, ticket);
        if matches!(asked.by, Asker::Person(..)) {
            self.say_also(&warnings);
        }
        true
    }
}

/// What is to be changed, as the message line names it.
fn target(change: &Change) -> String {
    let word = match change {
        Change::Word(word) => word.id.map(JobId),
        Change::Create { .. }
        | Change::Edit { .. }
        | Change::Delete { .. }
        | Change::Apply { .. }
        | Change::Pause { .. }
        | Change::Switch { .. } => None,
    };
    change.id().or(word).map_or_else(String::new, |id| id.to_string())
}

/// The answer to a group that is as a file says.
fn group_in_force(changed: Changed) -> Response {
    if changed.report.is_empty() {
        let told = "it was done, and what was changed by it is not known any more: see the audit";
        return Response::json(202, json!({ "detail": told }).to_string());
    }
    Response::json(200, changed.report)
}

/// The answer to a change that is in force.
fn in_force(scheduler: &Scheduler, now: Now, changed: &Changed, is_new: bool) -> Response {
    if !changed.mark.of.is_job() {
        return words::in_force(scheduler, changed, is_new);
    }
    let Changed { mark: Mark { id, version, .. }, warnings, .. } = changed;
    if version.is_none() {
        return Response::no_content();
    }
    let Some(job) = scheduler.table().get(*id) else {
        let told = format!("job {id} was changed, and {}", not_in_table(scheduler, Of::Job, *id));
        return Response::json(202, json!({ "detail": told }).to_string());
    };
    let mut view = job_json(scheduler, now, job);
    view["warnings"] = json!(warnings);
    let response = Response::json(if is_new { 201 } else { 200 }, format!("{view}\n"));
    // Beside the list, wherever a proxy has that.
    if is_new { response.header("Location", format!("jobs/{id}")) } else { response }
}

/// Status, reason and answer of a change that was not made.
fn not_changed(scheduler: &Scheduler, why: &NotChanged) -> (u16, String, Response) {
    let plain = |status, why: String| (status, why.clone(), Response::problem(status, &why));
    match why {
        NotChanged::Away(why) => plain(503, format!("nothing was changed: {why}")),
        NotChanged::InDoubt { why, .. } => {
            let hint = "look at it before you ask again";
            plain(504, format!("nobody knows whether it was changed: {why}: {hint}"))
        }
        NotChanged::Refused(refused) => refused_answer(scheduler, refused),
    }
}

pub(super) fn refused_answer(scheduler: &Scheduler, refused: &Refused) -> (u16, String, Response) {
    let plain = |status, why: String| (status, why.clone(), Response::problem(status, &why));
    match refused {
        Refused::NotThere => {
            let group = scheduler.settings().server_id;
            plain(404, format!("there is no such job: no row with this id and server_id = {group}"))
        }
        Refused::NoWord(of) => plain(404, format!("there is no such {}", of.noun())),
        Refused::InUse { of, users } => in_use(*of, users),
        Refused::SomebodyWasFirst { version, differs } => {
            let names: Vec<&str> = differs.iter().map(|it| it.column.as_str()).collect();
            let where_ = match names.is_empty() {
                true => String::new(),
                false => format!("; not as you want it: {}", names.join(", ")),
            };
            let why = format!(
                "somebody was first: it is at version {version} by now{where_}: look at it, \
                 and send that version"
            );
            let more = json!({ "version": version, "differs": differs });
            let response = Response::problem_with(412, &why, more);
            (412, why, response)
        }
        Refused::GroupChanged(version) => {
            let why = format!(
                "the group was changed since you have looked: it is at version {version} by now: \
                 look what would be done, and send that version"
            );
            let response = Response::problem_with(412, &why, json!({ "version": version }));
            (412, why, response)
        }
        Refused::File(errors) => {
            let (errors, count) = Mistakes::counted(errors);
            let why = format!(
                "nothing was changed: {} in the file: see `errors`",
                plain::counted(count, "mistake")
            );
            let response = Response::problem_with(422, &why, json!({ "errors": errors }));
            (422, why, response)
        }
        Refused::Mistakes(mistakes) => {
            let told: Vec<String> =
                mistakes.iter().map(|it| format!("{}: {}", it.column, it.why)).collect();
            let why = format!("nothing was changed: {}", told.join("; "));
            let response = Response::problem_with(422, &why, json!({ "errors": mistakes }));
            (422, why, response)
        }
        Refused::Duplicate(JobId(id)) => plain(
            409,
            format!(
                "job {id} has this command, and the table's unique key (server_id, command_md5) \
                 takes it once: change that job, or the command"
            ),
        ),
        Refused::ByDatabase(why) => plain(409, format!("the database refuses it: {why}")),
        Refused::NotDone => plain(503, "nothing was changed".into()),
        Refused::Undone(why) => plain(503, format!("nothing was changed: {why}")),
        Refused::NobodyKnows => plain(504, "nobody knows whether it was changed".into()),
        Refused::OtherBody => (422, refused.told(), repeats::other_body()),
    }
}

/// Jobs that are told one by one.
const MAX_USERS: usize = 100;

/// The answer where jobs would lose what they use.
fn in_use(of: Of, users: &[User]) -> (u16, String, Response) {
    let what = match of {
        Of::Tag => "would be without a tag",
        Of::Var | Of::Job => "would have a placeholder that nobody fills",
    };
    let some = users.iter().take(5).map(|it| format!("{} ({})", it.id, plain::line(&it.name)));
    let some: Vec<String> = some.collect();
    let more = if users.len() > some.len() { ", …" } else { "" };
    let count = plain::counted(users.len() as u64, "job");
    let why =
        format!("{count} {what}: {}{more}: change them before, or say `force=1`", some.join(", "));
    let jobs = &users[..users.len().min(MAX_USERS)];
    let more = json!({ "jobs": jobs, "jobs_total": users.len() });
    (409, why.clone(), Response::problem_with(409, &why, more))
}
