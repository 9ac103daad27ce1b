//! One daemon per group: a lock that belongs to the pid file. Its text only tells people who holds
//! it; a file that a crash left behind is no obstacle.
//!
//! Everybody may read a pid file, and who may open a file may lock it. So what is locked is a file
//! beside it that nobody else may open (`N.pid.lock`, and `lock` in the state directory). Daemons
//! of earlier versions have locked the pid file and the directory themselves. That is done still,
//! so that those see us, and looked at, so that we see those; but such a lock counts only if a
//! process of our own user may be who holds it.

use super::guard::{guard_in, guard_of};
use super::own;
use super::owner;
use super::predecessor;
use super::search;
use super::sys::Pid;
use crate::core::plain;
use rustix::fs::{FlockOperation, OFlags, flock, fstat, stat};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a lock is waited for before somebody has it. The loop does not run yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of a pid file that are looked at for a pid.
const MAX_TEXT_BYTES: u64 = 64;

/// Where in the file beside the pid file it stands until when nothing was known, behind the number
/// of the state directory.
const UNKNOWN_AT: u64 = 17;

/// The same of when the last daemon left, behind that.
const LEFT_AT: u64 = UNKNOWN_AT + 21;

/// The lock, held until it is dropped or the process ends.
pub struct Lock {
    /// What it is about: the pid file, or the state directory.
    file: File,
    /// What is locked; none where it could not be taken over from a program that had none.
    guard: Option<File>,
}

/// Why the group can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon has it.
    #[error(
        "master still alive: pid {holder} runs server {server_id} already (pid file {}), and a \
         group has one daemon: leave that, or end it first: `schedule stop {server_id}`, with its \
         configuration",
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
    /// The PHP program runs a group of this number, with another pid file.
    #[error("{}", predecessor::found_beside(*.0))]
    Beside(Pid),
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
    #[error("pid file {}: {source}; {}", path.display(), advice_for(path, source))]
    File {
        /// The pid file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The same in the state directory.
    #[error("{}: {source}; the user of the daemon must be able to write there", path.display())]
    StateFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn advice_for(path: &Path, why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::NotFound => owner::advice_to_make(path, rustix::process::geteuid().as_raw()),
        _ => "set [base] pidfile to a directory of the daemon's user, as /run/schedule/{%d}.pid is"
            .to_owned(),
    }
}

