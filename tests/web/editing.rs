//! The database of a bench, as far as its jobs are changed: by the core's own rules.

use super::Bench;
use schedule::core::apply::{Around, File, Group, Mistakes, plan_all, report, summary};
use schedule::core::change::words::{self, User, Word, WordContext};
use schedule::core::change::{
    Change, Context, Of, Refused, Stand, TableColumn, WordChange, decide,
};
use schedule::core::columns::Column;
use schedule::core::definition::Vars;
use schedule::core::ids::JobId;
use schedule::core::protocol::{Answer, Ask, ChangeAsk, Changed, JobRow, Mark, Request, SetAside};
use schedule::core::version::Version;

/// That the database is away.
pub fn gone(why: &str) -> Answer {
    let kind = schedule::core::database::ErrorKind::Connect;
    Answer::Error { kind, message: why.to_owned() }
}

/// That all records are taken.
pub fn recorded() -> Answer {
    let (count, through, unkept) = (0, u64::MAX, String::new());
    let (pace, again, taken, found) = (0, false, vec![], None);
    Answer::Recorded {
        count,
        through,
        aside: SetAside::default(),
        unkept,
        pace,
        again,
        taken,
        found,
    }
}

/// The answer to a question about a change; the table is changed by it.
pub fn answers(table: &mut Vec<Answer>, question: &[u8]) -> Vec<Answer> {
    let request: Request = serde_json::from_slice(question).unwrap();
    let Ask::Change(ask) = request.ask else { panic!("no change: {request:?}") };
    if let Change::Word(word) = &ask.change {
        return word_answers(table, word);
    }
    let mut stands = stands(table);
    if let Some(find) = ask.find {
        let mark = find.mark.unwrap();
        let found = stands.iter().find(|it| it.row.id == mark.id.0).map(Stand::version);
        let is_done = found == mark.version;
        assert!(is_done || found == mark.before, "somebody else changed it");
        return vec![if is_done {
            Answer::Changed(Changed::to(mark))
        } else {
            Answer::NotChanged(Refused::NotDone)
        }];
    }
    let vars: Vars = table.iter().filter_map(var).collect();
    if let Change::Apply { file, prune, dry_run, expected } = &ask.change {
        let group = group(&stands, vars, table);
        return match apply(&group, file, (*prune, *dry_run, *expected), &ask) {
            Ok((after, said)) => {
                put(table, after.jobs.into_values().collect());
                said
            }
            Err(said) => said,
        };
    }
    match change(&mut stands, &ask, vars) {
        Ok(changed) => {
            put(table, stands);
            vec![Answer::Changing(changed.mark), Answer::Changed(changed)]
        }
        Err(refused) => vec![Answer::NotChanged(refused)],
    }
}

/// The same of a variable or a tag.
fn word_answers(table: &mut Vec<Answer>, change: &WordChange) -> Vec<Answer> {
    match change_word(table, change) {
        Ok(changed) => vec![Answer::Changing(changed.mark), Answer::Changed(changed)],
        Err(refused) => vec![Answer::NotChanged(refused)],
    }
}

fn change_word(table: &mut Vec<Answer>, change: &WordChange) -> Result<Changed, Refused> {
    let of = change.of;
    let word = |answer: &Answer| match (of, answer) {
        (Of::Var, Answer::Var { id, name, value }) => {
            Some(Word { id: *id, name: name.clone(), value: value.clone() })
        }
        (Of::Tag, Answer::Tag { id, name }) => {
            Some(Word { id: *id, name: name.clone(), value: String::new() })
        }
        _ => None,
    };
    let all: Vec<Word> = table.iter().filter_map(word).collect();
    let current = all.iter().find(|it| Some(it.id) == change.id).cloned();
    let is_twin = |it: &&Word| Some(&*it.name) == change.name() && Some(it.id) != change.id;
    let has = |row: &JobRow| of == Of::Var || Some(row.tag_id) == change.id;
    let rows = stands(table).into_iter().map(|stand| stand.row).filter(has);
    let users = rows.map(|row| {
        let JobRow { id, name, server_id, command, .. } = row;
        User { id, name, server_id, command }
    });
    let context = WordContext {
        twin: all.iter().find(is_twin).map(|it| it.id),
        users: users.collect(),
        vars: table.iter().filter_map(var).collect(),
    };
    let column = |name: &&str| TableColumn {
        name: (*name).into(),
        max_chars: (*name == "name").then_some(50),
        ..TableColumn::default()
    };
    let columns: Vec<_> = of.columns().iter().map(column).collect();
    let decided = words::decide(current, change, &columns, &context)?;
    let new_id = all.iter().map(|it| it.id).max().unwrap_or(0) + 1;
    let id = change.id.unwrap_or(new_id);
    table.retain(|it| word(it).is_none_or(|it| it.id != id) && !matches!(it, Answer::End { .. }));
    let after = decided.after.clone().map(|after| Word { id, ..after });
    if let Some(Word { name, value, .. }) = after.clone() {
        // Variables come first.
        match of {
            Of::Tag => table.push(Answer::Tag { id, name }),
            Of::Var | Of::Job => table.insert(0, Answer::Var { id, name, value }),
        }
    }
    let end = Answer::End { digest: format!("{table:?}"), rows: table.len() as u64 };
    table.push(end);
    let version = after.map(|after| after.version(of));
    let before = decided.before.as_ref().map(|before| before.version(of));
    let mark = Mark { id: JobId(id), version, before, of };
    Ok(Changed { what: decided.what(of, id), ..Changed::to(mark) })
}

