//! Changes of jobs: what a row will be, or every reason why not. Nothing is done here: a helper
//! reads the row, asks this, and writes what it says, in one transaction; the simulation's database
//! asks the same.
//!
//! A change may name the version of the row that was seen. If the row says something else by then,
//! somebody was first, and nothing is changed. Whatever is wrong is told at once, by column.

mod fit;
mod kinds;
mod refused;
#[cfg(test)]
mod tests;
pub mod words;

pub use fit::{Charset, TableColumn};
pub use kinds::{APPLY, Change};
pub use refused::Refused;
pub use words::{Of, WordChange};

use crate::core::columns::{Column, ColumnKind, JobRow};
use crate::core::config::{Severity, did_you_mean};
use crate::core::cron::Dialect;
use crate::core::definition::Vars;
use crate::core::rules::{self, OutputFile, Remark};
use crate::core::version::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Columns by name, and what is to stand there; null is the default. As a JSON merge patch has it
/// (RFC 7396).
pub type Wanted = Map<String, Value>;

/// Columns by name, with what stood there and what stands there: `{"cron": [old, new]}`; null
/// where there is no row.
pub type What = Map<String, Value>;

/// The name under which a row says whether it is in force.
pub const ENABLED: &str = "enabled";

/// The name under which it is written down why somebody did something.
pub const NOTE: &str = "note";

/// Who changes something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct By {
    /// Who, as far as that is known.
    pub who: String,
    /// Through what, and the address that it came from: `api 127.0.0.1`.
    pub origin: String,
    /// MD5 of the key by which the request may come again, and of its body.
    pub request: Option<(String, String)>,
}

impl By {
    /// Who it is in a word or two: where nobody is known by name, from where it came.
    pub fn name(&self) -> &str {
        if self.who.is_empty() { &self.origin } else { &self.who }
    }
}

/// A row, and whether it is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// What it says.
    pub row: JobRow,
    /// Whether it is in force.
    pub enabled: bool,
}

impl Stand {
    /// Its version.
    pub fn version(&self) -> Version {
        Version::of(&self.row, self.enabled)
    }

    /// What stands in a column; without one, whether it is in force.
    pub fn value(&self, column: Option<Column>) -> Value {
        let Some(column) = column else { return self.enabled.into() };
        let text = self.row.value(column);
        if column.is_text() { text.into() } else { text.parse::<u32>().unwrap_or_default().into() }
    }
}

/// What is wrong with a column, or to be known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// Its name, as it was written.
    pub column: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl Mistake {
    /// One of this column.
    pub fn of(column: Column, why: impl Into<String>) -> Mistake {
        // It is said with its column before it.
        let (column, why) = (column.name(), why.into());
        let bare = why.strip_prefix(column).and_then(|why| {
            // `output "x" is …`, `timezone: …`, and not `output and stderr: …`.
            why.strip_prefix(": ").or(why.strip_prefix(' ').filter(|why| why.starts_with('"')))
        });
        Mistake { column: column.into(), why: bare.map_or_else(|| why.clone(), str::to_owned) }
    }
}

/// A column in which a row is not as somebody wants it who did not see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its name.
    pub column: String,
    /// What stands there.
    pub present: Value,
    /// What was to stand there.
    pub wanted: Value,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The row before; none for a new one.
    pub before: Option<Stand>,
    /// The row afterwards; none if it goes. A new one has id 0 until it is there.
    pub after: Option<Stand>,
    /// Columns that are to be written.
    pub columns: Vec<Column>,
    /// What is probably a mistake.
    pub warnings: Vec<Mistake>,
    /// Why, as somebody has put it; empty where nobody did.
    pub note: String,
}

impl Decided {
    /// Whether the row says something else afterwards.
    pub fn changes(&self) -> bool {
        self.before != self.after
    }

    /// What it changes.
    pub fn what(&self) -> What {
        let mut what = what(self.before.as_ref(), self.after.as_ref());
        if !self.note.is_empty() {
            what.insert(NOTE.to_owned(), vec![Value::Null, self.note.as_str().into()].into());
        }
        what
    }
}