impl Lock {
    /// Takes the lock and writes our pid. A daemon that runs already (`renewed`) does not end for
    /// what has begun to run beside it.
    ///
    /// # Errors
    /// Somebody holds it, or the file can't be made.
    pub fn take(path: &Path, server_id: u32, renewed: bool) -> Result<Lock, LockError> {
        let failed = |source| LockError::File { path: path.into(), source };
        let (mut file, guard) = open_locked(path, server_id, renewed)?;
        file.rewind().and_then(|()| file.set_len(0)).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Lock { file, guard: Some(guard) })
    }

    /// Whether a daemon that runs could take this lock for another that it has. What is missing is
    /// made; nothing is written.
    ///
    /// # Errors
    /// See [`Lock::take`].
    pub fn try_take(path: &Path, server_id: u32) -> Result<(), LockError> {
        open_locked(path, server_id, true).map(drop)
    }

    /// Takes the lock on a state directory: two daemons there would start everything twice,
    /// whatever their pid files are.
    ///
    /// # Errors
    /// Somebody holds it, or it can't be opened.
    pub fn state_dir(path: &Path) -> Result<Lock, LockError> {
        Lock::state_dir_within(path, PATIENCE)
    }

    /// The same for the loop, which waits for nobody.
    ///
    /// # Errors
    /// See [`Lock::state_dir`].
    pub fn state_dir_at_once(path: &Path) -> Result<Lock, LockError> {
        Lock::state_dir_within(path, Duration::ZERO)
    }

    fn state_dir_within(path: &Path, patience: Duration) -> Result<Lock, LockError> {
        let failed = |path: &Path, source| LockError::StateFile { path: path.into(), source };
        let file = own::enter_ours(path, OFlags::RDONLY).map_err(|why| failed(path, why))?.into();
        let guard_path = guard_in(path);
        let guard = open_guard(&guard_path, true);
        let guard = guard.map_err(|why| failed(&guard_path, why))?;
        if !locked(&guard, patience) || !unlocked_by_old(&file, patience) {
            return Err(LockError::StateDir { path: path.into() });
        }
        Ok(Lock { file, guard: Some(guard) })
    }

    /// Takes over the lock of the program before this one. One of an earlier version has not locked
    /// the file at `guard_path`; that is done now, but a daemon that runs does not end for it.
    pub fn adopt(file: OwnedFd, guard: Option<OwnedFd>, guard_path: &Path) -> Lock {
        let take = || {
            let guard = open_guard(guard_path, true)?;
            if locked(&guard, PATIENCE) { Ok(guard) } else { Err(io::ErrorKind::WouldBlock.into()) }
        };
        let guard = guard.map(|guard| Ok(guard.into())).unwrap_or_else(take);
        let guard = guard.inspect_err(|why: &io::Error| {
            log::warn!("{}: can't be locked: {why}", guard_path.display());
        });
        Lock { file: file.into(), guard: guard.ok() }
    }

    /// Notes beside the pid file in which state directory the daemon works, by the number that is
    /// kept there, and until when (unix ms) it is not known what others have launched.
    pub fn works_in(&self, kept: Option<u64>, unknown_ms: i64) {
        let Some(guard) = &self.guard else { return };
        let text = kept.map(|kept| format!("{kept:016x}\n{unknown_ms:020}\n")).unwrap_or_default();
        // Without it the next daemon can't tell.
        let _ = guard.set_len(0).and_then(|()| guard.write_all_at(text.as_bytes(), 0));
    }

    /// Notes when the last word was said (unix ms) of a daemon that ends in order.
    pub fn left_at(&self, said_ms: i64) {
        let Some(guard) = self.guard.as_ref().filter(|_| self.worked_in().is_some()) else {
            return;
        };
        let _ = guard.write_all_at(format!("{said_ms:020}\n").as_bytes(), LEFT_AT);
    }

    /// The last word of the daemon before was said then; none: it did not end in order.
    pub fn left_ms(&self) -> Option<i64> {
        self.noted_ms(LEFT_AT)
    }

    /// Until then it was not known to the daemon before what others had launched; it may not have
    /// come so far as to note that in its journal.
    pub fn unknown_ms(&self) -> Option<i64> {
        self.noted_ms(UNKNOWN_AT)
    }

    fn noted_ms(&self, at: u64) -> Option<i64> {
        let mut text = [0; 20];
        self.guard.as_ref()?.read_exact_at(&mut text, at).ok()?;
        std::str::from_utf8(&text).ok()?.parse().ok()
    }

    /// Where the daemon before has worked; none: it did not say.
    pub fn worked_in(&self) -> Option<u64> {
        let mut text = [0; 16];
        self.guard.as_ref()?.read_exact_at(&mut text, 0).ok()?;
        u64::from_str_radix(std::str::from_utf8(&text).ok()?, 16).ok()
    }

    /// What is locked.
    pub fn guard(&self) -> Option<BorrowedFd<'_>> {
        self.guard.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for Lock {
    /// Gives the lock back, at an orderly end or where the start failed. The pid file is left
    /// empty, which tells that from a crash; nothing is deleted, because somebody may have it open
    /// and be about to lock it. Of a directory there is nothing to be emptied.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

impl AsFd for Lock {
    /// The pid file, or the state directory.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether what a lock is about still has this name: somebody may have deleted or moved it.
pub fn is_at(locked: impl AsFd, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (fstat(locked), stat(path)) else { return false };
    (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
}

/// Empties the pid file of a daemon that was killed, unless somebody has the lock by now. Makes no
/// file: it may be root that does this.
pub fn forget_killed(path: &Path) {
    let Ok(mut file) = own::open_pid_file(path, OFlags::RDWR) else {
        return;
    };
    let guard = open_guard(&guard_of(path), false);
    let is_ours = match &guard {
        Ok(guard) => flock(guard, FlockOperation::NonBlockingLockExclusive).is_ok(),
        Err(why) => why.kind() == io::ErrorKind::NotFound,
    };
    if is_ours && predecessor::named(&text_of(&mut file), &file).is_none() {
        let _ = file.set_len(0);
    }
}

/// The pid file, and what is locked for it.
fn open_locked(path: &Path, server_id: u32, renewed: bool) -> Result<(File, File), LockError> {
    let failed = |source| LockError::File { path: path.into(), source };
    let file = own::open_pid_file(path, OFlags::RDWR | OFlags::CREATE);
    let mut file = file.map_err(failed)?;
    if let Some(pid) = predecessor::named(&text_of(&mut file), &file) {
        return Err(LockError::Predecessor { pid, path: path.into() });
    }
    if let Some(pid) = predecessor::beside(server_id).filter(|_| !renewed) {
        return Err(LockError::Beside(pid));
    }
    let guard_path = guard_of(path);
    let guard = open_guard(&guard_path, true);
    let guard = guard.map_err(|source| LockError::File { path: guard_path, source })?;
    if !locked(&guard, PATIENCE) || !unlocked_by_old(&file, PATIENCE) {
        let holder = plain::clean(text_of(&mut file).trim(), 20);
        return Err(LockError::Held { holder, server_id, path: path.into() });
    }
    Ok((file, guard))
}

/// Opens what is locked; makes it, if that is wanted.
fn open_guard(path: &Path, create: bool) -> io::Result<File> {
    own::open_beside(path, if create { OFlags::RDWR | OFlags::CREATE } else { OFlags::RDONLY })
}

/// The beginning of a pid file.
fn text_of(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.take(MAX_TEXT_BYTES).read_to_string(&mut text));
    text
}

/// Does it again and again until it is so, with some patience: a child that a killed daemon was
/// just starting holds its locks, too, until it executes its program.
fn in_time(patience: Duration, is_so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
}

fn locked(file: &File, patience: Duration) -> bool {
    in_time(patience, || flock(file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Whether no daemon of an earlier version has this file: it is locked by us, or by somebody who
/// is none.
fn unlocked_by_old(file: &File, patience: Duration) -> bool {
    in_time(patience, || {
        flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
            || search::other_with(file).is_none()
    })
}
