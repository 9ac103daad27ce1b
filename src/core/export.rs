//! All that a group says, as a text for version control: its jobs, their tags, its variables. The
//! same rows give the same bytes, and a row that is changed changes its own lines.
//!
//! Jobs come by id, columns in the order of the list; what is as by default is left out.

mod crontab;
#[cfg(test)]
mod tests;

use crate::core::bad_rows::BadRows;
use crate::core::columns::Column;
use crate::core::cron::Dialect;
use crate::core::definition::{Definition, Vars};
use crate::core::list::list;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The version of the JSON: greater where an earlier program could take it for something else.
pub const VERSION: u32 = 1;

list! {
    /// The form of the text.
    pub enum Format {
        /// What `schedule apply` takes.
        Json = "json",
        /// A crontab: jobs alone, as far as it can say them.
        Crontab = "crontab",
    }
}

/// A text that grows by a job at a time.
#[derive(Debug)]
pub struct Export {
    format: Format,
    text: String,
    /// Those that jobs have.
    tags: BTreeSet<u32>,
    crontab: crontab::Writer,
}

impl Export {
    /// One without jobs. `zone` is the name of the daemon's zone; empty where it has none.
    pub fn new(format: Format, dialect: Dialect, zone: &str) -> Export {
        let mut text = String::new();
        let crontab = crontab::Writer::new(dialect, zone);
        match format {
            Format::Json => {
                let _ = write!(text, "{{\n  \"format\": {VERSION},\n  \"jobs\": ["); // takes all
            }
            Format::Crontab => crontab.begin(&mut text),
        }
        Export { format, text, tags: BTreeSet::new(), crontab }
    }

    /// Adds the job with the next id.
    pub fn add(&mut self, def: &Definition, enabled: bool) {
        if def.tag_id != 0 {
            self.tags.insert(def.tag_id);
        }
        match self.format {
            Format::Crontab => self.crontab.add(def, enabled, &mut self.text),
            Format::Json => {
                let comma = if self.text.ends_with('[') { "" } else { "," };
                let said = Column::ALL.iter().filter_map(|it| Some((it.name(), said(def, *it)?)));
                let enabled = (!enabled).then_some(("enabled", Value::from(false)));
                let lines = said.chain(enabled).map(|(name, value)| (name.to_owned(), value));
                let _ = write!(self.text, "{comma}\n    {}", object(lines, "    ")); // takes all
            }
        }
    }

    /// The whole text. It names all rows that are `bad`: they are not in it.
    pub fn finish(mut self, tags: &BTreeMap<u32, String>, vars: &Vars, bad: &BadRows) -> String {
        if self.format == Format::Crontab {
            self.crontab.end(bad, &mut self.text);
            return self.text;
        }
        let used = tags.iter().filter(|(id, _)| self.tags.contains(id));
        let pair = |name: String, value: &str| (name, Value::from(value));
        let tags = object(used.map(|(id, name)| pair(id.to_string(), name)), "  ");
        let vars = object(vars.iter().map(|(name, value)| pair(name.clone(), value)), "  ");
        if !self.text.ends_with('[') {
            self.text.push_str("\n  ");
        }
        // A String takes every write.
        let _ = write!(self.text, "],\n  \"tags\": {tags},\n  \"variables\": {vars}");
        if bad.count() > 0 {
            let bad = object(bad.named().map(|(name, why)| pair(name, why)), "  ");
            let _ = write!(self.text, ",\n  \"left_out\": {bad}");
        }
        self.text.push_str("\n}\n");
        self.text
    }
}

/// What a job's row says in a column; none where that is the default, or no part of an export.
fn said(def: &Definition, column: Column) -> Option<Value> {
    let text = |text: &str| Some(Value::from(text)).filter(|_| !text.is_empty());
    match column {
        Column::Id => Some(def.id.0.into()),
        // Another group may be made of it, and a pause is what happens now, not what the job is.
        Column::ServerId | Column::PausedUntil => None,
        Column::Name => Some((*def.name).into()),
        Column::Command => Some(def.raw().into()),
        Column::Cron => Some((*def.cron).into()),
        Column::Output => text(&def.output),
        Column::Stderr => text(&def.stderr),
        Column::MaxConcurrence => Some(def.max_concurrence.into()).filter(|limit| *limit != 1),
        Column::TagId => Some(def.tag_id.into()).filter(|tag| *tag != 0),
        Column::Timezone | Column::Description | Column::Owner | Column::Link => {
            text(def.optional.text(column))
        }
    }
}

/// A line for each value.
fn object(lines: impl Iterator<Item = (String, Value)>, indent: &str) -> String {
    let lines: Vec<String> =
        lines.map(|(name, value)| format!("{indent}  {}: {value}", Value::from(name))).collect();
    match lines.is_empty() {
        true => "{}".to_owned(),
        false => format!("{{\n{}\n{indent}}}", lines.join(",\n")),
    }
}