/// What was done with a row, in a word.
pub fn verb(before: Option<&Stand>, after: Option<&Stand>) -> &'static str {
    match (before, after) {
        (None, _) => "create",
        (Some(_), None) => "delete",
        (Some(before), Some(after)) if is_pause(before, after) => {
            kinds::pause_verb(&after.row.paused_until)
        }
        (Some(before), Some(after)) if before.row != after.row => "edit",
        (Some(_), Some(Stand { enabled: true, .. })) => "enable",
        (Some(_), Some(Stand { enabled: false, .. })) => "disable",
    }
}

/// Whether two rows differ in nothing but when their slots are skipped.
fn is_pause(before: &Stand, after: &Stand) -> bool {
    let paused_until = before.row.paused_until.clone();
    let same = JobRow { paused_until, ..after.row.clone() };
    before.row != after.row && before.row == same && before.enabled == after.enabled
}

/// In what two rows differ. Of a row that comes or goes it is what is not as by default.
pub fn what(before: Option<&Stand>, after: Option<&Stand>) -> What {
    let of = |stand: Option<&Stand>, column| stand.map_or(Value::Null, |it| it.value(column));
    let default = Stand { row: JobRow::new(0), enabled: true };
    let is_whole = before.is_some() && after.is_some();
    let differs = |column: &Option<Column>| match column {
        Some(Column::Id | Column::ServerId) => false,
        _ if is_whole => of(before, *column) != of(after, *column),
        _ => before.or(after).is_some_and(|it| it.value(*column) != default.value(*column)),
    };
    let columns = Column::ALL.iter().copied().map(Some).chain([None]).filter(differs);
    let told = |column: Option<Column>| {
        let name = column.map_or(ENABLED, Column::name).to_owned();
        (name, Value::Array(vec![of(before, column), of(after, column)]))
    };
    columns.map(told).collect()
}

/// What is around a row and has a say in it.
#[derive(Debug, Default)]
pub struct Context {
    /// How schedules are read.
    pub dialect: Dialect,
    /// The time, unix ms.
    pub now_ms: i64,
    /// Values of placeholders.
    pub vars: Vars,
    /// Other rows in force with the same command: id, schedule, zone.
    pub others: Vec<(u32, String, String)>,
    /// Another row with the same name.
    pub namesake: Option<u32>,
    /// The tags, where they are known.
    pub tags: Option<BTreeMap<u32, String>>,
    /// What was found of the files that it names.
    pub files: BTreeMap<String, OutputFile>,
}

/// A change on its way: what the row is to be, and what is wrong with that so far.
#[derive(Clone, Debug)]
pub struct Planned {
    before: Option<Stand>,
    after: Option<Stand>,
    columns: Vec<Column>,
    mistakes: Vec<Mistake>,
    note: String,
}

impl Planned {
    /// The row as it is to be, if there is one: what is around it is looked for by it.
    pub fn row(&self) -> Option<&JobRow> {
        self.after.as_ref().map(|after| &after.row)
    }

    /// Whether it is a new row, or the change names this column.
    pub fn names(&self, column: Column) -> bool {
        self.before.is_none() || self.columns.contains(&column)
    }

    /// The same, and whether it is to be in force.
    pub fn stand(&self) -> Option<&Stand> {
        self.after.as_ref()
    }
}

/// Decides in one go, where all that is around is known beforehand.
///
/// # Errors
/// Why nothing is to be changed.
pub fn decide(
    current: Option<Stand>,
    change: &Change,
    (server_id, table): (u32, &[TableColumn]),
    context: &Context,
) -> Result<Decided, Refused> {
    judge(plan(current, change, server_id, table)?, context)
}

