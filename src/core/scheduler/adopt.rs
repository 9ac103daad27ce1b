//! Runs of an earlier daemon: they go on, count against the limits and can be stopped like our
//! own. Only the way to see them end differs: see [`crate::core::custody`].

use super::run::{Run, RunPhase};
use super::runs::ROW_CHANGED;
use super::stops::STOPPED_BEFORE;
use super::{Carried, Scheduler};
use crate::core::clock;
use crate::core::custody::{Custody, Machine};
use crate::core::event::{Action, Ended, Signal, Started};
use crate::core::history::PastRun;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{RunEntry, SkipEntry};
use crate::core::keeping::{KeptEnd, Notice};
use crate::core::outcome::Outcome;
use crate::core::replay::Replay;
use crate::core::table::Job;
use crate::core::time::Now;
use std::collections::{BTreeMap, VecDeque};

/// Why a run is lost that ended between two daemons.
const ENDED_MEANWHILE: &str = "it ended while no daemon was there to see how";

/// What became of a run of an earlier daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// It has a process, or its keeper says in a moment how that ended.
    Alive(Started),
    /// Its process is gone; nobody saw how it ended.
    Gone,
    /// The same. It was told to end, so nothing of it may be left, and others of its processes may
    /// be there.
    Stopping(Started),
    /// This state directory may be a copy of another installation's, and the run be a run of that
    /// one; or it goes on with a keeper in the place that the directory was moved from.
    Unknown,
    /// Only its intent is known, and the keeper that would have been asked was not.
    NotLaunched,
    /// Only its intent is known, there is no process, and the keeper that may have been asked for
    /// it is gone, too. Nobody can tell whether it ran.
    Doubtful,
}

/// What a keeper says when a daemon finds it.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Names it.
    pub id: String,
    /// The keepers before it: what they started and did not tell is told by this one.
    pub after: Vec<String>,
    /// All that it knows of runs.
    pub notices: Vec<Notice>,
}

impl Said {
    /// Whether it knows everything that those with these ids knew. Of no keeper nothing is known.
    fn knows_as(&self, ids: &[String]) -> bool {
        let knows = |id: &String| *id == self.id || self.after.contains(id);
        !ids.is_empty() && ids.iter().all(knows)
    }
}

/// Where the journal was found.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The machine has not been booted since.
    pub same_boot: bool,
    /// The state directory is a copy of another, or was moved.
    pub is_copy: bool,
}

/// What is asked about a run of an earlier daemon.
struct Inquiry<'a, M> {
    alive: BTreeMap<RunId, Started>,
    ends: BTreeMap<RunId, KeptEnd>,
    /// The keeper knows all that the keepers knew who were asked for what the journal tells of.
    knows_all: bool,
    place: Place,
    machine: &'a mut M,
}

