//! What is left of runs that have no keeper any more: in their control group, in their process
//! group, and in sessions of their own. A control group is known from the time at which a run is
//! told to end; else it is found, as the rest is, by what processes have in their environment.

use crate::core::event::{Signal, Started};
use crate::core::ids::RunId;
use crate::shell::cgroup::Tree;
use crate::shell::clock;
use crate::shell::proc_fs;
use crate::shell::process::{is_group_alive, number};
use crate::shell::refused::Members;
use crate::shell::search;
use crate::shell::sys::{self, Pid, pid_of};
use rustix::io::Errno;
use rustix::process::kill_process_group;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

/// All processes are looked through again after this long, ms: not for each of many runs that end
/// at once.
const LOOK_MS: u64 = 50;

/// And after so many times as long as the last look took: where there are many processes and
/// groups, that is not all that the daemon does.
const LOOK_TIMES: u64 = 10;

/// See the module's text.
pub struct Remains {
    state_dir: PathBuf,
    /// The control groups of runs that have one.
    groups: BTreeMap<RunId, Tree>,
    /// The sessions of runs that were told to end.
    sessions: BTreeMap<RunId, i32>,
    /// Runs whose first process is gone and that have others in its process group: nobody else gets
    /// the number of that as long as it is not empty.
    grouped: BTreeSet<RunId>,
    /// Runs whose processes were looked for since the first one was gone.
    looked_for: BTreeSet<RunId>,
    /// The processes of all runs a moment ago, the groups of those that are being stopped, and when
    /// both are looked for again, monotonic ms.
    found: BTreeMap<String, Vec<search::Process>>,
    stopped: BTreeMap<RunId, Tree>,
    look_at_ms: u64,
    /// Who is in which process group.
    pub members: Members,
}

impl Remains {
    /// Nothing is known.
    pub fn new(state_dir: PathBuf) -> Remains {
        Remains {
            state_dir,
            groups: BTreeMap::new(),
            sessions: BTreeMap::new(),
            grouped: BTreeSet::new(),
            looked_for: BTreeSet::new(),
            found: BTreeMap::new(),
            stopped: BTreeMap::new(),
            look_at_ms: 0,
            members: Members::default(),
        }
    }

    /// The run that this process leads is about to be told to end: its group is known from now on,
    /// to later daemons, too. When its first process is gone, it may have none left that says whose
    /// it is.
    pub fn is_stopped(&mut self, run: RunId, leader: Pid) {
        self.is_led(run, leader);
        self.sessions.extend(proc_fs::session_of(leader).map(|session| (run, session)));
        self.groups.get(&run).into_iter().for_each(|group| group.note_stop(run));
    }

    /// This process leads a run and is alive.
    pub fn is_led(&mut self, run: RunId, leader: Pid) {
        if !self.groups.contains_key(&run) {
            let group = Tree::of_process(leader, &self.state_dir);
            self.groups.extend(group.map(|group| (run, group)));
        }
    }

    /// It has just ended.
    pub fn was_led(&mut self, run: RunId, leader: Pid) {
        if is_group_alive(leader) {
            self.grouped.insert(run);
        }
    }

    /// Nothing more is asked about a run.
    pub fn forget(&mut self, run: RunId) {
        self.groups.remove(&run);
        self.sessions.remove(&run);
        self.grouped.remove(&run);
        self.looked_for.remove(&run);
    }

    /// Whether the processes of a run can be killed with its control group.
    pub fn may_kill_group(&self, run: RunId) -> bool {
        self.groups.get(&run).is_some_and(Tree::may_be_killed)
    }

    /// See [`crate::core::custody::Machine::reaches`].
    pub fn reaches(&mut self, run: RunId, started: Started) -> bool {
        let Some(leader) = pid_of(started.pid) else { return false };
        if self.look_for(run, started, leader).is_err() {
            return true;
        }
        if self.grouped.contains(&run) && !is_group_alive(leader) {
            self.grouped.remove(&run);
        }
        self.grouped.contains(&run) || self.groups.get(&run).is_some_and(Tree::is_populated)
    }

