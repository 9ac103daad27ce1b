//! Processes of runs that nobody has noted, found by `SCHEDULE_RUN_ID` in their environment.
//!
//! Anybody may put anything there. So a process counts only if it really belongs to the user of
//! this daemon, did not begin before the run could, and is not the child of the keeper of another
//! installation. That it is of this installation the run id itself tells: no other has the same.

use super::guard;
use super::keeper::KEEPER_TITLE;
use super::proc_fs;
use super::sys::Pid;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::RunEntry;
use rustix::fs::{fstat, stat};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Longest environment that is searched; the kernel allows more only to who raised `ulimit -s`.
const MAX_ENVIRON_BYTES: u64 = 4 << 20;

/// A process that was found, and when it began: field 22 of `/proc/PID/stat`.
pub type Process = (Pid, u64);

/// Every process of a run that began at this instant or later (field 22 of `/proc/PID/stat`; 0 =
/// whenever), also those that left its process group. Looks at every process of the machine (some
/// 20 µs each), so it is nothing for the loop's everyday.
///
/// # Errors
/// If `/proc` can't be listed. Processes of other users are passed over.
pub fn find_by_run_id(run_id: &str, earliest: u64) -> io::Result<Vec<Process>> {
    let mut found = find_by_run_ids(&BTreeMap::from([(run_id.to_owned(), earliest)]))?;
    Ok(found.remove(run_id).unwrap_or_default())
}

/// The same for several runs in one look, each with the earliest begin.
///
/// # Errors
/// As [`find_by_run_id`].
pub fn find_by_run_ids(
    wanted: &BTreeMap<String, u64>,
) -> io::Result<BTreeMap<String, Vec<Process>>> {
    let mut found = find_all(|run_id| wanted.contains_key(run_id))?;
    for (run_id, processes) in &mut found {
        processes.retain(|(_, began)| wanted[run_id] <= *began);
    }
    Ok(found)
}

/// The same of all runs that are wanted, whenever their processes began.
///
/// # Errors
/// As [`find_by_run_id`].
pub fn find_all(is_wanted: impl Fn(&str) -> bool) -> io::Result<BTreeMap<String, Vec<Process>>> {
    let mut found = BTreeMap::<String, Vec<Process>>::new();
    for pid in proc_fs::all()? {
        let Some(run_id) = run_id_of(pid).filter(|run_id| is_wanted(run_id)) else { continue };
        // The environment was still that of the same process.
        let began = own_start(pid).filter(|_| run_id_of(pid).as_ref() == Some(&run_id));
        found.entry(run_id).or_default().extend(began.map(|began| (pid, began)));
    }
    Ok(found)
}

/// When a process of this user began; none if it is another's.
fn own_start(pid: Pid) -> Option<u64> {
    let own = rustix::process::getuid().as_raw();
    (proc_fs::real_user(pid) == Some(own)).then(|| proc_fs::kernel_start(pid)).flatten()
}

fn run_id_of(pid: Pid) -> Option<String> {
    variable(pid, b"SCHEDULE_RUN_ID=")
}

/// The run that a process says it is of.
pub fn run_of(pid: Pid) -> Option<RunId> {
    run_id_of(pid)?.parse().ok()
}

fn raw(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().cast_unsigned()
}

/// The job of a run that a process leads, as its environment has it.
pub fn job_of(pid: Pid) -> Option<JobId> {
    variable(pid, b"SCHEDULE_JOB_ID=")?.parse().ok().map(JobId)
}

