//! The runs of a keeper: made, told to end, and seen to end.
//!
//! A run ends with the process that leads it: what a job leaves in the background is its own
//! business. Only of a run that was told to end nothing may be left: its end is held back until
//! its process group, and where it has one its control group, is empty.

use crate::core::event::{Signal, Started};
use crate::core::ids::RunId;
use crate::core::keeping::KeptEnd;
use crate::core::launch::{LaunchError, LaunchPlan};
use crate::core::outcome::Exit;
use crate::core::refusal::Refusal;
use crate::core::time::Now;
use crate::shell::cgroup::{Group, Groups};
use crate::shell::clock;
use crate::shell::output::Written;
use crate::shell::proc_fs;
use crate::shell::process::{Launcher, is_group_alive, number};
use crate::shell::refused::{self, Members};
use crate::shell::search;
use crate::shell::sys::{self, Ended, Pid, pid_of};
use rustix::process::kill_process_group;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often held ends are looked at.
pub const LOOK: Duration = Duration::from_millis(50);

/// The kernel takes this long, ms, to end what was killed; what is there then can't be killed.
const KILLED_MS: u64 = 2_000;

/// Groups of runs that left something behind are tried again after this long, ms.
const SWEEP_MS: u64 = 10_000;

/// What clone(2) says where a control group takes no process.
const GROUP_REFUSES: [i32; 3] = [libc::ENODEV, libc::EBUSY, libc::EOPNOTSUPP];

/// See the module's text.
pub struct Runs {
    kept: BTreeMap<RunId, Kept>,
    /// Those whose process was not taken in yet, by its pid: afterwards others may have that.
    leaders: BTreeMap<u32, RunId>,
    /// Those whose process was taken in and whose end was not told.
    ended: BTreeSet<RunId>,
    state_dir: PathBuf,
    groups: Option<Groups>,
    /// Runs to come get one.
    use_groups: bool,
    sweep_at_ms: u64,
    /// All processes are not looked through again before this (monotonic clock, ms).
    search_at_ms: u64,
    /// Processes that were taken in and were no run.
    others: Vec<Pid>,
    /// Who is in their process groups.
    members: Members,
    /// See [`Runs::take_refused`].
    refused: Vec<(RunId, Box<Refusal>)>,
}

struct Kept {
    started: Started,
    written: Option<Written>,
    group: Option<Group>,
    stop: Option<Stop>,
    end: Option<(Now, Ended)>,
}

/// A run was told to end, and killed when that did not help; monotonic ms.
#[derive(Clone, Copy)]
struct Stop {
    asked_ms: u64,
    killed_ms: Option<u64>,
    /// It could not be killed for want of descriptors or memory.
    must_kill: bool,
}

impl Runs {
    /// None yet.
    pub fn new(state_dir: &Path) -> Runs {
        Runs {
            kept: BTreeMap::new(),
            leaders: BTreeMap::new(),
            ended: BTreeSet::new(),
            state_dir: state_dir.into(),
            groups: None,
            use_groups: false,
            sweep_at_ms: 0,
            search_at_ms: 0,
            others: Vec::new(),
            members: Members::default(),
            refused: Vec::new(),
        }
    }

