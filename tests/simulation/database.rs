//! A fake database: rows that somebody edits, and the records that helpers carry there.

use super::changes::{Past, word_id};
use super::cron::Expr;
use super::disk::Disk;

use super::profile::Profile;
use super::random::Random;
use schedule::core::cron::Zone;
use schedule::core::database::ErrorKind;
use schedule::core::homes::{Homes, mark};
use schedule::core::ids::RunId;
use schedule::core::journal::{ActEntry, Entry, SkipEntry, Stand, TableEntry};
use schedule::core::outcome::Outcome;
use schedule::core::protocol::{Answer, JobRow, Record, RunRecord, SetAside, Statement};
use schedule::core::records::{news, record};
use schedule::core::refused::{Change, Refused};
use schedule::core::settle::{self, MAX_UNPROVEN, Refusal, Settling, Taken};
use std::collections::{BTreeMap, BTreeSet};

/// A row of `scheduler_jobs`, and what its schedule means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub row: JobRow,
    pub expr: Expr,
    /// Which zone: 0 = the configured one.
    pub zone: usize,
    pub enabled: bool,
}

/// What an exchange reads: the rows that count and the variables.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub rows: BTreeMap<u32, Row>,
    pub vars: BTreeMap<String, String>,
    /// Ids of tags.
    pub tags: Vec<u32>,
}

/// Paths of the databases that a configuration may name. The second one is a copy of the first that
/// somebody tries something out on: it has the same jobs at any time, and records of its own.
pub const PATHS: [&str; 2] = ["jobs", "copy"];

/// What stands in the journal for a database.
pub fn home(named: usize) -> u32 {
    mark(&format!("sqlite {}", PATHS[named]))
}

/// What a database was told of runs.
#[derive(Default)]
pub struct Records {
    /// Runs by key; with an outcome once they have ended.
    pub runs: BTreeMap<RunId, Option<Outcome>>,
    pub skips: BTreeMap<(u32, i64), SkipEntry>,
    /// What somebody did, in the order in which it came here.
    pub acts: Vec<ActEntry>,
    /// The rows of runs.
    pub rows: BTreeMap<RunId, RunRecord>,
}

/// The tables.
#[derive(Default)]
pub struct Database {
    pub now: Rows,
    pub records: [Records; 2],
    /// Which one the helper that was asked last has to do with.
    named: usize,
    /// Everything before this offset of the log was committed, or set aside.
    pub through: u64,
    /// Jobs whose records are refused for themselves.
    pub refuses: BTreeSet<u32>,
    /// By an error that may as well be the database's.
    is_unsure: bool,
    /// By such an error every run is refused, or what of them one statement writes.
    refuses_all: Option<Option<Statement>>,
    /// Milliseconds that a write takes, and each record of it.
    slow: (u64, u64),
    /// So many helpers one after the other took longer than they have.
    late: u32,
    /// Runs whose ends the journal has lost: it may tell another.
    pub end_twice: BTreeSet<RunId>,
    /// That of the daemon.
    pub zone: Option<Zone>,
    /// What stands in a row for each zone.
    pub zones: Vec<String>,
    /// What the rows were, where somebody changes them over the API.
    pub past: Past,
    /// Whether there is the table of acts.
    pub has_audit: bool,
    /// The answer to a sync, until somebody changes something.
    unchanged: Option<(Vec<Vec<u8>>, String)>,
}

/// A helper has this long, ms.
pub const DEADLINE_MS: u64 = 30_000;

/// What a helper is asked to carry.
pub struct Asked {
    pub range: (u64, u64),
    pub max_bytes: usize,
    pub retry: bool,
    pub believe: bool,
    pub pace: u32,
    /// Any number.
    pub any: usize,
    pub taken: Vec<Statement>,
    /// Which database the question names, and which records it is to have.
    pub named: usize,
    pub homes: Homes,
    /// What is known to be set aside.
    pub known: Stand,
}

/// What it did.
#[derive(Default)]
pub struct Done {
    pub through: u64,
    pub aside: SetAside,
    pub unkept: String,
    pub pace: u32,
    pub again: bool,
    pub taken: Vec<Statement>,
    pub found: Option<Vec<(u64, u64)>>,
}

/// A write was refused.
struct Refuses(ErrorKind, Statement);

impl Refusal for Refuses {
    fn kind(&self) -> ErrorKind {
        self.0
    }

    fn statement(&self) -> Option<Statement> {
        Some(self.1)
    }

    fn why(&self) -> &str {
        self.1.label()
    }

