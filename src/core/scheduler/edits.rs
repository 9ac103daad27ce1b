//! Changes of jobs, from who wants them to who writes them. One at a time is under way; the others
//! wait, and not for long: who has clicked is told within five seconds, one way or the other.
//!
//! Each has a name, and is in the journal under it before it is asked for. A helper says what a
//! change comes to before it commits. If it dies before it has said so, nothing was committed. If
//! it dies later, the next question of the lane finds out what became of it, and so does the next
//! daemon; the change itself is never asked for twice.

use super::Settings;
use super::acts::{Acts, Did, entry, next_id};
use super::lanes::Waiter;
use super::news::{Doubt, News, NotChanged};
use super::outbox::Outbox;
use crate::core::change::{By, Change, Refused};
use crate::core::database::ErrorKind;
use crate::core::homes::Homes;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{ActEntry, DONE};
use crate::core::protocol::{Ask, ChangeAsk, Changed, Find, Mark, Purpose};
use crate::core::time::Now;
use std::collections::VecDeque;

/// So long who waits is not told that it can't be found out what became of a change, in
/// milliseconds.
const FIND_MS: u64 = 10_000;

/// So many milliseconds there are to make a group as a file says. Other changes don't wait for as
/// long: who wants one is told to ask again.
const APPLY_MS: u64 = 30_000;

/// So many files wait while another is under way; each may have 16 MB.
const MAX_WAITING_FILES: usize = 4;

/// The pause before it is tried once more, in milliseconds; the longer one while nobody waits.
const FIND_AGAIN_MS: u64 = 500;
const FIND_SOME_TIME_MS: u64 = 10_000;

/// A change.
#[derive(Debug)]
struct Edit {
    /// Who waits.
    ticket: Option<u64>,
    change: Change,
    by: By,
    /// Until when somebody waits, monotonic ms.
    until_ms: u64,
    /// When it was tried last to find out what came of it, monotonic ms.
    tried_ms: Option<u64>,
    /// As it stands in the journal, once it was asked for.
    act: Option<Box<ActEntry>>,
    /// It is to be found out what came of it.
    find: Option<Find>,
    /// It is to be done if nothing did: who wanted it wants it once more.
    again: bool,
    /// What was said of each job of a group.
    parts: Vec<ActEntry>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Edits {
    waiting: VecDeque<Edit>,
    under_way: Option<Edit>,
}

/// What is to be told when a question is answered.
#[derive(Debug, Default)]
pub struct Told {
    /// To who waits.
    pub news: Option<News>,
    /// To the journal.
    pub act: Option<Box<ActEntry>>,
    /// To the same, of each job of a group.
    pub parts: Vec<ActEntry>,
}

impl Edits {
    /// Changes that an earlier daemon had asked for: what came of them is found out first, of those
    /// that are of the database which is named now.
    pub fn told_by(open: &Acts, homes: &Homes) -> Edits {
        let edit = |act: &ActEntry| {
            let change = act.change.as_deref().filter(|_| homes.has_act(act))?.clone();
            let of = change.of();
            let row = act.job.or(act.word.map(JobId)).filter(|_| act.is_said);
            let ActEntry { version, before, .. } = *act;
            let find = Find { mark: row.map(|id| Mark { id, version, before, of }) };
            let by = By::default();
            let (asked, version) = (change.id(), None);
            let act = ActEntry { change: None, is_said: false, job: asked, version, ..act.clone() };
            let act = Some(Box::new(act));
            let (ticket, until_ms, tried_ms, again, parts) = (None, 0, None, false, Vec::new());
            let find = Some(find);
            Some(Edit { ticket, change, by, until_ms, tried_ms, act, find, again, parts })
        };
        Edits { waiting: open.open().filter_map(edit).collect(), under_way: None }
    }

    /// Somebody wants a change; once more, and the last time it was not known what came of it
    /// (`doubt`).
    pub fn add(&mut self, now: Now, ticket: u64, change: Change, by: By, doubt: Option<Doubt>) {
        let until_ms = now.mono_ms + deadline_ms(&change);
        let again = doubt.is_some();
        let (act, find) = match doubt {
            None => (None, None),
            Some(Doubt { act, mark }) => (Some(act), Some(Find { mark })),
        };
        let id = act.as_ref().map(|act| act.id);
        self.waiting.retain(|edit| edit.ticket.is_some() || id.is_none() || edit.id() != id);
        let (ticket, tried_ms, parts) = (Some(ticket), None, Vec::new());
        let edit = Edit { ticket, change, by, until_ms, tried_ms, act, find, again, parts };
        self.waiting.push_back(edit);
    }

    /// Whether another change may wait: files are large, so few of them do.
    pub fn has_room(&self, change: &Change) -> bool {
        let files = self.waiting.iter().filter(|edit| edit.change.is_group()).count();
        !change.is_group() || files < MAX_WAITING_FILES
    }

