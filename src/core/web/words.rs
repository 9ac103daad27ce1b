//! Variables and tags: which there are, which jobs they touch, and how they are changed.

use super::body::{body, expected};
use super::call::Call;
use super::missing;
use super::parameters::flag;
use crate::core::change::words::{Word, uses};
use crate::core::change::{Change, Of, WordChange};
use crate::core::definition::{Definition, braces};
use crate::core::http::Response;
use crate::core::ids::JobId;
use crate::core::plain;
use crate::core::protocol::{Changed, Mark};
use crate::core::scheduler::Scheduler;
use crate::core::table::Table;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Rows looked at in one turn of the loop.
const ROWS_A_TURN: usize = 500;

/// Jobs of one that are told; all are counted.
const MAX_USERS: usize = 100;

/// What a body may look like.
const EXAMPLE: &str = "{\"name\": \"DIR\", \"value\": \"/data\"}";

/// `POST /api/v1/vars`
pub(super) fn create_var(call: &Call<'_>) -> Result<Change, Response> {
    create(call, Of::Var)
}

/// `PATCH /api/v1/vars/ID`
pub(super) fn edit_var(call: &Call<'_>) -> Result<Change, Response> {
    edit(call, Of::Var)
}

/// `DELETE /api/v1/vars/ID`
pub(super) fn delete_var(call: &Call<'_>) -> Result<Change, Response> {
    of_row(call, Of::Var).map(Change::Word)
}

/// `POST /api/v1/tags`
pub(super) fn create_tag(call: &Call<'_>) -> Result<Change, Response> {
    create(call, Of::Tag)
}

/// `PATCH /api/v1/tags/ID`
pub(super) fn edit_tag(call: &Call<'_>) -> Result<Change, Response> {
    edit(call, Of::Tag)
}

/// `DELETE /api/v1/tags/ID`
pub(super) fn delete_tag(call: &Call<'_>) -> Result<Change, Response> {
    of_row(call, Of::Tag).map(Change::Word)
}

fn create(call: &Call<'_>, of: Of) -> Result<Change, Response> {
    let columns = Some(body(call.request, EXAMPLE)?);
    let (id, expected, force) = (None, None, false);
    Ok(Change::Word(WordChange { of, id, columns, expected, force }))
}

fn edit(call: &Call<'_>, of: Of) -> Result<Change, Response> {
    let columns = Some(body(call.request, EXAMPLE)?);
    Ok(Change::Word(WordChange { columns, ..of_row(call, of)? }))
}

/// One of a row that is there; without columns it is to go.
fn of_row(call: &Call<'_>, of: Of) -> Result<WordChange, Response> {
    let id = match call.argument.parse::<u32>() {
        Ok(id) if id > 0 => Some(id),
        Ok(_) | Err(_) => {
            let shown = plain::shown(call.argument);
            let why = format!("`{shown}` is no id of a {}: it is a number from 1 on", of.noun());
            return Err(Response::problem(400, &why));
        }
    };
    let force = flag(call.request, "force")?;
    let expected = expected(call.request)?;
    Ok(WordChange { of, id, columns: None, expected, force })
}

/// The jobs of one: the first, and how many.
#[derive(Debug, Default)]
struct Users {
    first: Vec<Value>,
    total: usize,
}

impl Users {
    fn add(&mut self, def: &Definition) {
        self.total += 1;
        if self.first.len() < MAX_USERS {
            self.first.push(json!({ "id": def.id, "name": *def.name }));
        }
    }
}

/// A list that is asked for, and how far its answer has got.
#[derive(Debug)]
pub(super) struct Question {
    of: Of,
    /// By name, or by the key of a tag.
    users: BTreeMap<String, Users>,
    /// The last row that was looked at.
    last: Option<JobId>,
    generation: u64,
}

/// What a request asks for.
pub(super) fn question(scheduler: &Scheduler, of: Of) -> Result<Question, Response> {
    missing::table_unread(scheduler).map_or(Ok(()), |why| Err(missing::answer(why)))?;
    let generation = scheduler.table().generation();
    Ok(Question { of, users: BTreeMap::new(), last: None, generation })
}

