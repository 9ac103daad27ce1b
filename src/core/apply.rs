//! A group is made to be as a file says: an export, as it came or as somebody has changed it.
//!
//! Nothing is done here. A helper reads the group, asks this what is to be done, and does all of it
//! in one transaction. Each job of the file is judged by the rules by which one change is, before
//! anything is written, and all that is wrong is told at once.

mod file;
mod mistakes;
mod report;
mod variables;

pub use file::{File, FileJob};
pub use mistakes::{FileMistake, Mistakes};
pub use report::{MAX_REPORT_BYTES, report, summary};

use crate::core::change::words::User;
use crate::core::change::{
    Change, Context, Decided, Mistake, Of, Planned, Refused, Stand, TableColumn, judge, plan,
};
use crate::core::definition::Vars;
use crate::core::ids::JobId;
use crate::core::rules;
use crate::core::version::Version;
use std::collections::{BTreeMap, BTreeSet};

/// Tags by id.
pub type Tags = BTreeMap<u32, String>;

/// All that a group says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its jobs, by id.
    pub jobs: BTreeMap<u32, Stand>,
    /// What keeps rows from being jobs, or would if they were in force.
    pub bad: BTreeMap<u32, Mistake>,
    /// The variables.
    pub variables: Vars,
    /// Their names by the ids of their rows.
    pub variable_ids: BTreeMap<u32, String>,
    /// The tags, of all groups.
    pub tags: Tags,
}

impl Group {
    /// What stands for all that it says.
    pub fn version(&self) -> Version {
        let jobs = self.jobs.values().map(|stand| ("job".to_owned(), stand.version().to_string()));
        let variables =
            self.variables.iter().map(|(name, value)| (format!("={name}"), value.clone()));
        let tags = self.tags.iter().map(|(id, name)| (id.to_string(), name.clone()));
        Version::of_all(jobs.chain(variables).chain(tags))
    }
}

/// What is around a group and has a say in what becomes of it.
#[derive(Debug, Default)]
pub struct Around {
    /// The group's id.
    pub server_id: u32,
    /// The columns of the table of jobs.
    pub table: Vec<TableColumn>,
    /// Those of variables.
    pub of_variables: Vec<TableColumn>,
    /// Those of tags.
    pub of_tags: Vec<TableColumn>,
    /// Ids of the file that are of jobs of other groups, and those.
    pub elsewhere: BTreeMap<u32, u32>,
    /// The greatest id of a job of any group; none: there is no job at all.
    pub last_id: Option<u32>,
    /// Jobs of all groups whose commands may have placeholders; they are not asked for where no
    /// variable comes, goes or changes.
    pub users: Vec<User>,
    /// Dialect, time and files; the rest is found out here.
    pub context: Context,
}

/// What becomes of a tag or a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<K> {
    /// Which.
    pub key: K,
    /// What it was; none: there was none.
    pub before: Option<String>,
    /// What it is to be; none: it goes.
    pub after: Option<String>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// With tags.
    pub tags: Vec<Step<u32>>,
    /// With variables.
    pub variables: Vec<Step<String>>,
    /// With jobs: those that change, in the order of the file, and those that go behind them. One
    /// that is new and has no id yet has the id 0.
    pub jobs: Vec<Decided>,
    /// What is probably a mistake.
    pub warnings: Vec<FileMistake>,
    /// So many jobs of the file are in the group as it says.
    pub unchanged: usize,
    /// So many jobs and variables the file lacks, and they stay.
    pub left: usize,
}

/// What is to be done so that a group is as a file says. What the file lacks goes only with
/// `prune`; tags never do, for other groups may have them. Variables are those of the machine:
/// jobs that the file does not make keep what they use.
///
/// # Errors
/// All that is wrong with it.
pub fn plan_all(
    (group, file): (&Group, &File),
    prune: bool,
    around: Around,
) -> Result<Plan, Mistakes> {
    let mut plan = Plan::default();
    let mut mistakes = Mistakes::default();
    let (tags, _) = steps(&group.tags, file.tags.as_ref(), false);
    let (variables, left) = variable_steps(group, file, prune);
    (plan.tags, plan.variables, plan.left) = (tags, variables, left);
    let last_tag = group.tags.last_key_value().map(|(id, _)| *id);
    variables::check(&plan, (&around, most_id(last_tag)), &mut mistakes);
    let named: BTreeSet<u32> = file.jobs.iter().filter_map(|job| job.id).collect();
    let lacks = |id: &u32| !named.contains(id) && !file.left_out.contains(&(Of::Job, *id));
    let is_made = |id: &u32| named.contains(id) || (prune && lacks(id));
    let stays = |user: &&User| user.server_id != around.server_id || !is_made(&user.id);
    let users: Vec<&User> = around.users.iter().filter(stays).collect();
    let vars = after(&group.variables, &plan.variables);
    variables::judge(&mut plan, &users, (&group.variables, &vars), &mut mistakes);
    let planned = plan_jobs((group, file), &around, &mut mistakes);
    let all_tags = Some(after(&group.tags, &plan.tags));
    let mut context = Context { vars, tags: all_tags, ..around.context };
    let (gone, stay): (Vec<&Stand>, Vec<&Stand>) =
        group.jobs.values().filter(|it| lacks(&it.row.id)).partition(|_| prune);
    plan.left += stay.len();
    let kept = group.jobs.values().filter(|it| !named.contains(&it.row.id));
    let kept = kept.filter(|it| !prune || !lacks(&it.row.id));
    let starts =
        Starts::of(planned.iter().filter_map(|(job, it)| Some((job.id, it.stand()?))), kept);
    for (job, one) in planned {
        let others = one.stand().map(|stand| starts.others(job.id, stand)).unwrap_or_default();
        context.others = others;
        judge_job((group, job), one, &context, (&mut plan, &mut mistakes));
    }
    let goes = |stand: &Stand| Decided {
        before: Some(stand.clone()),
        after: None,
        columns: Vec::new(),
        warnings: Vec::new(),
        note: String::new(),
    };
    plan.jobs.extend(gone.into_iter().map(goes));
    if mistakes.is_empty() { Ok(plan) } else { Err(mistakes) }
}