    /// Whether runs to come get control groups; they do not until this was said.
    pub fn use_groups(&mut self, wanted: bool) {
        self.use_groups = wanted;
        if self.use_groups && self.groups.is_none() {
            self.groups = Groups::new(&self.state_dir).filter(Groups::take_processes);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether ends are held back.
    pub fn holds_ends(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Those whose end was not told; with when they were told to end, monotonic ms.
    pub fn iter(&self) -> impl Iterator<Item = (RunId, Started, Option<u64>)> {
        let asked_ms = |kept: &Kept| kept.stop.map(|stop| stop.asked_ms);
        self.kept.iter().map(move |(run, kept)| (*run, kept.started, asked_ms(kept)))
    }

    /// Makes the process of a run.
    ///
    /// # Errors
    /// As [`Launcher::launch`].
    pub fn launch(
        &mut self,
        launcher: &mut Launcher,
        run: RunId,
        plan: &LaunchPlan,
    ) -> Result<Started, LaunchError> {
        let (mut group, dir) =
            match self.groups.as_mut().filter(|_| self.use_groups).map(Groups::take) {
                Some(Ok((group, dir))) => (Some(group), Some(dir)),
                // Better without one than not at all.
                Some(Err(_)) | None => (None, None),
            };
        let mut made = launcher.launch(plan, dir.as_ref().map(AsFd::as_fd));
        if let (Some(groups), Some(own), Err(error)) = (&mut self.groups, group, &made) {
            if GROUP_REFUSES.contains(&error.errno) {
                group = None;
                groups.discard(own);
                made = launcher.launch(plan, None);
            } else {
                groups.give_back(own);
            }
        }
        let made = made?;
        let pid = made.pid.as_raw_nonzero().get().unsigned_abs();
        let started = Started { pid, kernel_start: made.kernel_start, at: clock::now() };
        let written = launcher.take_written();
        self.kept.insert(run, Kept { started, written, group, stop: None, end: None });
        self.leaders.insert(pid, run);
        Ok(started)
    }

    /// The daemon tells a run to end. It signals the process group itself; the rest is for us.
    pub fn stop(&mut self, now: Now, run: RunId, signal: Signal) {
        let Some(kept) = self.kept.get_mut(&run) else { return };
        let Some(leader) = pid_of(kept.started.pid) else { return };
        // The daemon takes a run whose leader is gone for one that is gone.
        let (group, all_ours) = (kept.group, kept.end.is_some());
        let (sent, asked) = match group {
            Some(group) => match &self.groups {
                Some(groups) => groups.tree(group).signal(leader, signal, all_ours),
                None => (Ok(()), Vec::new()),
            },
            // Nobody else gets the number of a process group that was not empty 50 ms ago.
            None if all_ours && is_group_alive(leader) => {
                let sent = kill_process_group(leader, number(signal)).map_err(Into::into);
                (sent, self.members.of(now.mono_ms, leader))
            }
            None => (Ok(()), Vec::new()),
        };
        let refusal = refused::among(leader, &asked, false);
        self.refused.extend(refusal.map(|refusal| (run, Box::new(refusal))));
        let Some(kept) = self.kept.get_mut(&run) else { return };
        let stop = kept.stop.get_or_insert(Stop {
            asked_ms: now.mono_ms,
            killed_ms: None,
            must_kill: false,
        });
        match signal {
            Signal::Term => {}
            Signal::Kill => {
                stop.must_kill = sent.is_err_and(|why| is_shortage(&why));
                stop.killed_ms = (!stop.must_kill).then_some(now.mono_ms);
            }
        }
    }

    /// Its process does not take the signal, so it is as if it had not been told to end.
    pub fn go_on(&mut self, run: RunId) {
        if let Some(kept) = self.kept.get_mut(&run) {
            kept.stop = None;
        }
    }

    /// Processes that took no signal.
    pub fn take_refused(&mut self) -> Vec<(RunId, Box<Refusal>)> {
        std::mem::take(&mut self.refused)
    }

    /// Takes in every process that has ended. Returns whether a run was among them.
    pub fn take_in(&mut self, now: Now) -> bool {
        let mut any = false;
        while let Some(ended) = sys::wait_any() {
            let pid = ended.pid.as_raw_nonzero().get().unsigned_abs();
            let Some(run) = self.leaders.remove(&pid) else {
                self.others.push(ended.pid);
                continue;
            };
            if let Some(kept) = self.kept.get_mut(&run) {
                kept.end = Some((now, ended));
                self.ended.insert(run);
                any = true;
            }
        }
        any
    }

    /// Processes that have ended and were no run.
    pub fn take_others(&mut self) -> Vec<Pid> {
        std::mem::take(&mut self.others)
    }

    /// The ends that are to be told; who launched them knows where they have written to.
    pub fn ends(&mut self, now: Now, launcher: &Launcher) -> Vec<KeptEnd> {
        let by_itself = |run: &RunId| self.kept.get(run).is_some_and(|kept| kept.stop.is_none());
        let by_itself: Vec<RunId> = self.ended.iter().copied().filter(by_itself).collect();
        let mut ends: Vec<KeptEnd> = by_itself
            .into_iter()
            .filter_map(|run| self.finish(launcher, run, String::new()))
            .collect();
        if let Some(groups) = self.groups.as_mut().filter(|groups| groups.has_left())
            && now.mono_ms >= self.sweep_at_ms
        {
            self.sweep_at_ms = now.mono_ms + SWEEP_MS;
            groups.sweep();
        }
        self.kill_again(now);
        ends.extend(self.release(now, launcher));
        ends
    }

    /// Kills what could not be killed before: as long as it can't be, the end is held back.
    fn kill_again(&mut self, now: Now) {
        let must = |run: &&RunId| {
            self.kept.get(run).and_then(|kept| kept.stop).is_some_and(|stop| stop.must_kill)
        };
        let runs: Vec<RunId> = self.ended.iter().filter(must).copied().collect();
        runs.into_iter().for_each(|run| self.stop(now, run, Signal::Kill));
    }

    /// Held ends of runs that have nothing left, or nothing that could be killed.
    fn release(&mut self, now: Now, launcher: &Launcher) -> Vec<KeptEnd> {
        let may_search = now.mono_ms >= self.search_at_ms;
        let over = |run: &RunId| {
            let kept = self.kept.get(run)?;
            let done = !is_alive(self.groups.as_ref(), now, kept);
            (done && (kept.group.is_some() || may_search)).then_some((*run, kept.group))
        };
        let over: Vec<(RunId, Option<Group>)> = self.ended.iter().filter_map(over).collect();
        let searched = over.iter().filter(|it| it.1.is_none());
        let searched: BTreeMap<String, u64> =
            searched.map(|it| (it.0.to_string(), self.kept[&it.0].started.kernel_start)).collect();
        let mut found = BTreeMap::new();
        if !searched.is_empty() {
            self.search_at_ms = now.mono_ms + LOOK.as_millis() as u64;
            found = search::find_by_run_ids(&searched).unwrap_or_default();
        }
        let end = |(run, group): (RunId, Option<Group>)| {
            let left = match (&self.groups, group) {
                (Some(groups), Some(group)) => groups.tree(group).members(),
                _ => {
                    let found = found.remove(&run.to_string()).unwrap_or_default();
                    let mut left: Vec<Pid> = found.into_iter().map(|(pid, _)| pid).collect();
                    // Those of other users say nothing of themselves.
                    let leader = self.kept.get(&run).and_then(|kept| pid_of(kept.started.pid));
                    let grouped = leader.map(|leader| self.members.of(now.mono_ms, leader));
                    for pid in grouped.unwrap_or_default() {
                        if !left.contains(&pid) {
                            left.push(pid);
                        }
                    }
                    left
                }
            };
            let left = proc_fs::named(&left);
            self.finish(launcher, run, left)
        };
        over.into_iter().filter_map(end).collect()
    }

    fn finish(&mut self, launcher: &Launcher, run: RunId, left: String) -> Option<KeptEnd> {
        self.ended.remove(&run);
        let kept = self.kept.remove(&run)?;
        if let (Some(groups), Some(group)) = (&mut self.groups, kept.group) {
            let by_us = kept.stop.is_some_and(|stop| stop.killed_ms.is_some());
            // As systemd-oomd(8) does, and the administrator.
            let by_others = kept.end.as_ref().is_some_and(|(_, ended)| is_kill(ended.exit));
            // Also where TERM was enough: the group names the run that was stopped, and the next
            // one in it would be taken for that.
            match kept.stop.is_some() || by_others {
                true => groups.discard(group),
                false => groups.give_back(group),
            }
            if by_others && !by_us {
                groups.discard_free();
            }
        }
        let (at, Ended { exit, usage, .. }) = kept.end?;
        let last_line = match kept.written.filter(|_| !exit.is_success()) {
            Some(written) => launcher.last_line(&run.to_string(), &written),
            None => Box::default(),
        };
        Some(KeptEnd { run, started: kept.started, at, exit, usage, left, last_line })
    }

    /// Takes away what is not needed any more.
    pub fn leave(self) {
        self.groups.iter().for_each(Groups::remove_all);
    }
}

/// Whether something of a run that was told to end is to be waited for.
fn is_alive(groups: Option<&Groups>, now: Now, kept: &Kept) -> bool {
    if let Some(Stop { killed_ms: Some(at_ms), .. }) = kept.stop
        && now.mono_ms > at_ms + KILLED_MS
    {
        return false;
    }
    match (groups, kept.group) {
        (Some(groups), Some(group)) => groups.tree(group).is_populated(),
        _ => pid_of(kept.started.pid).is_some_and(is_group_alive),
    }
}

fn is_shortage(why: &io::Error) -> bool {
    matches!(why.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

fn is_kill(exit: Exit) -> bool {
    matches!(exit, Exit::Signal { number, .. } if i32::from(number) == libc::SIGKILL)
}