impl Question {
    /// Does the next slice. The answer, if it was the last one.
    pub fn go_on(&mut self, scheduler: &Scheduler) -> Option<Response> {
        let table = scheduler.table();
        if self.generation != table.generation() {
            // A list about two tables would be about none.
            (self.users, self.last) = (BTreeMap::new(), None);
            self.generation = table.generation();
        }
        let mut count = 0;
        for (def, _) in table.rows_after(self.last).take(ROWS_A_TURN) {
            (self.last, count) = (Some(def.id), count + 1);
            for key in keys(self.of, table, def) {
                self.users.entry(key).or_default().add(def);
            }
        }
        if count == ROWS_A_TURN {
            return None;
        }
        let all: Vec<Value> = words(self.of, table)
            .map(|word| {
                let users = self.users.remove(&key(self.of, &word)).unwrap_or_default();
                view(self.of, &word, users)
            })
            .collect();
        let name = if self.of == Of::Tag { "tags" } else { "vars" };
        Some(Response::json(200, format!("{}\n", json!({ name: all }))))
    }
}

/// What a job uses.
fn keys(of: Of, table: &Table, def: &Definition) -> BTreeSet<String> {
    if of == Of::Tag {
        return Some(def.tag_id)
            .filter(|id| *id > 0)
            .map(|id| id.to_string())
            .into_iter()
            .collect();
    }
    // A command that has none stands in the row as it is.
    let command = def.raw_command.as_deref().unwrap_or_default();
    let inside = braces(command).map(|(_, name)| name);
    let names = inside.filter(|name| table.vars.contains_key(*name));
    names.map(str::to_owned).collect()
}

fn key(of: Of, word: &Word) -> String {
    if of == Of::Tag { word.id.to_string() } else { word.name.clone() }
}

/// All that there are.
fn words(of: Of, table: &Table) -> Box<dyn Iterator<Item = Word> + '_> {
    match of {
        Of::Tag => Box::new(table.tags.iter().map(|(id, name)| {
            let value = String::new();
            Word { id: *id, name: name.clone(), value }
        })),
        Of::Var | Of::Job => Box::new(table.var_ids.iter().map(|(id, name)| {
            let value = table.vars.get(name).cloned().unwrap_or_default();
            Word { id: *id, name: name.clone(), value }
        })),
    }
}

fn view(of: Of, word: &Word, users: Users) -> Value {
    let mut view = json!({
        "id": word.id,
        "name": word.name,
        "version": word.version(of),
        "jobs": users.first,
        "jobs_total": users.total,
    });
    if of == Of::Var {
        view["value"] = word.value.clone().into();
    }
    view
}

/// What is said where the table in force lacks what was made.
const NOT_IN_TABLE: &str =
    "the table in force does not have it: not yet, if the database is away, or its row is gone";

/// Why the table in force lacks what was made.
pub(super) fn not_in_table(scheduler: &Scheduler, of: Of, id: JobId) -> String {
    match scheduler.sync_state().bad_rows.why(of, id.0) {
        Some(why) => format!("its row can't be one: {why}"),
        None => NOT_IN_TABLE.to_owned(),
    }
}

/// The answer to a change that is in force.
pub(super) fn in_force(scheduler: &Scheduler, changed: &Changed, is_new: bool) -> Response {
    let Mark { id: JobId(id), version, of, .. } = changed.mark;
    if version.is_none() {
        return Response::no_content();
    }
    let table = scheduler.table();
    let Some(word) = words(of, table).find(|word| word.id == id) else {
        let why = not_in_table(scheduler, of, JobId(id));
        let told = format!("{} {id} was changed, and {why}", of.noun());
        return Response::json(202, json!({ "detail": told }).to_string());
    };
    let mut users = Users::default();
    let has = |def: &Definition| match of {
        Of::Tag => def.tag_id == id,
        Of::Var | Of::Job => def.raw_command.as_ref().is_some_and(|it| uses(it, &word.name)),
    };
    table.rows_after(None).filter(|(def, _)| has(def)).for_each(|(def, _)| users.add(def));
    let text = format!("{}\n", view(of, &word, users));
    let response = Response::json(if is_new { 201 } else { 200 }, text);
    let place = if of == Of::Tag { "tags" } else { "vars" };
    if is_new { response.header("Location", format!("{place}/{id}")) } else { response }
}
