//! A run, from its intent to its end: what is decided when something happens to it. Which phases
//! there are, and which follows which, is in [`super::run`].

use super::Scheduler;
use super::news::{Begun, News};
use super::run::{Run, RunPhase};
use super::stops::STOPPED_BEFORE;
use crate::core::clock;
use crate::core::event::{Action, Ended, Signal, Started};
use crate::core::history::PastRun;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{Cause, End, Entry, FIRST_ATTEMPT, Remarks};
use crate::core::launch::{LaunchError, LaunchPlan, MAX_LAUNCHING};
use crate::core::outcome::Outcome;
use crate::core::run_kind::RunKind;
use crate::core::state_label::StateLabel;
use crate::core::table::{Job, Phase};
use crate::core::time::{Now, rfc3339};

/// First pause before a failed launch is tried again, ms; doubled each time.
const RETRY_MIN_MS: u64 = 50;

/// Longest pause before a failed launch is tried again, ms.
const RETRY_MAX_MS: u64 = 2_000;

/// Why a run was not started after all.
pub(super) const ROW_CHANGED: &str = "its row was changed or removed before it could be started";

impl Scheduler {
    /// Starts a run: it is queued to be launched. The limit is the caller's business. `remarks`:
    /// who wants it and why, where somebody does.
    pub(in crate::core) fn start_run(
        &mut self,
        now: Now,
        id: JobId,
        (slot_ms, cause): (Option<i64>, Cause),
        remarks: Option<Box<Remarks>>,
    ) -> Option<RunId> {
        let (server_id, instance) = (self.settings.server_id, self.settings.instance);
        let job = self.table.get_mut(id)?;
        debug_assert!(!matches!(job.phase(), Phase::Disabled), "job {id} is disabled");
        let run = RunId::next(server_id, instance, self.last_sequence, now.wall_ms);
        self.last_sequence = run.sequence;
        job.live.push(run);
        if let Some(history) = &mut job.history {
            history.launched();
        }
        let concurrent = u32::try_from(job.live.len()).unwrap_or(u32::MAX);
        let run = Run {
            id: run,
            job: id,
            slot_ms,
            cause,
            attempt: FIRST_ATTEMPT,
            at_ms: now.wall_ms,
            mono_ms: now.mono_ms,
            concurrent,
            pid: 0,
            kernel_start: clock::tick_of(now.mono_ms),
            deadline_ms: None,
            kill_ms: None,
            phase: RunPhase::Queued,
            waits: None,
            refused: None,
            intended: false,
            home: self.home(),
            remarks,
        };
        let id = run.id;
        let job = run.job;
        self.runs.insert(run);
        // Who asks for one by hand waits for the answer.
        self.runs.stand_in_line(id, cause == Cause::Manual);
        self.touch(job);
        Some(id)
    }

    /// The next launch, after its intent is in the journal.
    pub(super) fn next_launch(&mut self) -> Option<Action> {
        loop {
            let room = match self.has_keeper {
                true => MAX_LAUNCHING.saturating_sub(self.runs.asked()),
                false => 0,
            };
            let first = *self.runs.line().front().filter(|_| room > 0)?;
            if self.runs.get(&first).is_some_and(|run| !run.intended) {
                // All that may be asked for now, in one write.
                self.outbox.renote_keeper();
                let next: Vec<RunId> = self.runs.line().iter().take(room).copied().collect();
                next.into_iter().for_each(|run| self.note_intent(run));
            }
            if self.outbox.must_flush
                && let Some(action) = self.flush_journal()
            {
                return Some(action);
            }
            if let Some(word) = self.word_before_launch() {
                return Some(word);
            }
            self.runs.next_in_line();
            if let Some(action) = self.launch(first) {
                return Some(action);
            }
        }
    }

