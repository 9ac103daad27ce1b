//! The file: as `schedule export` writes it, read without believing anything of it.

use super::{FileMistake, Mistakes, Tags};
use crate::core::bad_rows::{Named, named};
use crate::core::change::{ENABLED, Of, Wanted};
use crate::core::columns::Column;
use crate::core::config::did_you_mean;
use crate::core::definition::Vars;
use crate::core::export::VERSION;
use crate::core::json;
use crate::core::plain;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The parts of a file.
const PARTS: [&str; 5] = ["format", "jobs", "tags", "variables", "left_out"];

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The jobs, in their order.
    pub jobs: Vec<FileJob>,
    /// The tags; none: it says nothing of tags.
    pub tags: Option<Tags>,
    /// The variables; none: it says nothing of variables.
    pub variables: Option<Vars>,
    /// Rows that could be no jobs, variables or tags: they stay as they are.
    pub left_out: BTreeSet<(Of, u32)>,
}

/// A job of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileJob {
    /// Where it stands, from 1 on.
    pub place: usize,
    /// Its id; none: it is a new one.
    pub id: Option<u32>,
    /// What it says besides.
    pub columns: Wanted,
}

impl FileJob {
    /// What it is called in front of people.
    pub fn called(&self) -> String {
        let name = self.columns.get(Column::Name.name()).and_then(Value::as_str);
        let name = name.map(plain::shown).filter(|name| !name.is_empty());
        match (self.id, name) {
            (Some(id), Some(name)) => format!("{id} {name}"),
            (Some(id), None) => id.to_string(),
            (None, Some(name)) => name,
            (None, None) => format!("jobs[{}]", self.place - 1),
        }
    }

    /// All columns of its row: what the file does not name is as by default. A pause is no part of
    /// what a job is, and is left as it stands unless the file names it.
    pub fn whole(&self) -> Wanted {
        let mut columns = self.columns.clone();
        let of_row =
            |it: &&Column| !matches!(it, Column::Id | Column::ServerId | Column::PausedUntil);
        let names = Column::ALL.iter().filter(of_row).map(|it| it.name()).chain([ENABLED]);
        for name in names {
            columns.entry(name).or_insert(Value::Null);
        }
        columns
    }
}

impl File {
    /// What a text says.
    ///
    /// # Errors
    /// All that is wrong with its form.
    pub fn read(text: &str) -> Result<File, Mistakes> {
        let whole = |why: String| Mistakes::from_iter([FileMistake::of("file", why)]);
        let parts = match json::read(text.as_bytes()) {
            Ok(Value::Object(parts)) => parts,
            Ok(_) => return Err(whole(format!("it is no JSON object: {HINT}"))),
            Err(why) => return Err(whole(format!("it is no JSON: {why}: {HINT}"))),
        };
        let mut file = File::default();
        let mut mistakes = Mistakes::default();
        mistakes.extend(unknown(&parts));
        match parts.get("format") {
            Some(format) if *format == VERSION => {}
            Some(_) | None => {
                mistakes.push(FileMistake::of("format", format!("write `\"format\": {VERSION}`")));
            }
        }
        match parts.get("jobs") {
            Some(Value::Array(all)) => file.jobs(all, &mut mistakes),
            Some(_) => mistakes.push(FileMistake::of("jobs", "it must be a list of jobs")),
            // With `prune` nothing would be left.
            None => mistakes.push(FileMistake::of("jobs", "there is no list of jobs")),
        }
        file.variables = texts("variables", &parts, &mut mistakes);
        if file.variables.as_ref().is_some_and(|all| all.contains_key("")) {
            mistakes.push(FileMistake::of("variables", "there is one without a name"));
        }
        file.tags = texts("tags", &parts, &mut mistakes).map(|it| by_id("tags", it, &mut mistakes));
        file.left_out = left_out(&parts, &mut mistakes);
        if mistakes.is_empty() { Ok(file) } else { Err(mistakes) }
    }

    fn jobs(&mut self, all: &[Value], mistakes: &mut Mistakes) {
        let mut known = BTreeSet::new();
        for (place, job) in (1..).zip(all) {
            let Value::Object(columns) = job else {
                let part = format!("jobs[{}]", place - 1);
                mistakes.push(FileMistake::of(part, "it must be an object with columns"));
                continue;
            };
            let mut job = FileJob { place, id: None, columns: columns.clone() };
            let id = job.columns.remove(Column::Id.name()).filter(|id| !id.is_null());
            let called = job.called();
            let mistake = |why: String| FileMistake { job: called, column: "id".into(), why };
            if let Some(id) = id {
                let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
                match number.filter(|id| *id > 0) {
                    None => mistakes.push(mistake("it must be a whole number from 1 on".into())),
                    Some(id) if !known.insert(id) => {
                        mistakes.push(mistake(format!("{id} is there twice")));
                    }
                    Some(id) => job.id = Some(id),
                }
            }
            self.jobs.push(job);
        }
    }
}

const HINT: &str = "`schedule export` writes such a file";

fn unknown(parts: &Map<String, Value>) -> impl Iterator<Item = FileMistake> {
    let unknown = parts.keys().filter(|name| !PARTS.contains(&name.as_str()));
    let told = |name: &String| {
        let why = match did_you_mean(name, PARTS) {
            Some(right) => format!("there is no such part: did you mean `{right}`?"),
            None => "there is no such part".to_owned(),
        };
        FileMistake::of(plain::shown(name), why)
    };
    unknown.map(told)
}

/// A part with texts by name.
fn texts(
    part: &str,
    parts: &Map<String, Value>,
    mistakes: &mut Mistakes,
) -> Option<BTreeMap<String, String>> {
    let all = match parts.get(part)? {
        Value::Object(all) => all,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            mistakes.push(FileMistake::of(part, "it must be an object with texts"));
            return None;
        }
    };
    let mut texts = BTreeMap::new();
    for (name, value) in all {
        match value.as_str() {
            Some(text) => drop(texts.insert(name.clone(), text.to_owned())),
            None => {
                let part = format!("{part}.{}", plain::shown(name));
                mistakes.push(FileMistake::of(part, "it must be a text"));
            }
        }
    }
    Some(texts)
}

/// The rows that stay.
fn left_out(parts: &Map<String, Value>, mistakes: &mut Mistakes) -> BTreeSet<(Of, u32)> {
    let mut rows = BTreeSet::new();
    for name in texts("left_out", parts, mistakes).unwrap_or_default().into_keys() {
        match named(&name) {
            Some(Named::Row(row)) => drop(rows.insert(row)),
            // Those are nobody's to change.
            Some(Named::NoId) => {}
            None => {
                let part = format!("left_out.{}", plain::shown(&name));
                let why = "its name must be an id, or `variable` or `tag` and an id";
                mistakes.push(FileMistake::of(part, why));
            }
        }
    }
    rows
}

/// The same by id.
fn by_id(
    part: &str,
    texts: BTreeMap<String, String>,
    mistakes: &mut Mistakes,
) -> BTreeMap<u32, String> {
    let mut all = BTreeMap::new();
    for (name, text) in texts {
        match name.parse().ok().filter(|id: &u32| *id > 0 && id.to_string() == name) {
            Some(id) => drop(all.insert(id, text)),
            None => {
                let part = format!("{part}.{}", plain::shown(&name));
                mistakes.push(FileMistake::of(part, "its name must be an id: a whole number"));
            }
        }
    }
    all
}
