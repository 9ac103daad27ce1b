//! The daemon's side of the keeper, as `shell/children.rs` has it: the core's own rules, driven by
//! what the world shows.

use super::keeper::STRAY;
use super::ledger::Settled;
use super::process::Processes;
use super::world::World;
use schedule::core::custody::{Machine, Silent};
use schedule::core::event::{Event, Started};
use schedule::core::ids::{JobId, RunId};
use schedule::core::keeping::{KeptEnd, Notice};
use schedule::core::outcome::Outcome;
use schedule::core::scheduler::{Carried, Place, RunPhase, Said};
use schedule::core::time::Now;
use std::collections::{BTreeMap, BTreeSet};

/// A keeper that stood still for less than this is not to be killed, ms.
const SHORT_MS: u64 = 25_000;

/// One that owes the launch of a run and stands still is killed at the latest after so much of the
/// time in which the daemon looks, ms.
const LONG_MS: u64 = 33_000;

/// Processes as the daemon can look at them.
struct Looker<'a> {
    processes: &'a Processes,
    mono_ms: u64,
    neighbours: &'a BTreeSet<String>,
}

impl Machine for Looker<'_> {
    fn find(&mut self, run: RunId, since: u64) -> Option<(u32, u64)> {
        let own = self.processes.alive.get(&run);
        let others = own.is_none() && self.neighbours.contains(&run.to_string());
        assert!(!others, "run {run}: the process of another installation is taken for it");
        let Started { pid, kernel_start, at } = own.filter(|process| !process.gone)?.started;
        let began = at.mono_ms / 10;
        assert!(began >= since, "run {run} begins at {began}, before {since}");
        Some((pid, kernel_start))
    }

    fn is_others(&mut self, _: Started) -> bool {
        false
    }

    fn watch(&mut self, run: RunId, started: Started) -> bool {
        let alive = self.processes.alive.get(&run).filter(|process| !process.gone);
        let Some(process) = alive else { return false };
        let Started { pid, kernel_start, .. } = process.started;
        let noted = (started.pid, started.kernel_start);
        assert_eq!(noted, (pid, kernel_start), "run {run}: its process, and what is watched");
        true
    }

    fn watched(&self) -> BTreeSet<RunId> {
        let watched = self.processes.alive.iter().filter(|(_, process)| process.watched);
        watched.map(|(run, _)| *run).collect()
    }

    fn job_of(&mut self, _: Started) -> Option<JobId> {
        None
    }

    fn reaches(&mut self, run: RunId, _: Started) -> bool {
        self.processes.alive.get(&run).is_some_and(|process| process.has_rest(self.mono_ms))
    }

    fn left(&mut self, runs: &BTreeMap<RunId, Started>) -> Option<BTreeMap<RunId, String>> {
        let stray = |run: &&RunId| self.processes.strays.contains(run);
        Some(runs.keys().filter(stray).map(|run| (*run, STRAY.to_owned())).collect())
    }
}

impl World {
    /// The daemon hears this from its keeper.
    pub fn is_told(&mut self, now: Now, notice: Notice) {
        self.silent_ms = 0;
        let Some(event) = self.custody.hears(notice) else { return };
        self.is_news(now, event);
    }

    /// Tells the core, and the ledger what it is to make of that.
    fn is_news(&mut self, now: Now, event: Event<'static>) {
        self.tell(|| format!("{event:?}"));
        let Some(core) = &mut self.core else { return };
        match event {
            Event::Waits(run, what) => {
                core.handle(now, Event::Waits(run, what));
                self.ledger.waits(run);
            }
            Event::Launched(run, result) => {
                core.handle(now, Event::Launched(run, result.clone()));
                match result {
                    Ok(_) => self.ledger.launched(now, run),
                    Err(why) => {
                        self.ledger.launch_failed(now, run, core, why.retryable, &why.text);
                    }
                }
            }
            Event::Ended(ended) => {
                let job = core.scheduler.runs().get(&ended.run).map(|run| run.job.0);
                job.into_iter().for_each(|job| self.disk.files.ended(now, job));
                let is_seen = ended.outcome.exit().is_some();
                let process = self.processes.alive.get(&ended.run);
                let goes_on = process.is_some_and(|process| !process.gone);
                assert!(!goes_on, "run {} ends, and its process goes on", ended.run);
                let is_left = self.processes.strays.contains(&ended.run);
                self.ledger.check_stop_done(now, &ended, process, is_left);
                self.processes.alive.remove(&ended.run);
                match self.ledger.began(ended.run).filter(|_| is_seen) {
                    Some(began) => self.ledger.ended(ended.run, &ended.outcome, began, ended.at),
                    None => self.ledger.lost(ended.run, &ended.outcome),
                }
                core.handle(now, Event::Ended(ended));
            }
            Event::NoKeeper => {
                core.handle(now, Event::NoKeeper);
                self.ledger.keeper(false);
            }
            other => panic!("nobody says {other:?}"),
        }
    }

