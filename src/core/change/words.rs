//! Changes of variables and tags: what a row will be, or every reason why not. They go the way of
//! changes of jobs.

use super::{Difference, Mistake, Refused, TableColumn, Wanted, What, fit};
use crate::core::definition::{Vars, command_flaw, fill};
use crate::core::limits::{MAX_COMMAND_BYTES, MAX_TEXT_BYTES};
use crate::core::version::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a row is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// A job.
    #[default]
    Job,
    /// A variable.
    Var,
    /// A tag.
    Tag,
}

impl Of {
    /// What people call it.
    pub fn noun(self) -> &'static str {
        match self {
            Of::Job => "job",
            Of::Var => "variable",
            Of::Tag => "tag",
        }
    }

    /// Its table.
    pub fn table(self) -> &'static str {
        match self {
            Of::Job => "scheduler_jobs",
            Of::Var => "scheduler_vars",
            Of::Tag => "scheduler_tags",
        }
    }

    /// What of it can be chosen, if it is a word.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Of::Job => &[],
            Of::Var => &[NAME, VALUE],
            Of::Tag => &[NAME],
        }
    }

    /// Whether it is of a job.
    pub fn is_job(&self) -> bool {
        *self == Of::Job
    }
}

const NAME: &str = "name";
const VALUE: &str = "value";

/// A variable or a tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Key of its row; 0 for one that is not there yet.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// What replaces it in commands; empty for a tag.
    pub value: String,
}

impl Word {
    /// The version of its row.
    pub fn version(&self, of: Of) -> Version {
        let pairs = [(of.table(), &*self.id.to_string()), (&*self.name, &*self.value)];
        let owned = |(one, other): (&str, &str)| (one.to_owned(), other.to_owned());
        Version::of_all(pairs.into_iter().map(owned))
    }

    /// What stands in a column.
    pub fn get(&self, column: &str) -> &str {
        if column == NAME { &self.name } else { &self.value }
    }

    fn set(&mut self, column: &str, text: &str) {
        let field = if column == NAME { &mut self.name } else { &mut self.value };
        text.clone_into(field);
    }
}

/// What somebody wants of a variable or a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordChange {
    /// What it is.
    pub of: Of,
    /// Which; none for a new one.
    pub id: Option<u32>,
    /// What its row is to say; none: it is to go.
    pub columns: Option<Wanted>,
    /// What the row must be.
    pub expected: Option<Version>,
    /// Also where jobs use it.
    pub force: bool,
}

impl WordChange {
    /// What is done, in a word.
    pub fn verb(&self) -> &'static str {
        match (self.of, self.id, &self.columns) {
            (Of::Tag, None, _) => "create_tag",
            (Of::Tag, Some(_), Some(_)) => "edit_tag",
            (Of::Tag, Some(_), None) => "delete_tag",
            (Of::Var | Of::Job, None, _) => "create_variable",
            (Of::Var | Of::Job, Some(_), Some(_)) => "edit_variable",
            (Of::Var | Of::Job, Some(_), None) => "delete_variable",
        }
    }

    /// The name that it is to have, where that is said.
    pub fn name(&self) -> Option<&str> {
        self.columns.as_ref()?.get(NAME)?.as_str()
    }
}

/// A job that uses a variable or has a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The job.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its group.
    #[serde(skip)]
    pub server_id: u32,
    /// Its command as it stands in the row.
    #[serde(skip)]
    pub command: String,
}

/// What is around a row and has a say in it.
#[derive(Debug, Default)]
pub struct WordContext {
    /// Another one that has the name.
    pub twin: Option<u32>,
    /// The jobs that may use it.
    pub users: Vec<User>,
    /// All variables.
    pub vars: Vars,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordDecided {
    /// The row before; none for a new one.
    pub before: Option<Word>,
    /// The row afterwards; none if it goes.
    pub after: Option<Word>,
}

impl WordDecided {
    /// What it changes; the row has this id by now. The name is always told.
    pub fn what(&self, of: Of, id: u32) -> What {
        let text = |word: &Option<Word>, column: &str| {
            word.as_ref().map_or(Value::Null, |word| word.get(column).into())
        };
        let both = |column: &str| [text(&self.before, column), text(&self.after, column)];
        let is_told = |column: &&&str| **column == NAME || both(column)[0] != both(column)[1];
        let told = |column: &&str| ((*column).to_owned(), Value::from(both(column).to_vec()));
        let mut what: What = of.columns().iter().filter(is_told).map(told).collect();
        let there = |word: &Option<Word>| word.as_ref().map_or(Value::Null, |_| id.into());
        what.insert("id".into(), vec![there(&self.before), there(&self.after)].into());
        what
    }
}

/// Whether a command has the placeholder of a variable.
pub fn uses(command: &str, name: &str) -> bool {
    command.match_indices('{').any(|(at, _)| {
        let rest = command[at + 1..].strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('}'))
    })
}

