//! Variables and tags are changed, as jobs are: in one transaction, and what was written is read
//! again.

use super::super::Failure;
use super::super::records::Field;
use super::super::rows;
use super::super::written_zone;
use super::{Work, text_of};
use crate::core::apply::Tags;
use crate::core::cells::Cell;
use crate::core::change::words::{User, Word, WordContext, WordDecided, decide};
use crate::core::change::{Mistake, Of, Refused, WordChange};
use crate::core::database::ErrorKind;
use crate::core::definition::Vars;
use crate::core::ids::JobId;
use crate::core::limits::{MAX_QUOTED_CHARS, cut};
use crate::core::protocol::{Answer, Changed, Mark};
use crate::core::time::datetime;
use crate::shell::clock;

/// The id of its row, name and value.
pub(super) type Variable = (u32, (String, String));

impl Work<'_> {
    pub(super) fn change_word(
        &mut self,
        change: &WordChange,
    ) -> Result<Result<Changed, Refused>, Failure> {
        self.lock_words(change.of)?;
        let (current, is_whole) = match change.id {
            Some(id) => self.word_read(change.of, id)?.unzip(),
            None => (None, None),
        };
        let context = self.word_context(change, current.as_ref())?;
        match decide(current, change, &self.table, &context) {
            Ok(decided) => self.put_word(change, is_whole == Some(true), &decided),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Locks all of them, as a group that is applied does, and so in the same order: who comes
    /// second waits, and sees what the first has written.
    fn lock_words(&mut self, of: Of) -> Result<(), Failure> {
        match of {
            Of::Tag => self.tags(true).map(drop),
            Of::Var | Of::Job => self.vars(true).map(drop),
        }
    }

    /// All variables, locked where they have more of a say than the row of one job.
    pub(super) fn vars(&mut self, locked: bool) -> Result<Vars, Failure> {
        Ok(self.vars_by_id(locked)?.into_iter().map(|(_, var)| var).collect())
    }

    /// The same with the ids of their rows; 0: none that is known.
    pub(super) fn vars_by_id(&mut self, locked: bool) -> Result<Vec<Variable>, Failure> {
        let lock = if locked { self.desk.lock() } else { "" };
        let sql = format!(
            "SELECT id, name, value FROM scheduler_vars WHERE server_id = ? ORDER BY id{lock}"
        );
        let values = [Field::Number(self.ask.vars_server.into())];
        let var = |cells| match rows::var(cells) {
            Answer::Var { id, name, value } => Some((id, (name, value))),
            _ => None,
        };
        Ok(self.desk.query(&sql, &values)?.into_iter().filter_map(var).collect())
    }

    /// All tags, locked.
    pub(super) fn tags(&mut self, locked: bool) -> Result<Tags, Failure> {
        let lock = if locked { self.desk.lock() } else { "" };
        let tag = |cells| match rows::tag(cells) {
            Answer::Tag { id, name } => Some((id, name)),
            _ => None,
        };
        let sql = format!("SELECT id, name FROM scheduler_tags ORDER BY id{lock}");
        Ok(self.desk.query(&sql, &[])?.into_iter().filter_map(tag).collect())
    }

    /// A row, locked. What of it is no text, or too long, is as if it were empty.
    pub(super) fn word(&mut self, of: Of, id: u32) -> Result<Option<Word>, Failure> {
        Ok(self.word_read(of, id)?.map(|(word, _)| word))
    }

    /// The same, and whether all of it could be read.
    fn word_read(&mut self, of: Of, id: u32) -> Result<Option<(Word, bool)>, Failure> {
        let (condition, lock) = (self.of_group(of), self.desk.lock());
        let columns = of.columns().join(", ");
        let table = of.table();
        let sql = format!("SELECT {columns} FROM {table} WHERE id = ?{condition}{lock}");
        let found = self.desk.query(&sql, &[Field::Number(id.into())])?.into_iter().next();
        Ok(found.map(|cells| {
            let is_whole = cells.iter().all(|it| matches!(it, Cell::Text(_) | Cell::Null));
            let mut texts = cells.into_iter().map(text_of);
            let mut next = || texts.next().unwrap_or_default();
            (Word { id, name: next(), value: next() }, is_whole)
        }))
    }

    /// Variables are those of a machine; tags are everybody's.
    fn of_group(&self, of: Of) -> String {
        match of {
            Of::Job => format!(" AND server_id = {}", self.ask.server_id),
            Of::Var => format!(" AND server_id = {}", self.ask.vars_server),
            Of::Tag => String::new(),
        }
    }

    /// What is around a row.
    fn word_context(
        &mut self,
        change: &WordChange,
        current: Option<&Word>,
    ) -> Result<WordContext, Failure> {
        let mut context = WordContext::default();
        let own = Field::Number(change.id.unwrap_or(0).into());
        if let Some(name) = change.name().filter(|name| current.is_none_or(|it| it.name != **name))
        {
            let (table, condition) = (change.of.table(), self.of_group(change.of));
            let lock = self.desk.lock();
            let sql = format!("SELECT id FROM {table} WHERE name = ? AND id <> ?{condition}{lock}");
            let found = self.desk.query(&sql, &[Field::Text(name), own])?.into_iter().flatten();
            context.twin = found.map(text_of).find_map(|id| id.parse().ok());
        }
        if current.is_none() {
            return Ok(context);
        }
        context.users = self.users(change.of, change.id.unwrap_or(0))?;
        context.vars = self.vars(true)?;
        Ok(context)
    }

    /// Jobs of all groups that may use a variable, or have this tag; locked.
    pub(super) fn users(&mut self, of: Of, id: u32) -> Result<Vec<User>, Failure> {
        let (condition, values) = match of {
            Of::Tag => ("tag_id = ?", vec![Field::Number(id.into())]),
            Of::Var | Of::Job => ("command LIKE '%{%'", Vec::new()),
        };
        let lock = self.desk.lock();
        let sql = format!(
            "SELECT id, name, server_id, command FROM scheduler_jobs WHERE {condition} \
             ORDER BY id{lock}"
        );
        let user = |cells: Vec<_>| {
            let mut texts = cells.into_iter().map(text_of);
            let mut next = || texts.next().unwrap_or_default();
            let (id, name) = (next().parse().ok()?, next());
            let server_id = next().parse().unwrap_or_default();
            Some(User { id, name, server_id, command: next() })
        };
        Ok(self.desk.query(&sql, &values)?.into_iter().filter_map(user).collect())
    }

    /// Writes what was decided, and looks at it. `is_whole`: all of the row could be read.
    fn put_word(
        &mut self,
        change: &WordChange,
        is_whole: bool,
        decided: &WordDecided,
    ) -> Result<Result<Changed, Refused>, Failure> {
        let (WordDecided { before, after }, of) = (decided, change.of);
        let was = before.as_ref().map(|before| before.version(of));
        let changed = |id: u32, version| {
            let mark = Mark { id: JobId(id), version, before: was, of };
            Changed { what: decided.what(of, id), ..Changed::to(mark) }
        };
        let id = before.as_ref().map_or(0, |before| before.id);
        let Some(after) = after else {
            let (table, condition) = (of.table(), self.of_group(of));
            let sql = format!("DELETE FROM {table} WHERE id = ?{condition}");
            self.desk.run(&sql, &[Field::Number(id.into())])?;
            return Ok(Ok(changed(id, None)));
        };
        if before.as_ref() == Some(after) && is_whole {
            return Ok(Ok(changed(id, was)));
        }
        let id = self.write_word(change, after)?;
        let expected = Word { id, ..after.clone() };
        match self.word(of, id)? {
            Some(found) if found == expected => Ok(Ok(changed(id, Some(found.version(of))))),
            Some(found) => Ok(Err(Refused::Mistakes(altered(of, &expected, &found)))),
            None => {
                let why = "the row that was written is not there: does a trigger take it away?";
                Ok(Err(Refused::ByDatabase(why.into())))
            }
        }
    }

    /// Makes the row, or changes what of it the change names: the rest may be what could not be
    /// read. Returns its id.
    fn write_word(&mut self, change: &WordChange, word: &Word) -> Result<u32, Failure> {
        let (of, is_new) = (change.of, word.id == 0);
        let named =
            |column: &str| change.columns.as_ref().is_some_and(|it| it.contains_key(column));
        let mut sets: Vec<(&str, Field)> = Vec::new();
        for column in of.columns().iter().filter(|it| is_new || named(it)) {
            sets.push((column, Field::Text(word.get(column))));
        }
        let now = datetime(clock::now().wall_ms, &written_zone(&self.ask.timezone)?);
        let times = if is_new { &["create_time", "update_time"][..] } else { &["update_time"] };
        let times = times.iter().filter(|name| self.has(name));
        sets.extend(times.map(|name| (*name, Field::Text(&now))));
        if is_new && of == Of::Var {
            sets.push(("server_id", Field::Number(self.ask.vars_server.into())));
        }
        if sets.is_empty() {
            return Ok(word.id);
        }
        let (names, mut values): (Vec<&str>, Vec<Field>) = sets.into_iter().unzip();
        let mark = |value: &Field| match value {
            Field::Text(_) => self.desk.mark(),
            Field::Number(_) => "?",
        };
        let marks: Vec<&str> = values.iter().map(mark).collect();
        let table = of.table();
        if is_new {
            let (names, marks) = (names.join(", "), marks.join(", "));
            let sql = format!("INSERT INTO {table} ({names}) VALUES ({marks})");
            let made = self.desk.run(&sql, &values)?;
            let why = || Failure::new(ErrorKind::Other, format!("the new row has the id {made}"));
            return made.try_into().map_err(|_| why());
        }
        let sets: Vec<String> =
            names.iter().zip(marks).map(|(name, mark)| format!("{name} = {mark}")).collect();
        let condition = self.of_group(of);
        let sql = format!("UPDATE {table} SET {} WHERE id = ?{condition}", sets.join(", "));
        values.push(Field::Number(word.id.into()));
        self.desk.run(&sql, &values)?;
        Ok(word.id)
    }
}

/// What the database has made of what was written.
fn altered(of: Of, expected: &Word, found: &Word) -> Vec<Mistake> {
    let hint = "it cuts what is too long, has not all characters, or a trigger changes it";
    let pairs = [("name", &expected.name, &found.name), ("value", &expected.value, &found.value)];
    let differ =
        pairs.iter().filter(|(name, one, other)| of.columns().contains(name) && one != other);
    let told = |(name, _, found): &(&str, &String, &String)| {
        let value = cut(found, MAX_QUOTED_CHARS);
        let why = format!("the database would keep {value:?} of it: {hint}");
        Mistake { column: (*name).into(), why }
    };
    differ.map(told).collect()
}