/// What is to be done with variables, and how many stay that the file lacks.
pub fn variable_steps(group: &Group, file: &File, prune: bool) -> (Vec<Step<String>>, usize) {
    let (mut steps, left) = steps(&group.variables, file.variables.as_ref(), prune);
    // A row that was none when the file was written may be one now.
    let is_left_out = |(id, _): &(&u32, &String)| file.left_out.contains(&(Of::Var, **id));
    let stay: BTreeSet<&String> =
        group.variable_ids.iter().filter(is_left_out).map(|(_, name)| name).collect();
    steps.retain(|step| step.after.is_some() || !stay.contains(&step.key));
    (steps, left)
}

/// What the jobs of a file come to.
fn plan_jobs<'a>(
    (group, file): (&Group, &'a File),
    around: &Around,
    mistakes: &mut Mistakes,
) -> Vec<(&'a FileJob, Planned)> {
    let mut planned = Vec::new();
    for job in &file.jobs {
        let mut mistake = |column: &str, why: String| {
            let column = column.to_owned();
            mistakes.push(FileMistake { job: job.called(), column, why });
        };
        if let Some(why) = job.id.and_then(|id| no_id(id, group, around)) {
            mistake("id", why);
            continue;
        }
        match plan_job(group, job, (around.server_id, &around.table)) {
            Ok(one) => planned.push((job, one)),
            Err(refused) => mistake("", refused.told()),
        }
    }
    planned
}

/// Why a job can't have this id; none if it can.
fn no_id(id: u32, group: &Group, around: &Around) -> Option<String> {
    const HINT: &str = "leave `id` out for a new one";
    if let Some(other) = around.elsewhere.get(&id) {
        return Some(format!("it is the id of a job of group {other}: {HINT}"));
    }
    if group.jobs.contains_key(&id) {
        return None;
    }
    let most = most_id(around.last_id);
    (id > most)
        .then(|| format!("{id} is too far from the ids that there are, {most} at most: {HINT}"))
}

/// The greatest id that a file can give to a new job, or tag, where this is the greatest one that
/// there is. The next new one gets the id behind the greatest: there must be ids left.
fn most_id(last: Option<u32>) -> u32 {
    last.map_or(MAX_NEW_ID, |last| last.saturating_add(MAX_ID_GAP)).min(MAX_NEW_ID)
}

/// The greatest id that a file can give to what is new.
const MAX_NEW_ID: u32 = i32::MAX.cast_unsigned();

/// So far from the greatest id there is a new one may be.
const MAX_ID_GAP: u32 = 1_000_000;

/// What a job of a file comes to: what the file does not say of it is as by default.
fn plan_job(
    group: &Group,
    job: &FileJob,
    (server_id, table): (u32, &[TableColumn]),
) -> Result<Planned, Refused> {
    let current = job.id.and_then(|id| group.jobs.get(&id)).cloned();
    let columns = job.whole();
    let change = match &current {
        Some(stand) => Change::Edit { id: JobId(stand.row.id), columns, expected: None },
        None => Change::Create { columns },
    };
    plan(current, &change, server_id, table)
}

