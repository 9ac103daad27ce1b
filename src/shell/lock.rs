//! One daemon per group: a lock on the pid file. Its text only tells people who holds it; a file
//! that a crash left behind is no obstacle.

use super::predecessor;
use super::sys::Pid;
use crate::core::plain;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a lock is waited for before somebody has it. The loop does not run yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of a pid file that are looked at for a pid.
const MAX_TEXT_BYTES: u64 = 64;

/// The lock, held until it is dropped or the process ends.
pub struct Lock {
    file: File,
}

/// Why the group can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon has it.
    #[error(
        "master still alive: pid {holder} runs server {server_id} (pid file {})",
        path.display()
    )]
    Held {
        /// Its pid, as the file says.
        holder: String,
        /// The group.
        server_id: u32,
        /// The pid file.
        path: PathBuf,
    },
    /// The PHP program runs the group.
    #[error("{}; its pid file is {}", predecessor::in_the_way(*pid), path.display())]
    Predecessor {
        /// Its pid.
        pid: Pid,
        /// The pid file.
        path: PathBuf,
    },
    /// Another daemon works in the state directory, under another pid file.
    #[error(
        "another daemon works in the state directory {}: end it, with the pid file that it was \
         started with, or set [base] statedir",
        path.display()
    )]
    StateDir {
        /// The directory.
        path: PathBuf,
    },
    /// The file can't be made.
    #[error(
        "pid file {}: {source}; create its directory, owned by the user of the daemon, or set \
         [base] pidfile",
        path.display()
    )]
    File {
        /// The pid file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock and writes our pid.
    ///
    /// # Errors
    /// Somebody holds it, or the file can't be made.
    pub fn take(path: &Path, server_id: u32) -> Result<Lock, LockError> {
        let failed = |source| LockError::File { path: path.into(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o644);
        let mut file = options.open(path).map_err(failed)?;
        let mut holder = String::new();
        let _ = (&mut file).take(MAX_TEXT_BYTES).read_to_string(&mut holder);
        if let Some(pid) = predecessor::named(&holder) {
            return Err(LockError::Predecessor { pid, path: path.into() });
        }
        if !locked(&file) {
            holder.clear();
            let text = file.rewind().map(|()| file.take(MAX_TEXT_BYTES));
            let _ = text.and_then(|mut text| text.read_to_string(&mut holder));
            let holder = plain::clean(holder.trim(), 20);
            return Err(LockError::Held { holder, server_id, path: path.into() });
        }
        file.rewind().and_then(|()| file.set_len(0)).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Lock { file })
    }

    /// Takes the lock on a state directory: two daemons there would start everything twice,
    /// whatever their pid files are.
    ///
    /// # Errors
    /// Somebody holds it, or it can't be opened.
    pub fn state_dir(path: &Path) -> Result<Lock, LockError> {
        let failed = |source| LockError::File { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        match locked(&file) {
            true => Ok(Lock { file }),
            false => Err(LockError::StateDir { path: path.into() }),
        }
    }

    /// Takes over the lock of the program before this one.
    pub fn adopt(file: OwnedFd) -> Lock {
        Lock { file: file.into() }
    }
}

impl Drop for Lock {
    /// Gives the lock back, at an orderly end or where the start failed. The file is left empty,
    /// which tells that from a crash; it is not deleted, because somebody may have it open and be
    /// about to lock it. Of a directory there is nothing to be emptied.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

impl AsFd for Lock {
    /// The pid file.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Takes the lock, with some patience: a child that a killed daemon was just starting holds it,
/// too, until it executes its program.
fn locked(file: &File) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if flock(file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
}
