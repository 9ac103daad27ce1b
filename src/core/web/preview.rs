//! `POST /api/v1/jobs/preview`: what a change of a job would come to. Nothing is changed, and the
//! database is not asked.

use super::body;
use super::call::Call;
use super::change::{self, Asker};
use super::missing;
use super::parameters::one_of;
use super::views;
use crate::core::change::{Change, Refused, Stand, Wanted};
use crate::core::cron::{Lang, Zone};
use crate::core::http::{Request, Response};
use crate::core::ids::JobId;
use crate::core::preview::{Found, Preview, Slots, WEEK_MS};
use crate::core::scheduler::Scheduler;
use crate::core::time::{Now, rfc3339};
use serde_json::{Value, json};

/// The names of the languages in which a schedule is told.
const LANGS: [(&str, Lang); 2] = [("en", Lang::En), ("zh", Lang::Zh)];

/// The column of a body that says which job is meant.
const ID: &str = "id";

/// What is asked for, and how far its answer has got.
#[derive(Debug)]
pub(super) struct Question {
    now: Now,
    lang: Lang,
    change: Change,
    asker: Asker,
    begun: Option<Preview>,
}

/// What is told of a change that is not made.
#[derive(Debug)]
pub(super) enum Told {
    /// The answer to a program.
    Answer(Response),
    /// What a person's form is shown with.
    Sheet(Asker, Result<Box<Found>, Refused>),
}

/// In which language a program wants to be told.
pub(super) fn lang(request: &Request) -> Result<Lang, Response> {
    one_of(request, "lang", &LANGS.map(|(name, _)| name))?;
    let given = request.query("lang").unwrap_or_default();
    let found = LANGS.iter().find(|(name, _)| *name == given);
    Ok(found.map_or(Lang::En, |(_, lang)| *lang))
}

/// What a request asks for.
pub(super) fn question(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    let lang = lang(call.request)?;
    missing::table_unread(scheduler).map_or(Ok(()), |why| Err(missing::answer(why)))?;
    let mut columns = body::columns(call.request)?;
    let change = match id(&mut columns)? {
        None => Change::Create { columns },
        Some(id) => Change::Edit { id, columns, expected: body::expected(call.request)? },
    };
    Ok(Question { now: call.now, lang, change, asker: Asker::Program, begun: None })
}

/// What a person's form asks for.
pub(super) fn by_form(
    scheduler: &Scheduler,
    call: &Call<'_>,
    change: Change,
) -> Result<Question, Response> {
    missing::table_unread(scheduler).map_or(Ok(()), |why| Err(missing::answer(why)))?;
    // The page says it in its own language.
    let (lang, asker) = (Lang::En, Asker::person(call));
    Ok(Question { now: call.now, lang, change, asker, begun: None })
}

/// Which job a body is about; none for a new one.
fn id(columns: &mut Wanted) -> Result<Option<JobId>, Response> {
    let given = columns.remove(ID).filter(|given| !given.is_null());
    let Some(given) = given else { return Ok(None) };
    match given.as_u64().and_then(|id| u32::try_from(id).ok()) {
        Some(id) => Ok(Some(JobId(id))),
        None => {
            let why = "id: the number of a job, or leave it out for a new one";
            Err(Response::problem(400, why))
        }
    }
}

impl Question {
    /// Who asks.
    pub fn asker(&self) -> &Asker {
        &self.asker
    }

    /// Does the next slice. What is to be told, if it was the last one.
    pub fn go_on(&mut self, scheduler: &Scheduler) -> Option<Told> {
        let table = scheduler.table();
        let found = match self.begun.take().map_or_else(|| self.begin(scheduler), Ok) {
            Ok(mut preview) => match preview.work(table) {
                Ok(true) => {
                    self.begun = Some(preview);
                    return None;
                }
                Ok(false) => Ok(Box::new(preview.found(table)?)),
                Err(why) => Err(why),
            },
            Err(why) => Err(why),
        };
        Some(match (std::mem::replace(&mut self.asker, Asker::Program), found) {
            (asker @ Asker::Person(..), found) => Told::Sheet(asker, found),
            (Asker::Program, Ok(found)) => {
                let told = self.told(scheduler, &found);
                Told::Answer(Response::json(200, format!("{told}\n")))
            }
            (Asker::Program, Err(why)) => Told::Answer(change::refused_answer(scheduler, &why).2),
        })
    }

    fn begin(&self, scheduler: &Scheduler) -> Result<Preview, Refused> {
        let settings = scheduler.settings();
        let of = (settings.server_id, settings.dialect);
        Preview::new(scheduler.table(), &self.change, of, self.now.wall_ms)
    }

    fn told(&self, scheduler: &Scheduler, found: &Found) -> Value {
        let at = |ms: &i64| rfc3339(*ms, &found.zone);
        let after = found.decided.after.as_ref();
        // What can't be read is told as it stands.
        let text = || after.map_or(String::new(), |after| after.row.cron.clone());
        let words = found.cron.as_ref().map_or_else(text, |cron| cron.describe(self.lang));
        let what = found.decided.what();
        let diff: Vec<Value> = what.iter().map(|(column, of)| difference(column, of)).collect();
        let id = self.change.id();
        let job = id.and_then(|id| scheduler.table().get(id)).filter(|_| found.drains);
        let drains = job.map_or(Vec::new(), |job| views::live_runs(scheduler, self.now, job));
        json!({
            "id": id,
            "version": id.and_then(|id| scheduler.table().version(id)),
            "becomes": after.filter(|_| id.is_some()).map(Stand::version),
            "enabled": after.is_some_and(|after| after.enabled),
            "command": found.command,
            "in_words": words,
            "timezone": found.zone.iana_name(),
            "next": found.next.iter().map(at).collect::<Vec<_>>(),
            "week": week(self.now, found),
            "drains": drains,
            "warnings": found.decided.warnings,
            "diff": diff,
        })
    }
}

fn difference(column: &str, of: &Value) -> Value {
    json!({ "column": column, "from": of[0], "to": of[1] })
}

/// How the coming week changes.
fn week(now: Now, found: &Found) -> Value {
    let times = |slots: &Slots, zone: &Zone| -> Vec<String> {
        slots.first.iter().map(|ms| rfc3339(*ms, zone)).collect()
    };
    json!({
        "to": rfc3339(now.wall_ms + WEEK_MS, &found.zone),
        "gone": times(&found.gone, &found.zone),
        "gone_total": found.gone.total,
        "come": times(&found.come, &found.zone),
        "come_total": found.come.total,
    })
}