/// What becomes of a row: `current` is what it says now. `table` has the columns that there are.
///
/// # Errors
/// It is not there, or somebody was first.
pub fn plan(
    current: Option<Stand>,
    change: &Change,
    server_id: u32,
    table: &[TableColumn],
) -> Result<Planned, Refused> {
    if let Change::Create { columns } = change {
        let mut after = Stand { row: JobRow::new(server_id), enabled: true };
        let mut mistakes = Vec::new();
        let mut written = put(columns, &mut after, &mut mistakes);
        fit::check(&after.row, &written, table, &mut mistakes);
        // A new row says everything.
        let is_there = |column: &Column| fit::has(table, *column) && *column != Column::Id;
        written = Column::ALL.iter().copied().filter(is_there).collect();
        let (after, note) = (Some(after), String::new());
        return Ok(Planned { before: None, after, columns: written, mistakes, note });
    }
    let before = current.ok_or(Refused::NotThere)?;
    let version = before.version();
    if change.expected().is_some_and(|expected| expected != version) {
        return Err(Refused::SomebodyWasFirst { version, differs: differences(&before, change) });
    }
    let mut mistakes = Vec::new();
    let mut after = before.clone();
    let columns = match change {
        Change::Edit { columns, .. } => put(columns, &mut after, &mut mistakes),
        Change::Switch { enabled, .. } => {
            after.enabled = *enabled;
            Vec::new()
        }
        Change::Pause { until, .. } => {
            after.row.paused_until.clone_from(until);
            vec![Column::PausedUntil]
        }
        Change::Delete { .. } | Change::Create { .. } | Change::Apply { .. } | Change::Word(_) => {
            Vec::new()
        }
    };
    let note = match change {
        Change::Pause { note, .. } => note.clone(),
        Change::Create { .. }
        | Change::Edit { .. }
        | Change::Delete { .. }
        | Change::Switch { .. }
        | Change::Apply { .. }
        | Change::Word(_) => String::new(),
    };
    fit::check(&after.row, &columns, table, &mut mistakes);
    let after = Some(after).filter(|_| !matches!(change, Change::Delete { .. }));
    Ok(Planned { before: Some(before), after, columns, mistakes, note })
}

/// Whether a change that is planned can be done, by the rules of `schedule check`: those that are
/// errors refuse it. An error that was there before, in a column that is left alone, refuses no
/// change but the one that puts the row in force.
///
/// # Errors
/// All that is wrong with it.
pub fn judge(planned: Planned, context: &Context) -> Result<Decided, Refused> {
    let Planned { before, after, columns, mut mistakes, note } = planned;
    let mut warnings = Vec::new();
    if let Some(after) = after.as_ref().filter(|_| before != after) {
        let was_enabled = before.as_ref().is_some_and(|before| before.enabled);
        let all = before.is_none() || (after.enabled && !was_enabled);
        // What can't stand in a column at all is told once.
        let told: Vec<String> = mistakes.iter().map(|it| it.column.clone()).collect();
        let is_judged = |column: Column| all || columns.contains(&column);
        for Remark { severity, column, text } in remarks(&after.row, context, is_judged) {
            if told.iter().any(|name| name == column.name()) {
                continue;
            }
            match severity {
                Severity::Error if is_judged(column) => mistakes.push(Mistake::of(column, text)),
                Severity::Error | Severity::Warning if is_judged(column) || after.enabled => {
                    warnings.push(Mistake::of(column, text));
                }
                Severity::Error | Severity::Warning | Severity::Note => {}
            }
        }
    }
    if !mistakes.is_empty() {
        return Err(Refused::Mistakes(mistakes));
    }
    Ok(Decided { before, after, columns, warnings, note })
}

/// All that is to be said of a row, by its columns. What may be meant as it is, is said where its
/// column is new.
fn remarks(row: &JobRow, context: &Context, is_new: impl Fn(Column) -> bool) -> Vec<Remark> {
    let Context { dialect, now_ms, vars, others, namesake, tags, files } = context;
    let mut found = rules::command(row, vars);
    let other = |(id, cron, timezone): &(u32, String, String)| JobRow {
        id: *id,
        command: row.command.clone(),
        cron: cron.clone(),
        timezone: timezone.clone(),
        server_id: row.server_id,
        ..JobRow::default()
    };
    let same = |other: &JobRow| rules::start_of(other) == rules::start_of(row);
    let twin = others.iter().map(other).find(same);
    found.extend(twin.filter(|_| found.is_empty()).map(|twin| rules::same_start(twin.id)));
    found.extend(rules::program(row, vars));
    found.extend(rules::characters(row));
    found.extend(rules::placeholders(row, vars));
    let schedule = rules::schedule(row, *dialect, false);
    found.extend(schedule.filter(|it| is_new(Column::Cron) || it.severity == Severity::Error));
    let tag = tags.as_ref().and_then(|tags| rules::tag(row, tags));
    let tag = tag.map(|it| Remark { severity: Severity::Warning, ..it });
    let name = namesake.map(rules::same_name).into_iter().chain(rules::name(row));
    found.extend(tag.into_iter().chain(name).filter(|it| is_new(it.column)));
    found.extend(rules::timezone(row));
    found.extend(rules::pause(row));
    found.extend(rules::over(row, *dialect, *now_ms));
    found.extend(rules::outputs(row, files));
    found.extend(rules::limit(row));
    found
}

