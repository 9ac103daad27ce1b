//! Who holds a group: the other side of `shell::lock`. The text of a pid file only says where to
//! look; a process counts as the daemon if it has that very file open while the lock is held, and
//! is of the user whose file that is: root must not be led to signal somebody else. It is pinned by
//! a pidfd before it is looked at, so no signal ever reaches a process that got the same pid
//! later.

use super::guard::{guard_of, held, is_locked};
use super::own;
use super::predecessor;
use super::proc_fs;
use super::search;
use super::sys::{Pid, Signal};
use crate::core::plain;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fstat};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use std::fs::{self, File, ReadDir};
use std::io::{self, ErrorKind, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A daemon that has just taken the lock has this long to write its pid; so has a child of a
/// daemon that was killed within a launch to let go of the lock.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How a group stands.
#[derive(Debug)]
pub enum Found {
    /// Nobody holds it, and the last daemon ended in order, or there was none.
    Nobody,
    /// Nobody holds it, but the file names a pid: the last daemon did not end in order.
    Stale,
    /// A daemon runs.
    Running(Holder),
    /// The PHP program does: the daemon of its that the pid file names is alive.
    Predecessor(Pid),
    /// Somebody holds the lock, and who that is can't be told; the reason.
    Unclear(String),
    /// This user may not look; at what.
    NotPermitted(String),
}

/// A running daemon, or a keeper.
#[derive(Debug)]
pub struct Holder {
    /// Its pid.
    pub pid: Pid,
    fd: OwnedFd,
}

impl Holder {
    /// Sends a signal to it, and to nobody else.
    ///
    /// # Errors
    /// `EPERM`: it is another user's; `ESRCH`: it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.fd, signal)?)
    }

    /// The user it runs as.
    pub fn user(&self) -> Option<u32> {
        let proc = fs::metadata(format!("/proc/{}", self.pid.as_raw_nonzero())).ok()?;
        Some(proc.uid())
    }

    /// The directories that it has open, its state directory among them; none if that can't be
    /// seen.
    pub fn open_directories(&self) -> Vec<PathBuf> {
        let entries = open_files(self.pid).into_iter().flatten().flatten();
        let paths = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
        paths.filter(|path| path.is_dir()).collect()
    }

    /// Whether it has ended; waits for that up to `patience`.
    pub fn has_ended(&self, patience: Duration) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let patience = Timespec::try_from(patience).ok();
        poll(&mut fds, patience.as_ref()).is_ok_and(|ready| ready > 0)
    }
}

/// What the files say of who has the lock.
enum Sign {
    /// Nobody has.
    Free,
    /// Somebody has, and nobody else may open what is locked.
    Held,
    /// Somebody has locked the pid file itself, as daemons of earlier versions do. So may anybody.
    Perhaps,
    /// What is locked can't be opened by this user.
    Hidden,
}

/// Who holds the lock of this pid file.
pub fn find(path: &Path) -> Found {
    let failed = |why: io::Error| format!("pid file {}: {why}", path.display());
    let mut file = match own::open_pid_file(path, OFlags::RDONLY) {
        Ok(file) => file,
        Err(why) if why.kind() == ErrorKind::NotFound => return Found::Nobody,
        Err(why) if why.kind() == ErrorKind::PermissionDenied => {
            return Found::NotPermitted(failed(why));
        }
        Err(why) => return Found::Unclear(failed(why)),
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = match text_of(&mut file) {
            Ok(text) => text,
            Err(why) => return Found::Unclear(failed(why)),
        };
        // Before anything is signalled: it may hold a lock of its own.
        if let Some(pid) = predecessor::named(&text, &file) {
            return Found::Predecessor(pid);
        }
        let sign = match sign(&file, path) {
            Ok(sign) => sign,
            Err(why) => return Found::Unclear(failed(why)),
        };
        let named = text.parse().ok().and_then(Pid::from_raw);
        let holder = || named.and_then(|pid| pinned(pid, &file));
        match sign {
            Sign::Held | Sign::Perhaps | Sign::Hidden => {
                if let Some(holder) = holder() {
                    return Found::Running(holder);
                }
            }
            Sign::Free => {}
        }
        match sign {
            Sign::Free | Sign::Perhaps | Sign::Hidden if text.is_empty() => return Found::Nobody,
            Sign::Free | Sign::Perhaps | Sign::Hidden => return Found::Stale,
            Sign::Held if Instant::now() >= deadline => {
                return Found::Unclear(unknown(path, &text));
            }
            Sign::Held => sleep(Duration::from_millis(20)),
        }
    }
}

fn unknown(path: &Path, text: &str) -> String {
    let who =
        if text.is_empty() { "nobody".into() } else { format!("pid {}", plain::clean(text, 20)) };
    let guard = guard_of(path);
    format!(
        "pid file {} is locked, but not by {who} that it names; `fuser` or `lsof` on {} tells who \
         has it open",
        path.display(),
        guard.display()
    )
}

fn sign(file: &File, path: &Path) -> io::Result<Sign> {
    match own::open(&guard_of(path), OFlags::RDONLY) {
        Ok(guard) if is_locked(&guard)? => return Ok(Sign::Held),
        Err(why) if why.kind() == ErrorKind::PermissionDenied => return Ok(Sign::Hidden),
        // There may be a daemon that knows of no such file.
        Ok(_) | Err(_) => {}
    }
    Ok(if is_locked(file)? { Sign::Perhaps } else { Sign::Free })
}

/// The daemon that works in a state directory: this process, if it has the directory open while
/// that is locked. For where the pid file was deleted, or the configuration names another one.
pub fn find_in(state_dir: &Path, pid: u32) -> Option<Holder> {
    let dir = held(state_dir)?;
    pinned(Pid::from_raw(pid.cast_signed())?, &dir)
}

/// The keeper of this user in a state directory, whether its socket is there or not: see
/// [`search::own_keeper_of`]. It was looked at before it was pinned, and once more after that.
pub fn find_keeper(state_dir: &Path) -> Option<Holder> {
    let pid = search::own_keeper_of(state_dir)?;
    let keeper = Holder { pid, fd: pidfd_open(pid, PidfdFlags::empty()).ok()? };
    let is_it = search::own_keeper_of(state_dir) == Some(pid);
    (is_it && !keeper.has_ended(Duration::ZERO)).then_some(keeper)
}

fn text_of(file: &mut File) -> io::Result<String> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(64).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// This process, if it is of the user whose file that is, and has it open.
fn pinned(pid: Pid, file: &File) -> Option<Holder> {
    let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let holder = Holder { pid, fd };
    let wanted = fstat(file).ok()?;
    // In this order: that it is alive after the look says that it was it that was looked at. Of
    // another user's process its files can't be seen, with `hidepid` nothing at all; then the text
    // is believed, because the kernel refuses any signal.
    let user = proc_fs::real_user(pid);
    let is_theirs = user.is_some_and(|user| user != wanted.st_uid);
    let open = proc_fs::has_open(pid, &wanted).unwrap_or_else(|| {
        let title = proc_fs::title(pid).unwrap_or_else(|| b"schedule".to_vec());
        title.windows(8).any(|word| word == b"schedule")
    });
    (open && !is_theirs && !holder.has_ended(Duration::ZERO)).then_some(holder)
}

fn open_files(pid: Pid) -> io::Result<ReadDir> {
    fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()))
}