impl<M: Machine> Inquiry<'_, M> {
    /// What the keeper says of a run counts first. It alone can tell that it was never asked. Where
    /// it says nothing of a process, the machine is looked at; a process of another boot is gone.
    fn of(&mut self, run: RunId, noted: Started, is_told: bool) -> Found {
        let ended = || self.ends.get(&run).map(|end| end.started);
        match self.alive.get(&run).copied().or_else(ended) {
            Some(started) => Found::Alive(started),
            None if self.knows_all && noted.pid == 0 => Found::NotLaunched,
            None if self.place.same_boot && !self.place.is_copy => match self.look(run, noted) {
                Found::Gone if is_told && noted.pid != 0 => Found::Stopping(noted),
                found => found,
            },
            None if self.place.same_boot => Found::Unknown,
            None if noted.pid == 0 => Found::Doubtful,
            None => Found::Gone,
        }
    }

    fn look(&mut self, run: RunId, noted: Started) -> Found {
        let started = match noted.pid {
            0 => match self.machine.find(run, noted.kernel_start) {
                Some((pid, kernel_start)) => Started { pid, kernel_start, ..noted },
                None => return Found::Doubtful,
            },
            _ => noted,
        };
        if self.machine.is_others(started) {
            // The journal is a copy of theirs.
            return Found::Unknown;
        }
        if self.machine.watch(run, started) { Found::Alive(started) } else { Found::Gone }
    }
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
            if other_boot {
                run.kill_ms = None;
            }
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

    /// Whether jobs have the past that the journal tells.
    pub fn has_recalled(&self) -> bool {
        self.past.is_none()
    }

    /// Gives the past to the jobs it belongs to, once they are there: their history, and the
    /// slots that an earlier daemon decided and that must not be decided again. Before the first
    /// table it would belong to nobody.
    pub(super) fn recall_past(&mut self) {
        if !self.knows_table() {
            return;
        }
        let Some(past) = self.past.take() else { return };
        self.changes.all_at_once();
        // Runs that ended between two daemons are there already, and are later.
        for (id, run) in past.ended.into_iter().rev() {
            if let Some(job) = self.table.get_mut(id) {
                job.history_mut().recall(run);
            }
        }
        for skip in past.skips {
            if let Some(job) = self.table.get_mut(skip.job) {
                job.history_mut().restore(skip);
            }
        }
        let jobs: Vec<JobId> = self.due.beyond.keys().copied().collect();
        jobs.into_iter().for_each(|id| self.due.recall_slot(id, &mut self.table));
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
            kill_ms: entry.kill_ms,
            phase: if entry.pid == 0 { RunPhase::Queued } else { RunPhase::Live },
            waits: None,
            refused: None,
            intended: true,
            home: if entry.home == 0 { self.home() } else { entry.home },
            remarks: entry.remarks.clone(),
        };
        let server_id = self.settings.server_id;
        self.table.adopt(&entry, server_id);
        self.runs.insert(run);
    }

    /// Finds out what became of the runs of earlier daemons: by what their keeper has `said`, and
    /// where it says nothing by what the machine shows. `carried`: by a program that this one has
    /// taken the place of. Call it once, when the snapshot is loaded.
    pub fn adopt(
        &mut self,
        now: Now,
        said: Said,
        place: Place,
        carried: Option<&Carried>,
        (custody, machine): (&mut Custody, &mut impl Machine),
    ) {
        let knows_all = said.knows_as(&self.outbox.keepers);
        let (alive, ends) = (BTreeMap::new(), BTreeMap::new());
        let mut inquiry = Inquiry { alive, ends, knows_all, place, machine };
        let mut stopping = Vec::new();
        for notice in said.notices {
            match notice {
                Notice::Started(run, started) => drop(inquiry.alive.insert(run, started)),
                Notice::Ended(end) => drop(inquiry.ends.insert(end.run, end)),
                Notice::Stopping(run, asked_ms) => stopping.push((run, asked_ms)),
                Notice::Keeper { .. }
                | Notice::NoOutput(..)
                | Notice::Waits(..)
                | Notice::Refused(..)
                | Notice::Failed(..)
                | Notice::Complete
                | Notice::Here
                | Notice::CannotServe(_) => {}
            }
        }
        self.keeper_is(Some(said.id));
        for (run, noted) in self.noted_processes() {
            let is_told = self.runs.get(&run).is_some_and(|run| run.kill_ms.is_some());
            let found = inquiry.of(run, noted, is_told);
            match found {
                Found::Alive(_) if inquiry.ends.contains_key(&run) => {}
                Found::Alive(started) => custody.has_process(run, started),
                Found::Stopping(started) => {
                    custody.has_process(run, started);
                    custody.holds(run, now, ENDED_MEANWHILE);
                }
                Found::Gone | Found::Unknown | Found::NotLaunched | Found::Doubtful => {}
            }
            inquiry.alive.remove(&run);
            self.settle(now, run, found);
        }
        self.go_on_stopping(now, carried, &stopping, custody);
        for end in inquiry.ends.into_values() {
            // That of a run that the journal has is only acknowledged.
            self.run_ended(now, custody.ended(end));
        }
        for (run, started) in inquiry.alive {
            log::warn!("run={run} pid={} is alive and not in the journal", started.pid);
        }
        self.check_invariants();
    }

    /// The processes of runs as far as the journal knows them; pid 0 = only the intent is known.
    fn noted_processes(&self) -> Vec<(RunId, Started)> {
        let started = |run: &Run| {
            let at = Now { wall_ms: run.at_ms, mono_ms: run.mono_ms };
            Started { pid: run.pid, kernel_start: run.kernel_start, at }
        };
        self.runs.values().map(|run| (run.id, started(run))).collect()
    }

    fn settle(&mut self, now: Now, id: RunId, found: Found) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        match found {
            Found::Alive(started) => {
                let unnoted = run.pid == 0;
                run.pid = started.pid;
                run.kernel_start = started.kernel_start;
                // By the clock of who started it: ours may have been set, or begun at 0, since.
                run.mono_ms = started.at.mono_ms;
                let (job, pid) = (run.job, run.pid);
                self.runs.set_phase(id, RunPhase::Live);
                log::info!("adopt job={job} run={id} pid={pid}");
                let job_of = self.table.get(job);
                job_of.into_iter().for_each(|job| self.outputs.began(now, &job.def));
                self.touch(job);
                if unnoted {
                    self.launched(now, id, Ok(started));
                }
            }
            Found::Stopping(_) => self.runs.set_phase(id, RunPhase::Live),
            Found::NotLaunched => self.not_launched(now, id),
            Found::Gone => {
                let why = Outcome::Lost(ENDED_MEANWHILE.into());
                self.run_ended(now, Ended::unseen(id, now, why));
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
        let stopping = |run: &Run| match run.phase() {
            RunPhase::Stopping { kill_at_mono_ms } => Some((run.id, Some(kill_at_mono_ms))),
            RunPhase::Killed => Some((run.id, None)),
            RunPhase::Queued
            | RunPhase::Retry { .. }
            | RunPhase::Launching { .. }
            | RunPhase::Live => None,
        };
        self.runs.values().filter_map(stopping).collect()
    }

    /// Stops of the program before in the same process go on. The signals were sent, unless it
    /// panicked just before that: then they are sent again. So do stops of an earlier daemon: those
    /// that the journal knows, and those that only the keeper `heard`, at this reading of the
    /// monotonic clock. Whether TERM was sent then is not known, so it is sent again.
    fn go_on_stopping(
        &mut self,
        now: Now,
        carried: Option<&Carried>,
        heard: &[(RunId, u64)],
        custody: &mut Custody,
    ) {
        let panicked = carried.is_some_and(|carried| carried.panicked);
        for &(id, kill_at_ms) in carried.into_iter().flat_map(|carried| &carried.stopping) {
            if !self.runs.get(&id).is_some_and(Run::is_live) {
                continue;
            }
            custody.stops(id);
            let signal = match kill_at_ms {
                Some(at_ms) => {
                    self.kill_at(id, at_ms);
                    Signal::Term
                }
                None => {
                    custody.killed(id, now.mono_ms);
                    self.runs.set_phase(id, RunPhase::Killed);
                    Signal::Kill
                }
            };
            self.actions.extend(panicked.then_some(Action::Signal(id, signal)));
        }
        let noted = self.runs.values().filter_map(|run| Some((run.id, run.kill_ms?)));
        let grace_ms = self.settings.stop_grace_ms;
        let heard = heard.iter().map(|(id, asked_ms)| (*id, asked_ms + grace_ms));
        for (id, kill_ms) in noted.chain(heard).collect::<Vec<_>>() {
            if self.runs.get(&id).is_some_and(Run::is_live) {
                custody.stops(id);
                self.kill_at(id, kill_ms);
                self.actions.push_back(Action::Signal(id, Signal::Term));
            }
        }
    }

    /// A run that the earlier daemon came too early to its end to launch. It is launched now if
    /// its slot is still fresh; who asked for one by hand got no answer and will ask again.
    fn not_launched(&mut self, now: Now, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        let fresh = run.slot_ms.is_some_and(|slot| !clock::is_misfire(slot, now.wall_ms));
        if run.kill_ms.is_some() {
            self.end_unstarted(now, id, STOPPED_BEFORE);
        } else if fresh {
            // With the first table it turns out whether its row is still the same.
            self.runs.set_phase(id, RunPhase::Queued);
            self.due.resumed.push(id);
        } else {
            let why = "the daemon ended before it could start it, and now it is too late";
            self.end_unstarted(now, id, why);
        }
    }

    /// Launches what an earlier daemon could not, where the row is still the same.
    pub(super) fn resume(&mut self, now: Now) {
        for id in std::mem::take(&mut self.due.resumed) {
            let waits = |run: &&Run| run.phase() == RunPhase::Queued;
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
            } else if job.is_some_and(Job::is_active) && !self.draining() {
                log::info!("resume job={} run={id}: it was decided and not started", run.job);
                self.runs.stand_in_line(id, false);
            } else {
                self.end_unstarted(now, id, ROW_CHANGED);
            }
        }
    }
}
