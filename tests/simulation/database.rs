//! A fake database: rows that somebody edits, and the records that helpers carry there.

use super::cron::Expr;
use super::disk::Disk;
use super::profile::Profile;
use super::random::Random;
use schedule::core::ids::RunId;
use schedule::core::journal::{Entry, SkipEntry, TableEntry};
use schedule::core::outcome::Outcome;
use schedule::core::protocol::{Answer, ErrorKind, JobRow, SetAside};
use schedule::core::records::news;
use schedule::core::refused::{Change, Refused};
use schedule::core::settle::{MAX_UNPROVEN, Refusal, Settling, bytes_before};
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
}

/// The tables.
#[derive(Default)]
pub struct Database {
    pub now: Rows,
    /// Runs by key; with an outcome once they have ended.
    pub runs: BTreeMap<RunId, Option<Outcome>>,
    pub skips: BTreeMap<(u32, i64), SkipEntry>,
    /// Everything before this offset of the log was committed, or set aside.
    pub through: u64,
    /// Jobs whose records are refused for themselves.
    pub refuses: BTreeSet<u32>,
    /// By an error that may as well be the database's.
    is_unsure: bool,
    /// By such an error every run is refused.
    refuses_all: bool,
    /// The answer to a sync, until somebody changes something.
    unchanged: Option<(Vec<Vec<u8>>, String)>,
}

/// What a helper is asked to carry.
#[derive(Clone, Copy)]
pub struct Asked {
    pub range: (u64, u64),
    pub max_bytes: usize,
    pub retry: bool,
    pub believe: bool,
    /// Any number.
    pub any: usize,
}

/// What it did.
pub struct Done {
    pub through: u64,
    pub aside: SetAside,
    pub unkept: String,
}

/// A write was refused.
struct Refuses(ErrorKind);

impl Refusal for Refuses {
    fn kind(&self) -> ErrorKind {
        self.0
    }

    fn why(&self) -> &str {
        "a foreign key"
    }
}

impl Rows {
    fn lines(&self) -> Vec<Vec<u8>> {
        let var = |(name, value): (&String, &String)| Answer::Var {
            name: name.clone(),
            value: value.clone(),
        };
        let enabled = self.rows.values().filter(|row| row.enabled);
        let jobs = enabled.map(|row| Answer::Job(Box::new(row.row.clone())));
        let answers = self.vars.iter().map(var).chain(jobs);
        answers.map(|answer| serde_json::to_vec(&answer).unwrap()).collect()
    }

    /// What stands in the journal for the digest of the answer that tells them.
    pub fn digest(&self) -> String {
        TableEntry::mark(&digest(&self.lines()))
    }
}

/// How many runs are set aside.
fn runs(refused: &Refused<'_>) -> u64 {
    refused.entries().iter().filter(|entry| matches!(entry, Entry::Run(_))).count() as u64
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
    /// is refused was set aside.
    ///
    /// # Errors
    /// All is refused: nothing counts.
    pub fn commit(&mut self, disk: &mut Disk, asked: Asked, keeps: bool) -> Result<Done, ()> {
        let (bytes, through) = disk.read_range(asked.range.0, asked.range.1, asked.max_bytes);
        let found = news(&bytes);
        let before = disk.refused.clone();
        let mut refused = Refused::read(&before);
        let mut settling = Settling::new(&found, asked.any);
        if asked.believe {
            settling.believe(found.len() as u64, refused.told().count);
        }
        let again = if asked.retry { refused.entries() } else { Vec::new() };
        let fresh = self.settle(&mut settling, &found, &again).map_err(|_| {
            self.check_none_is_taken(&found);
        })?;
        let aside = runs(&refused);
        let lost = settling.note(&mut refused, fresh);
        let few = runs(&refused) <= aside.max(MAX_UNPROVEN);
        assert!(few || !self.refuses_all, "what is refused to all is set aside: {aside}");
        let change = refused.change();
        let kept = keeps && disk.room.is_none();
        match change {
            _ if !kept => {}
            Change::None => {}
            Change::Add(lines) => disk.refused.extend(lines),
            Change::Replace(lines) => disk.refused = lines,
        }
        let unkept = !kept && !lost.is_empty();
        let through = if unkept { asked.range.0 + bytes_before(&bytes, &lost) } else { through };
        self.through = self.through.max(through);
        let unkept = if unkept { "the disk is full".to_owned() } else { String::new() };
        Ok(Done { through, aside: Refused::read(&disk.refused).told(), unkept })
    }

    fn settle(
        &mut self,
        settling: &mut Settling<'_>,
        found: &[Entry<'_>],
        again: &[Entry<'_>],
    ) -> Result<usize, Refuses> {
        let write = &mut |entries: &[Entry<'_>], _| self.write(entries);
        if !settling.whole(found, write)? {
            settling.halve(found, write)?;
        }
        let fresh = settling.settled.len();
        settling.only_again();
        settling.halve(again, write)?;
        Ok(fresh)
    }

    /// One bad record blocks no other: where an exchange fails for it, none is taken.
    fn check_none_is_taken(&self, found: &[Entry<'_>]) {
        let is_taken =
            |entry: &Entry<'_>| matches!(entry, Entry::Run(_)) && self.refusal(entry).is_none();
        let blocked = found.len() <= 32 && found.iter().any(is_taken);
        assert!(!blocked, "a record that is refused blocks others");
    }

    /// Writes all of it or nothing.
    fn write(&mut self, entries: &[Entry<'_>]) -> Result<(), Refuses> {
        if let Some(kind) = entries.iter().find_map(|entry| self.refusal(entry)) {
            return Err(Refuses(kind));
        }
        entries.iter().for_each(|entry| self.take(entry));
        Ok(())
    }

    fn refusal(&self, entry: &Entry<'_>) -> Option<ErrorKind> {
        let (job, is_run) = match entry {
            Entry::Run(run) => (run.job.0, true),
            Entry::Skip(skip) => (skip.job.0, false),
            _ => return None,
        };
        if self.refuses_all && is_run {
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
            }
            Entry::Skip(skip) => self.record_skip(*skip),
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
        self.refuses_all = random.one_in(4);
    }

    /// All that is refused is mended.
    pub fn refuse_nothing(&mut self) {
        self.refuses.clear();
        self.refuses_all = false;
    }

    /// A start never overwrites an end, and there is one end.
    fn record_run(&mut self, run: RunId, outcome: Option<Outcome>) {
        let row = self.runs.entry(run).or_default();
        if let (Some(old), Some(new)) = (&*row, &outcome) {
            assert_eq!(old, new, "run {run} has two ends in the database");
        }
        *row = row.take().or(outcome);
    }

    fn record_skip(&mut self, skip: SkipEntry) {
        let row = self.skips.entry((skip.job.0, skip.first_ms)).or_insert(skip);
        if row.last_ms < skip.last_ms {
            *row = skip;
        }
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
