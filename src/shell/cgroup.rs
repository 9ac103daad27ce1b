//! A control group for each run, where the system lets us make some (cgroups(7), version 2): then
//! all processes of a run are known, also those that left its process group and its session.
//!
//! No controller is switched on. What is made is `schedule-DEVICE-INODE-PID` in the group of the
//! keeper, after the state directory and the keeper itself, and in it groups that are numbered. To
//! make one takes longer than to make a process, so they serve one run after the other.

mod tree;

use super::proc_fs;
use super::sys::{Pid, Spawn, spawn};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;
pub use tree::Tree;

/// Groups that are kept for runs to come.
const MAX_FREE: usize = 256;

/// Groups of runs.
#[derive(Debug)]
pub struct Groups {
    dir: PathBuf,
    /// As many were made.
    made: u32,
    /// They wait for a run, the last used one first.
    free: Vec<Group>,
    /// Their run is over, and something that it left behind is alive.
    left: Vec<Group>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(u32);

impl Groups {
    /// Those of this process, for the daemon with this state directory; none where no groups can be
    /// made, or where the kernel can't end a whole group (before Linux 5.14).
    pub fn new(state_dir: &Path) -> Option<Groups> {
        let found = fs::metadata(state_dir).ok()?;
        Groups::below(&own_group()?, &prefix(&found))
    }

    fn below(parent: &Path, prefix: &str) -> Option<Groups> {
        let dir = parent.join(format!("{prefix}{}", process::id()));
        match fs::create_dir(&dir) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return None,
            _ => {}
        }
        let groups = Groups { dir, made: 0, free: Vec::new(), left: Vec::new() };
        groups.remove_empty();
        if !groups.dir.join("cgroup.kill").exists() {
            groups.remove_all();
            return None;
        }
        remove_those_of_the_dead(parent, prefix);
        Some(groups)
    }

    /// Whether processes can begin in them: tried with one that has no program to execute.
    pub fn take_processes(&self) -> bool {
        let trial = self.dir.join("trial");
        let _ = fs::create_dir(&trial);
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let tried = open(&trial).and_then(|group| {
            spawn(&Spawn {
                program: c"/nothing/to/execute",
                search_path: false,
                argv: &[c"trial"],
                envp: &[],
                stdin: stdin.as_fd(),
                stdout: stdout.as_fd(),
                stderr: stderr.as_fd(),
                group: Some(group.as_fd()),
            })
        });
        let _ = fs::remove_dir(&trial);
        let works = tried.is_err_and(|why| why.kind() == io::ErrorKind::NotFound);
        if !works {
            self.remove_all();
        }
        works
    }

    /// A group without processes, and its directory to start one in.
    ///
    /// # Errors
    /// The system refuses more groups (`cgroup.max.descendants`), or memory for one.
    pub fn take(&mut self) -> io::Result<(Group, OwnedFd)> {
        // One that others took away is no loss.
        while let Some(group) = self.free.pop() {
            if let Ok(dir) = open(&self.path(group)) {
                return Ok((group, dir));
            }
        }
        let group = self.make()?;
        let dir = open(&self.path(group)).inspect_err(|_| {
            remove_tree(&self.path(group));
        })?;
        Ok((group, dir))
    }

    fn make(&mut self) -> io::Result<Group> {
        loop {
            self.made += 1;
            let group = Group(self.made);
            match fs::create_dir(self.path(group)) {
                // Of a keeper before with the same pid, with something alive in it.
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
                // Others took all of them away while none was in use.
                Err(why) if why.kind() == io::ErrorKind::NotFound => fs::create_dir(&self.dir)?,
                made => return made.map(|()| group),
            }
        }
    }

    /// One of them, with what is in it.
    pub fn tree(&self, group: Group) -> Tree {
        Tree(self.path(group))
    }

    /// Its run is over. It serves another one, if nothing was left behind in it.
    pub fn give_back(&mut self, group: Group) {
        if self.free.len() < MAX_FREE && !self.tree(group).is_populated() {
            self.free.push(group);
        } else {
            self.discard(group);
        }
    }

    /// Its run is over, and no other can have it: since 6.14 the kernel counts how often a group
    /// was killed, and kills each process that is made in one with another count than the group of
    /// its parent has, as if it had been made meanwhile (`kill_seq` in kernel/cgroup/cgroup.c).
    pub fn discard(&mut self, group: Group) {
        if !remove_tree(&self.path(group)) {
            self.left.push(group);
        }
    }

    /// Others have killed a run's group, and may have done so from further up: then those that wait
    /// for a run were killed along with it, without anybody in them to show it.
    pub fn discard_free(&mut self) {
        for group in std::mem::take(&mut self.free) {
            self.discard(group);
        }
    }