    fn told_as(self, _: &str) -> Self {
        self
    }
}

/// The tables as a helper has them before it.
struct Desk<'a> {
    database: &'a mut Database,
    spent_ms: u64,
    room: usize,
}

impl settle::Desk for Desk<'_> {
    type Failure = Refuses;

    /// Writes all of it or nothing.
    fn write(&mut self, entries: &[Entry<'_>], _: bool) -> Result<Taken, Refuses> {
        let (of_each, of_all) = (self.database.slow.1, self.database.slow.0);
        self.spent_ms += of_all + of_each * entries.len() as u64;
        let mut taken = Taken::new();
        for entry in entries {
            let Some(statement) = self.database.statement(entry) else { continue };
            if let Some(kind) = self.database.refusal(entry, statement) {
                return Err(Refuses(kind, statement));
            }
            taken.insert(statement);
        }
        entries.iter().for_each(|entry| self.database.take(entry));
        Ok(taken)
    }

    fn spent_ms(&self) -> u64 {
        self.spent_ms
    }

    fn room(&mut self) -> usize {
        self.room
    }
}

impl Rows {
    fn lines(&self) -> Vec<Vec<u8>> {
        let var = |(name, value): (&String, &String)| Answer::Var {
            id: word_id(name),
            name: name.clone(),
            value: value.clone(),
        };
        let answer = |row: &Row| match row.enabled {
            true => Answer::Job(Box::new(row.row.clone())),
            false => Answer::Disabled(Box::new(row.row.clone())),
        };
        let tag = |id| Answer::Tag { id, name: format!("tag {id}") };
        let jobs = self.rows.values().map(answer);
        let tags = self.tags.iter().map(|id| tag(*id));
        let answers = self.vars.iter().map(var).chain(tags).chain(jobs);
        answers.map(|answer| serde_json::to_vec(&answer).unwrap()).collect()
    }

    /// What stands in the journal for the digest of the answer that tells them.
    pub fn digest(&self) -> String {
        TableEntry::mark(&digest(&self.lines()))
    }
}

/// How many runs are refused.
fn runs(refused: &Refused<'_>, homes: &Homes) -> u64 {
    let is = |entry: &&Entry<'_>| matches!(entry, Entry::Run(_)) && homes.has(entry);
    refused.entries().iter().filter(is).count() as u64
}

/// FNV-1a over the lines.
fn digest(lines: &[Vec<u8>]) -> String {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", lines.iter().flatten().fold(0xcbf2_9ce4_8422_2325, mix))
}

impl Database {
    /// The whole answer to a sync, and its digest.
    pub fn answer(&mut self) -> (Vec<Vec<u8>>, String) {
        if let Some(answer) = &self.unchanged {
            return answer.clone();
        }
        let mut lines = self.now.lines();
        let digest = digest(&lines);
        let end = Answer::End { digest: digest.clone(), rows: lines.len() as u64 };
        lines.push(serde_json::to_vec(&end).unwrap());
        self.unchanged = Some((lines.clone(), digest.clone()));
        (lines, digest)
    }

