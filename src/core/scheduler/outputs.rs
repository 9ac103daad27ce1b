//! Files of outputs: of each job those of the last runs are kept (`keep_output`), and of a file
//! that is too long the middle is left out (`output_limit`). A helper does both. Here it is decided
//! which files stay whatever else is there, and when it is looked. Where the disk is full, and the
//! journal is about to need more than is kept for it, the helper deletes the oldest files of all.
//!
//! Nothing of this survives the daemon, and nothing need: the helper goes by what is in a job's
//! directory, and the end of the job's next run has it look there again.

use super::Settings;
use super::lanes::Waiter;
use super::run::Runs;
use crate::core::clock;
use crate::core::database::ErrorKind;
use crate::core::definition::Definition;
use crate::core::ids::{JobId, RunId};
use crate::core::protocol::{Ask, JobFiles, OutputsAsk, Tended};
use crate::core::table::Table;
use crate::core::time::Now;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The first look comes so long after something that calls for it, ms: then it is one look for
/// many runs.
const SOON_MS: u64 = 1_000;

/// Files of runs that are alive are looked at as often as this, ms, and at least as often as that.
const LEAST_MS: u64 = 100;
const MOST_MS: u64 = 3_000;

/// Files that are too long are cut for good when nobody follows them any longer, ms.
const AGAIN_MS: u64 = 60_000;

/// After a failure it is tried again, ms.
const RETRY_MS: u64 = 10_000;

/// The pause between two questions where there are more files than one takes, ms.
const PAUSE_MS: u64 = 20;

/// Runs that are alive, in one question.
const MAX_LIVE: usize = 1_000;

/// Runs that have ended and whose files are written to, at the most: those of others are looked at
/// when the next run of their job has ended.
const MAX_WRITTEN: usize = 1_000;

/// Jobs in one question.
const MAX_JOBS: usize = 50;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Whether files are deleted, and whether they are cut.
    keeps_few: bool,
    cuts: bool,
    /// When the files of a job are to be looked at, monotonic ms.
    due: BTreeSet<(u64, JobId)>,
    /// The same by job.
    when: BTreeMap<JobId, u64>,
    /// When those that are written to are, mostly by runs that are alive; none: there are none.
    look_ms: Option<u64>,
    /// Nothing is asked before, monotonic ms.
    not_before_ms: u64,
    /// When the oldest files are to be deleted for want of room, monotonic ms; none: there is some.
    give_way_ms: Option<u64>,
    /// Nothing was there to be deleted: it is looked again then.
    none_until_ms: u64,
    /// Runs that have ended, and whose files somebody writes to: a process in the background.
    written: BTreeSet<(JobId, RunId)>,
    /// Jobs of the question under way, and those of these runs that it asks about.
    asked: Vec<JobId>,
    asked_written: Vec<(JobId, RunId)>,
    /// It asks for room.
    asks_room: bool,
    /// Live runs up to this one were looked at.
    upto: Option<RunId>,
    /// What the log was told of trouble.
    told: String,
    is_told_of_holes: bool,
}

/// Whether runs of a job have files of their own.
fn has_own(def: &Definition) -> bool {
    def.output.is_empty() || def.stderr.is_empty()
}

impl Outputs {
    pub(super) fn of(settings: &Settings) -> Outputs {
        let keeps_few = settings.keep_output > 0;
        Outputs { keeps_few, cuts: settings.output_limit_bytes > 0, ..Outputs::default() }
    }

    /// A run has a process.
    pub(super) fn began(&mut self, now: Now, def: &Definition) {
        if self.cuts && has_own(def) {
            self.look_by(now.mono_ms + SOON_MS);
        }
    }

    /// Files that are written to are to be looked at then, or before.
    fn look_by(&mut self, at_ms: u64) {
        self.look_ms = Some(self.look_ms.map_or(at_ms, |look_ms| look_ms.min(at_ms)));
    }

    /// A run of a job has ended.
    pub(super) fn ended(&mut self, now: Now, def: &Definition) {
        if (self.keeps_few || self.cuts) && has_own(def) {
            self.look_at(def.id, now.mono_ms + SOON_MS);
        }
    }

    /// The disk is full, and room is needed.
    pub(super) fn give_way(&mut self, now: Now) {
        // What is being deleted may be enough: that is seen when it is done.
        if !self.asks_room {
            self.give_way_ms.get_or_insert(now.mono_ms.max(self.none_until_ms));
        }
    }

    /// The files of a job are to be looked at then, or before.
    fn look_at(&mut self, job: JobId, at_ms: u64) {
        let before = self.when.get(&job).copied();
        if before.is_none_or(|before| at_ms < before) {
            before.into_iter().for_each(|before| _ = self.due.remove(&(before, job)));
            self.when.insert(job, at_ms);
            self.due.insert((at_ms, job));
        }
    }

