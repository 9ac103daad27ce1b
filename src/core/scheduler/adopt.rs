//! Runs of an earlier daemon: they go on, count against the limits and can be stopped like our
//! own. Only the way to see them end differs, and that is the shell's business.

use super::runs::ROW_CHANGED;
use super::{Carried, Run, RunPhase, Scheduler};
use crate::core::clock;
use crate::core::event::{Ended, Started};
use crate::core::history::PastRun;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{RunEntry, SkipEntry};
use crate::core::outcome::Outcome;
use crate::core::protocol::JobRow;
use crate::core::replay::Replay;
use crate::core::table::{Job, Phase};
use crate::core::time::Now;
use std::collections::VecDeque;

/// What the shell found out about a run of an earlier daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It has a process, or its keeper says in a moment how that ended.
    Alive(Started),
    /// Its process is gone; nobody saw how it ended.
    Gone,
    /// It may be the run of another installation, of which this state directory is a copy, or go on
    /// with a keeper in the place that the directory was moved from.
    Unknown,
    /// Only its intent is known, and the keeper that would have been asked was not.
    NotLaunched,
    /// Only its intent is known, there is no process, and the keeper that may have been asked for
    /// it is gone, too. Nobody can tell whether it ran.
    Doubtful,
}

/// What the journal knows of jobs that are not in the table yet.
pub struct Past {
    ended: VecDeque<(JobId, PastRun)>,
    skips: Vec<SkipEntry>,
}

impl Scheduler {
    /// Takes in what the journal says of the past.
    pub(super) fn restore(&mut self, now: Now, replay: Replay) {
        let other_boot = replay.boot_id != self.settings.boot_id;
        for mut run in replay.live.into_values() {
            if other_boot && run.pid == 0 {
                // It may yet be launched in this one, and begin earlier by its clock.
                run.kernel_start = 0;
                run.deadline_ms = None;
            }
            self.restore_run(now, run);
        }
        self.due.beyond = replay.last_slots;
        self.due.inherited_sequence = replay.last_sequence;
        self.due.anew_sequence = replay.anew_sequence;
        self.past = Some(Box::new(Past {
            ended: replay.ended,
            skips: replay.skips.into_values().collect(),
        }));
    }

    /// Gives the past to the jobs it belongs to, once they are there: their history, and the
    /// slots that an earlier daemon decided and that must not be decided again. Before the first
    /// table it would belong to nobody.
    pub(super) fn recall_past(&mut self) {
        if !self.knows_table() {
            return;
        }
        let Some(past) = self.past.take() else { return };
        self.touch_all();
        for (id, run) in past.ended {
            if let Some(job) = self.table.get_mut(id) {
                job.history_mut().ended(run);
            }
        }
        for skip in past.skips {
            if let Some(job) = self.table.get_mut(skip.job) {
                job.history_mut().restore(skip);
            }
        }
        let jobs: Vec<JobId> = self.due.beyond.keys().copied().collect();
        jobs.into_iter().for_each(|id| self.recall_slot(id));
    }

    /// The first table came, from the database, when decisions had begun without one.
    pub(super) fn recall_late(&mut self) {
        if self.due.hold_until().is_none() {
            self.recall_past();
        }
    }

    /// Gives a job that came into the table the slot up to which an earlier daemon decided it.
    pub(super) fn recall_slot(&mut self, id: JobId) {
        let Some(&slot_ms) = self.due.beyond.get(&id) else { return };
        if let Some(job) = self.table.get_mut(id) {
            job.last_slot_ms = job.last_slot_ms.max(slot_ms);
            self.table.reschedule(id, self.due.decided_ms);
        }
    }

    /// Slots that an earlier daemon decided before it died without a word on how far it had come.
    /// Each checkpoint says them again, for the segment that told them may be gone before the
    /// clock has passed them.
    pub(super) fn slots_beyond_decided(&self) -> Vec<(JobId, i64)> {
        let past = self.due.beyond.iter().map(|(job, slot)| (*job, *slot));
        let jobs = self.table.iter().map(|job| (job.def.id, job.last_slot_ms));
        past.chain(jobs).filter(|(_, slot_ms)| *slot_ms > self.due.decided_ms).collect()
    }

    fn restore_run(&mut self, now: Now, entry: RunEntry<'static>) {
        let age_ms = u64::try_from(now.wall_ms - entry.at_ms).unwrap_or(0);
        let run = Run {
            id: entry.run,
            job: entry.job,
            slot_ms: entry.slot_ms,
            cause: entry.cause,
            attempt: entry.attempt,
            at_ms: entry.at_ms,
            mono_ms: now.mono_ms.saturating_sub(age_ms),
            concurrent: entry.concurrent,
            pid: entry.pid,
            kernel_start: entry.kernel_start,
            deadline_ms: entry.deadline_ms,
            phase: if entry.pid == 0 { RunPhase::Queued } else { RunPhase::Live },
            waits: None,
            refused: None,
            intended: true,
            home: if entry.home == 0 { self.home() } else { entry.home },
        };
        self.adopt_job(&entry);
        if let Some(job) = self.table.get_mut(entry.job) {
            job.live.push(entry.run);
        }
        self.runs.insert(run.id, run);
    }

    /// Makes sure that the job of a run exists, with the definition the run was launched from as
    /// far as the journal knows it. It drains unless the table turns out to have it unchanged.
    fn adopt_job(&mut self, entry: &RunEntry<'_>) {
        let row = JobRow {
            id: entry.job.0,
            name: entry.name.to_string(),
            command: entry.command.to_string(),
            max_concurrence: 1,
            server_id: self.settings.server_id,
            ..JobRow::default()
        };
        let mut def = self.table.define_refused(row, "its row is gone");
        def.md5 = key_from_hex(&entry.md5).unwrap_or(def.md5);
        if let Some(job) = self.table.get_mut(entry.job) {
            // Two definitions are alive only if the end of the older could not be written.
            job.def = def;
            return;
        }
        self.table.put(def, 0, self.due.decided_ms);
        if let Some(job) = self.table.get_mut(entry.job) {
            job.phase = Phase::Draining;
            job.adopted = true;
        }
    }

