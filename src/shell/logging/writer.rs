//! `schedule log FILE`: a process that writes the log where writing may take forever.
//!
//! The daemon waits for no file system, so its lines go into a pipe, as they would to a reader of
//! its stderr. What the pipe holds waits for the file system; a line for which there is no room is
//! dropped and counted by the daemon. The file is opened for each piece: log rotation may move it
//! away.
//!
//! A piece is taken out of the pipe only when it is in the file. So what a writer that is killed
//! had not written is found there by the one in its place, which says that lines may stand twice.

use super::{open_here, refused};
use crate::shell::helper::ended_early;
use crate::shell::sys::{self, Spawn};
use crate::shell::trusted::Refusal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, tee};
use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

/// Bytes of lines that wait, where the system lets a pipe have that many (pipe(7)).
const WAITING_BYTES: usize = 1 << 20;

/// Bytes of lines written at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What could not be written is tried again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Tells one that it takes the place of another.
const AGAIN: &CStr = c"again";

/// What that one writes first, in a line of its own also where the last one broke off.
const SEAM: &[u8] =
    b"\nlog: its writer was gone, another one goes on: the last lines may come again\n";

/// Bytes of what the process says of the file at the most.
const SAID_BYTES: usize = 16 << 10;

/// Where lines go, and whether the file could be opened in the time that this was waited for.
pub struct Begun {
    /// Never waits.
    pub pipe: File,
    /// `false`: the file system gave no answer.
    pub is_open: bool,
}

/// Starts such a process, and waits so long until it has opened the file.
///
/// # Errors
/// It can't open it; no process, no descriptors.
pub fn start(path: &Path, patience: Duration) -> io::Result<Begun> {
    // What the program before this one handed over is to stay with this one alone.
    sys::set_cloexec_from(3)?;
    let (lines, pipe) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
    // More than it has by itself, if it may.
    let _ = fcntl_setpipe_size(&pipe, WAITING_BYTES);
    let said = begin(path, lines.as_fd(), &[])?;
    Ok(Begun { is_open: has_opened(said, patience)?, pipe: pipe.into() })
}

/// Whether nobody reads a pipe any more.
pub fn is_over(pipe: &File) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
}

/// Starts one in the place of one that is gone, on its end of the pipe: what that holds is for it.
///
/// # Errors
/// No process, no descriptors.
pub fn replace(path: &Path, lines: &File) -> io::Result<()> {
    begin(path, lines.as_fd(), &[AGAIN]).map(drop)
}

/// The other end of a pipe that nobody reads any more: it still holds what was not read.
///
/// # Errors
/// No descriptors, no /proc.
pub fn held_by(pipe: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", pipe.as_raw_fd()))
}

/// Starts it on a pipe. Returns where it says whether it could open the file.
fn begin(path: &Path, lines: BorrowedFd<'_>, more: &[&CStr]) -> io::Result<OwnedFd> {
    let (said, says) = pipe_with(PipeFlags::CLOEXEC)?;
    let path = CString::new(path.as_os_str().as_bytes())?;
    let argv = [&[c"schedule", c"log", &*path], more].concat();
    let null = File::options().read(true).write(true).open("/dev/null")?;
    sys::spawn(&Spawn {
        program: c"/proc/self/exe",
        search_path: false,
        argv: &argv,
        envp: &[],
        stdin: lines,
        stdout: says.as_fd(),
        stderr: null.as_fd(),
        group: None,
    })?;
    Ok(said)
}

fn has_opened(said: OwnedFd, patience: Duration) -> io::Result<bool> {
    let wait = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: 0 };
    if poll(&mut [PollFd::new(&said, PollFlags::IN)], Some(&wait))? == 0 {
        return Ok(false);
    }
    let mut text = [0; SAID_BYTES];
    let length = rustix::io::read(&said, &mut text)?;
    let said: Result<(), Refusal> =
        serde_json::from_slice(&text[..length]).map_err(|_| ended_early())?;
    said.map(|()| true).map_err(refused)
}

/// The process itself. It ends with its stdin, when all is written.
pub fn serve(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(path) = words.next().map(PathBuf::from) else { return ExitCode::FAILURE };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let answer = serde_json::to_vec(&open_here(&path).map(drop)).unwrap_or_default();
    // The daemon may have gone on without the answer. A file that can't be opened now may be later.
    let _ = io::stdout().write_all(&answer).and_then(|()| io::stdout().flush());
    let takes_over = words.next().is_some_and(|word| word.as_bytes() == AGAIN.to_bytes());
    if takes_over && !write(&path, SEAM) {
        return ExitCode::FAILURE;
    }
    match pass_on(&path) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// Writes what comes. Returns whether all could be written.
fn pass_on(path: &Path) -> io::Result<bool> {
    let (copied, copy) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut copied = File::from(copied);
    let mut lines = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = match tee(&lines, &copy, PIECE_BYTES, SpliceFlags::empty()) {
            Ok(0) => return Ok(true),
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(why) => return Err(why.into()),
        };
        copied.read_exact(&mut piece[..count])?;
        if !write(path, &piece[..count]) {
            return Ok(false);
        }
        lines.read_exact(&mut piece[..count])?;
    }
}

/// Writes all of it, however long there is no room for it; what comes meanwhile waits in the pipe.
/// Returns `false` where nobody is left for whom it could be tried again.
fn write(path: &Path, mut piece: &[u8]) -> bool {
    while !piece.is_empty() {
        match open_here(path).map_err(refused).and_then(|mut file| file.write(piece)) {
            Ok(count) if count > 0 => piece = &piece[count..],
            Ok(_) | Err(_) if is_alone() => return false,
            Ok(_) | Err(_) => sleep(AGAIN_AFTER),
        }
    }
    true
}

/// Whether the daemon does not write any more.
fn is_alone() -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
}
