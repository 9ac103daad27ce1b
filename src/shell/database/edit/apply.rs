//! Makes a group as a file says, in one transaction: all of it is locked and read, `core::apply`
//! says what is to be done, that is written and read again.

use super::super::Failure;
use super::super::answers::Answers;
use super::super::records::Field;
use super::super::rows;
use super::{KEY, Work, altered, is_of_key, md5, text_of};
use crate::core::apply::{
    Around, File, FileMistake, Group, MAX_REPORT_BYTES, Mistakes, Plan, Step, plan_all, report,
    summary, variable_steps,
};
use crate::core::cells::Cell;
use crate::core::change::{Change, Context, Decided, Of, Refused, verb};
use crate::core::database::ErrorKind;
use crate::core::ids::JobId;
use crate::core::journal::ActEntry;
use crate::core::protocol::{Answer, Changed, Mark};
use crate::core::rules::OutputFile;
use crate::core::time::datetime;
use crate::core::version::Version;
use crate::shell::clock;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a piece of what is said of a file; escaped it fits into a line.
const PIECE_BYTES: usize = 64 << 10;

/// Ids in one query.
const IDS_A_QUERY: usize = 500;

/// Acts that are written by one statement.
const ACTS_A_STATEMENT: usize = 100;

/// Says what is wrong with a file.
pub(super) fn refuse(all: &Mistakes, answers: &mut Answers) -> Result<Refused, Failure> {
    send(&all.told(), answers)?;
    Ok(Refused::File(String::new()))
}

/// Says what is wrong with a part of it.
fn refuse_part(mistake: FileMistake, answers: &mut Answers) -> Result<Refused, Failure> {
    refuse(&Mistakes::from_iter([mistake]), answers)
}

/// Says what is done. What the daemon would not take is refused.
fn tell(told: &str, answers: &mut Answers) -> Result<Result<(), Refused>, Failure> {
    if told.len() > MAX_REPORT_BYTES {
        let most = MAX_REPORT_BYTES >> 20;
        let why = format!("what it changes takes more than {most} MB to tell: apply it in parts");
        return refuse_part(FileMistake::of("file", why), answers).map(Err);
    }
    send(told, answers).map(Ok)
}

fn send(text: &str, answers: &mut Answers) -> Result<(), Failure> {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
        answers.send(&Answer::Piece(piece.to_owned()))?;
        rest = behind;
    }
    Ok(())
}

/// What was done, or why not, and whose fault that is.
type Put<T> = Result<Result<T, FileMistake>, Failure>;