    /// The runs of earlier daemons about which the shell has to find out.
    /// Each with its process as far as the journal knows it; pid 0 = only its intent is known.
    pub fn unsettled(&self) -> Vec<(RunId, Started)> {
        let started = |run: &Run| {
            let at = Now { wall_ms: run.at_ms, mono_ms: run.mono_ms };
            Started { pid: run.pid, kernel_start: run.kernel_start, at }
        };
        self.runs.values().map(|run| (run.id, started(run))).collect()
    }

    /// Takes in what the shell found out about a run of an earlier daemon. Call it when the
    /// snapshot is loaded.
    pub fn settle(&mut self, now: Now, id: RunId, found: Found) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        match found {
            Found::Alive(started) => {
                let unnoted = run.pid == 0;
                run.pid = started.pid;
                run.kernel_start = started.kernel_start;
                // By the clock of who started it: ours may have been set, or begun anew, since.
                run.mono_ms = started.at.mono_ms;
                run.phase = RunPhase::Live;
                let (job, pid) = (run.job, run.pid);
                log::info!("adopt job={job} run={id} pid={pid}");
                self.touch(job);
                if unnoted {
                    self.launched(now, id, Ok(started));
                }
            }
            Found::NotLaunched => self.not_launched(now, id),
            Found::Gone => {
                let why = "it ended while no daemon was there to see how".into();
                self.run_ended(now, Ended::unseen(id, now, Outcome::Lost(why)));
            }
            Found::Unknown => {
                let why = "the state directory is a copy or was moved, so whether it goes on is \
                           not known";
                self.run_ended(now, Ended::unseen(id, now, Outcome::Lost(why.into())));
            }
            Found::Doubtful => {
                // It may have run and be gone already: a slot is never started twice.
                let why = "the daemon ended while it was starting it, so it may not have run";
                self.run_ended(now, Ended::unseen(id, now, Outcome::Lost(why.into())));
            }
        }
    }

    /// Runs that were told to end, for another program in the same process.
    pub(super) fn stopping(&self) -> Vec<(RunId, Option<u64>)> {
        let stopping = |run: &Run| match run.phase {
            RunPhase::Stopping { kill_at_mono_ms } => Some((run.id, Some(kill_at_mono_ms))),
            RunPhase::Killed => Some((run.id, None)),
            _ => None,
        };
        self.runs.values().filter_map(stopping).collect()
    }

    /// Stops of the program before in the same process go on: TERM was sent. Call it when the runs
    /// are settled.
    pub fn go_on_stopping(&mut self, carried: &Carried) {
        for &(id, kill_at_ms) in &carried.stopping {
            let run = self.runs.get_mut(&id).filter(|run| run.phase == RunPhase::Live);
            match (run, kill_at_ms) {
                (Some(_), Some(at_ms)) => self.kill_at(id, at_ms),
                (Some(run), None) => run.phase = RunPhase::Killed,
                (None, _) => {}
            }
        }
    }

    /// An adopted run was told to end by an earlier daemon, at this reading of the monotonic clock:
    /// its grace time goes on. Whether TERM was sent is not known, so it is sent again.
    pub fn resume_stop(&mut self, id: RunId, asked_ms: u64) {
        if self.runs.get(&id).is_some_and(|run| run.phase == RunPhase::Live) {
            self.begin_stop(id, asked_ms);
        }
    }

    /// A run that the earlier daemon came too early to its end to launch. It is launched now if
    /// its slot is still fresh; who asked for one by hand got no answer and will ask again.
    fn not_launched(&mut self, now: Now, id: RunId) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let fresh = run.slot_ms.is_some_and(|slot| !clock::is_misfire(slot, now.wall_ms));
        if fresh {
            // With the first table it turns out whether its row is still the same.
            run.phase = RunPhase::Queued;
            self.due.resumed.push(id);
        } else {
            let why = "the daemon ended before it could start it, and now it is too late";
            self.end_unstarted(now, id, why);
        }
    }

    /// Launches what an earlier daemon could not, where the row is still the same.
    pub(super) fn resume(&mut self, now: Now) {
        for id in std::mem::take(&mut self.due.resumed) {
            let waits = |run: &&Run| run.phase == RunPhase::Queued;
            let Some(run) = self.runs.get(&id).filter(waits) else { continue };
            let job = self.table.get(run.job);
            // Where ends could not be written there seem to be more than there were.
            let over = |job: &Job| job.live.len() > job.def.max_concurrence as usize;
            if self.outbox.has_hole() {
                // That our keeper is the one who was asked for it could not be written, either: if
                // both of us were killed, the next daemon would take it for never launched.
                let why = "the journal can't be written, so it might be started twice";
                self.end_unstarted(now, id, why);
            } else if job.is_some_and(over) {
                let why = "others of its job that may be alive have reached the limit";
                self.end_unstarted(now, id, why);
            } else if job.is_some_and(|job| matches!(job.phase, Phase::Active)) && !self.draining {
                log::info!("resume job={} run={id}: it was decided and not started", run.job);
                self.launches.push_back(id);
            } else {
                self.end_unstarted(now, id, ROW_CHANGED);
            }
        }
    }
}

fn key_from_hex(text: &str) -> Option<[u8; 16]> {
    let mut key = [0u8; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(key)
}
