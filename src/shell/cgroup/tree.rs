//! The control group of a run, with all those that the run has made in it, by its directory.

use super::{cgroup2_mount, each_below, groups_in, keeper_in, prefix};
use crate::core::event;
use crate::core::ids::RunId;
use crate::shell::process::number;
use crate::shell::sys::{self, Pid};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::process::kill_process;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

/// The run that is being stopped in a group, as an extended attribute of its directory. The kernel
/// keeps it as long as the group is there; since 5.7 it takes any that begins with `user.`.
const STOPPED_RUN: &str = "user.schedule.stopped_run";

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree(pub(super) PathBuf);

impl Tree {
    /// The one of the run that a process belongs to, where a keeper of this state directory, alive
    /// or dead, has made one.
    pub fn of_process(pid: Pid, state_dir: &Path) -> Option<Tree> {
        let name = prefix(&fs::metadata(state_dir).ok()?);
        let text = fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero())).ok()?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let (root, mount) = mounts.lines().find_map(cgroup2_mount)?;
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Tree(Path::new(mount).join(run_in(below, &name)?)))
    }

    /// Notes at the group that this run is being stopped in it. A later daemon finds the group by
    /// that, also when nobody is left in it who would say whose they are.
    pub fn note_stop(&self, run: RunId) {
        // Without it, the processes are looked for by their environment.
        let _ = setxattr(&self.0, STOPPED_RUN, run.to_string().as_bytes(), XattrFlags::empty());
    }

    /// The groups that keepers of this state directory, alive or dead, have made, and in which runs
    /// are being stopped. Looks at all groups that there are, but not into those of other keepers.
    pub fn of_stopped(state_dir: &Path) -> BTreeMap<RunId, Tree> {
        let mut stopped = BTreeMap::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mount = mounts.lines().find_map(cgroup2_mount).map(|(_, mount)| PathBuf::from(mount));
        let (Some(mount), Ok(found)) = (mount, fs::metadata(state_dir)) else { return stopped };
        let name = prefix(&found);
        let mut left = vec![mount];
        while let Some(dir) = left.pop() {
            let keeper = keeper_in(&dir);
            if keeper.is_some_and(|keeper| !keeper.starts_with(&name)) {
                continue;
            }
            let of_run = keeper.is_some();
            for below in groups_in(&dir) {
                match of_run {
                    true => {
                        let run = Tree(below);
                        stopped.extend(run.stopped().map(|id| (id, run)));
                    }
                    false => left.push(below),
                }
            }
        }
        stopped
    }

    /// What was noted by [`Tree::note_stop`].
    fn stopped(&self) -> Option<RunId> {
        let mut noted = [0; 64];
        let length = getxattr(&self.0, STOPPED_RUN, &mut noted).ok()?;
        str::from_utf8(&noted[..length]).ok()?.parse().ok()
    }

    /// Whether a process in it is alive, or that can't be told.
    pub fn is_populated(&self) -> bool {
        match fs::read_to_string(self.0.join("cgroup.events")) {
            Ok(text) => text.lines().any(|line| line == "populated 1"),
            Err(why) => why.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Whether this process may kill what is in it: it may be another user's.
    pub fn may_be_killed(&self) -> bool {
        File::options().write(true).open(self.0.join("cgroup.kill")).is_ok()
    }

    /// The processes in it.
    pub fn members(&self) -> Vec<Pid> {
        let mut members = Vec::new();
        each_below(&self.0, &mut |dir| {
            let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            members.extend(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
        });
        members
    }

    /// Signals what is in it: TERM goes only to those that are not in the process group of this
    /// `leader`, unless to `all`. KILL goes to every process, those included that are being made
    /// now; the group can't be used again then. Returns to whom it mattered who they are.
    pub fn signal(
        &self,
        leader: Pid,
        signal: event::Signal,
        all: bool,
    ) -> (io::Result<()>, Vec<Pid>) {
        let killed = match signal {
            event::Signal::Kill => fs::write(self.0.join("cgroup.kill"), "1"),
            event::Signal::Term => Ok(()),
        };
        let denied = |why: &io::Error| why.kind() == io::ErrorKind::PermissionDenied;
        let by_hand = match signal {
            event::Signal::Kill => killed.as_ref().is_err_and(denied),
            event::Signal::Term => true,
        };
        let all = all || signal == event::Signal::Kill;
        let wanted = |pid: &Pid| by_hand && (all || sys::group_of(*pid) != Some(leader));
        let members: Vec<Pid> = self.members().into_iter().filter(wanted).collect();
        for member in &members {
            let _ = kill_process(*member, number(signal));
        }
        (killed, members)
    }
}

/// The group of a run within this path: a number in a directory whose name begins so.
fn run_in(path: &Path, prefix: &str) -> Option<PathBuf> {
    let mut run = PathBuf::new();
    let mut is_keepers = false;
    for part in path.components() {
        let Component::Normal(name) = part else { return None };
        let name = name.to_str()?;
        run.push(name);
        if is_keepers {
            return name.parse::<u32>().is_ok().then_some(run);
        }
        let pid = name.strip_prefix(prefix);
        is_keepers = pid.is_some_and(|pid| pid.parse::<u32>().is_ok());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_a_run_is_found_from_within() {
        let of = |path: &str| run_in(Path::new(path), "schedule-1f-2-");
        let run = Some(PathBuf::from("a/schedule-1f-2-77/3"));
        assert_eq!(of("a/schedule-1f-2-77/3"), run);
        assert_eq!(of("a/schedule-1f-2-77/3/its/own"), run);
        for other in ["a/schedule-1f-2-77", "a/schedule-1f-2-77/trial", "a/schedule-1f-22-7/3", ""]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