fn var(answer: &Answer) -> Option<(String, String)> {
    match answer {
        Answer::Var { name, value, .. } => Some((name.clone(), value.clone())),
        _ => None,
    }
}

fn group(stands: &[Stand], variables: Vars, table: &[Answer]) -> Group {
    let tag = |answer: &Answer| match answer {
        Answer::Tag { id, name } => Some((*id, name.clone())),
        _ => None,
    };
    let jobs = stands.iter().map(|it| (it.row.id, it.clone())).collect();
    Group { jobs, variables, tags: table.iter().filter_map(tag).collect(), ..Group::default() }
}

/// The group as a file says, and what a helper says of it. Tags and variables stay.
fn apply(
    group: &Group,
    file: &str,
    (prune, dry_run, expected): (bool, bool, Option<Version>),
    ask: &ChangeAsk,
) -> Result<(Group, Vec<Answer>), Vec<Answer>> {
    let refuse = |all: Mistakes| {
        let refused = Answer::NotChanged(Refused::File(String::new()));
        vec![Answer::Piece(all.told()), refused]
    };
    let before = group.version();
    if expected.is_some_and(|it| it != before) {
        return Err(vec![Answer::NotChanged(Refused::GroupChanged(before))]);
    }
    let file = File::read(file).map_err(refuse)?;
    let around = Around { server_id: ask.server_id, table: columns(), ..Around::default() };
    let mut plan = plan_all((group, &file), prune, around).map_err(refuse)?;
    let next = group.jobs.keys().max().map_or(1, |id| id + 1);
    let new = plan.jobs.iter_mut().filter_map(|it| it.after.as_mut()).filter(|it| it.row.id == 0);
    (next..).zip(new).filter(|_| !dry_run).for_each(|(id, it)| it.row.id = id);
    let after = if dry_run { group.clone() } else { plan.result(group) };
    let version = after.version();
    let (before, of) = (Some(before), Of::Job);
    let mark = Mark { id: JobId(0), version: Some(version), before, of };
    let mut said = vec![Answer::Piece(report(&plan, version, dry_run))];
    said.extend((!dry_run).then_some(Answer::Changing(mark)));
    said.push(Answer::Changed(Changed { what: summary(&plan), ..Changed::to(mark) }));
    Ok((after, said))
}

/// The rows of a table.
fn stands(table: &[Answer]) -> Vec<Stand> {
    let stand = |answer: &Answer| match answer {
        Answer::Job(row) => Some(Stand { row: (**row).clone(), enabled: true }),
        Answer::Disabled(row) => Some(Stand { row: (**row).clone(), enabled: false }),
        _ => None,
    };
    table.iter().filter_map(stand).collect()
}

fn columns() -> Vec<TableColumn> {
    let column = |it: &Column| TableColumn {
        name: it.name().into(),
        max_chars: (*it == Column::Name).then_some(50),
        ..TableColumn::default()
    };
    Column::ALL.iter().map(column).collect()
}

fn change(stands: &mut Vec<Stand>, ask: &ChangeAsk, vars: Vars) -> Result<Changed, Refused> {
    let columns = columns();
    let at = stands.iter().position(|it| Some(JobId(it.row.id)) == ask.change.id());
    let context = Context { vars, ..Context::default() };
    let current = at.map(|at| stands[at].clone());
    let decided = decide(current, &ask.change, (ask.server_id, &columns), &context)?;
    let what = decided.what();
    let new_id = stands.iter().map(|it| it.row.id).max().unwrap_or(0) + 1;
    let id = at.map_or(new_id, |at| stands[at].row.id);
    at.map(|at| stands.remove(at));
    let after = decided.after.map(|after| Stand { row: JobRow { id, ..after.row }, ..after });
    let version = after.as_ref().map(Stand::version);
    stands.extend(after);
    stands.sort_by_key(|stand| stand.row.id);
    let before = decided.before.as_ref().map(Stand::version);
    let mark = Mark { id: JobId(id), version, before, of: Of::Job };
    Ok(Changed { warnings: decided.warnings, what, ..Changed::to(mark) })
}

/// Puts rows into a table in place of those that are there.
fn put(table: &mut Vec<Answer>, stands: Vec<Stand>) {
    table.retain(|it| !matches!(it, Answer::Job(_) | Answer::Disabled(_) | Answer::End { .. }));
    table.extend(stands.into_iter().map(|stand| match stand.enabled {
        true => Answer::Job(Box::new(stand.row)),
        false => Answer::Disabled(Box::new(stand.row)),
    }));
    let end = Answer::End { digest: format!("{table:?}"), rows: table.len() as u64 };
    table.push(end);
}

impl Bench {
    /// Somebody changes a row. Returns its new version.
    pub fn commit(&mut self, id: u32, change: impl FnOnce(&mut JobRow)) -> Version {
        let mut rows = self.table.clone();
        rows.pop();
        let row = rows.iter_mut().find_map(|it| match it {
            Answer::Job(row) if row.id == id => Some(row),
            _ => None,
        });
        let row = row.unwrap();
        change(row);
        let version = Version::of(row, true);
        self.set_answers(rows);
        version
    }

    /// Somebody writes a schedule into a row that nobody can read.
    pub fn spoil(&mut self, id: u32) {
        let rows = self.table.iter_mut();
        let row = rows.filter_map(|it| match it {
            Answer::Job(row) | Answer::Disabled(row) => Some(row),
            _ => None,
        });
        row.filter(|row| row.id == id).for_each(|row| row.cron = "nonsense".into());
    }
}
