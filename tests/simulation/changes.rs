//! The fake database's side of changes: what somebody's change of a job, a variable or a group
//! comes to, by the core's own rules, and what the rows were at any time.

use super::cron::Expr;
use super::database::{Database, Row};
use schedule::core::apply::{self, Around, File, Group, Plan, Step, plan_all};
use schedule::core::change::words::{User, Word, WordContext, WordDecided};
use schedule::core::change::{
    Change, Context, Decided, Of, Refused, Stand, TableColumn, What, WordChange, decide, verb,
    words,
};
use schedule::core::columns::Column;
use schedule::core::ids::{JobId, RunId};
use schedule::core::journal::{ActEntry, DONE};
use schedule::core::protocol::{ChangeAsk, Mark};
use schedule::core::version::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// A row: of a job, or of a variable. That of job 0 is the whole group.
pub type Key = (Of, u32);

/// The fake database's memory of what its rows were.
#[derive(Default)]
pub struct Past {
    /// What each schedule means that somebody may write.
    pub exprs: BTreeMap<String, Expr>,
    /// Each row of a job that ever was, by its version.
    pub stands: BTreeMap<Version, Stand>,
    /// Each variable likewise.
    pub words: BTreeMap<Version, Word>,
    /// The versions of each row, in order; none: it was not there.
    pub log: Vec<(Key, Option<Version>)>,
    last: BTreeMap<Key, Version>,
    /// The changes that were done, by their numbers: where the log was, and what came of them. The
    /// mark of what was asked for is the first one.
    pub done: BTreeMap<u32, (usize, Vec<Mark>)>,
    /// The numbers of those who wanted a group to be as a file says.
    pub groups_of: BTreeSet<u32>,
    /// Those for which nothing was to be done, likewise: committed or not is all the same.
    pub idle: BTreeMap<u32, (usize, Vec<Mark>)>,
}

/// Who asks has an address of its own.
pub fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

fn number_of(ask: &ChangeAsk) -> u32 {
    number_of_act(&ask.act).expect("who came over the API")
}

/// Whose change it is; none: it is none of theirs.
pub fn number_of_act(act: &ActEntry) -> Option<u32> {
    let address = act.origin.strip_prefix("api ")?.parse::<Ipv4Addr>().ok()?;
    u32::from(address).checked_sub(0x0a00_0000).filter(|number| *number < 0x0100_0000)
}

pub fn stand_of(row: &Row) -> Stand {
    Stand { row: row.row.clone(), enabled: row.enabled }
}

/// All columns there are, each as wide as one likes.
fn columns() -> Vec<TableColumn> {
    let column = |it: &Column| TableColumn { name: it.name().into(), ..TableColumn::default() };
    Column::ALL.iter().map(column).collect()
}

/// Those of variables likewise.
fn word_columns() -> Vec<TableColumn> {
    let column = |it: &&str| TableColumn { name: (*it).into(), ..TableColumn::default() };
    Of::Var.columns().iter().map(column).collect()
}

/// The key of a variable's row, which is made from its name: nobody changes names here.
pub fn word_id(name: &str) -> u32 {
    match name.strip_prefix('V').and_then(|number| number.parse::<u32>().ok()) {
        Some(number) => 10 + number,
        None => 1,
    }
}

fn word(name: &str, value: &str) -> Word {
    Word { id: word_id(name), name: name.into(), value: value.into() }
}

/// What is to be written.
pub enum Work {
    Row(Box<Decided>),
    Word(WordDecided),
    Group(Plan),
    /// What was looked for is found, or nothing is to be written.
    Nothing,
}

impl Work {
    /// Whether the tables say something else afterwards.
    fn changes(&self) -> bool {
        match self {
            Work::Row(decided) => decided.changes(),
            Work::Word(decided) => decided.before != decided.after,
            Work::Group(plan) => {
                plan.jobs.iter().any(Decided::changes) || !plan.variables.is_empty()
            }
            Work::Nothing => false,
        }
    }

    /// What it changes, as it is written down.
    pub fn what(&self, mark: Mark) -> What {
        match self {
            Work::Row(decided) => decided.what(),
            Work::Word(decided) => decided.what(Of::Var, mark.id.0),
            Work::Group(plan) => apply::summary(plan),
            Work::Nothing => What::new(),
        }
    }

    /// What is said of each job of a group.
    pub fn parts(&self, ask: &ChangeAsk) -> Vec<ActEntry> {
        let Work::Group(plan) = self else { return Vec::new() };
        let part = |(number, decided): (u64, &Decided)| {
            let (before, after) = (decided.before.as_ref(), decided.after.as_ref());
            ActEntry {
                id: ask.act.id.part(number),
                action: verb(before, after).into(),
                job: after.or(before).map(|it| JobId(it.row.id)),
                version: after.map(Stand::version),
                what: decided.what(),
                result: DONE.into(),
                ..(*ask.act).clone()
            }
        };
        (1..).zip(&plan.jobs).map(part).collect()
    }