fn variable(pid: Pid, name: &[u8]) -> Option<String> {
    let mut text = Vec::new();
    let file = File::open(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    file.take(MAX_ENVIRON_BYTES).read_to_end(&mut text).ok()?;
    let mut entries = text.split(|&byte| byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(name))?;
    String::from_utf8(value.to_vec()).ok()
}

/// One process of each of these runs that is alive: the one that leads it, or else the first that
/// is found. For who only looks: those of another user than `uid` are passed over, and those whose
/// keeper works elsewhere.
///
/// # Errors
/// As [`find_by_run_id`].
pub fn left_of(
    runs: &BTreeMap<RunId, RunEntry<'_>>,
    uid: u32,
    state_dir: &Path,
) -> io::Result<Vec<Process>> {
    let mut found = BTreeMap::new();
    for pid in proc_fs::all()? {
        let Some(start) = proc_fs::kernel_start(pid) else { continue };
        let leads = |run: &&RunEntry<'_>| raw(pid) == run.pid && run.kernel_start == start;
        let leads = runs.values().find(leads).map(|run| run.run);
        let says = || run_of(pid).filter(|run| runs.contains_key(run));
        let Some(run) = leads.or_else(says) else { continue };
        let is_its = proc_fs::real_user(pid) == Some(uid) && !proc_fs::has_ended(pid);
        if is_its && !is_kept_elsewhere(pid, state_dir) {
            match leads {
                Some(run) => _ = found.insert(run, (pid, start)),
                None => _ = found.entry(run).or_insert((pid, start)),
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Whether a process is the child of a keeper that works in another state directory than this: a
/// journal that was copied along with one names the runs of the original.
pub fn is_kept_elsewhere(pid: Pid, state_dir: &Path) -> bool {
    let Some(parent) = proc_fs::parent(pid).filter(|parent| is_keeper(*parent)) else {
        return false;
    };
    // Without a look at its files nothing is known.
    has_open(parent, state_dir).is_some_and(|open| !open)
}

/// The keeper of a state directory and its user: it lives without a daemon only as long as there
/// are runs. What a process calls itself is a hint; that it has the directory open, or had it
/// taken away, and is of the user whose socket is there, tells. Where the files were given to
/// another user since, the kernel says who listens there, if that can be asked.
pub fn keeper_of(state_dir: &Path) -> Option<(Pid, u32)> {
    let owner = socket_of(state_dir).map(|socket| socket.uid());
    let found = keepers().find(|pid| {
        let own = owner.is_none() || proc_fs::real_user(*pid) == owner;
        let is_its = || match has_open(*pid, state_dir) {
            Some(open) => open || is_displaced(*pid, state_dir),
            // Another user's, whose files can't be seen.
            None => is_called(*pid, state_dir),
        };
        own && is_its()
    });
    let known = found.and_then(|pid| Some((pid, proc_fs::real_user(pid)?)));
    let listener = || owner.and_then(|_| listener_of(state_dir));
    known.or_else(|| listener().filter(|(pid, _)| may_be_keeper(*pid)))
}

/// The keeper of this user that works in a state directory, or would if nobody had taken that
/// away. For where it is not found at its socket.
pub fn own_keeper_of(state_dir: &Path) -> Option<Pid> {
    let own = rustix::process::getuid().as_raw();
    keepers().find(|pid| {
        let is_its = || has_open(*pid, state_dir) == Some(true) || is_displaced(*pid, state_dir);
        proc_fs::real_user(*pid) == Some(own) && is_its()
    })
}

/// Whether somebody took the state directory of a keeper away, and this is the one that has its
/// name now. In a container the same name may be another directory's, so it is looked at as the
/// keeper sees it. A keeper that was moved with its directory, where a daemon works again, is that
/// daemon's.
fn is_displaced(pid: Pid, state_dir: &Path) -> bool {
    let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let mut seen = proc.join("root").into_os_string();
    seen.push(state_dir);
    let is_here = || match (stat(state_dir), stat(Path::new(&seen))) {
        (Ok(ours), Ok(its)) => (ours.st_dev, ours.st_ino) == (its.st_dev, its.st_ino),
        _ => false,
    };
    let files = || fs::read_dir(proc.join("fd")).into_iter().flatten().flatten();
    let is_daemons = || {
        let mut dirs = files().map(|file| file.path()).filter(|path| path.is_dir());
        dirs.any(|dir| guard::held(&dir).is_some())
    };
    is_called(pid, state_dir) && is_here() && !is_daemons()
}

/// Whether a keeper says that it is the one of this directory.
fn is_called(pid: Pid, state_dir: &Path) -> bool {
    let title = format!("{KEEPER_TITLE}{}", state_dir.display());
    proc_fs::title(pid).is_some_and(|said| said == title.as_bytes())
}

/// All keepers that are alive.
fn keepers() -> impl Iterator<Item = Pid> {
    let is_one = |pid: &Pid| is_keeper(*pid) && !proc_fs::has_ended(*pid);
    proc_fs::all().into_iter().flatten().filter(is_one)
}

/// The processes that lead the runs of a keeper: its children.
pub fn runs_of(keeper: Pid) -> Vec<Pid> {
    let is_run = |pid: &Pid| proc_fs::parent(*pid) == Some(keeper) && !proc_fs::has_ended(*pid);
    proc_fs::all().into_iter().flatten().filter(is_run).collect()
}

/// Who listens at the keeper's socket and is none, and its user: a user who may write into the
/// directory can listen there.
pub fn impostor_of(state_dir: &Path) -> Option<(Pid, u32)> {
    listener_of(state_dir).filter(|(pid, _)| !may_be_keeper(*pid))
}

/// The keeper's socket, and nothing else that may be there.
fn socket_of(state_dir: &Path) -> Option<fs::Metadata> {
    let found = fs::symlink_metadata(state_dir.join(super::keeper::SOCKET)).ok()?;
    found.file_type().is_socket().then_some(found)
}

/// Who listens at the keeper's socket. It has no daemon, and takes who is gone at once for none.
fn listener_of(state_dir: &Path) -> Option<(Pid, u32)> {
    // A link may lead to anybody's, who would be told to be in the way.
    socket_of(state_dir)?;
    let (_dir, path) = super::keeper::socket_path(state_dir).ok()?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let ours = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    connect(&ours, &SocketAddrUnix::new(path).ok()?).ok()?;
    let other = socket_peercred(&ours).ok()?;
    Some((other.pid, other.uid.as_raw()))
}

/// With `hidepid` another user's title can't be seen: then the socket is believed.
fn may_be_keeper(pid: Pid) -> bool {
    let is_seen = proc_fs::title(pid).is_some() || proc_fs::shows_others();
    is_keeper(pid) || !is_seen
}

fn is_keeper(pid: Pid) -> bool {
    proc_fs::title(pid).is_some_and(|title| title.starts_with(KEEPER_TITLE.as_bytes()))
}

/// Whether a process has this directory open; none if that can't be seen.
fn has_open(pid: Pid, dir: &Path) -> Option<bool> {
    proc_fs::has_open(pid, &stat(dir).ok()?)
}

/// Another process of this user that has this file or directory open, keepers left out: a daemon of
/// an earlier version may be one.
pub fn other_with(file: &File) -> Option<Pid> {
    let (own, user) = (rustix::process::getpid(), rustix::process::getuid().as_raw());
    let wanted = fstat(file).ok()?;
    let is_it = |pid: &Pid| {
        *pid != own
            && proc_fs::real_user(*pid) == Some(user)
            && proc_fs::has_open(*pid, &wanted) == Some(true)
            && !is_keeper(*pid)
    };
    proc_fs::all().ok()?.find(is_it)
}