    /// Whether something is alive that runs left behind.
    pub fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Takes away the groups that have no process any more.
    pub fn sweep(&mut self) {
        let dir = &self.dir;
        self.left.retain(|group| !remove_tree(&dir.join(group.0.to_string())));
    }

    fn remove_empty(&self) {
        for group in groups_in(&self.dir) {
            remove_tree(&group);
        }
    }

    /// Takes everything away that has no processes.
    pub fn remove_all(&self) {
        self.remove_empty();
        let _ = fs::remove_dir(&self.dir);
    }

    fn path(&self, group: Group) -> PathBuf {
        self.dir.join(group.0.to_string())
    }
}

/// Whether a process is in a group that this keeper of a state directory has made: the keeper
/// can kill it, though it may be another user's.
pub fn is_kept(pid: Pid, state_dir: &Path, keeper: Pid) -> bool {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero()));
    let name = |found| format!("/{}{}/", prefix(&found), keeper.as_raw_nonzero());
    let own = fs::metadata(state_dir).map(name);
    let (Ok(text), Ok(own)) = (text, own) else { return false };
    text.lines().any(|line| line.starts_with("0::") && line.contains(&own))
}

fn prefix(state_dir: &fs::Metadata) -> String {
    format!("schedule-{:x}-{}-", state_dir.dev(), state_dir.ino())
}

/// Takes away what keepers before left and what has no processes any more. One that lives on beside
/// this one, because it is hung or about to be replaced, keeps its groups.
fn remove_those_of_the_dead(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let keeper = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let keeper = keeper.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        if keeper.is_some_and(proc_fs::has_ended) {
            remove_tree(&entry.path());
        }
    }
}

/// The directory of a group, to start a process in it.
fn open(group: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
    Ok(rustix::fs::open(group, flags, Mode::empty())?)
}

/// A run may make groups, too, so there may be groups in a group: deepest first.
fn each_below(dir: &Path, visit: &mut dyn FnMut(&Path)) {
    groups_in(dir).iter().for_each(|group| each_below(group, visit));
    visit(dir);
}

fn remove_tree(dir: &Path) -> bool {
    // Nearly always there is nothing in it.
    if fs::remove_dir(dir).is_ok() {
        return true;
    }
    each_below(dir, &mut |dir| drop(fs::remove_dir(dir)));
    !dir.exists()
}

/// Directory of the group that this process is in.
fn own_group() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let (root, mount) = mounts.lines().find_map(cgroup2_mount)?;
    // The hierarchy of version 2 has number 0 and no controllers' names (cgroups(7)).
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = Path::new(own).strip_prefix(root).ok()?;
    Some(Path::new(mount).join(below))
}

/// Leaves the group of the run that this process is in, if any, and of the run that started that
/// one's daemon, for the group that the outermost keeper is in. For a daemon that a job starts:
/// else it would end when that job is stopped.
pub fn leave_runs() {
    let Some(own) = own_group() else { return };
    let keepers = own.ancestors().filter(|dir| keeper_in(dir).is_some()).last();
    // 0 is who writes (cgroups(7)). Where that is refused, as to another user, it stays as it was.
    let _ = keepers.and_then(Path::parent).map(|dir| fs::write(dir.join("cgroup.procs"), "0"));
}

/// The name of a directory that a keeper has made for the groups of its runs, if it is one:
/// `schedule-DEVICE-INODE-PID`.
fn keeper_in(dir: &Path) -> Option<&str> {
    let name = dir.file_name()?.to_str()?;
    let mut numbers = name.strip_prefix("schedule-")?.split('-');
    let device = numbers.next()?;
    let is_hex = |text: &str| u64::from_str_radix(text, 16).is_ok();
    let is_number = |text: Option<&str>| text.is_some_and(|text| text.parse::<u64>().is_ok());
    let fits = is_hex(device) && is_number(numbers.next()) && is_number(numbers.next());
    (fits && numbers.next().is_none()).then_some(name)
}

/// The groups in a group.
fn groups_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.map(|entry| entry.path()).collect()
}

/// What of the hierarchy is mounted where, if this line of `mountinfo` is of version 2
/// (proc_pid_mountinfo(5): fields 4 and 5, and the type after the lone dash).
fn cgroup2_mount(line: &str) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    let (root, mount) = (fields.next()?, fields.next()?);
    (after.split(' ').next() == Some("cgroup2")).then_some((root, mount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_version_2_is_found_among_others() {
        let old = "30 28 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu";
        let new = "42 32 0:27 /a /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw";
        assert_eq!(cgroup2_mount(old), None);
        assert_eq!(cgroup2_mount(new), Some(("/a", "/sys/fs/cgroup")));
    }
}