    /// The rows that it changes, of a group.
    fn marks(&self) -> Vec<Mark> {
        let Work::Group(plan) = self else { return Vec::new() };
        let job = |decided: &Decided| Mark {
            id: JobId(decided.after.as_ref().or(decided.before.as_ref()).expect("a row").row.id),
            version: decided.after.as_ref().map(Stand::version),
            before: decided.before.as_ref().map(Stand::version),
            of: Of::Job,
        };
        let variable = |Step { key, before, after }: &Step<String>| {
            let version = |it: &Option<String>| Some(word(key, it.as_ref()?).version(Of::Var));
            let (before, version) = (version(before), version(after));
            Mark { id: JobId(word_id(key)), version, before, of: Of::Var }
        };
        plan.jobs.iter().map(job).chain(plan.variables.iter().map(variable)).collect()
    }
}

impl Database {
    /// All that the group says.
    pub fn group(&self) -> Group {
        let jobs = self.now.rows.iter().map(|(id, row)| (*id, stand_of(row))).collect();
        Group { jobs, variables: self.now.vars.clone(), ..Group::default() }
    }

    /// Takes note of what the rows are now.
    pub fn note(&mut self) {
        let group = self.group();
        let past = &mut self.past;
        let mut now = BTreeMap::from([((Of::Job, 0), group.version())]);
        for (id, stand) in group.jobs {
            let version = stand.version();
            let known = past.stands.entry(version).or_insert_with(|| stand.clone());
            assert_eq!(*known, stand, "two rows have the version {version}");
            now.insert((Of::Job, id), version);
        }
        for (name, value) in &group.variables {
            let word = word(name, value);
            let version = word.version(Of::Var);
            now.insert((Of::Var, word.id), version);
            past.words.insert(version, word);
        }
        for (key, version) in &now {
            if past.last.get(key) != Some(version) {
                past.log.push((*key, Some(*version)));
            }
        }
        let gone = past.last.keys().filter(|key| !now.contains_key(key));
        past.log.extend(gone.map(|key| (*key, None)).collect::<Vec<_>>());
        past.last = now;
    }

    /// What a row is now.
    fn version_of(&self, of: Of, id: JobId) -> Option<Version> {
        match (of, id) {
            (Of::Job, JobId(0)) => Some(self.group().version()),
            (Of::Job, id) => self.now.rows.get(&id.0).map(|row| stand_of(row).version()),
            (Of::Var | Of::Tag, id) => self.word(id.0).map(|word| word.version(of)),
        }
    }

    fn word(&self, id: u32) -> Option<Word> {
        let found = self.now.vars.iter().find(|(name, _)| word_id(name) == id);
        found.map(|(name, value)| word(name, value))
    }

    /// What a change would come to.
    pub fn decide(&mut self, ask: &ChangeAsk, named: usize) -> Result<(Work, Mark), Refused> {
        self.note();
        if ask.find.is_some() {
            return self.find(ask, named).map(|mark| (Work::Nothing, mark));
        }
        let (work, mark) = match &ask.change {
            Change::Word(change) => self.decide_word(change)?,
            Change::Apply { file, prune, expected, .. } => {
                self.decide_group(file, *prune, *expected)?
            }
            Change::Create { .. }
            | Change::Edit { .. }
            | Change::Delete { .. }
            | Change::Pause { .. }
            | Change::Switch { .. } => self.decide_row(&ask.change)?,
        };
        if !work.changes() {
            self.past.idle.insert(number_of(ask), (self.past.log.len(), vec![mark]));
        }
        Ok((work, mark))
    }

    /// What became of a change whose answer was lost.
    fn find(&self, ask: &ChangeAsk, named: usize) -> Result<Mark, Refused> {
        let (of, before) = (ask.change.of(), None);
        let mark = ask.find.and_then(|find| find.mark);
        match self.act(ask.act.id, named) {
            Some(act) if act.is_done() => {
                let ids = || act.what.get("id")?.as_array()?.iter().find_map(|it| it.as_u64());
                let id = match of {
                    Of::Job => act.job.unwrap_or(JobId(0)),
                    Of::Var | Of::Tag => JobId(ids().expect("the key of a row") as u32),
                };
                Ok(Mark { id, version: act.version, before, of })
            }
            _ if self.has_audit => Err(Refused::NotDone),
            _ => {
                let mark = mark.ok_or(Refused::NobodyKnows)?;
                match self.version_of(of, mark.id) {
                    now if now == mark.version => Ok(Mark { before, ..mark }),
                    now if now == mark.before => Err(Refused::NotDone),
                    _ => Err(Refused::NobodyKnows),
                }
            }
        }
    }

