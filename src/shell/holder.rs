//! Who holds a group: the other side of `shell::lock`. A daemon is found by its lock on the pid
//! file. The text of the file only says where to look; a process counts as the daemon if it has
//! that very file open while the lock is held. It is pinned by a pidfd before it is looked at, so
//! no signal ever reaches somebody to whom the pid was given anew.

use super::predecessor;
use super::sys::{Pid, Signal};
use crate::core::plain;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Stat, flock, fstat, stat};
use rustix::io::Errno;
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
}

/// A running daemon.
#[derive(Debug)]
pub struct Holder {
    /// Its pid.
    pub pid: Pid,
    fd: OwnedFd,
}

impl Holder {
    /// Sends a signal to the daemon, and to nobody else.
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

    /// Whether the daemon has ended; waits for that up to `patience`.
    pub fn has_ended(&self, patience: Duration) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let patience = Timespec::try_from(patience).ok();
        poll(&mut fds, patience.as_ref()).is_ok_and(|ready| ready > 0)
    }
}

/// Who holds the lock on this pid file.
pub fn find(path: &Path) -> Found {
    let failed = |why: io::Error| format!("pid file {}: {why}", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == ErrorKind::NotFound => return Found::Nobody,
        Err(why) => return Found::Unclear(failed(why)),
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = match text_of(&mut file) {
            Ok(text) => text,
            Err(why) => return Found::Unclear(failed(why)),
        };
        // Before anything is signalled: it may hold a lock of its own.
        if let Some(pid) = predecessor::named(&text) {
            return Found::Predecessor(pid);
        }
        // Shared, so that two who look don't take each other for a daemon.
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) if text.is_empty() => return Found::Nobody,
            Ok(()) => return Found::Stale,
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Found::Unclear(failed(errno.into())),
        }
        let named = text.parse().ok().and_then(Pid::from_raw);
        if let Some(holder) = named.and_then(|pid| pinned(pid, &file)) {
            return Found::Running(holder);
        }
        if Instant::now() >= deadline {
            let who = if text.is_empty() {
                "nobody".into()
            } else {
                format!("pid {}", plain::clean(&text, 20))
            };
            return Found::Unclear(format!(
                "pid file {} is locked, but not by {who} that it names; `fuser` or `lsof` on it \
                 tells who has it open",
                path.display()
            ));
        }
        sleep(Duration::from_millis(20));
    }
}

/// The daemon that works in a state directory: this process, if it has the directory open while
/// that is locked. For where the pid file was deleted, or the configuration names another one.
pub fn find_in(state_dir: &Path, pid: u32) -> Option<Holder> {
    let dir = File::open(state_dir).ok()?;
    let locked = flock(&dir, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK);
    locked.then(|| pinned(Pid::from_raw(pid.cast_signed())?, &dir)).flatten()
}

fn text_of(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.take(64).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// This process, if it has the file open.
fn pinned(pid: Pid, file: &File) -> Option<Holder> {
    let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let holder = Holder { pid, fd };
    // In this order: that it is alive after the look says that it was it that was looked at.
    let open = has_open(pid, &fstat(file).ok()?);
    (open && !holder.has_ended(Duration::ZERO)).then_some(holder)
}

fn open_files(pid: Pid) -> io::Result<ReadDir> {
    fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()))
}

/// Whether a process has a file open. Of another user's process that can't be seen; then the text
/// is believed, because the kernel refuses any signal.
fn has_open(pid: Pid, wanted: &Stat) -> bool {
    let entries = match open_files(pid) {
        Ok(entries) => entries,
        Err(why) => return why.kind() == ErrorKind::PermissionDenied,
    };
    entries.flatten().any(|entry| {
        stat(entry.path())
            .is_ok_and(|found| (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino))
    })
}
