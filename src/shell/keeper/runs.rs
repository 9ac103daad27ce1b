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
use crate::core::time::Now;
use crate::shell::cgroup::{Group, Groups};
use crate::shell::clock;
use crate::shell::proc_fs;
use crate::shell::process::Launcher;
use crate::shell::sys::{self, Ended, Pid};
use rustix::process::{kill_process, kill_process_group, test_kill_process_group};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often held ends are looked at.
pub const LOOK: Duration = Duration::from_millis(50);

/// The kernel takes this long, ms, to end what was killed; what is there then can't be killed.
const KILLED_MS: u64 = 2_000;

/// Groups of runs that left something behind are tried again after this long, ms.
const SWEEP_MS: u64 = 10_000;

/// Processes that are named in an outcome.
const MAX_NAMED: usize = 5;

/// See the module's text.
pub struct Runs {
    /// By the pid that leads them.
    kept: BTreeMap<u32, Kept>,
    state_dir: PathBuf,
    groups: Option<Groups>,
    /// Runs to come get one.
    use_groups: bool,
    sweep_at_ms: u64,
    /// All processes are not looked through again before this (monotonic clock, ms).
    search_at_ms: u64,
}

struct Kept {
    run: RunId,
    started: Started,
    group: Option<Group>,
    stop: Option<Stop>,
    end: Option<(Now, Ended)>,
}

#[derive(Clone, Copy)]
enum Stop {
    Asked,
    Killed { at_ms: u64 },
}

