//! Files of outputs. Those of runs that are alive are never deleted, and those of runs that ended
//! long ago are not kept for ever.

use super::random::Random;
use super::world::World;
use schedule::core::ids::RunId;
use schedule::core::protocol::OutputsAsk;
use schedule::core::time::Now;
use std::collections::{BTreeMap, BTreeSet};

/// So long after a run has ended, and after a question failed, old files may be there, ms: a pause,
/// and what a slot that is near adds to it.
const PATIENCE_MS: u64 = 15_000;

/// So many turns in a row: it may have become due in the turn itself.
const MAX_LATE: u32 = 5;

/// See the module's text.
#[derive(Default)]
pub struct Files {
    /// Of so many runs of a job they are kept; 0: nobody looks after them.
    pub keep: usize,
    /// The runs that have some, by job.
    there: BTreeMap<u32, BTreeSet<RunId>>,
    /// Jobs of which the daemon was told that a run has ended, and when.
    told: BTreeMap<u32, u64>,
    /// When a question about them failed last, or nothing could be asked.
    since_ms: u64,
    late: u32,
}

impl Files {
    /// They are looked after in some worlds.
    pub fn new(seed: u64, is_large: bool) -> Files {
        let mut random = Random::new(seed.rotate_left(24) ^ 0xf11e);
        let is_there = random.one_in(4) && !is_large;
        let keep = if is_there { 1 + random.below(3) as usize } else { 0 };
        Files { keep, ..Files::default() }
    }

    /// A run has a process, and files.
    pub fn made(&mut self, job: u32, run: RunId) {
        self.there.entry(job).or_default().insert(run);
    }

    /// The daemon is told that a run of a job has ended.
    pub fn ended(&mut self, now: Now, job: u32) {
        self.told.insert(job, now.mono_ms);
    }

    /// A daemon is gone, and what it was told.
    pub fn daemon_ends(&mut self) {
        self.told.clear();
    }

    /// A helper does what it is asked for.
    pub fn tend(&mut self, ask: &OutputsAsk) {
        for files in &ask.jobs {
            let Some(there) = self.there.get_mut(&files.job.0) else { continue };
            let stays = |run: &RunId| files.live.contains(run) || files.last.contains(run);
            let rest = there.iter().rev().filter(|run| !stays(run) && run.sequence <= ask.upto);
            let others = files.others.unwrap_or(usize::MAX);
            let gone: Vec<RunId> = rest.skip(others).copied().collect();
            gone.iter().for_each(|run| _ = there.remove(run));
        }
    }

    /// Nobody could ask meanwhile.
    pub fn stood_still(&mut self, now: Now) {
        self.since_ms = now.mono_ms;
    }

    /// A question about them was answered, well or not.
    pub fn answered(&mut self, now: Now, good: bool) {
        if !good {
            self.since_ms = now.mono_ms;
        }
    }
}

impl World {
    /// At the end of a turn.
    pub fn check_files(&mut self) {
        if self.disk.files.keep == 0 {
            return;
        }
        let now_ms = self.now.mono_ms;
        let has = |job: u32, run: &RunId| {
            self.disk.files.there.get(&job).is_some_and(|runs| runs.contains(run))
        };
        let alive = self.processes.alive.iter().filter(|(_, process)| !process.gone);
        let robbed = alive.map(|(run, process)| (process.job.0, run)).find(|it| !has(it.0, it.1));
        assert_eq!(robbed, None, "the files of a run are deleted while it is alive");
        let Some(core) = &self.core else { return };
        let scheduler = &core.scheduler;
        let cannot_ask = scheduler.is_launching() || scheduler.draining() || core.busy();
        if cannot_ask || self.is_away() || self.is_tending() {
            self.disk.files.since_ms = now_ms;
        }
        let files = &self.disk.files;
        let is_old = |at_ms: &u64| now_ms > (*at_ms).max(files.since_ms) + PATIENCE_MS;
        let too_many = |job: &&u32| {
            let live = scheduler.runs().values().filter(|run| run.job.0 == **job).count();
            files.there.get(*job).is_some_and(|runs| runs.len() > files.keep + live)
        };
        let told = files.told.iter().filter(|(_, at_ms)| is_old(at_ms)).map(|(job, _)| job);
        let crowded = told.copied().find(|job| too_many(&job));
        self.disk.files.late = if crowded.is_some() { self.disk.files.late + 1 } else { 0 };
        let late = self.disk.files.late;
        assert!(late < MAX_LATE, "job {crowded:?} has too many files, and nobody deletes them");
    }
}
