//! The files that are locked for a group, and whether they are.

use super::own;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The file that is locked for a pid file.
pub fn guard_of(pid_file: &Path) -> PathBuf {
    let mut name = pid_file.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// The file that is locked for a state directory.
pub fn guard_in(state_dir: &Path) -> PathBuf {
    state_dir.join("lock")
}

/// A state directory in which a daemon works, opened.
pub fn held(state_dir: &Path) -> Option<File> {
    let dir = own::open_dir(state_dir).ok()?;
    let guard = own::open(&guard_in(state_dir), OFlags::RDONLY);
    let is_held = guard.is_ok_and(|guard| is_locked(&guard).unwrap_or(false))
        || is_locked(&dir).unwrap_or(false);
    is_held.then_some(dir)
}

/// Whether somebody has locked it. Looked at by a shared lock, so that two who look don't take each
/// other for a daemon.
pub fn is_locked(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        // Given back, because the file may stay open for a while.
        Ok(()) => Ok(flock(file, FlockOperation::Unlock).map(|()| false)?),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}