impl Runs {
    /// None yet.
    pub fn new(state_dir: &Path) -> Runs {
        Runs {
            kept: BTreeMap::new(),
            state_dir: state_dir.into(),
            groups: None,
            use_groups: false,
            sweep_at_ms: 0,
            search_at_ms: 0,
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
        self.kept.values().any(|kept| kept.end.is_some())
    }

    /// Those whose end was not told.
    pub fn iter(&self) -> impl Iterator<Item = (RunId, Started)> {
        self.kept.values().map(|kept| (kept.run, kept.started))
    }

    /// Makes the process of a run.
    ///
    /// # Errors
    /// As [`Launcher::launch`].
    pub fn launch(
        &mut self,
        launcher: &Launcher,
        run: RunId,
        plan: &LaunchPlan,
    ) -> Result<Started, LaunchError> {
        let (group, dir) = match self.groups.as_mut().filter(|_| self.use_groups).map(Groups::take)
        {
            Some(Ok((group, dir))) => (Some(group), Some(dir)),
            // Better without one than not at all.
            Some(Err(_)) | None => (None, None),
        };
        let made = launcher.launch(plan, dir.as_ref().map(AsFd::as_fd)).inspect_err(|_| {
            if let (Some(groups), Some(group)) = (&mut self.groups, group) {
                groups.give_back(group);
            }
        })?;
        let pid = made.pid.as_raw_nonzero().get().unsigned_abs();
        let started = Started { pid, kernel_start: made.kernel_start, at: clock::now() };
        let kept = Kept { run, started, group, stop: None, end: None };
        self.kept.insert(pid, kept);
        Ok(started)
    }

    /// The daemon tells a run to end. It signals the process group itself; the rest is for us.
    pub fn stop(&mut self, now: Now, run: RunId, signal: Signal) {
        let Some((&pid, kept)) = self.kept.iter_mut().find(|(_, kept)| kept.run == run) else {
            return;
        };
        let group = self.groups.as_ref().zip(kept.group);
        let Some(leader) = to_pid(pid) else { return };
        match signal {
            Signal::Term => {
                kept.stop.get_or_insert(Stop::Asked);
                let members =
                    group.map(|(groups, group)| groups.members(group)).unwrap_or_default();
                let elsewhere = |pid: &Pid| rustix::process::getpgid(Some(*pid)) != Ok(leader);
                for member in members.into_iter().filter(elsewhere) {
                    let _ = kill_process(member, rustix::process::Signal::TERM);
                }
            }
            Signal::Kill => {
                kept.stop = Some(Stop::Killed { at_ms: now.mono_ms });
                // Nobody else gets the number of a group that has a process; and the daemon takes
                // a run whose leader is gone for one that is gone.
                if kept.end.is_some() && is_group_alive(leader) {
                    let _ = kill_process_group(leader, rustix::process::Signal::KILL);
                }
                if let Some((groups, group)) = group {
                    let _ = groups.kill(group);
                }
            }
        }
    }

    /// Takes in every process that has ended. Returns the ends that are to be told.
    pub fn reap(&mut self, now: Now) -> Vec<KeptEnd> {
        let mut ends = Vec::new();
        while let Some(ended) = sys::wait_any() {
            let pid = ended.pid.as_raw_nonzero().get().unsigned_abs();
            let Some(kept) = self.kept.get_mut(&pid) else { continue };
            kept.end = Some((now, ended));
            if kept.stop.is_none() {
                ends.extend(self.finish(pid, String::new()));
            }
        }
        if let Some(groups) = self.groups.as_mut().filter(|groups| groups.has_left())
            && now.mono_ms >= self.sweep_at_ms
        {
            self.sweep_at_ms = now.mono_ms + SWEEP_MS;
            groups.sweep();
        }
        ends.extend(self.release(now));
        ends
    }

    /// Held ends of runs of which nothing is left, or nothing that could be killed.
    fn release(&mut self, now: Now) -> Vec<KeptEnd> {
        let may_search = now.mono_ms >= self.search_at_ms;
        let over = |(&pid, kept): (&u32, &Kept)| {
            let done = kept.end.is_some() && !self.is_alive(now, pid, kept);
            (done && (kept.group.is_some() || may_search)).then_some((pid, kept.run, kept.group))
        };
        let over: Vec<(u32, RunId, Option<Group>)> = self.kept.iter().filter_map(over).collect();
        let searched: BTreeSet<String> =
            over.iter().filter(|it| it.2.is_none()).map(|it| it.1.to_string()).collect();
        let mut found = BTreeMap::new();
        if !searched.is_empty() {
            self.search_at_ms = now.mono_ms + LOOK.as_millis() as u64;
            found = proc_fs::find_by_run_ids(&searched).unwrap_or_default();
        }
        let end = |(pid, run, group): (u32, RunId, Option<Group>)| {
            let left = match (&self.groups, group) {
                (Some(groups), Some(group)) => groups.members(group),
                _ => found.remove(&run.to_string()).unwrap_or_default(),
            };
            let left = names(&left);
            self.finish(pid, left)
        };
        over.into_iter().filter_map(end).collect()
    }

    /// Whether something of a run that was told to end is to be waited for.
    fn is_alive(&self, now: Now, pid: u32, kept: &Kept) -> bool {
        if let Some(Stop::Killed { at_ms }) = kept.stop
            && now.mono_ms > at_ms + KILLED_MS
        {
            return false;
        }
        match (&self.groups, kept.group) {
            (Some(groups), Some(group)) => groups.is_populated(group),
            _ => to_pid(pid).is_some_and(is_group_alive),
        }
    }

    fn finish(&mut self, pid: u32, left: String) -> Option<KeptEnd> {
        let kept = self.kept.remove(&pid)?;
        if let (Some(groups), Some(group)) = (&mut self.groups, kept.group) {
            // Somebody else may have killed the group, as systemd-oomd(8) does.
            let by_others = kept.end.as_ref().is_some_and(|(_, ended)| is_kill(ended.exit));
            match by_others || matches!(kept.stop, Some(Stop::Killed { .. })) {
                true => groups.discard(group),
                false => groups.give_back(group),
            }
        }
        let (at, Ended { exit, usage, .. }) = kept.end?;
        Some(KeptEnd { run: kept.run, started: kept.started, at, exit, usage, left })
    }

    /// Takes away what is not needed any more.
    pub fn leave(self) {
        self.groups.iter().for_each(Groups::remove_all);
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn is_kill(exit: Exit) -> bool {
    matches!(exit, Exit::Signal { number, .. } if i32::from(number) == libc::SIGKILL)
}

fn is_group_alive(group: Pid) -> bool {
    // EPERM: they have become another user's.
    test_kill_process_group(group) != Err(rustix::io::Errno::SRCH)
}

/// `4711 sleep, 4712 sh and 3 more`.
fn names(pids: &[Pid]) -> String {
    let name = |pid: &Pid| {
        let number = pid.as_raw_nonzero();
        let name = std::fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default();
        format!("{number} {}", name.trim_end())
    };
    let mut text = pids.iter().take(MAX_NAMED).map(name).collect::<Vec<_>>().join(", ");
    if pids.len() > MAX_NAMED {
        text.push_str(&format!(" and {} more", pids.len() - MAX_NAMED));
    }
    text
}