impl Work<'_> {
    pub(super) fn apply(
        &mut self,
        file: &File,
        files: BTreeMap<String, OutputFile>,
        answers: &mut Answers,
    ) -> Result<Result<Changed, Refused>, Failure> {
        let Change::Apply { prune, dry_run, expected, .. } = &self.ask.change else {
            return Ok(Err(Refused::NotThere));
        };
        let group = self.group()?;
        answers.works()?;
        let before = group.version();
        if expected.is_some_and(|expected| expected != before) {
            return Ok(Err(Refused::GroupChanged(before)));
        }
        let now_ms = clock::now().wall_ms;
        let around = self.around((&group, file, *prune), (now_ms, files))?;
        let mut plan = match plan_all((&group, file), *prune, around) {
            Ok(plan) => plan,
            Err(all) => return refuse(&all, answers).map(Err),
        };
        if *dry_run {
            let told = tell(&report(&plan, before, true), answers)?;
            return Ok(told.map(|()| done(&plan, before, before)));
        }
        if let Err(mistake) = self.put_plan(&mut plan, now_ms, answers)? {
            return refuse_part(mistake, answers).map(Err);
        }
        let found = self.group()?;
        let mut wrong = otherwise(&plan.result(&group), &found);
        wrong.extend(plan.bad(&found));
        if !wrong.is_empty() {
            return refuse(&wrong, answers).map(Err);
        }
        self.write_parts(&plan, answers)?;
        let told = tell(&report(&plan, found.version(), false), answers)?;
        Ok(told.map(|()| done(&plan, before, found.version())))
    }

    /// What is around a group.
    fn around(
        &mut self,
        (group, file, prune): (&Group, &File, bool),
        (now_ms, files): (i64, BTreeMap<String, OutputFile>),
    ) -> Result<Around, Failure> {
        let dialect = self.ask.dialect;
        let (steps, _) = variable_steps(group, file, prune);
        let users = if steps.is_empty() { Vec::new() } else { self.users(Of::Var, 0)? };
        let last = self.desk.query("SELECT MAX(id) FROM scheduler_jobs", &[])?;
        Ok(Around {
            server_id: self.ask.server_id,
            table: self.table.clone(),
            of_variables: self.desk.table(Of::Var.table())?,
            of_tags: self.desk.table(Of::Tag.table())?,
            elsewhere: self.elsewhere(group, file)?,
            last_id: last.into_iter().flatten().find_map(|cell| text_of(cell).parse().ok()),
            users,
            context: Context { dialect, now_ms, files, ..Context::default() },
        })
    }

    /// All that the group says now; locked. What it has in common with others comes first: of two
    /// groups the second waits before it has anything.
    pub(super) fn group(&mut self) -> Result<Group, Failure> {
        let (variables, tags) = (self.vars_by_id(true)?, self.tags(true)?);
        let variable_ids = variables.iter().map(|(id, (name, _))| (*id, name.clone())).collect();
        let variables = variables.into_iter().map(|(_, variable)| variable).collect();
        let lock = self.desk.lock();
        let names: Vec<String> = self.table.iter().map(|it| it.name.clone()).collect();
        let columns = rows::job_columns(&names, self.desk.read());
        let sql =
            format!("SELECT {columns} FROM scheduler_jobs WHERE server_id = ? ORDER BY id{lock}");
        let server_id = Field::Number(self.ask.server_id.into());
        let jobs = self.desk.query(&sql, &[server_id])?.into_iter().filter_map(rows::judged);
        let mut group =
            Group { jobs: BTreeMap::new(), bad: BTreeMap::new(), variables, variable_ids, tags };
        // A row whose id no job can have is nobody's to change.
        for (stand, mistake) in jobs.filter(|(stand, _)| stand.row.id > 0) {
            group.bad.extend(mistake.map(|it| (stand.row.id, it)));
            group.jobs.insert(stand.row.id, stand);
        }
        Ok(group)
    }

    /// Which ids of a file are those of jobs of other groups.
    fn elsewhere(&mut self, group: &Group, file: &File) -> Result<BTreeMap<u32, u32>, Failure> {
        let ids = file.jobs.iter().filter_map(|job| job.id);
        let ids: Vec<u32> = ids.filter(|id| !group.jobs.contains_key(id)).collect();
        let mut found = BTreeMap::new();
        for ids in ids.chunks(IDS_A_QUERY) {
            let list: Vec<String> = ids.iter().map(u32::to_string).collect();
            let list = list.join(", ");
            let sql = format!("SELECT id, server_id FROM scheduler_jobs WHERE id IN ({list})");
            for cells in self.desk.query(&sql, &[])? {
                let Ok([id, other]) = <[Cell; 2]>::try_from(cells).map(|it| it.map(text_of)) else {
                    continue;
                };
                if let Ok(id) = id.parse() {
                    found.insert(id, other.parse().unwrap_or_default());
                }
            }
        }
        Ok(found)
    }

    /// Writes all of a plan. New jobs have their ids then.
    fn put_plan(&mut self, plan: &mut Plan, now_ms: i64, answers: &mut Answers) -> Put<()> {
        let now = datetime(now_ms, &self.zone);
        for step in &plan.tags {
            let done = self.put_tag(step, &now);
            if let Err(mistake) =
                blamed(done, || FileMistake::of(format!("tags.{}", step.key), ""))?
            {
                return Ok(Err(mistake));
            }
        }
        // Servers compare names without case: what goes may be in the way of what comes.
        let (gone, others): (Vec<_>, Vec<_>) =
            plan.variables.iter().partition(|step| step.after.is_none());
        for step in gone.into_iter().chain(others) {
            let part = || FileMistake::of(format!("variables.{}", step.key), "");
            if let Err(mistake) = blamed(self.put_variable(step, &now), part)? {
                return Ok(Err(mistake));
            }
        }
        let keys = self.keys(plan)?;
        // What goes makes room for what comes; what has an id has it before others are given.
        let turn = |it: &Decided| match (&it.before, &it.after) {
            (Some(_), None) => 0,
            (Some(_), Some(_)) => 1,
            (None, after) if after.as_ref().is_some_and(|it| it.row.id != 0) => 2,
            (None, _) => 3,
        };
        for now_turn in 0..=3 {
            if now_turn == 1 {
                self.free_keys(&keys, plan)?;
            }
            for decided in plan.jobs.iter_mut().filter(|it| turn(it) == now_turn) {
                answers.works()?;
                if let Err(mistake) = self.put_job(decided, &keys, now_ms)? {
                    return Ok(Err(mistake));
                }
            }
        }
        Ok(Ok(()))
    }

    /// The keys that jobs get which are there and have another one.
    fn keys(&mut self, plan: &Plan) -> Result<BTreeMap<u32, String>, Failure> {
        let mut keys = BTreeMap::new();
        for decided in &plan.jobs {
            let (Some(before), Some(_)) = (&decided.before, &decided.after) else { continue };
            if let Some(key) = self.key(decided)? {
                keys.insert(before.row.id, key);
            }
        }
        Ok(keys)
    }

    /// Jobs whose key another one is to get have one that nobody else has until then: they may
    /// change their commands with each other.
    fn free_keys(&mut self, keys: &BTreeMap<u32, String>, plan: &Plan) -> Result<(), Failure> {
        let wanted: BTreeSet<&str> = keys.values().map(String::as_str).collect();
        let before = plan.jobs.iter().filter_map(|it| it.before.as_ref());
        for before in before.filter(|it| keys.contains_key(&it.row.id)) {
            let (id, present) = (before.row.id, md5(&before.row.command));
            if wanted.contains(&*present) {
                let key = md5(&format!("{} {id}", self.ask.act.id));
                let sql = format!("UPDATE scheduler_jobs SET {KEY} = ? WHERE id = ?");
                self.desk.run(&sql, &[Field::Text(&key), Field::Number(id.into())])?;
            }
        }
        Ok(())
    }

    fn put_job(
        &mut self,
        decided: &mut Decided,
        keys: &BTreeMap<u32, String>,
        now_ms: i64,
    ) -> Put<()> {
        let id = decided.before.as_ref().map_or(JobId(0), |it| JobId(it.row.id));
        let Some(after) = decided.after.clone() else { return self.delete(id).map(Ok) };
        let called = match after.row.id {
            0 => after.row.name.clone(),
            id => format!("{id} {}", after.row.name),
        };
        let mistake = |column: &str, why: String| {
            Ok(Err(FileMistake { job: called.clone(), column: column.to_owned(), why }))
        };
        let md5 = match &decided.before {
            Some(before) => keys.get(&before.row.id).cloned(),
            None => self.key(decided)?,
        };
        match self.put_row(decided, &after, md5.as_deref(), now_ms) {
            Ok(made) => {
                let new = decided.after.as_mut().filter(|it| it.row.id == 0);
                new.into_iter().for_each(|it| it.row.id = made.unwrap_or(id).0);
                Ok(Ok(()))
            }
            Err(failure) if is_of_key(&failure) => match self.twin(id, md5.as_deref())? {
                Some(twin) => mistake("command", Refused::Duplicate(twin).told()),
                None => mistake("", failure.message),
            },
            Err(failure) if failure.kind == ErrorKind::Refused => mistake("", failure.message),
            Err(failure) => Err(failure),
        }
    }

    fn put_tag(&mut self, step: &Step<u32>, now: &str) -> Result<(), Failure> {
        let id = Field::Number(step.key.into());
        let mark = self.desk.mark();
        // Other groups may have it: it never goes.
        let Some(name) = &step.after else { return Ok(()) };
        if step.before.is_some() {
            let sql = format!("UPDATE scheduler_tags SET name = {mark} WHERE id = ?");
            return self.desk.run(&sql, &[Field::Text(name), id]).map(drop);
        }
        self.insert("scheduler_tags", &[("id", id), ("name", Field::Text(name))], now)
    }

    fn put_variable(&mut self, step: &Step<String>, now: &str) -> Result<(), Failure> {
        let server_id = Field::Number(self.ask.vars_server.into());
        let mark = self.desk.mark();
        let Step { key: name, before, after } = step;
        if before.is_none() {
            let value = after.as_deref().unwrap_or_default();
            let fields = [
                ("server_id", server_id),
                ("name", Field::Text(name)),
                ("value", Field::Text(value)),
            ];
            return self.insert("scheduler_vars", &fields, now);
        }
        // Servers compare names without case: the row is found by its id.
        let lock = self.desk.lock();
        let sql = format!("SELECT id, name, value FROM scheduler_vars WHERE server_id = ?{lock}");
        for cells in self.desk.query(&sql, &[server_id])? {
            let id = cells.first().cloned().map(text_of).and_then(|id| id.parse().ok());
            let is_it = matches!(rows::var(cells), Answer::Var { name: its, .. } if its == *name);
            let Some(id) = id.map(Field::Number).filter(|_| is_it) else { continue };
            match after {
                Some(value) => {
                    let sql = format!("UPDATE scheduler_vars SET value = {mark} WHERE id = ?");
                    self.desk.run(&sql, &[Field::Text(value), id])?;
                }
                None => drop(self.desk.run("DELETE FROM scheduler_vars WHERE id = ?", &[id])?),
            }
        }
        Ok(())
    }

    fn insert(&mut self, table: &str, fields: &[(&str, Field)], now: &str) -> Result<(), Failure> {
        let there = self.desk.columns(table)?;
        let is_there = |name: &&str| there.iter().any(|it| it.eq_ignore_ascii_case(name));
        let times = ["create_time", "update_time"].into_iter().filter(is_there);
        let times = times.map(|name| (name, Field::Text(now)));
        let (names, values): (Vec<&str>, Vec<Field>) = fields.iter().copied().chain(times).unzip();
        let marks: Vec<&str> = values.iter().map(|it| self.mark_of(it)).collect();
        let (names, marks) = (names.join(", "), marks.join(", "));
        let sql = format!("INSERT INTO {table} ({names}) VALUES ({marks})");
        self.desk.run(&sql, &values).map(drop)
    }

    /// Writes down what is done with each job, where there is a table for it, and says it.
    fn write_parts(&mut self, plan: &Plan, answers: &mut Answers) -> Result<(), Failure> {
        let act = |(number, decided): (u64, &Decided)| {
            let (before, after) = (decided.before.as_ref(), decided.after.as_ref());
            ActEntry {
                id: self.ask.act.id.part(number),
                action: verb(before, after).to_owned(),
                job: after.or(before).map(|it| JobId(it.row.id)),
                version: after.map(|it| it.version()),
                what: decided.what(),
                result: crate::core::journal::DONE.to_owned(),
                ..(*self.ask.act).clone()
            }
        };
        let acts: Vec<ActEntry> = (1..).zip(&plan.jobs).map(act).collect();
        let has_audit = self.has_audit()?;
        for acts in acts.chunks(ACTS_A_STATEMENT).filter(|_| has_audit) {
            self.write_acts_rows(acts)?;
        }
        acts.into_iter().try_for_each(|act| answers.send(&Answer::Act(Box::new(act))))
    }
}