    /// Nobody waits for this any more. A file that was not begun with is given up: it may be sent
    /// once more, and is in the way of others until then.
    pub fn client_gone(&mut self, ticket: u64) {
        let is_it = |edit: &&mut Edit| edit.ticket == Some(ticket) && edit.change.is_group();
        let gone = self.waiting.iter_mut().find(is_it);
        gone.filter(|edit| edit.act.is_none()).into_iter().for_each(|edit| edit.until_ms = 0);
    }

    /// The next one: what became of others is found out before anything is changed.
    fn first(&self) -> Option<usize> {
        let find = self.waiting.iter().position(|edit| edit.find.is_some());
        find.or((!self.waiting.is_empty()).then_some(0))
    }

    /// When there is something to ask, monotonic ms.
    pub fn ask_ms(&self) -> u64 {
        let Some(first) = self.first().map(|at| &self.waiting[at]) else { return u64::MAX };
        let somebody_waits = self.waiting.iter().any(|edit| edit.ticket.is_some());
        let pause_ms = if somebody_waits { FIND_AGAIN_MS } else { FIND_SOME_TIME_MS };
        first.tried_ms.map_or(0, |tried_ms| tried_ms + pause_ms)
    }

    /// When somebody waits no longer, monotonic ms.
    pub fn late_ms(&self) -> Option<u64> {
        self.waiting.iter().filter(|edit| edit.ticket.is_some()).map(|edit| edit.until_ms).min()
    }

    /// Tells those whose time is over. What was not asked for is given up.
    pub fn late(&mut self, now: Now) -> Vec<News> {
        if self.late_ms().is_none_or(|at_ms| now.mono_ms < at_ms) {
            return Vec::new();
        }
        let mut late = Vec::new();
        let all = std::mem::take(&mut self.waiting);
        for mut edit in all {
            if edit.ticket.is_some() && edit.until_ms <= now.mono_ms {
                late.extend(edit.tell(edit.not_known(BUSY.into())));
            }
            if edit.ticket.is_some() || edit.find.is_some() {
                self.waiting.push_back(edit);
            }
        }
        late
    }

    /// The next question. It is in the journal before it is asked.
    pub fn next(
        &mut self,
        now: Now,
        settings: &Settings,
        last_sequence: &mut u64,
        (acts, outbox): (&mut Acts, &mut Outbox),
    ) -> Option<(Waiter, Ask)> {
        let mut edit = self.waiting.remove(self.first()?)?;
        let act = edit.act.take().unwrap_or_else(|| {
            let id = next_id(settings, last_sequence, now.wall_ms);
            let act = ActEntry { id, ..edit.begins(now, settings) };
            // Of what changes nothing there is nothing to find out.
            if !edit.change.is_dry_run() {
                acts.asked(act.clone(), outbox);
            }
            Box::new(ActEntry { change: None, ..act })
        });
        // A file is in memory once: what came of it is found out without it.
        let noted = edit.change.noted();
        let change = match edit.find {
            Some(_) => noted,
            None if edit.change.is_group() => std::mem::replace(&mut edit.change, noted),
            None => edit.change.clone(),
        };
        let ask = ChangeAsk {
            server_id: settings.server_id,
            vars_server: settings.vars_server,
            dialect: settings.dialect,
            timezone: settings.timezone.clone(),
            change,
            act: act.clone(),
            find: edit.find,
        };
        edit.act = Some(act);
        let most_ms = now.mono_ms + deadline_ms(&edit.change);
        let until_ms = if edit.ticket.is_some() { edit.until_ms.min(most_ms) } else { most_ms };
        self.under_way = Some(edit);
        Some((Waiter::Client { until_ms }, Ask::Change(Box::new(ask))))
    }

    /// Who was asked has said what comes of it.
    pub fn changing(&self, mark: Mark, acts: &mut Acts, outbox: &mut Outbox) {
        let Some(id) = self.under_way.as_ref().and_then(Edit::id) else { return };
        acts.said(id, mark, outbox);
    }

    /// The question under way is answered, or failed; what was said of it.
    pub fn answered(
        &mut self,
        now: Now,
        failure: Option<(ErrorKind, String)>,
        (changing, parts): (Option<Mark>, Vec<ActEntry>),
        changed: Option<Result<Changed, Refused>>,
    ) -> Told {
        let Some(mut edit) = self.under_way.take() else { return Told::default() };
        if !parts.is_empty() {
            edit.parts = parts;
        }
        let done = changed.as_ref().and_then(|changed| changed.as_ref().ok());
        let changing = changing.or(done.map(|changed| changed.mark));
        let (kind, why) = match (failure, changed) {
            (None, Some(changed)) => return self.settled(edit, changed),
            (Some(failure), _) => failure,
            // An answer without this is not whole, and has failed.
            (None, None) => (ErrorKind::Other, String::new()),
        };
        log::warn!("{} of a {}: {why}", edit.change.verb(), edit.change.of().noun());
        let is_asked = edit.find.is_none();
        let Some(find) = edit.find.or(changing.map(|mark| Find { mark: Some(mark) })) else {
            let act = edit.act.take().map(|act| ended(act, &format!("nothing was changed: {why}")));
            return Told { news: edit.tell(NotChanged::Away(why)), act, parts: Vec::new() };
        };
        edit.find = Some(find);
        if !is_asked && !may_pass(kind) {
            let act = edit.act.clone().map(|act| ended(act, &format!("nobody knows: {why}")));
            return Told { news: edit.tell(edit.not_known(why)), act, parts: Vec::new() };
        }
        if is_asked {
            edit.until_ms = now.mono_ms + FIND_MS;
        } else {
            edit.tried_ms = Some(now.mono_ms);
        }
        let is_late = now.mono_ms + FIND_AGAIN_MS >= edit.until_ms;
        let news = if is_late { edit.tell(edit.not_known(why)) } else { None };
        self.waiting.push_front(edit);
        Told { news, ..Told::default() }
    }