fn judge_job(
    (group, job): (&Group, &FileJob),
    planned: Planned,
    context: &Context,
    (plan, mistakes): (&mut Plan, &mut Mistakes),
) {
    let called = job.called();
    let told = |all: Vec<Mistake>| -> Vec<FileMistake> {
        all.into_iter().map(|it| FileMistake::of_job(&called, it)).collect()
    };
    let mut decided = match judge(planned, context) {
        Ok(decided) => decided,
        Err(Refused::Mistakes(all)) => return mistakes.extend(told(all)),
        Err(refused) => {
            return mistakes.push(FileMistake {
                job: called,
                column: String::new(),
                why: refused.told(),
            });
        }
    };
    if let Some(after) = &mut decided.after {
        match &decided.before {
            None => after.row.id = job.id.unwrap_or_default(),
            Some(before) => {
                let differs = |it: &_| before.row.value(*it) != after.row.value(*it);
                decided.columns.retain(differs);
            }
        }
    }
    // What is written may be what is bad.
    let stays = |it: &&Mistake| !decided.columns.iter().any(|column| column.name() == it.column);
    if let Some(mistake) = bad(&decided, group).filter(stays) {
        return mistakes.push(FileMistake::of_job(&called, mistake.clone()));
    }
    if decided.changes() {
        plan.warnings.extend(told(std::mem::take(&mut decided.warnings)));
        return plan.jobs.push(decided);
    }
    plan.unchanged += 1;
    let Some(after) = &decided.after else { return };
    // Its row stays, and what a variable says in it may be otherwise.
    if !plan.variables.is_empty() && rules::command(&after.row, &group.variables).is_empty() {
        let found = rules::command(&after.row, &context.vars).into_iter();
        let found = found.map(|it| Mistake::of(it.column, it.text)).collect();
        mistakes.extend(told(found));
    }
}

/// What is to be done with texts by key, and how many stay that the file lacks.
fn steps<K: Ord + Clone>(
    present: &BTreeMap<K, String>,
    wanted: Option<&BTreeMap<K, String>>,
    prune: bool,
) -> (Vec<Step<K>>, usize) {
    // A file without this part says nothing of it.
    let Some(wanted) = wanted else { return (Vec::new(), 0) };
    let step = |(key, value): (&K, &String)| {
        let before = present.get(key).cloned();
        let after = Some(value.clone());
        (before != after).then(|| Step { key: key.clone(), before, after })
    };
    let mut steps: Vec<Step<K>> = wanted.iter().filter_map(step).collect();
    let lacking: Vec<_> = present.iter().filter(|(key, _)| !wanted.contains_key(key)).collect();
    if !prune {
        return (steps, lacking.len());
    }
    steps.extend(lacking.into_iter().map(|(key, value)| Step {
        key: key.clone(),
        before: Some(value.clone()),
        after: None,
    }));
    (steps, 0)
}

/// Texts by key as they are when this is done.
pub fn after<K: Ord + Clone>(
    present: &BTreeMap<K, String>,
    steps: &[Step<K>],
) -> BTreeMap<K, String> {
    let mut all = present.clone();
    for Step { key, after, .. } in steps {
        match after {
            Some(value) => drop(all.insert(key.clone(), value.clone())),
            None => drop(all.remove(key)),
        }
    }
    all
}

impl Plan {
    /// The group when this is done, once each new job has its id.
    pub fn result(&self, group: &Group) -> Group {
        let mut jobs = group.jobs.clone();
        for Decided { before, after, .. } in &self.jobs {
            before.iter().for_each(|it| drop(jobs.remove(&it.row.id)));
            after.iter().for_each(|it| drop(jobs.insert(it.row.id, it.clone())));
        }
        let variables = after(&group.variables, &self.variables);
        let tags = after(&group.tags, &self.tags);
        Group { jobs, variables, tags, ..Group::default() }
    }
}

impl Plan {
    /// The jobs that it puts in force, and that are none in the group as it was found then: what
    /// the file does not change of a row may be no good.
    pub fn bad(&self, found: &Group) -> Vec<FileMistake> {
        let mut all = Vec::new();
        for decided in &self.jobs {
            let Some(mistake) = bad(decided, found) else { continue };
            let row = decided.after.as_ref().map(|after| &after.row);
            let job = row.map_or_else(String::new, |row| format!("{} {}", row.id, row.name));
            all.push(FileMistake::of_job(&job, mistake.clone()));
        }
        all
    }
}

/// Why a job that is put in force is none in a group.
fn bad<'a>(Decided { before, after, .. }: &Decided, group: &'a Group) -> Option<&'a Mistake> {
    let after = after.as_ref().filter(|it| it.enabled)?;
    let comes = !before.as_ref().is_some_and(|it| it.enabled);
    group.bad.get(&after.row.id).filter(|_| comes)
}

/// Which jobs will be in force, by command.
struct Starts(BTreeMap<String, Vec<(u32, String, String)>>);

impl Starts {
    fn of<'a>(
        of_file: impl Iterator<Item = (Option<u32>, &'a Stand)>,
        kept: impl Iterator<Item = &'a Stand>,
    ) -> Starts {
        let mut all = Starts(BTreeMap::new());
        let kept = kept.map(|stand| (Some(stand.row.id), stand));
        for (id, Stand { row, enabled }) in of_file.chain(kept) {
            // What has no id yet can't be named.
            if let Some(id) = id.filter(|_| *enabled) {
                let start = (id, row.cron.clone(), row.timezone.clone());
                all.0.entry(row.command.clone()).or_default().push(start);
            }
        }
        all
    }

    /// The others with the command of this one.
    fn others(&self, id: Option<u32>, stand: &Stand) -> Vec<(u32, String, String)> {
        let all = self.0.get(&stand.row.command).into_iter().flatten();
        all.filter(|(other, ..)| Some(*other) != id).take(MAX_OTHERS).cloned().collect()
    }
}

/// So many jobs with the same command are compared with each of them.
const MAX_OTHERS: usize = 100;