/// Puts what is wanted into a row. Returns the columns that were named.
fn put(wanted: &Wanted, stand: &mut Stand, mistakes: &mut Vec<Mistake>) -> Vec<Column> {
    let mut named = Vec::new();
    for (name, value) in wanted {
        let put = match Column::ALL.iter().find(|column| column.name() == name) {
            _ if name == ENABLED => switch(value, &mut stand.enabled),
            None => Err(unknown(name)),
            Some(column) => put_one(*column, value, &mut stand.row).map(|is_new| {
                named.extend(is_new.then_some(*column));
            }),
        };
        if let Err(why) = put {
            mistakes.push(Mistake { column: name.clone(), why: why.into_owned() });
        }
    }
    named
}

fn switch(value: &Value, enabled: &mut bool) -> Result<(), Cow<'static, str>> {
    *enabled = match value {
        Value::Bool(it) => *it,
        Value::Null => true,
        Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            return Err("it must be true or false".into());
        }
    };
    Ok(())
}

/// Puts a value into a column. Returns whether that is to be written.
fn put_one(column: Column, value: &Value, row: &mut JobRow) -> Result<bool, Cow<'static, str>> {
    let text = text_of(column, value)?;
    if matches!(column, Column::Id | Column::ServerId) {
        let present = row.value(column);
        let is_same = present == *text;
        let why = format!("it can't be changed: it is {present}");
        return if is_same { Ok(false) } else { Err(why.into()) };
    }
    row.set(column, &text)?;
    Ok(true)
}

/// A value as the text that stands for it.
fn text_of(column: Column, value: &Value) -> Result<Cow<'_, str>, Cow<'static, str>> {
    let is_number = matches!(column.kind(), ColumnKind::Number | ColumnKind::Reference);
    match value {
        Value::Null => Ok(column.default_text().into()),
        Value::String(text) if !is_number => Ok(text.into()),
        // 1e3 is the number 1000, as a program may write it.
        Value::Number(number) if is_number && number.as_u64().is_some() => {
            Ok(number.to_string().into())
        }
        _ if is_number => Err(crate::core::columns::NO_NUMBER.into()),
        _ => Err("it must be a text".into()),
    }
}

/// Why there is no such column.
fn unknown(name: &str) -> Cow<'static, str> {
    if name == "status" {
        return format!("write `{ENABLED}`: true or false").into();
    }
    let known = || Column::ALL.iter().map(|column| column.name()).chain([ENABLED]);
    // `tag` for `tag_id`.
    let begins =
        || known().find(|known| known.strip_prefix(name).is_some_and(|it| it.starts_with('_')));
    match did_you_mean(name, known()).or_else(begins) {
        Some(right) => format!("there is no such column: did you mean `{right}`?"),
        None => "there is no such column".to_owned(),
    }
    .into()
}

/// Where a row is not as a change wants it.
fn differences(present: &Stand, change: &Change) -> Vec<Difference> {
    let of_column = |(name, wanted): (&String, &Value)| {
        let column = Column::ALL.iter().copied().find(|column| column.name() == name);
        if column.is_none() && name != ENABLED {
            return None;
        }
        let present = present.value(column);
        let (column, wanted) = (name.clone(), wanted.clone());
        (present != wanted).then_some(Difference { column, present, wanted })
    };
    match change {
        Change::Edit { columns, .. } => columns.iter().filter_map(of_column).collect(),
        Change::Switch { enabled, .. } => {
            of_column((&ENABLED.to_owned(), &Value::Bool(*enabled))).into_iter().collect()
        }
        Change::Create { .. }
        | Change::Delete { .. }
        | Change::Pause { .. }
        | Change::Apply { .. }
        | Change::Word(_) => Vec::new(),
    }
}