    /// Signals what the first process of a run does not lead, or not any more. Returns to whom it
    /// mattered who they are.
    ///
    /// # Errors
    /// Not now, for want of descriptors or memory.
    pub fn signal(&mut self, run: RunId, started: Started, signal: Signal) -> io::Result<Vec<Pid>> {
        let Some(leader) = pid_of(started.pid) else { return Ok(Vec::new()) };
        let is_led = proc_fs::is_running(leader, started.kernel_start);
        if !is_led {
            self.look_for(run, started, leader)?;
        }
        let mut asked = Vec::new();
        if let Some(group) = self.groups.get(&run) {
            let (sent, members) = group.signal(leader, signal, !is_led);
            let is_over = |why: &io::Error| why.kind() == io::ErrorKind::NotFound;
            let is_denied = |why: &io::Error| why.kind() == io::ErrorKind::PermissionDenied;
            sent.or_else(|why| if is_over(&why) || is_denied(&why) { Ok(()) } else { Err(why) })?;
            asked = members;
        }
        if !is_led && self.grouped.contains(&run) && is_group_alive(leader) {
            match kill_process_group(leader, number(signal)) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(_) => {
                    let members = self.members.of(clock::now().mono_ms, leader);
                    let others = members.into_iter().filter(|pid| !asked.contains(pid));
                    asked.extend(others.collect::<Vec<_>>());
                }
            }
        }
        Ok(asked)
    }

    /// See [`crate::core::custody::Machine::left`].
    pub fn left(&mut self, runs: &BTreeMap<RunId, Started>) -> Option<BTreeMap<RunId, String>> {
        let mono_ms = clock::now().mono_ms;
        let mut left = BTreeMap::new();
        for (run, started) in runs {
            let mut pids = self.processes_of(*run, *started).ok()?;
            if let Some(leader) = pid_of(started.pid).filter(|_| self.grouped.contains(run)) {
                pids.extend(self.members.of(mono_ms, leader));
            }
            pids.extend(self.groups.get(run).map(Tree::members).unwrap_or_default());
            let mut known = BTreeSet::new();
            pids.retain(|pid| known.insert(pid.as_raw_nonzero()) && !proc_fs::has_ended(*pid));
            left.insert(*run, proc_fs::named(&pids));
        }
        runs.keys().for_each(|run| self.forget(*run));
        Some(left)
    }

    /// Looks once for the processes of a run whose first one is gone: they tell its groups.
    fn look_for(&mut self, run: RunId, started: Started, leader: Pid) -> io::Result<()> {
        if self.looked_for.contains(&run) {
            return Ok(());
        }
        let found = self.processes_of(run, started)?;
        self.looked_for.insert(run);
        let is_named = found.iter().any(|pid| sys::group_of(*pid) == Some(leader));
        if is_named || self.is_orphaned(run, leader) {
            self.grouped.insert(run);
        }
        // One of them may have left its group.
        found.iter().for_each(|pid| self.is_led(run, *pid));
        let group = self.stopped.get(&run).filter(|_| !self.groups.contains_key(&run));
        self.groups.extend(group.map(|group| (run, group.clone())));
        Ok(())
    }

    /// Whether what has the number of a run's process group must be what is left of the run: its
    /// leader is gone, and it is in the session in which that was when it was told to end. A run of
    /// another daemon's time is not known by that: the number may be a stranger's by now.
    fn is_orphaned(&mut self, run: RunId, leader: Pid) -> bool {
        let Some(session) = self.sessions.get(&run).copied() else { return false };
        let members = self.members.of(clock::now().mono_ms, leader);
        let is_orphan = |pid: &Pid| *pid != leader && proc_fs::session_of(*pid) == Some(session);
        !members.is_empty() && members.iter().all(is_orphan)
    }

    /// The processes that have a run in their environment, a moment ago.
    fn processes_of(&mut self, run: RunId, started: Started) -> io::Result<Vec<Pid>> {
        let began_ms = clock::now().mono_ms;
        if began_ms >= self.look_at_ms {
            self.found = search::find_all(|_| true)?;
            self.stopped = Tree::of_stopped(&self.state_dir);
            let ended_ms = clock::now().mono_ms;
            self.look_at_ms = ended_ms + LOOK_MS.max(LOOK_TIMES * (ended_ms - began_ms));
        }
        let found = self.found.get(&run.to_string()).into_iter().flatten();
        let began = found.filter(|(_, began)| *began >= started.kernel_start).map(|(pid, _)| *pid);
        Ok(began.filter(|pid| !search::is_kept_elsewhere(*pid, &self.state_dir)).collect())
    }
}