    /// A keeper is there to launch runs, or none. The journal says which one: it alone knows what
    /// became of the intents that follow.
    pub(in crate::core) fn keeper_is(&mut self, id: Option<String>) {
        if self.has_keeper && id.is_none() {
            self.actions.extend(self.stops_again());
        }
        self.has_keeper = id.is_some();
        id.into_iter().for_each(|id| self.outbox.keeper_is(id));
    }

    /// Notes the intent to launch a run, right before it is launched: were the daemon killed among
    /// a thousand launches, only a few would be in doubt, and the next one decides the rest again.
    /// The intent goes to the disk together with the start of runs before.
    pub(super) fn note_intent(&mut self, id: RunId) {
        self.outbox.forget_keepers(&self.runs);
        let Some(run) = self.runs.get_mut(&id).filter(|run| !run.intended) else { return };
        run.intended = true;
        let Some(job) = self.table.get(run.job) else { return };
        let md5 = job.def.md5_hex();
        let entry = run.entry(&job.def.name, &job.def.command, &md5, None);
        self.outbox.note(&Entry::Run(entry));
        self.outbox.must_flush = true;
    }

    /// Notes the intents of a job whose later slot is to be told: of a job with a slot in the
    /// journal the earlier ones count as decided, and a launch that still waits would be lost.
    pub(super) fn note_intents(&mut self, id: JobId) {
        let Some(job) = self.table.get(id) else { return };
        let queued = |run: &&RunId| self.runs.get(run).is_some_and(|run| !run.intended);
        let queued: Vec<RunId> = job.live.iter().filter(queued).copied().collect();
        queued.into_iter().for_each(|run| self.note_intent(run));
    }

    /// The launch of a queued run; none if it was stopped before.
    fn launch(&mut self, id: RunId) -> Option<Action> {
        let run = self.runs.get(&id)?;
        let pause_ms = match run.phase() {
            RunPhase::Queued => None,
            RunPhase::Retry { pause_ms, .. } => Some(pause_ms),
            RunPhase::Launching { .. }
            | RunPhase::Live
            | RunPhase::Stopping { .. }
            | RunPhase::Killed => return None,
        };
        let job = self.table.get(run.job)?;
        let zone = match &job.def.schedule {
            crate::core::definition::Schedule::Due(_, zone) => self.table.zone(*zone),
            crate::core::definition::Schedule::Refused(..) => &self.settings.zone,
        };
        let plan = LaunchPlan {
            job_id: run.job.0,
            run_id: id.to_string(),
            server_id: self.settings.server_id,
            command: job.def.command.to_string(),
            output: job.def.output.to_string(),
            stderr: job.def.stderr.to_string(),
            slot: run.slot_ms.map(|slot| rfc3339(slot, zone)).unwrap_or_default(),
        };
        let not_after_ms = run.mono_ms + clock::FRESH_MS.unsigned_abs();
        debug_assert!(run.intended, "run {id} is launched without its intent");
        debug_assert!(self.has_keeper, "run {id} is launched, and nobody is there to do it");
        self.runs.set_phase(id, RunPhase::Launching { pause_ms, stop: false });
        Some(Action::Launch { run: id, plan: Box::new(plan), not_after_ms })
    }

    /// A launch waits for a file system. Others are not to wait for it: it is not counted among
    /// those that are under way.
    pub(in crate::core) fn launch_waits(&mut self, id: RunId, what: String) {
        if !self.runs.waits(id, &what) {
            return;
        }
        let Some(job) = self.runs.get(&id).map(|run| run.job) else { return };
        log::warn!("wait job={job} run={id}: {what}: its file system has not answered yet");
        self.touch(job);
        self.news.push_back(News::Launch(id, Begun::Not(StateLabel::Starting, what)));
    }