    /// When the next question is due, monotonic ms.
    pub(super) fn at_ms(&self) -> u64 {
        let due = self.due.first().map(|(at_ms, _)| *at_ms);
        let first = due.into_iter().chain(self.look_ms).chain(self.give_way_ms).min();
        first.map_or(u64::MAX, |at_ms| at_ms.max(self.not_before_ms))
    }

    /// The question that is due; none: a slot is too near, or there is nothing to do.
    pub(super) fn ask(
        &mut self,
        now: Now,
        settings: &Settings,
        (table, runs, last_sequence): (&Table, &Runs, u64),
    ) -> Option<(Waiter, Ask)> {
        self.not_before_ms = clock::clear_of_slots(now, now.mono_ms);
        if self.not_before_ms > now.mono_ms {
            return None;
        }
        let (mut live, mut written) = (Vec::new(), Vec::new());
        if self.look_ms.is_some_and(|at_ms| at_ms <= now.mono_ms) {
            live = self.next_live(now, table, runs);
            written.extend(&self.written);
        }
        self.asked_written.clone_from(&written);
        self.asked = self.next_jobs(now);
        let files = |job: &JobId| files_of(*job, settings.keep_output, table, &self.written);
        let jobs: Vec<JobFiles> = self.asked.iter().map(files).collect();
        let give_way = self.give_way_ms.take_if(|at_ms| *at_ms <= now.mono_ms);
        // To delete what is written to makes no room, and nobody would see it grow any more.
        let stay = runs.all().keys().chain(self.written.iter().map(|(_, run)| run));
        let give_way = give_way.map(|_| stay.copied().collect());
        self.asks_room = give_way.is_some();
        if live.is_empty() && written.is_empty() && jobs.is_empty() && !self.asks_room {
            return None;
        }
        let ask = OutputsAsk {
            state_dir: settings.state_dir.clone(),
            limit_bytes: settings.output_limit_bytes,
            live,
            written,
            jobs,
            upto: last_sequence,
            give_way,
        };
        Some((Waiter::Nobody, Ask::Outputs(Box::new(ask))))
    }

    /// Runs that are alive and are looked at now. Where there are more, the others are next.
    fn next_live(&mut self, now: Now, table: &Table, runs: &Runs) -> Vec<(JobId, RunId)> {
        let from = self.upto.take().map_or(Bound::Unbounded, Bound::Excluded);
        let has_files = |id: JobId| table.get(id).is_some_and(|job| has_own(&job.def));
        let later = runs.all().range((from, Bound::Unbounded));
        let mut live = later.filter(|(_, run)| run.pid != 0 && has_files(run.job));
        let found: Vec<(JobId, RunId)> =
            live.by_ref().take(MAX_LIVE).map(|(id, run)| (run.job, *id)).collect();
        self.upto = live.next().and(found.last()).map(|(_, run)| *run);
        // What was begun meanwhile has them looked at again.
        self.look_ms = self.upto.map(|_| now.mono_ms + PAUSE_MS);
        found
    }

    fn next_jobs(&mut self, now: Now) -> Vec<JobId> {
        let mut jobs = Vec::new();
        while jobs.len() < MAX_JOBS
            && let Some((at_ms, job)) = self.due.first().copied()
            && at_ms <= now.mono_ms
        {
            self.due.pop_first();
            self.when.remove(&job);
            jobs.push(job);
        }
        jobs
    }

    /// It was done, or could not be: then it is tried again. Returns how many runs have no files
    /// any more for want of room.
    pub(super) fn answered(
        &mut self,
        now: Now,
        failure: Option<(ErrorKind, String)>,
        tended: Option<Tended>,
    ) -> u64 {
        let asked = std::mem::take(&mut self.asked);
        let asked_written = std::mem::take(&mut self.asked_written);
        let gave_way = tended.as_ref().map_or(0, |tended| tended.gave_way);
        if std::mem::take(&mut self.asks_room) && gave_way == 0 {
            self.none_until_ms = now.mono_ms + RETRY_MS;
        }
        let tended = match (failure, tended) {
            (None, Some(tended)) => tended,
            (failure, _) => {
                let why = failure.map_or(String::new(), |(_, why)| why);
                self.tell(&format!("files of outputs can't be looked after: {why}"));
                asked.into_iter().for_each(|job| self.look_at(job, now.mono_ms + RETRY_MS));
                self.look_ms = self.look_ms.or(self.cuts.then_some(now.mono_ms + RETRY_MS));
                return gave_way;
            }
        };
        for job in &tended.more {
            self.look_at(*job, now.mono_ms + PAUSE_MS);
        }
        for job in &tended.again {
            self.look_at(*job, now.mono_ms + AGAIN_MS);
        }
        for (job, run) in asked_written.into_iter().filter(|it| !tended.written.contains(it)) {
            self.written.remove(&(job, run));
            self.look_at(job, now.mono_ms + AGAIN_MS);
        }
        for run in tended.written {
            if self.written.len() < MAX_WRITTEN && self.written.insert(run) {
                self.look_by(now.mono_ms + SOON_MS);
            }
        }
        if tended.within_ms > 0 {
            self.look_by(now.mono_ms + tended.within_ms.clamp(LEAST_MS, MOST_MS));
        }
        if tended.no_holes && !std::mem::replace(&mut self.is_told_of_holes, true) {
            log::warn!(
                "the file system of the state directory can't give back a part of a file: outputs \
                 of runs grow over output_limit, and are cut when their runs have ended"
            );
        }
        if tended.trouble.is_empty() {
            self.told.clear();
        } else {
            self.tell(&format!("files of outputs: {}", tended.trouble));
        }
        gave_way
    }

