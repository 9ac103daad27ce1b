//! `/jobs/new`, `/jobs/ID/edit`, `/jobs/ID/delete`: forms that change a job, without scripts.

mod back;

use super::super::Web;
use super::super::call::Call;
use super::super::change::{self, Asker};
use super::super::entry::{self, Was};
use super::super::missing;
use super::super::parameters::job_id;
use super::super::root::Root;
use super::super::route::Place;
use super::super::routes::ROUTES;
use super::super::texts::{Texts, column_label, fill, written_columns};
use super::error::kept;
use super::frame::{Frame, Part};
use super::look::Look;
use super::{render, unkept};
use crate::core::change::{ENABLED, Mistake, Refused, Stand};
use crate::core::columns::{Column, ColumnKind, JobRow};
use crate::core::http::{Request, Response};
use crate::core::ids::{ConnId, JobId};
use crate::core::journal::ActEntry;
use crate::core::plain;
use crate::core::preview::{Found, Slots};
use crate::core::scheduler::{NotChanged, Scheduler};
use crate::core::time::{Now, datetime, rfc3339};
use askama::Template;
use serde_json::Value;

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage {
    frame: Frame,
    title: String,
    /// Where the form goes, and where somebody goes who leaves it.
    action: String,
    leave: String,
    version: String,
    /// What keeps a form that is sent twice from making two jobs.
    key: String,
    /// Why it is shown again.
    why: String,
    /// What it shows.
    note: String,
    parts: Vec<(&'static str, Vec<Field>)>,
    shown: Option<Shown>,
    enabled: bool,
    was_enabled: bool,
    tags: Vec<(u32, String)>,
}

/// A column in the form.
struct Field {
    name: &'static str,
    label: &'static str,
    help: &'static str,
    kind: ColumnKind,
    value: String,
    was: Was,
    /// Lines that it is high; 0: ends of lines have no place in it.
    rows: u8,
    /// No form can carry what it says.
    fixed: bool,
    /// What is wrong with it, or what it is by now.
    notes: Vec<String>,
    /// What is probably a mistake.
    warnings: Vec<String>,
}

/// What a change would come to.
struct Shown {
    command: String,
    words: String,
    /// Date and time for people, RFC 3339 for the script.
    dues: Vec<(String, String)>,
    /// Column, what stands there, what would stand there.
    diff: Vec<(String, String, String)>,
    /// What is to be known of slots and runs.
    facts: Vec<String>,
}

#[derive(Template)]
#[template(path = "delete.html")]
struct DeletePage {
    frame: Frame,
    title: String,
    action: String,
    leave: String,
    version: String,
    why: String,
    command: String,
    hint: String,
}

/// What a form is made with.
#[derive(Default)]
struct Sheet {
    job: Option<JobId>,
    /// What its fields say, and what the row says.
    is: Stand,
    was: Stand,
    /// It is as it was sent: what it has seen of the row is no more than it had.
    is_sent: bool,
    /// Numbers that are none, as they were written.
    bad: Vec<(&'static str, String)>,
    version: String,
    key: String,
    why: String,
    note: String,
    notes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    shown: Option<Shown>,
}

impl Web {
    /// `GET /jobs/new`
    pub(in crate::core::web) fn new_page(
        &mut self,
        scheduler: &Scheduler,
        call: &Call<'_>,
    ) -> Result<Response, Response> {
        let was = blank(scheduler);
        let from = call.request.query("from").filter(|text| !text.is_empty());
        let is = match from {
            Some(id) => stand(scheduler, job_id(&id)?)?,
            None => was.clone(),
        };
        let key = new_key(scheduler, call);
        Ok(self.sheet(scheduler, call, 200, Sheet { is, was, key, ..Sheet::default() }))
    }

    /// `GET /jobs/ID/edit`
    pub(in crate::core::web) fn edit_page(
        &mut self,
        scheduler: &Scheduler,
        call: &Call<'_>,
    ) -> Result<Response, Response> {
        let id = job_id(call.argument)?;
        let is = stand(scheduler, id)?;
        let version = is.version().to_string();
        let sheet = Sheet { job: Some(id), was: is.clone(), is, version, ..Sheet::default() };
        Ok(self.sheet(scheduler, call, 200, sheet))
    }

    /// `GET /jobs/ID/delete`
    pub(in crate::core::web) fn delete_page(
        &mut self,
        scheduler: &Scheduler,
        call: &Call<'_>,
    ) -> Result<Response, Response> {
        let id = job_id(call.argument)?;
        let stand = stand(scheduler, id)?;
        let version = stand.version().to_string();
        Ok(self.delete_sheet(scheduler, call, (200, ""), (id, stand, version)))
    }

    /// The form that somebody has sent in vain, with why. `plain` is what a program is told.
    pub(in crate::core::web) fn entry_again(
        &mut self,
        scheduler: &Scheduler,
        (now, conn, request): (Now, ConnId, &Request),
        why: &NotChanged,
        plain: Response,
    ) -> Response {
        let call = Place::of(ROUTES, request.path()).call(now, conn, request);
        let id = call.argument.parse::<JobId>().ok();
        let present = id.map(|id| stand(scheduler, id));
        let (path, t) = (request.path(), Look::of(request).texts());
        let told = told(scheduler, t, id, why);
        let page = match present {
            Some(Err(gone)) => return self.error_page(scheduler, &call, &gone),
            Some(Ok(stand)) if path.ends_with("/delete") => {
                let version = match is_second(why) {
                    true => stand.version().to_string(),
                    false => entry::field(request, "version"),
                };
                let of = (id.unwrap_or(JobId(0)), stand, version);
                self.delete_sheet(scheduler, &call, (plain.status(), &told), of)
            }
            Some(Ok(present)) if path.ends_with("/edit") => {
                let sheet = entered(request, id, present, Some((t, why)));
                self.sheet(scheduler, &call, plain.status(), Sheet { why: told, ..sheet })
            }
            None => {
                let mut sheet = entered(request, None, blank(scheduler), Some((t, why)));
                if matches!(why, NotChanged::Refused(Refused::OtherBody)) {
                    sheet.key = new_key(scheduler, &call);
                }
                self.sheet(scheduler, &call, plain.status(), Sheet { why: told, ..sheet })
            }
            Some(Ok(_)) => return self.error_page(scheduler, &call, &plain),
        };
        kept(&plain, page)
    }

    /// The form that somebody has sent to see what it would come to.
    pub(in crate::core::web) fn entry_previewed(
        &mut self,
        scheduler: &Scheduler,
        now: Now,
        asker: &Asker,
        found: Result<Box<Found>, Refused>,
    ) -> Response {
        let Asker::Person(conn, request) = asker else { return missing::no_page(&[]) };
        let call = Place::of(ROUTES, request.path()).call(now, *conn, request);
        let found = match found {
            Ok(found) => found,
            Err(refused) => {
                let plain = change::refused_answer(scheduler, &refused).2;
                let why = NotChanged::Refused(refused);
                return self.entry_again(scheduler, (now, *conn, request), &why, plain);
            }
        };
        let id = found.decided.before.as_ref().map(|before| JobId(before.row.id));
        let was = found.decided.before.clone();
        let was = was.unwrap_or_else(|| blank(scheduler));
        let mut sheet = entered(request, id, was, None);
        let look = Look::of(request);
        let live = id.and_then(|id| scheduler.table().get(id)).filter(|_| found.drains);
        sheet.shown = Some(shown(look, &found, live.map_or(0, |job| job.live.len())));
        sheet.warnings = found.decided.warnings;
        self.sheet(scheduler, &call, 200, sheet)
    }

    fn sheet(
        &mut self,
        scheduler: &Scheduler,
        call: &Call<'_>,
        status: u16,
        sheet: Sheet,
    ) -> Response {
        let request = call.request;
        let (look, root) = (Look::of(request), Root::of(request));
        let t = look.texts();
        let name = sheet.job.map(|id| format!("{id} {}", sheet.was.row.name));
        let title = name.map_or(t.new_job.to_owned(), |name| fill(t.edit_job, &[&name]));
        let at = sheet.job.map_or("/".to_owned(), |id| format!("/jobs/{id}"));
        let action = sheet.job.map_or("/jobs/new".to_owned(), |id| format!("/jobs/{id}/edit"));
        let frame = self.frame(scheduler, call, look, (Part::Jobs, &title), action.clone());
        let of = |part| (part, written_columns().filter(move |it| self::part(t, *it) == part));
        let parts = [t.part_what, t.part_when, t.part_how, t.part_people].map(of);
        let parts = parts.map(|(part, columns)| {
            (part, columns.map(|column| sheet.field(request, look, column)).collect())
        });
        let was_enabled = match sheet.is_sent {
            true => !entry::field(request, "was_enabled").is_empty(),
            false => sheet.was.enabled,
        };
        let tags = scheduler.table().tags.iter().map(|(id, name)| (*id, name.to_string()));
        let mut tags: Vec<_> = tags.collect();
        // One that nobody has named stays what it is.
        let unnamed = sheet.is.row.tag_id;
        if unnamed != 0 && tags.iter().all(|(id, _)| *id != unnamed) {
            tags.push((unnamed, unnamed.to_string()));
        }
        let page = EditPage {
            frame,
            title,
            action: root.to(&action),
            leave: root.to(&at),
            version: sheet.version,
            key: sheet.key,
            why: sheet.why,
            note: sheet.note,
            parts: parts.into(),
            shown: sheet.shown,
            enabled: sheet.is.enabled,
            was_enabled,
            tags,
        };
        unkept(request, look, render(status, &page))
    }

    fn delete_sheet(
        &mut self,
        scheduler: &Scheduler,
        call: &Call<'_>,
        (status, why): (u16, &str),
        (id, stand, version): (JobId, Stand, String),
    ) -> Response {
        let request = call.request;
        let (look, root) = (Look::of(request), Root::of(request));
        let t = look.texts();
        let title = fill(t.delete_job, &[&format!("{id} {}", stand.row.name)]);
        let action = format!("/jobs/{id}/delete");
        let frame = self.frame(scheduler, call, look, (Part::Jobs, &title), action.clone());
        let live = scheduler.table().get(id).map_or(0, |job| job.live.len());
        let page = DeletePage {
            frame,
            title,
            action: root.to(&action),
            leave: root.to(&format!("/jobs/{id}")),
            version,
            why: why.to_owned(),
            command: stand.row.command,
            hint: fill(t.delete_hint, &[&live.to_string()]),
        };
        unkept(request, look, render(status, &page))
    }
}

impl Sheet {
    fn field(&self, request: &Request, look: Look, column: Column) -> Field {
        let (t, name) = (look.texts(), column.name());
        let bad = self.bad.iter().find(|(its, _)| *its == name);
        let of = |notes: &[Mistake]| {
            let its = notes.iter().filter(|note| note.column == name);
            its.map(|note| note.why.clone()).collect()
        };
        let was = self.was.row.value(column);
        let value = bad.map_or_else(|| self.is.row.value(column), |(_, text)| text.into());
        let mut notes: Vec<String> = of(&self.notes);
        let is_odd = plain::without_controls(value.to_string()) != *value;
        notes.extend(is_odd.then(|| t.no_field.to_owned()));
        Field {
            name,
            label: column_label(look.lang, column),
            help: help(t, column),
            kind: column.kind(),
            rows: match column.kind() {
                ColumnKind::Command => 3,
                _ if column == Column::Description || value.contains(['\r', '\n']) => 2,
                _ => 0,
            },
            fixed: is_odd && value == was,
            was: if self.is_sent { Was::sent(request, name) } else { Was::of(name, &was) },
            value: value.into_owned(),
            notes,
            warnings: of(&self.warnings),
        }
    }
}

/// No two forms have the same one: connections are numbered within a daemon's life.
fn new_key(scheduler: &Scheduler, call: &Call<'_>) -> String {
    format!("form-{}-{}-{}", scheduler.started().wall_ms, call.now.wall_ms, call.conn.0)
}

/// Whether the form is to show what the row says by now.
fn is_second(why: &NotChanged) -> bool {
    matches!(why, NotChanged::Refused(Refused::SomebodyWasFirst { .. }))
}

/// The row of a new job.
fn blank(scheduler: &Scheduler) -> Stand {
    Stand { row: JobRow::new(scheduler.settings().server_id), enabled: true }
}

/// What a change would come to, in words.
fn shown(look: Look, found: &Found, live: usize) -> Shown {
    let t = look.texts();
    let iso = |ms: &i64| rfc3339(*ms, &found.zone);
    let due = |ms: &i64| (datetime(*ms, &found.zone), iso(ms));
    let slots = |text: &str, slots: &Slots| {
        let first: Vec<_> =
            slots.first.iter().take(3).map(|ms| datetime(*ms, &found.zone)).collect();
        let more = if slots.total > first.len() as u64 { ", …" } else { "" };
        let first = format!("{} ({}{more})", slots.total, first.join(", "));
        (slots.total > 0).then(|| fill(text, &[&first]))
    };
    let drains = (live > 0).then(|| fill(t.would_drain, &[&live.to_string()]));
    let facts = [slots(t.slots_go, &found.gone), slots(t.slots_come, &found.come), drains];
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let one = |(name, pair): (String, Value)| {
        let column = written_columns().find(|column| column.name() == name);
        let label = column.map_or(t.in_force, |column| column_label(look.lang, column));
        let is = |at: usize| pair.get(at).filter(|it| !it.is_null()).map_or(String::new(), text);
        (label.to_owned(), is(0), is(1))
    };
    let words = found.cron.as_ref().map_or(String::new(), |cron| cron.describe(look.lang));
    Shown {
        command: found.command.clone(),
        words,
        dues: found.next.iter().map(due).collect(),
        diff: found.decided.what().into_iter().map(one).collect(),
        facts: facts.into_iter().flatten().collect(),
    }
}

/// What a job's row says, as far as it is known here.
fn stand(scheduler: &Scheduler, id: JobId) -> Result<Stand, Response> {
    let row = scheduler.table().row(id);
    let stand =
        row.map(|(def, enabled)| Stand { row: def.row(scheduler.settings().server_id), enabled });
    stand.ok_or_else(|| missing::answer(missing::no_job(scheduler, id)))
}

/// A form as somebody has filled it in. Where somebody else was first it stands on what the row
/// says by now; else it still is about the row that it was made of: what came between is not to be
/// lost.
fn entered(
    request: &Request,
    job: Option<JobId>,
    present: Stand,
    why: Option<(&Texts, &NotChanged)>,
) -> Sheet {
    let first = why.filter(|(_, why)| is_second(why)).map(|(t, _)| t);
    let is_sent = first.is_none();
    let says = |name| if is_sent { entry::given(request, name) } else { None };
    let mut sheet = Sheet { job, is: present.clone(), is_sent, ..Sheet::default() };
    for column in written_columns() {
        let name = column.name();
        let Some(text) = says(name).or_else(|| entry::changed(request, name)) else { continue };
        if entry::carried(&present.row.value(column)) == text {
            continue;
        }
        if sheet.is.row.set(column, &text).is_err() {
            sheet.bad.push((name, text));
        } else if let Some(t) = first {
            let by_now = fill(t.by_now, &[&present.row.value(column)]);
            sheet.notes.push(Mistake { column: name.into(), why: by_now });
        }
    }
    let was_shown = is_sent && entry::given(request, "was_enabled").is_some();
    if was_shown || entry::changed(request, ENABLED).is_some() {
        sheet.is.enabled = !entry::field(request, ENABLED).is_empty();
    }
    if let Some((_, NotChanged::Refused(Refused::Mistakes(mistakes)))) = why {
        sheet.notes = mistakes.clone();
    }
    sheet.version = match job {
        None => String::new(),
        Some(_) if is_sent => entry::field(request, "version"),
        Some(_) => present.version().to_string(),
    };
    sheet.key = entry::field(request, "key");
    sheet.was = present;
    sheet
}

/// Why nothing was changed, for people.
fn told(scheduler: &Scheduler, t: &Texts, id: Option<JobId>, why: &NotChanged) -> String {
    match why {
        NotChanged::Refused(Refused::SomebodyWasFirst { .. }) => {
            let is_it = |act: &&ActEntry| act.job == id && !act.what.is_empty();
            let Some(act) = scheduler.acts().last().find(is_it) else {
                return t.was_first_unknown.to_owned();
            };
            let who = if act.who.is_empty() { &act.origin } else { &act.who };
            let at = datetime(act.at_ms, &scheduler.settings().zone);
            fill(t.was_first, &[who, &at, &said(&act.what)])
        }
        NotChanged::Refused(Refused::Mistakes(mistakes)) => {
            let is_shown =
                |it: &Mistake| written_columns().any(|column| column.name() == it.column);
            let other = mistakes.iter().find(|it| !is_shown(it));
            let why = other.map_or(t.correct_below, |it| it.why.as_str());
            fill(t.not_saved, &[why])
        }
        NotChanged::Refused(Refused::OtherBody) => t.sent_before.to_owned(),
        NotChanged::InDoubt { why, .. } => fill(t.in_doubt, &[why]),
        NotChanged::Refused(Refused::NobodyKnows) => {
            fill(t.in_doubt, &[&Refused::NobodyKnows.told()])
        }
        NotChanged::Refused(refused) => fill(t.not_saved, &[&refused.told()]),
        NotChanged::Away(why) => fill(t.not_saved, &[why]),
    }
}

/// What somebody has changed: `cron: "0 3 * * *" → "0 4 * * *"`.
fn said(what: &crate::core::change::What) -> String {
    let text = |value: Option<&Value>| plain::clean(&value.unwrap_or(&Value::Null).to_string(), 60);
    let one = |(name, pair): (&String, &Value)| {
        format!("{name}: {} → {}", text(pair.get(0)), text(pair.get(1)))
    };
    what.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Where in the form a column stands.
fn part(t: &Texts, column: Column) -> &'static str {
    match column {
        Column::Id | Column::ServerId => "",
        Column::Name | Column::Command | Column::TagId => t.part_what,
        Column::Cron | Column::Timezone | Column::PausedUntil => t.part_when,
        Column::MaxConcurrence | Column::Output | Column::Stderr => t.part_how,
        Column::Description | Column::Owner | Column::Link => t.part_people,
    }
}

/// What is to be known of it.
fn help(t: &Texts, column: Column) -> &'static str {
    match column {
        Column::Command => t.help_command,
        Column::Cron => t.help_cron,
        Column::Timezone => t.help_timezone,
        Column::PausedUntil => t.help_pause,
        Column::Output | Column::Stderr => t.help_output,
        Column::MaxConcurrence => t.help_limit,
        Column::Id
        | Column::ServerId
        | Column::Name
        | Column::TagId
        | Column::Description
        | Column::Owner
        | Column::Link => "",
    }
}