    pub(in crate::core) fn launched(
        &mut self,
        now: Now,
        id: RunId,
        result: Result<Started, LaunchError>,
    ) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let stop = matches!(run.phase(), RunPhase::Launching { stop: true, .. });
        match result {
            Ok(started) => {
                run.at_ms = started.at.wall_ms;
                run.mono_ms = started.at.mono_ms;
                run.pid = started.pid;
                run.kernel_start = started.kernel_start;
                let job = run.job;
                self.runs.set_phase(id, RunPhase::Live);
                self.has_started(now, id);
                self.touch(job);
                self.news.push_back(News::Launch(id, Begun::Yes));
                if stop {
                    // What the keeper was to take note of goes to the process now, and not twice.
                    let is_note = |it: &Action| matches!(it, Action::Signal(run, _) if *run == id);
                    self.actions.retain(|action| !is_note(action));
                    self.stop_run(now, id, "");
                }
            }
            Err(_) if stop => self.end_unstarted(now, id, STOPPED_BEFORE),
            Err(error) => self.launch_failed(now, id, error),
        }
    }

    fn has_started(&mut self, now: Now, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        let Some(job) = self.table.get(run.job) else { return };
        let late_ms = run.slot_ms.map_or(0, |slot| u64::try_from(run.at_ms - slot).unwrap_or(0));
        // Slots that are made up for were late before there was a daemon.
        let due_ms = run.slot_ms.map(|slot| slot.max(self.due.able_ms.unwrap_or(i64::MIN)));
        let delay_ms = due_ms.map(|due_ms| u64::try_from(run.at_ms - due_ms).unwrap_or(0));
        let (job_id, pid, cause, name) = (run.job, run.pid, run.cause.label(), &job.def.name);
        log::info!(
            "start job={job_id} run={id} pid={pid} cause={cause} late={late_ms} name={name}"
        );
        let md5 = job.def.md5_hex();
        let entry = run.entry(&job.def.name, &job.def.command, &md5, None);
        self.outbox.record(now, &Entry::Run(entry));
        self.outputs.began(now, &job.def);
        self.counters.launched += 1;
        if let Some(delay_ms) = delay_ms {
            self.metrics.lateness.count(delay_ms.saturating_mul(1000));
            self.counters.worst_lateness_ms = self.counters.worst_lateness_ms.max(delay_ms);
        }
    }

    fn launch_failed(&mut self, now: Now, id: RunId, error: LaunchError) {
        let Some(run) = self.runs.get(&id) else { return };
        let job = self.table.get(run.job);
        if error.retryable && !job.is_some_and(Job::is_active) {
            // The row was changed while the keeper was about to start it.
            self.end_unstarted(now, id, ROW_CHANGED);
            return;
        }
        let pause_ms = match run.phase() {
            RunPhase::Launching { pause_ms: Some(pause_ms), .. } => {
                (pause_ms * 2).min(RETRY_MAX_MS)
            }
            _ => RETRY_MIN_MS,
        };
        if !error.retryable || !run.is_fresh_at(now.mono_ms + pause_ms) {
            let outcome = Outcome::SpawnFailed(error.text.into_boxed_str());
            self.run_ended(now, Ended::unseen(id, now, outcome));
            return;
        }
        let at_mono_ms = now.mono_ms + pause_ms;
        let job = run.job;
        self.runs.set_phase(id, RunPhase::Retry { at_mono_ms, pause_ms });
        log::warn!("retry job={job} run={id} in {pause_ms} ms: {}", error.text);
        self.touch(job);
        self.news.push_back(News::Launch(id, Begun::Not(StateLabel::Backoff, error.text)));
    }

    pub(in crate::core) fn run_ended(&mut self, now: Now, ended: Ended) {
        let Ended { run: id, at, outcome, usage, last_line } = ended;
        let Some(mut run) = self.runs.remove(id) else { return };
        let duration_ms = at.mono_ms.saturating_sub(run.mono_ms);
        // Its process has to have ended: what was lost, or never started, is another matter.
        let stopped = outcome.exit().is_some() && run.is_stopping();
        debug_assert!(outcome.exit().is_none() || run.pid != 0, "run {id} ends without a process");
        debug_assert!(run.intended, "run {id} ends, and the journal does not know it");
        let end = End { at_ms: at.wall_ms, outcome, usage, duration_ms, stopped };
        self.log_end(&run, &end);
        let failure = match &end.outcome {
            Outcome::SpawnFailed(why) | Outcome::Lost(why) => Some(why.clone()),
            Outcome::Ended(_) | Outcome::LeftBehind(..) => None,
        };
        let kind = end.outcome.kind(stopped);
        if RunKind::FAILED.contains(&kind.into()) {
            Remarks::say(&mut run.remarks, |it| &mut it.last_line, &last_line);
        }
        self.metrics.outcomes.add(kind, 1);
        self.counters.ended(kind);
        if let Some(job) = self.table.get_mut(run.job) {
            let md5 = job.def.md5_hex();
            let entry = run.entry(&job.def.name, &job.def.command, &md5, Some(end));
            let past = PastRun::from_entry(&entry);
            self.outbox.record(now, &Entry::Run(entry));
            past.into_iter().for_each(|past| job.history_mut().ended(past));
            self.outputs.ended(now, &job.def);
        }
        self.table.run_ended(run.job, id);
        self.touch(run.job);
        if let Some(why) = failure {
            self.news.push_back(News::Launch(id, Begun::Never(why.into())));
        }
    }

    /// Ends the runs of a job that wait for their launch if its definition is no longer in force:
    /// who changed or disabled a row expects that nothing more is started from the old one.
    pub(super) fn drop_unstarted(&mut self, now: Now, id: JobId) {
        let Some(job) = self.table.get(id).filter(|job| !job.is_active()) else { return };
        let waiting = |run: &&RunId| self.runs.get(run).is_some_and(Run::is_unstarted);
        let dropped: Vec<RunId> = job.live.iter().filter(waiting).copied().collect();
        for run in dropped {
            self.end_unstarted(now, run, ROW_CHANGED);
        }
    }

    /// Ends a run that never had a process.
    pub(super) fn end_unstarted(&mut self, now: Now, id: RunId, why: &str) {
        // Its end is the end of something that the journal knows.
        self.note_intent(id);
        self.run_ended(now, Ended::unseen(id, now, Outcome::SpawnFailed(why.into())));
    }

    fn log_end(&self, run: &Run, end: &End) {
        let level = match &end.outcome {
            outcome if outcome.is_success() => log::Level::Info,
            Outcome::Ended(_) | Outcome::LeftBehind(..) => log::Level::Warn,
            Outcome::SpawnFailed(_) | Outcome::Lost(_) => log::Level::Error,
        };
        let (job, id, pid, ms) = (run.job, run.id, run.pid, end.duration_ms);
        log::log!(level, "end job={job} run={id} pid={pid} outcome=\"{}\" ms={ms}", end.outcome);
    }

    /// Retries and kills whose time has come.
    pub(super) fn run_timers(&mut self, now: Now) {
        while let Some(id) = self.runs.take_timer(now.mono_ms) {
            let Some(run) = self.runs.get(&id) else { continue };
            match run.phase() {
                RunPhase::Retry { .. } if run.is_fresh_at(now.mono_ms) => {
                    self.runs.stand_in_line(id, false);
                }
                RunPhase::Retry { .. } => {
                    let why = "the machine had no room for it and then stood still for too long";
                    self.end_unstarted(now, id, why);
                }
                RunPhase::Stopping { .. } => {
                    log::warn!("kill job={} run={id} pid={}: still alive", run.job, run.pid);
                    self.runs.set_phase(id, RunPhase::Killed);
                    self.actions.push_back(Action::Signal(id, Signal::Kill));
                }
                RunPhase::Queued
                | RunPhase::Launching { .. }
                | RunPhase::Live
                | RunPhase::Killed => debug_assert!(false, "run {id} has a timer for nothing"),
            }
        }
    }
}