    /// The same is told once.
    fn tell(&mut self, why: &str) {
        if self.told != why {
            log::warn!("{why}");
            why.clone_into(&mut self.told);
        }
    }
}

/// What stays of a job's files: those of runs that are alive, or written to, and of the last ones.
fn files_of(id: JobId, keep: usize, table: &Table, written: &BTreeSet<(JobId, RunId)>) -> JobFiles {
    let job = table.get(id);
    let mut live = job.map_or_else(Vec::new, |job| job.live.clone());
    live.extend(written.iter().filter(|(job, _)| *job == id).map(|(_, run)| run));
    let past = job.and_then(|job| job.history.as_ref());
    let newest = past.into_iter().flat_map(|past| past.runs.iter().rev());
    let last: Vec<RunId> = match keep {
        0 => newest.map(|run| run.run).collect(),
        keep => newest.map(|run| run.run).take(keep).collect(),
    };
    let others = (keep > 0).then(|| keep - last.len());
    JobFiles { job: id, live, last, others }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 1_800_000_000_500 }
    }

    fn outputs() -> Outputs {
        Outputs { keeps_few: true, cuts: true, ..Outputs::default() }
    }

    #[test]
    fn a_job_is_looked_at_once_however_often_it_is_called_for() {
        let mut outputs = outputs();
        assert_eq!(outputs.at_ms(), u64::MAX);
        for at_ms in [900, 500, 700] {
            outputs.look_at(JobId(1), at_ms);
        }
        outputs.look_at(JobId(2), 800);
        assert_eq!((outputs.at_ms(), outputs.due.len()), (500, 2));
        assert_eq!(outputs.next_jobs(at(500)), [JobId(1)]);
        assert_eq!(outputs.next_jobs(at(900)), [JobId(2)]);
        assert_eq!((outputs.at_ms(), outputs.when.len()), (u64::MAX, 0));
    }

    #[test]
    fn what_failed_is_done_later_and_told_once() {
        let mut outputs = outputs();
        outputs.look_at(JobId(1), 0);
        outputs.asked = outputs.next_jobs(at(0));
        outputs.answered(at(5), Some((ErrorKind::Other, "gone".into())), None);
        assert_eq!(outputs.when.get(&JobId(1)), Some(&(5 + RETRY_MS)));
        assert!(outputs.told.ends_with("gone"));
        outputs.asked = outputs.next_jobs(at(5 + RETRY_MS));
        let again = vec![JobId(1)];
        outputs.answered(at(20_000), None, Some(Tended { again, ..Tended::default() }));
        assert_eq!(outputs.when.get(&JobId(1)), Some(&(20_000 + AGAIN_MS)));
        assert!(outputs.told.is_empty());
    }

    #[test]
    fn what_is_written_to_is_asked_about_until_nobody_writes_to_it() {
        let mut outputs = outputs();
        let run = (JobId(1), RunId::next(1, 9, 0, 1_800_000_000_000));
        let tended = |written: &[_]| Tended { written: written.to_vec(), ..Tended::default() };
        outputs.answered(at(0), None, Some(tended(&[run])));
        assert_eq!(outputs.at_ms(), SOON_MS);
        // Neither what was not asked about nor what was not answered is over.
        outputs.answered(at(0), None, Some(tended(&[])));
        outputs.asked_written = vec![run];
        outputs.answered(at(0), Some((ErrorKind::Other, "gone".into())), None);
        assert_eq!(outputs.written.len(), 1);
        outputs.asked_written = vec![run];
        outputs.answered(at(0), None, Some(tended(&[])));
        assert!(outputs.written.is_empty());
        assert_eq!(outputs.when.get(&JobId(1)), Some(&AGAIN_MS));
    }

    #[test]
    fn how_soon_live_runs_are_looked_at_has_bounds() {
        for (within_ms, pause_ms) in [(1, LEAST_MS), (2_000, 2_000), (u64::MAX, MOST_MS)] {
            let mut outputs = outputs();
            outputs.answered(at(0), None, Some(Tended { within_ms, ..Tended::default() }));
            assert_eq!(outputs.at_ms(), pause_ms);
        }
        let mut outputs = outputs();
        outputs.answered(at(0), None, Some(Tended::default()));
        assert_eq!(outputs.at_ms(), u64::MAX);
    }
}