    /// Carries records as the helper does, by the core's own rules. `keeps`: it lives until what
    /// is refused was set aside. Returns how long it took as well.
    ///
    /// # Errors
    /// All is refused: nothing counts.
    pub fn commit(
        &mut self,
        disk: &mut Disk,
        asked: Asked,
        keeps: bool,
    ) -> (u64, Result<Done, ()>) {
        let (read, mut through) = disk.read_range(asked.range.0, asked.range.1, asked.max_bytes);
        self.named = asked.named;
        let homes = &asked.homes;
        let (found, others): (Vec<_>, Vec<_>) =
            news(&read.lines).into_iter().partition(|entry| homes.has(entry));
        let others: Vec<_> = others.iter().filter_map(settle::owned).collect();
        let before = disk.refused.clone();
        let mut refused = Refused::known_as(asked.known, &before);
        let mut settling = Settling::new(&found, asked.any, asked.pace);
        settling.known(&asked.taken);
        if asked.believe {
            settling.believe(found.len() as u64, refused.told(homes).tried());
        }
        let room = refused.room();
        let mut desk = Desk { database: self, spent_ms: 0, room };
        let carried = settling.carry(&mut desk);
        let spent_ms = desk.spent_ms;
        desk.database.took(spent_ms, asked.pace);
        let done = match carried {
            Ok(done) => done,
            Err(Refuses(_, statement)) => {
                self.check_none_is_taken(&found, statement, spent_ms);
                return (spent_ms, Err(()));
            }
        };
        assert!(done > 0 || found.is_empty(), "an exchange makes no progress");
        if done < found.len() {
            through = read.before(&found[done..]).expect("lines");
            assert!(through > asked.range.0, "an exchange makes no progress");
        }
        let fresh = settling.settled.len();
        let mut retried = if asked.retry { refused.entries() } else { Vec::new() };
        retried.retain(|entry| homes.has(entry));
        let tried = settling.again(&retried, &mut desk).unwrap_or(0);
        let again = settling.settled[fresh..].iter().any(|(_, why)| why.is_none());
        let again = again && tried < retried.len();
        let (spent_ms, pace) = (desk.spent_ms, settling.pace as u32);
        let taken = settling.taken.iter().copied().collect();
        self.check_ends(&settling.settled[..fresh], &asked);
        let aside = runs(&refused, homes);
        let mut lost = settling.note(&mut refused, fresh);
        let few = runs(&refused, homes) <= aside.max(MAX_UNPROVEN);
        assert!(
            few || !asked.taken.is_empty() || self.refuses_all != Some(None),
            "what all are refused is set aside: {aside}"
        );
        refused.put_by(&others, homes).expect("room for what is of the other database");
        lost.extend(others);
        let kept = keeps && disk.room.is_none() && spent_ms < DEADLINE_MS;
        match if kept { refused.change() } else { Change::None } {
            Change::None => {}
            Change::Add(lines) => disk.refused.extend(lines),
            Change::Replace(lines) => disk.refused = lines,
        }
        let unkept = !kept && !lost.is_empty();
        // What is of the other database may be behind what there was no time for.
        let back = if unkept { read.before(&lost).expect("lines") } else { through };
        let through = through.min(back);
        self.through = self.through.max(through);
        let unkept = if unkept { "the disk is full".to_owned() } else { String::new() };
        let aside = Refused::known_as(asked.known, &disk.refused).told(homes);
        let found = Some(read.found(through));
        (spent_ms, Ok(Done { through, aside, unkept, pace, again, taken, found }))
    }