    /// It is known what became of a change.
    fn settled(&mut self, mut edit: Edit, changed: Result<Changed, Refused>) -> Told {
        let act = edit.act.clone();
        match changed {
            Ok(changed) => {
                let act = act.map(|act| {
                    let job = changed.mark.job().filter(|id| *id != JobId(0));
                    let version = changed.mark.version;
                    let result = if changed.was_before { WAS_BEFORE } else { DONE };
                    let what = changed.what.clone();
                    ended(Box::new(ActEntry { job, version, what, ..*act }), result)
                });
                let parts = std::mem::take(&mut edit.parts);
                Told { news: edit.tell_ok(changed), act, parts }
            }
            Err(refused) => {
                let act = act.map(|act| ended(act, &refused.told()));
                if refused == Refused::NotDone && edit.again {
                    (edit.find, edit.again, edit.tried_ms) = (None, false, None);
                    edit.act = None;
                    self.waiting.push_front(edit);
                    return Told { act, ..Told::default() };
                }
                let why = match refused {
                    Refused::NotDone => NotChanged::Away(
                        "the database went away before it had taken the change".into(),
                    ),
                    Refused::Undone(why) => NotChanged::Away(why),
                    Refused::NobodyKnows => edit.not_known(refused.told()),
                    refused => NotChanged::Refused(refused),
                };
                Told { news: edit.tell(why), act, parts: Vec::new() }
            }
        }
    }
}

impl Edit {
    fn id(&self) -> Option<RunId> {
        self.act.as_ref().map(|act| act.id)
    }

    /// What the journal is told before it is asked for.
    fn begins(&self, now: Now, settings: &Settings) -> ActEntry {
        let did = Did {
            at_ms: now.wall_ms,
            by: self.by.clone(),
            action: self.change.verb().to_owned(),
            job: self.change.id(),
            ..Did::default()
        };
        ActEntry { change: Some(Box::new(self.change.noted())), ..entry(did, settings) }
    }

    /// Tells who waits, if somebody does.
    fn tell(&mut self, why: NotChanged) -> Option<News> {
        // Whatever it comes to now, it is not what somebody waits for.
        self.again = false;
        self.ticket.take().map(|ticket| News::Changed(ticket, Err(why)))
    }

    fn tell_ok(&mut self, changed: Changed) -> Option<News> {
        self.ticket.take().map(|ticket| News::Changed(ticket, Ok(changed)))
    }

    /// What is told of one whose end is not known; it may not even have been asked for.
    fn not_known(&self, why: String) -> NotChanged {
        match (&self.act, self.find) {
            (Some(act), Some(Find { mark })) => {
                NotChanged::InDoubt { why, doubt: Doubt { act: act.clone(), mark } }
            }
            _ => NotChanged::Away(why),
        }
    }
}

/// So many milliseconds there are for a change: for a whole group more than for a row.
fn deadline_ms(change: &Change) -> u64 {
    match change {
        Change::Apply { .. } => APPLY_MS,
        Change::Create { .. }
        | Change::Edit { .. }
        | Change::Delete { .. }
        | Change::Pause { .. }
        | Change::Word(_)
        | Change::Switch { .. } => Purpose::Change.deadline_ms(),
    }
}

/// Whether a failure may be over the next time.
fn may_pass(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Connect
        | ErrorKind::Auth
        | ErrorKind::Full
        | ErrorKind::NoDatabase
        | ErrorKind::NoTable
        | ErrorKind::NoColumn
        | ErrorKind::Rights
        | ErrorKind::Other => true,
        ErrorKind::Refused | ErrorKind::Unsure => false,
    }
}

fn ended(act: Box<ActEntry>, result: &str) -> Box<ActEntry> {
    Box::new(ActEntry { result: result.to_owned(), ..*act })
}

/// The result of a request that had come before.
const WAS_BEFORE: &str = "done before, by a request with the same key";

/// Why one was given up that waited.
const BUSY: &str = "it was not asked in time: other changes are under way, or the database is away";