fn done(plan: &Plan, before: Version, version: Version) -> Changed {
    let (version, before) = (Some(version), Some(before));
    let mark = Mark { id: JobId(0), version, before, of: Of::Job };
    Changed { what: summary(plan), ..Changed::to(mark) }
}

/// What a database refuses is a mistake of this part.
fn blamed(done: Result<(), Failure>, part: impl Fn() -> FileMistake) -> Put<()> {
    match done {
        Ok(()) => Ok(Ok(())),
        Err(failure) if failure.kind == ErrorKind::Refused => {
            Ok(Err(FileMistake { why: failure.message, ..part() }))
        }
        Err(failure) => Err(failure),
    }
}

/// What the database has made of what was written.
fn otherwise(expected: &Group, found: &Group) -> Mistakes {
    let mut all = Mistakes::default();
    for (id, expected) in &expected.jobs {
        let job = format!("{id} {}", expected.row.name);
        match found.jobs.get(id) {
            Some(found) if found == expected => {}
            Some(found) => all.extend(altered(expected, found).into_iter().map(|it| FileMistake {
                job: job.clone(),
                column: it.column,
                why: it.why,
            })),
            None => all.push(FileMistake { job, ..FileMistake::of("", GONE) }),
        }
    }
    if found.jobs.keys().any(|id| !expected.jobs.contains_key(id)) {
        all.push(FileMistake::of(
            "jobs",
            "the database has made rows of its own: is it a trigger?",
        ));
    }
    let differs = |part: &str, key: String| {
        FileMistake::of(format!("{part}.{key}"), "the database would keep another text: shorten it")
    };
    let names = expected.variables.keys().chain(found.variables.keys());
    let names = names.filter(|it| expected.variables.get(*it) != found.variables.get(*it));
    all.extend(names.map(|name| differs("variables", name.clone())));
    let ids = expected.tags.iter().filter(|(id, name)| found.tags.get(id) != Some(name));
    all.extend(ids.map(|(id, _)| differs("tags", id.to_string())));
    all
}

const GONE: &str = "the row that was written is not there: does a trigger take it away?";
