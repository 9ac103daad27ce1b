//! Children that do slow work for the loop: questions on stdin, answers on stdout. The pipes never
//! block the loop; how the helper ended comes from [`super::sys::wait_any`], as for every child.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, kill_process_group, set_parent_process_death_signal};

use super::process::inherited_environment;
use super::sys::{self, Pid, Spawn};

/// A running helper. Dropping it closes the pipes; the process is still to be reaped.
#[derive(Debug)]
pub struct Helper {
    pid: Pid,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
}

/// A process of ours has ended without the word that it was to say. It would have said why, if it
/// could: so it was killed, or did not come to run at all.
pub fn ended_early() -> io::Error {
    io::Error::other(
        "its process ended before it said a word: was it killed, or is there no memory? The \
         kernel's log (`dmesg`) may tell",
    )
}

/// Has this process, a helper, killed when its daemon ends: the next daemon's helper would be at
/// the same records and files at the same time. Returns whether the daemon is still there.
pub fn end_with_daemon() -> bool {
    // The kernel takes any signal.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // One that ended before had nobody to be killed, and reads no answer.
    let stdout = io::stdout();
    let mut answer = [PollFd::new(&stdout, PollFlags::empty())];
    let _ = poll(&mut answer, Some(&Timespec::default()));
    !answer[0].revents().contains(PollFlags::ERR)
}

/// What became of a read or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing now: wait until the descriptor is ready.
    Later,
    /// The other side is closed, by intent or by death. That end of the pipe is closed here too.
    End,
}

impl Helper {
    /// Starts this very binary as `schedule exchange`. `/proc/self/exe` is the file that is
    /// running even when another has been put in its place. Its stderr is the daemon's.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `EAGAIN`, `ENOMEM` above all: worth another try later.
    pub fn exchange() -> io::Result<Helper> {
        Helper::start(c"/proc/self/exe", &[c"schedule", c"exchange"])
    }

    /// Starts `program` with `argv`, the environment of a job, and pipes at both ends.
    ///
    /// # Errors
    /// As [`Helper::exchange`], and what `execve(2)` says of `program`.
    pub fn start(program: &CStr, argv: &[&CStr]) -> io::Result<Helper> {
        Helper::start_with(program, argv, &[])
    }

    /// The same, with more in the environment.
    ///
    /// # Errors
    /// As [`Helper::start`].
    pub fn start_with(program: &CStr, argv: &[&CStr], more: &[&CStr]) -> io::Result<Helper> {
        let (its_stdin, stdin) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stdout, its_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only on our side: a non-blocking stdin would surprise the helper.
        fcntl_setfl(&stdin, OFlags::NONBLOCK)?;
        fcntl_setfl(&stdout, OFlags::NONBLOCK)?;
        let environment = inherited_environment();
        let inherited = environment.iter().map(AsRef::as_ref);
        let envp: Vec<&CStr> = inherited.chain(more.iter().copied()).collect();
        let stderr = io::stderr();
        let child = sys::spawn(&Spawn {
            program,
            search_path: false,
            argv,
            envp: &envp,
            stdin: its_stdin.as_fd(),
            stdout: its_stdout.as_fd(),
            stderr: stderr.as_fd(),
            group: None,
        })?;
        Ok(Helper { pid: child.pid(), stdin: Some(stdin), stdout: Some(stdout) })
    }

    /// Its pid, to be recognised when it is reaped.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The descriptor to poll for writing; `None` once closed. Take it out of the poll before
    /// [`Helper::close_stdin`], and after [`Moved::End`] forget it: closing has taken it out.
    pub fn stdin_fd(&self) -> Option<RawFd> {
        self.stdin.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// The descriptor to poll for reading; `None` once the answer has ended.
    pub fn stdout_fd(&self) -> Option<RawFd> {
        self.stdout.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Writes what fits into the pipe now. A helper that died or closed its stdin is an
    /// [`Moved::End`], not an error: its exit status tells the story.
    ///
    /// # Errors
    /// None in practice; anything unexpected is passed on and closes the pipe.
    pub fn write_some(&mut self, bytes: &[u8]) -> io::Result<Moved> {
        let Some(stdin) = &self.stdin else { return Ok(Moved::End) };
        if bytes.is_empty() {
            return Ok(Moved::Later);
        }
        let moved = rustix::io::retry_on_intr(|| rustix::io::write(stdin, bytes));
        settle(moved, &mut self.stdin)
    }

    /// Ends the question.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Reads what is there now, at most `buffer` full: the caller decides how much a turn of the
    /// loop may cost.
    ///
    /// # Errors
    /// As [`Helper::write_some`].
    pub fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<Moved> {
        let Some(stdout) = &self.stdout else { return Ok(Moved::End) };
        if buffer.is_empty() {
            return Ok(Moved::Later);
        }
        let moved = rustix::io::retry_on_intr(|| rustix::io::read(stdout, &mut *buffer));
        settle(moved, &mut self.stdout)
    }

    /// Whether its answers end, now or within this time.
    pub fn has_hung_up(&self, wait: Duration) -> bool {
        let Some(stdout) = &self.stdout else { return true };
        let mut answers = [PollFd::new(stdout, PollFlags::empty())];
        let timeout = Timespec::try_from(wait).unwrap_or_default();
        let _ = poll(&mut answers, Some(&timeout));
        answers[0].revents().contains(PollFlags::HUP)
    }

    /// Kills it and what it started; its end is then reaped like any other. Must not be called
    /// after it was reaped: the pid may be somebody else's by then.
    pub fn kill(&self) {
        // It may have ended already: then there is nothing to do.
        let _ = kill_process_group(self.pid, Signal::KILL);
    }
}

/// An end is an end, whichever way it shows: 0 bytes, `EPIPE`, or `ECONNRESET` where the pipe is a
/// socket whose reader died with input unread.
fn settle(moved: Result<usize, Errno>, pipe: &mut Option<OwnedFd>) -> io::Result<Moved> {
    match moved {
        Ok(bytes) if bytes > 0 => return Ok(Moved::Bytes(bytes)),
        Err(Errno::AGAIN) => return Ok(Moved::Later),
        _ => *pipe = None,
    }
    match moved {
        Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(Moved::End),
        Err(errno) => Err(errno.into()),
    }
}