    fn decide_row(&mut self, change: &Change) -> Result<(Work, Mark), Refused> {
        let current = change.id().and_then(|id| self.now.rows.get(&id.0)).map(stand_of);
        let vars = self.now.vars.clone();
        let context = Context { vars, ..Context::default() };
        let mut decided = decide(current.clone(), change, (1, &columns()), &context)?;
        if let Some(expected) = change.expected() {
            let seen = self.past.stands.get(&expected);
            assert_eq!(seen, current.as_ref(), "what is replaced is not what was seen");
        }
        let id = change.id().map_or_else(|| self.new_id(), |id| id.0);
        decided.after.iter_mut().for_each(|after| after.row.id = id);
        let version = decided.after.as_ref().map(Stand::version);
        let before = decided.before.as_ref().map(Stand::version);
        let mark = Mark { id: JobId(id), version, before, of: Of::Job };
        Ok((Work::Row(Box::new(decided)), mark))
    }

    fn new_id(&self) -> u32 {
        self.now.rows.keys().last().map_or(1, |id| id + 1)
    }

    /// Jobs that may use variables.
    fn users(&self) -> Vec<User> {
        let rows = self.now.rows.values().map(|it| &it.row);
        let user = |row: &schedule::core::columns::JobRow| User {
            id: row.id,
            name: row.name.clone(),
            server_id: 1,
            command: row.command.clone(),
        };
        rows.filter(|row| row.command.contains('{')).map(user).collect()
    }

    fn decide_word(&mut self, change: &WordChange) -> Result<(Work, Mark), Refused> {
        let current = change.id.and_then(|id| self.word(id));
        let name = change.name().filter(|name| current.as_ref().is_none_or(|it| it.name != *name));
        let twin = name.filter(|name| self.now.vars.contains_key(*name)).map(word_id);
        let (users, vars) = (self.users(), self.now.vars.clone());
        let context = WordContext { twin, users, vars };
        let mut decided = words::decide(current.clone(), change, &word_columns(), &context)?;
        if let Some(expected) = change.expected {
            let seen = self.past.words.get(&expected);
            assert_eq!(seen, current.as_ref(), "what is replaced is not what was seen");
        }
        decided.after.iter_mut().for_each(|after| after.id = word_id(&after.name));
        let version = |it: &Option<Word>| it.as_ref().map(|it| it.version(Of::Var));
        let (version, before) = (version(&decided.after), version(&decided.before));
        let id = decided.after.as_ref().or(decided.before.as_ref()).expect("a row").id;
        Ok((Work::Word(decided), Mark { id: JobId(id), version, before, of: Of::Var }))
    }

    fn decide_group(
        &mut self,
        file: &str,
        prune: bool,
        expected: Option<Version>,
    ) -> Result<(Work, Mark), Refused> {
        let group = self.group();
        let before = group.version();
        if expected.is_some_and(|expected| expected != before) {
            return Err(Refused::GroupChanged(before));
        }
        let file = File::read(file).map_err(|all| Refused::File(all.told()))?;
        let around = Around {
            server_id: 1,
            table: columns(),
            of_variables: word_columns(),
            last_id: self.now.rows.keys().last().copied(),
            users: self.users(),
            ..Around::default()
        };
        let planned = plan_all((&group, &file), prune, around);
        let mut plan = planned.map_err(|all| Refused::File(all.told()))?;
        let mut id = self.new_id();
        let new = plan.jobs.iter_mut().filter_map(|it| it.after.as_mut());
        for after in new.filter(|after| after.row.id == 0) {
            (after.row.id, id) = (id, id + 1);
        }
        let version = Some(plan.result(&group).version());
        let mark = Mark { id: JobId(0), version, before: Some(before), of: Of::Job };
        Ok((Work::Group(plan), mark))
    }

    fn act(&self, id: RunId, named: usize) -> Option<&ActEntry> {
        self.records[named].acts.iter().find(|act| act.id == id)
    }

    /// A helper, or the journal, says what somebody did: what came first stays. Both say the same.
    pub fn record_act(&mut self, named: usize, act: &ActEntry) {
        if !self.has_audit {
            return;
        }
        let Some(known) = self.act(act.id, named) else {
            let past = &self.past;
            let made = |it| past.done.contains_key(&it) || past.idle.contains_key(&it);
            let done = number_of_act(act).is_none_or(made);
            assert!(!act.is_done() || done, "{act:?}: it was not done");
            return self.records[named].acts.push(act.clone());
        };
        assert_eq!(known.is_done(), act.is_done(), "{known:?} is told otherwise: {act:?}");
        assert_eq!((known.job, known.version), (act.job, act.version), "{known:?}: {act:?}");
    }