    /// All that was to be written in this turn is written: some ends are for the journal alone.
    pub fn journaled(&mut self) {
        let Some(core) = &self.core else { return };
        let whole = core.scheduler.outbox().is_whole();
        let none_waits = core.scheduler.outbox().unwritten.is_empty();
        for run in self.custody.journaled(whole) {
            self.ledger.check_end_kept(run, none_waits);
            if let Some(keeper) = &mut self.keeper {
                keeper.ends.remove(&run);
            }
        }
    }

    /// Processes without a keeper are watched; how they end is not seen.
    pub fn watched_end(&mut self, now: Now) {
        for run in self.processes.reap(now.mono_ms, false) {
            let event = self.custody.unseen(run, now);
            event.into_iter().for_each(|event| self.is_news(now, event));
        }
    }

    /// The daemon looks at runs that are to end without a keeper.
    pub fn look_at_held(&mut self, now: Now) {
        let (processes, neighbours) = (&self.processes, &self.neighbours);
        let mut looker = Looker { processes, mono_ms: now.mono_ms, neighbours };
        let events = self.custody.looks_at_held(now, &mut looker);
        events.into_iter().for_each(|event| self.is_news(now, event));
    }

    /// The daemon looks whether its keeper is still there.
    pub fn look_after_keeper(&mut self, now: Now) {
        let passed_ms = now.mono_ms.saturating_sub(self.looked_ms).min(1_000);
        self.looked_ms = now.mono_ms;
        let Some(keeper) = &mut self.keeper else { return };
        let owes = self.ledger.is_asked() && keeper.still_until_ms > now.mono_ms;
        self.silent_ms = if owes { self.silent_ms + passed_ms } else { 0 };
        match self.custody.looks(now.mono_ms) {
            Silent::No => {}
            Silent::Ask => keeper.is_asked = true,
            Silent::Kill => {
                let stood_ms = keeper.still_until_ms.saturating_sub(keeper.still_from_ms);
                assert!(stood_ms >= SHORT_MS, "a keeper is killed that stood still {stood_ms} ms");
                self.tell(|| "the keeper answers no more".into());
                self.silent_ms = 0;
                self.keeper_dies();
            }
        }
        let silent_ms = self.silent_ms;
        assert!(
            silent_ms <= LONG_MS,
            "a keeper owes a launch for {silent_ms} ms and is not killed"
        );
    }

    /// The keeper is killed under its daemon, or without one.
    pub fn keeper_dies(&mut self) {
        let now = self.now;
        let Some(keeper) = self.keeper.take() else { return };
        self.tell(|| format!("{} is killed", keeper.id));
        self.orphan();
        if self.core.is_none() {
            return;
        }
        self.keeper_at_ms = now.mono_ms;
        let (processes, neighbours) = (&self.processes, &self.neighbours);
        let mut looker = Looker { processes, mono_ms: now.mono_ms, neighbours };
        let events = self.custody.loses(now, &mut looker);
        self.processes.alive.values_mut().for_each(|process| process.watched = !process.gone);
        events.into_iter().for_each(|event| self.is_news(now, event));
        assert!(!self.ledger.is_asked(), "launches are forgotten with their keeper");
        let alive = self.processes.alive.keys();
        let forgotten = alive.filter(|run| self.custody.process(**run).is_none());
        let forgotten: Vec<&RunId> = forgotten.collect();
        assert!(forgotten.is_empty(), "nobody watches {forgotten:?}");
    }

