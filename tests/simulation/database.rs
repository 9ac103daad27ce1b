//! A fake database: rows that somebody edits, and the records that helpers carry there.

use super::cron::Expr;
use super::disk::Disk;
use super::profile::Profile;
use super::random::Random;
use schedule::core::ids::RunId;
use schedule::core::journal::{Entry, SkipEntry};
use schedule::core::outcome::Outcome;
use schedule::core::protocol::{Answer, JobRow, SetAside};
use schedule::core::records::news;
use schedule::core::refused::{Change, Refused};
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
    /// The answer to a sync, until somebody changes something.
    unchanged: Option<(Vec<Vec<u8>>, String)>,
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
    /// is refused was set aside. Returns how far it came and what is set aside then; nothing
    /// if it could not be kept.
    pub fn commit(
        &mut self,
        disk: &mut Disk,
        (from, to): (u64, u64),
        max_bytes: usize,
        retry: bool,
        keeps: bool,
    ) -> Option<(u64, SetAside)> {
        let (bytes, through) = disk.read_range(from, to, max_bytes);
        let before = disk.refused.clone();
        let mut refused = Refused::read(&before);
        let again = if retry { refused.entries() } else { Vec::new() };
        let mut any = false;
        for entry in news(&bytes).into_iter().chain(again) {
            if self.takes(&entry) {
                refused.accept(&entry);
            } else {
                refused.refuse(entry, "a foreign key");
                any = true;
            }
        }
        let change = refused.change();
        if any && (disk.room.is_some() || !keeps) {
            return None;
        }
        match change {
            _ if disk.room.is_some() || !keeps => {}
            Change::None => {}
            Change::Add(lines) => disk.refused.extend(lines),
            Change::Replace(lines) => disk.refused = lines,
        }
        self.through = self.through.max(through);
        Some((through, Refused::read(&disk.refused).told()))
    }

    /// Writes a record, unless it is refused for itself.
    fn takes(&mut self, entry: &Entry<'_>) -> bool {
        match entry {
            Entry::Run(run) if self.refuses.contains(&run.job.0) => false,
            Entry::Skip(skip) if self.refuses.contains(&skip.job.0) => false,
            Entry::Run(run) => {
                let outcome = run.end.as_ref().map(|end| end.outcome.clone());
                self.record_run(run.run, outcome);
                true
            }
            Entry::Skip(skip) => {
                self.record_skip(*skip);
                true
            }
            _ => true,
        }
    }

    /// The operator makes a constraint that records of a job violate, or takes one away.
    pub fn refuse(&mut self, random: &mut Random, profile: &Profile) {
        let id = 1 + random.below(profile.jobs) as u32;
        if !self.refuses.insert(id) || random.one_in(2) {
            self.refuses.clear();
        }
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
