//! Leaving the terminal: what `schedule start` and the daemon that it starts agree on.
//!
//! `schedule start` executes `schedule run ID --detached` with a pipe as stdout and stderr. That
//! process leaves the session and forks, so that the daemon leads no session and can't come by a
//! terminal, which is what the original's double fork was for. What the daemon writes to the pipe
//! is for people, but for the lines that begin with [`MARK`]: its pid, and that it is ready.
//! Then it lets go of the pipe. A new program has a new command line, so an upgrade that executes
//! it with the arguments of the old one must not detach again: stdout is no pipe by then.

use super::cgroup;
use super::sys;
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process;

/// Begins a line that is for `schedule start` and not for people.
pub const MARK: char = '\u{1}';

/// Leaves session and terminal behind, and the control group of the job that has started it, if one
/// has; returns in the daemon only. To be called before anything is opened. The working directory
/// stays, as with the original: commands of jobs may count on it.
///
/// # Errors
/// No processes left.
pub fn leave() -> io::Result<()> {
    if !stdout_is_pipe() {
        return Ok(());
    }
    // Fails for the leader of a process group only, and a process that leads one forks below.
    let leads = rustix::process::setsid().is_err();
    if sys::fork()?.is_some() {
        process::exit(0);
    }
    if leads {
        rustix::process::setsid()?;
    }
    cgroup::leave_runs();
    say(io::stdout(), &format!("pid {}", process::id()));
    Ok(())
}

/// Lets go of the pipe of `schedule start`, and tells it that the daemon is ready: so it is all
/// that a daemon in the background should be when the start returns.
///
/// # Errors
/// There is no `/dev/null`, or no descriptor left.
pub fn ready(text: &str) -> io::Result<()> {
    let starter = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let gone = let_go();
    say(starter, &format!("ready {text}"));
    gone
}

fn let_go() -> io::Result<()> {
    let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(rustix::stdio::dup2_stderr(&null)?)
}

fn say(mut to: impl Write, text: &str) {
    let line: String = text.chars().filter(|c| !c.is_control()).collect();
    // If nobody listens any more, nobody wants to know.
    let _ = to.write_all(format!("{MARK}{line}\n").as_bytes());
}

fn stdout_is_pipe() -> bool {
    fstat(io::stdout()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}