    /// The runs of earlier daemons are adopted. What should become of each the ledger has from what
    /// the world knows.
    pub fn settle_runs(&mut self, same_boot: bool, handed: Option<&Carried>) {
        let Some(mut core) = self.core.take() else { return };
        let noted = core.scheduler.outbox().keepers.clone();
        let id = self.find_keeper();
        let Some(keeper) = &self.keeper else { return };
        let said = Said { id, after: keeper.after.clone(), notices: self.all_known() };
        let known = |id: &String| *id == said.id || said.after.contains(id);
        let same_keeper = !noted.is_empty() && noted.iter().all(known);
        let left_word = |id: &String| *id == said.id || self.left_word.contains(id);
        let is_broken = noted.is_empty() || !noted.iter().all(left_word);
        assert!(same_keeper || is_broken, "{noted:?} are more than a keeper knows");
        let ends = keeper.ends.clone();
        let now = self.now;
        self.ledger.keeper(true);
        self.custody.begins(true);
        let runs: Vec<(RunId, u32)> =
            core.scheduler.runs().values().map(|run| (run.id, run.pid)).collect();
        let heard = keeper.stops.clone();
        for (run, pid) in &runs {
            let process = self.processes.alive.get(run);
            let is_own = process.is_some_and(|process| process.own);
            let is_gone = process.is_none_or(|process| process.gone);
            let is_told = same_boot && self.ledger.is_told(*run);
            let how = if is_own || ends.contains_key(run) {
                Settled::Alive
            } else if same_keeper && *pid == 0 {
                Settled::NotLaunched
            } else if same_boot && (!is_gone || (is_told && *pid != 0)) {
                Settled::Alive
            } else {
                self.processes.alive.remove(run);
                Settled::Lost
            };
            self.tell(|| format!("run {run} is {how:?}"));
            self.ledger.settled(now, *run, how, (same_boot, heard.get(run).copied()));
        }
        self.ledger.go_on_stopping();
        let (processes, neighbours) = (&self.processes, &self.neighbours);
        let mut looker = Looker { processes, mono_ms: now.mono_ms, neighbours };
        let place = Place { same_boot, is_copy: false };
        core.scheduler.adopt(now, said, place, handed, (&mut self.custody, &mut looker));
        for process in self.processes.alive.values_mut() {
            process.watched = !process.own && !process.gone;
        }
        for (run, end) in ends {
            // Others the journal has already.
            if self.ledger.live.contains(&run) {
                let outcome = match end.left.is_empty() {
                    true => Outcome::Ended(end.exit),
                    false => Outcome::LeftBehind(end.exit, end.left.into()),
                };
                self.ledger.ended(run, &outcome, end.started.at, end.at);
            }
        }
        let live: Vec<RunId> = core.scheduler.runs().keys().copied().collect();
        let expected: Vec<RunId> = self.ledger.live.iter().copied().collect();
        assert_eq!(live, expected, "runs that are adopted (left), and those that should be");
        for run in core.scheduler.runs().values() {
            let process = self.processes.alive.get(&run.id).map(|process| process.started.pid);
            let is_unstarted = run.phase() == RunPhase::Queued;
            let is_held = self.custody.is_held(run.id);
            let has_none = process.is_none() && !is_held;
            assert_eq!(is_unstarted, has_none, "run {} is {:?}", run.id, run.phase());
            let kept = self.custody.process(run.id).map(|process| process.pid);
            let right = kept == process || (is_held && process.is_none());
            assert!(right, "run {}: where signals go is {kept:?}, it is {process:?}", run.id);
        }
        self.core = Some(core);
    }

    /// What the keeper tells a daemon that finds it.
    fn all_known(&self) -> Vec<Notice> {
        let own = self.processes.alive.iter().filter(|(_, process)| process.own);
        let started = own.map(|(run, process)| Notice::Started(*run, process.started));
        let stops = self.keeper.as_ref().map_or_else(BTreeMap::new, |keeper| keeper.stops.clone());
        let stops = stops.into_iter().map(|(run, asked_ms)| Notice::Stopping(run, asked_ms));
        let started = started.chain(stops);
        let ends: BTreeMap<RunId, KeptEnd> =
            self.keeper.as_ref().map_or_else(BTreeMap::new, |keeper| keeper.ends.clone());
        started.chain(ends.into_values().map(Notice::Ended)).collect()
    }
}