    /// Ends that are set aside are refused for themselves, not because all are.
    fn check_ends(&self, settled: &[(Entry<'_>, Option<String>)], asked: &Asked) {
        let is_end =
            |(_, why): &(_, Option<String>)| why.as_deref() == Some(Statement::Update.label());
        let ends = settled.iter().any(is_end);
        let all_ends = self.refuses_all == Some(Some(Statement::Update));
        let proven = asked.believe || asked.taken.contains(&Statement::Update);
        assert!(proven || !ends || !all_ends, "what is refused to all ends is set aside");
    }

    /// A helper that takes too long is killed, and does not do as much the next time. One of a new
    /// daemon knows nothing of that.
    fn took(&mut self, spent_ms: u64, pace: u32) {
        self.late = if pace == 0 { 0 } else { self.late };
        self.late = if spent_ms < DEADLINE_MS { 0 } else { self.late + 1 };
        assert!(self.late < 5, "exchange after exchange takes too long");
    }

    /// One bad record blocks no other: where an exchange fails for it, none is taken.
    fn check_none_is_taken(&self, found: &[Entry<'_>], statement: Statement, spent_ms: u64) {
        let is_taken = |entry: &Entry<'_>| {
            let Entry::Run(run) = entry else { return false };
            let tells = match statement {
                Statement::Update => {
                    let insert = || self.refusal(entry, Statement::Insert).is_none();
                    run.end.is_some()
                        && (self.records[self.named].runs.contains_key(&run.run) || insert())
                }
                _ => !self.records[self.named].runs.contains_key(&run.run),
            };
            tells && self.refusal(entry, statement).is_none()
        };
        let blocked = found.len() <= 16 && found.iter().any(is_taken);
        let in_time = spent_ms < settle::PATIENCE_MS;
        assert!(!blocked || !in_time, "a record that is refused blocks others");
    }

    /// What is written of an entry; none: it is there already.
    fn statement(&self, entry: &Entry<'_>) -> Option<Statement> {
        match entry {
            Entry::Run(run) => {
                match (self.records[self.named].runs.contains_key(&run.run), &run.end) {
                    (false, _) => Some(Statement::Insert),
                    (true, Some(_)) => Some(Statement::Update),
                    (true, None) => None,
                }
            }
            Entry::Skip(_) => Some(Statement::Skip),
            Entry::Act(_) if self.has_audit => Some(Statement::Act),
            Entry::Act(_) => Some(Statement::NoActs),
            _ => None,
        }
    }

    fn refusal(&self, entry: &Entry<'_>, statement: Statement) -> Option<ErrorKind> {
        let (job, is_run) = match entry {
            Entry::Run(run) => (run.job.0, true),
            Entry::Skip(skip) => (skip.job.0, false),
            _ => return None,
        };
        let all = self.refuses_all.is_some_and(|of| of.is_none_or(|of| of == statement));
        if all && is_run {
            return Some(ErrorKind::Unsure);
        }
        let kind = if self.is_unsure { ErrorKind::Unsure } else { ErrorKind::Refused };
        self.refuses.contains(&job).then_some(kind)
    }

    fn take(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Run(run) => {
                let outcome = run.end.as_ref().map(|end| end.outcome.clone());
                self.record_run(run.run, outcome);
                self.record_row(run.run, entry);
            }
            Entry::Skip(skip) => self.record_skip(*skip),
            Entry::Act(act) => self.record_act(self.named, act),
            _ => {}
        }
    }

    /// The operator makes a constraint that records of a job violate, or takes one away.
    pub fn refuse(&mut self, random: &mut Random, profile: &Profile) {
        let id = 1 + random.below(profile.jobs) as u32;
        if !self.refuses.insert(id) || random.one_in(2) {
            self.refuses.clear();
        }
        self.is_unsure = random.one_in(2);
        self.refuses_all = random.pick(&[
            None,
            None,
            None,
            None,
            Some(None),
            Some(None),
            Some(Some(Statement::Insert)),
            Some(Some(Statement::Update)),
        ]);
        self.slow =
            random.pick(&[(0, 0), (0, 0), (0, 0), (400, 0), (2_000, 0), (0, 100), (0, 700)]);
    }

    /// All that is refused is mended.
    pub fn refuse_nothing(&mut self) {
        self.refuses.clear();
        self.refuses_all = None;
    }

    /// A start never overwrites an end, and there is one end.
    fn record_run(&mut self, run: RunId, outcome: Option<Outcome>) {
        let row = self.records[self.named].runs.entry(run).or_default();
        if let (Some(old), Some(new)) = (&*row, &outcome)
            && !self.end_twice.contains(&run)
        {
            assert_eq!(old, new, "run {run} has two ends in the database");
        }
        *row = row.take().or(outcome);
    }

    fn record_row(&mut self, run: RunId, entry: &Entry<'_>) {
        let Some(Record::Run(row)) = record(entry, 1, self.zone.as_ref().expect("a zone")) else {
            return;
        };
        let rows = &mut self.records[self.named].rows;
        let known = rows.entry(run).or_insert_with(|| (*row).clone());
        if known.end_time.is_empty() {
            *known = *row;
        }
    }

    fn record_skip(&mut self, skip: SkipEntry) {
        let records = &mut self.records[self.named];
        let row = records.skips.entry((skip.job.0, skip.first_ms)).or_insert(skip);
        if row.count < skip.count {
            *row = skip;
        }
    }

    /// Another answer is to be given from now on.
    pub fn forget_answer(&mut self) {
        self.unchanged = None;
    }

    /// All rows are gone.
    pub fn clear(&mut self) {
        self.unchanged = None;
        self.now.rows.clear();
    }

    /// Somebody changes something.
    pub fn edit(&mut self, random: &mut Random, profile: &Profile) {
        self.unchanged = None;
        if random.one_in(12) {
            let value = random.pick(&["1", "2", "/opt/x"]);
            self.now.vars.insert("A".into(), value.into());
            return;
        }
        let id = 1 + random.below(profile.jobs) as u32;
        let Some(row) = self.now.rows.get_mut(&id) else {
            self.now.rows.insert(id, profile.row(random, id));
            return;
        };
        match random.below(12) {
            0 | 1 => row.enabled = !row.enabled,
            2 => {
                self.now.rows.remove(&id);
            }
            3 => *row = profile.row(random, id),
            4 => row.row.command.push('x'),
            5 => row.row.max_concurrence = random.pick(&[0, 1, 2, 3]),
            6 | 7 => {
                row.expr = profile.expr(random);
                row.row.cron = row.expr.text();
            }
            8 => row.row.name = random.pick(&["one", "two", "备份"]).into(),
            9 => {
                (row.zone, row.row.timezone) = profile.zone(random);
            }
            // Off and on again before or after anybody looked.
            _ => row.enabled = true,
        }
    }
}
