//! Variables and tags that come, go or change, and the jobs that a file does not make: those of the
//! group that it lacks, and those of other groups, for variables are those of the machine.

use super::{Around, FileMistake, Mistakes, Plan, Step};
use crate::core::change::words::{User, Word, breaks, check as check_word};
use crate::core::change::{Of, TableColumn};
use crate::core::definition::{Vars, braces};
use crate::core::plain;
use std::collections::{BTreeMap, BTreeSet};

/// So many jobs are named.
const MAX_NAMED: usize = 5;

/// Notes what is wrong with texts that come: the rules are those for one of them. No new tag has an
/// id beyond `most_id`.
pub(super) fn check(plan: &Plan, (around, most_id): (&Around, u32), mistakes: &mut Mistakes) {
    for Step { key, before, after } in &plan.tags {
        if before.is_none() && *key > most_id {
            let why = format!("it is too far from the ids that there are, {most_id} at most");
            mistakes.push(FileMistake::of(format!("tags.{key}"), why));
        }
        let word = after.as_ref().map(|name| Word { name: name.clone(), ..Word::default() });
        check_one(word, Of::Tag, (&around.of_tags, &format!("tags.{key}")), mistakes);
    }
    for Step { key, after, .. } in &plan.variables {
        let word =
            after.as_ref().map(|value| Word { id: 0, name: key.clone(), value: value.clone() });
        check_one(word, Of::Var, (&around.of_variables, &part(key)), mistakes);
    }
}

fn check_one(
    word: Option<Word>,
    of: Of,
    (table, part): (&[TableColumn], &str),
    mistakes: &mut Mistakes,
) {
    let mut found = Vec::new();
    word.iter().for_each(|word| check_word(word, of, table, &mut found));
    let told = |it: crate::core::change::Mistake| match of {
        Of::Var => FileMistake::of(part, format!("{}: {}", it.column, it.why)),
        Of::Tag | Of::Job => FileMistake::of(part, it.why),
    };
    mistakes.extend(found.into_iter().map(told));
}

/// A part of a file.
fn part(name: &str) -> String {
    format!("variables.{}", plain::shown(name))
}

/// Notes jobs that would lose what they use, or could not be run any more; and warns of those that
/// get another command. `users` are those that the file does not make.
pub(super) fn judge(
    plan: &mut Plan,
    users: &[&User],
    (before, after): (&Vars, &Vars),
    mistakes: &mut Mistakes,
) {
    let mut by_name: BTreeMap<&str, Vec<&User>> =
        plan.variables.iter().map(|step| (&*step.key, Vec::new())).collect();
    for user in users {
        let names: BTreeSet<&str> = braces(&user.command).map(|(_, name)| name).collect();
        for name in names {
            by_name.get_mut(name).into_iter().for_each(|all| all.push(user));
        }
    }
    let mut warnings = Vec::new();
    for step in &plan.variables {
        let users = by_name.get(&*step.key).map_or(&[][..], Vec::as_slice);
        if users.is_empty() {
            continue;
        }
        let broken = || users.iter().find_map(|user| Some((user, breaks(user, before, after)?)));
        let jobs = plain::counted(users.len() as u64, "job");
        let named = named(users);
        if step.after.is_none() {
            let why = format!(
                "{jobs} that the file does not make would have a placeholder that nobody fills: \
                 {named}: keep the variable in the file, or change them before"
            );
            mistakes.push(FileMistake::of(part(&step.key), why));
        } else if let Some((user, why)) = broken() {
            let why = format!("job {}: {why}", named_one(user));
            mistakes.push(FileMistake::of(part(&step.key), why));
        } else if step.before.is_some() {
            let why = format!("{jobs} that the file does not make get another command: {named}");
            warnings.push(FileMistake::of(part(&step.key), why));
        }
    }
    plan.warnings.extend(warnings);
}

fn named(users: &[&User]) -> String {
    let some: Vec<String> = users.iter().take(MAX_NAMED).map(|user| named_one(user)).collect();
    let more = if users.len() > some.len() { ", …" } else { "" };
    format!("{}{more}", some.join(", "))
}

fn named_one(user: &User) -> String {
    format!("{} ({}, group {})", user.id, plain::shown(&user.name), user.server_id)
}