/// Decides what becomes of a row that says `current` now. `table` has the columns that there are.
///
/// # Errors
/// Why nothing is to be changed.
pub fn decide(
    current: Option<Word>,
    change: &WordChange,
    table: &[TableColumn],
    context: &WordContext,
) -> Result<WordDecided, Refused> {
    if current.is_none() && change.id.is_some() {
        return Err(Refused::NoWord(change.of));
    }
    if let (Some(current), Some(expected)) = (&current, change.expected)
        && current.version(change.of) != expected
    {
        let version = current.version(change.of);
        return Err(Refused::SomebodyWasFirst { version, differs: differences(current, change) });
    }
    let mut mistakes = Vec::new();
    let after = change.columns.as_ref().map(|columns| {
        let mut after = current.clone().unwrap_or_default();
        put(columns, change.of, &mut after, &mut mistakes);
        check(&after, change.of, table, &mut mistakes);
        after
    });
    if let (Some(id), true) = (context.twin, after.is_some()) {
        let why = format!("{} {id} has this name: take another one", change.of.noun());
        mistakes.push(Mistake { column: NAME.into(), why });
    }
    if let (Some(before), Some(after)) = (&current, &after) {
        broken(before, after, context, &mut mistakes);
    }
    if !mistakes.is_empty() {
        return Err(Refused::Mistakes(mistakes));
    }
    if let Some(before) = current.as_ref().filter(|_| !change.force) {
        let loses = match (change.of, &after) {
            (_, None) => true,
            (Of::Var | Of::Job, Some(after)) => after.name != before.name,
            (Of::Tag, Some(_)) => false,
        };
        let is_user = |user: &&User| change.of == Of::Tag || uses(&user.command, &before.name);
        let users: Vec<User> = context.users.iter().filter(is_user).cloned().collect();
        if loses && !users.is_empty() {
            return Err(Refused::InUse { of: change.of, users });
        }
    }
    Ok(WordDecided { before: current, after })
}

/// Puts what is wanted into a row.
fn put(wanted: &Wanted, of: Of, word: &mut Word, mistakes: &mut Vec<Mistake>) {
    for (column, value) in wanted {
        let why = match value {
            _ if !of.columns().contains(&column.as_str()) => {
                let names = of.columns().join(", ");
                Some(format!("there is no such column: there are {names}"))
            }
            Value::String(text) => {
                word.set(column, text);
                None
            }
            Value::Null => {
                word.set(column, "");
                None
            }
            _ => Some("it must be a text, in quotes".into()),
        };
        mistakes.extend(why.map(|why| Mistake { column: column.clone(), why }));
    }
}

/// What is wrong with a row.
pub fn check(word: &Word, of: Of, table: &[TableColumn], mistakes: &mut Vec<Mistake>) {
    let mut add = |column: &str, why: Option<String>| {
        mistakes.extend(why.map(|why| Mistake { column: column.into(), why }));
    };
    let name = &word.name;
    let odd = |c: char| c.is_control() || (of == Of::Var && matches!(c, '{' | '}'));
    add(NAME, name.trim().is_empty().then(|| "it needs a name".into()));
    let why = name.chars().find(|c| odd(*c)).map(|c| format!("a name can't hold {c:?}"));
    add(NAME, why);
    add(VALUE, word.value.contains('\0').then(|| "it holds a NUL byte: take it out".into()));
    for column in of.columns() {
        let most = if *column == NAME { MAX_TEXT_BYTES } else { MAX_COMMAND_BYTES };
        add(column, fit::misfit(column, word.get(column), most, table));
    }
}

/// Why a job could be run with the variables of before, and not with those that come.
pub fn breaks(user: &User, before: &Vars, after: &Vars) -> Option<String> {
    let flaw = |vars: &Vars| command_flaw(&user.command, &fill(&user.command, vars));
    flaw(before).is_none().then(|| flaw(after)).flatten()
}

/// Notes jobs that could not be run with the new value, and can with the one of before.
fn broken(before: &Word, after: &Word, context: &WordContext, mistakes: &mut Vec<Mistake>) {
    if before.value == after.value {
        return;
    }
    let mut vars = context.vars.clone();
    vars.remove(&before.name);
    vars.insert(after.name.clone(), after.value.clone());
    let mut users = context.users.iter().filter(|user| uses(&user.command, &after.name));
    let found = users.find_map(|user| Some((user, breaks(user, &context.vars, &vars)?)));
    let told = found.map(|(user, why)| format!("job {} ({}): {why}", user.id, user.name));
    mistakes.extend(told.map(|why| Mistake { column: VALUE.into(), why }));
}

/// Where a row is not as it was to be.
fn differences(present: &Word, change: &WordChange) -> Vec<Difference> {
    let columns = change.columns.iter().flatten();
    let known = columns.filter(|(column, _)| change.of.columns().contains(&column.as_str()));
    let differs = known.filter(|(column, wanted)| *wanted != present.get(column));
    let told = |(column, wanted): (&String, &Value)| Difference {
        column: column.clone(),
        present: present.get(column).into(),
        wanted: wanted.clone(),
    };
    differs.map(told).collect()
}