    /// What was looked for and not found never is: the row that says so keeps others out.
    pub fn was_not_done(&mut self, ask: &ChangeAsk, named: usize) {
        if self.has_audit && self.act(ask.act.id, named).is_none() {
            let act = ActEntry { result: "not done".into(), ..(*ask.act).clone() };
            self.records[named].acts.push(act);
        }
    }

    /// A change is committed, and with it who made it: all of it at once.
    pub fn commit_change(&mut self, ask: &ChangeAsk, (work, mark): (&Work, Mark), named: usize) {
        if ask.find.is_some() || ask.change.is_dry_run() {
            return;
        }
        if self.has_audit {
            let known = self.act(ask.act.id, named);
            assert_eq!(known, None, "a change is asked for once");
            let act = ActEntry {
                job: mark.job().filter(|id| *id != JobId(0)),
                version: mark.version,
                what: work.what(mark),
                result: DONE.into(),
                ..(*ask.act).clone()
            };
            self.records[named].acts.extend([act].into_iter().chain(work.parts(ask)));
        }
        if !work.changes() {
            return;
        }
        let number = number_of(ask);
        match work {
            Work::Row(decided) => self.put(decided, mark.id.0),
            Work::Word(WordDecided { before, after }) => {
                before.iter().for_each(|it| drop(self.now.vars.remove(&it.name)));
                let new = after.iter().map(|it| (it.name.clone(), it.value.clone()));
                self.now.vars.extend(new);
            }
            Work::Group(plan) => {
                self.now.vars = plan.result(&self.group()).variables;
                for decided in &plan.jobs {
                    let row = decided.after.as_ref().or(decided.before.as_ref());
                    self.put(decided, row.expect("a row").row.id);
                }
                self.check_group(ask, plan);
            }
            Work::Nothing => {}
        }
        self.forget_answer();
        self.note();
        let at = self.past.log.len();
        let marks = [mark].into_iter().chain(work.marks()).collect();
        let again = self.past.done.insert(number, (at, marks));
        assert_eq!(again, None, "change {number} is done twice");
    }

    /// A group is as the file says: read here by other means than the core's.
    fn check_group(&self, ask: &ChangeAsk, plan: &Plan) {
        let Change::Apply { file, prune, .. } = &ask.change else { panic!("no file: {ask:?}") };
        let file: serde_json::Value = serde_json::from_str(file).expect("a file");
        let jobs = file["jobs"].as_array().expect("jobs");
        let named: BTreeMap<u64, _> =
            jobs.iter().filter_map(|job| Some((job["id"].as_u64()?, job))).collect();
        for (id, job) in &named {
            let row = self.now.rows.get(&(*id as u32)).map(|it| (&*it.row.name, &*it.row.cron));
            let says = job["name"].as_str().zip(job["cron"].as_str());
            assert_eq!(row, says, "job {id} is not as the file says");
        }
        let gone = plan.jobs.iter().filter(|it| it.after.is_none());
        let wrong = gone
            .filter_map(|it| it.before.as_ref())
            .find(|before| !prune || named.contains_key(&u64::from(before.row.id)));
        assert_eq!(wrong, None, "it goes, and the file says nothing of that");
    }

    /// Writes the row of a job.
    fn put(&mut self, decided: &Decided, id: u32) {
        let Some(after) = &decided.after else {
            self.now.rows.remove(&id);
            return;
        };
        let known = self.now.rows.get(&id).filter(|it| it.row.cron == after.row.cron);
        let written = || self.past.exprs[&after.row.cron].clone();
        let expr = known.map_or_else(written, |row| row.expr.clone());
        let zone = self.zones.iter().position(|name| *name == after.row.timezone);
        let zone = zone.expect("a zone of this world");
        let (row, enabled) = (after.row.clone(), after.enabled);
        self.now.rows.insert(id, Row { row, expr, zone, enabled });
    }

    /// What the daemon may know of the rows of a change that was done: what they were then, or
    /// later.
    pub fn since(&self, number: u32) -> Option<Vec<(Mark, BTreeSet<Option<Version>>)>> {
        let idle = || self.past.idle.get(&number);
        let (at, marks) = self.past.done.get(&number).or_else(idle)?;
        let versions = |mark: &Mark| {
            let later = self.past.log[*at..].iter();
            let its = later.filter(|(key, _)| *key == (mark.of, mark.id.0));
            (*mark, its.map(|(_, version)| *version).chain([mark.version]).collect())
        };
        Some(marks.iter().map(versions).collect())
    }
}
