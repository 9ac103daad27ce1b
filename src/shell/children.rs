//! Who is whose process: our children, and the runs of earlier daemons that we only watch.

use crate::core::event::{Signal, Started};
use crate::core::ids::RunId;
use crate::shell::proc_fs;
use crate::shell::process::signal_group;
use crate::shell::sys::Pid;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// The runs that have a process.
#[derive(Default)]
pub struct Children {
    /// Runs that are our children, by pid.
    own: BTreeMap<u32, RunId>,
    /// Runs of earlier daemons, by the token of their pidfd.
    adopted: BTreeMap<usize, (RunId, OwnedFd)>,
    /// Where to send a signal.
    processes: BTreeMap<RunId, Started>,
    next_token: usize,
}

impl Children {
    /// Takes note of a child.
    pub fn started(&mut self, run: RunId, started: Started) {
        self.own.insert(started.pid, run);
        self.processes.insert(run, started);
    }

    /// Watches a run of an earlier daemon: its pidfd becomes readable, with a token from
    /// `first_token` on, when it ends. Returns whether its process is still there.
    ///
    /// # Errors
    /// No descriptor, or a kernel without pidfd (before Linux 5.3).
    pub fn adopt(
        &mut self,
        run: RunId,
        started: Started,
        poll: &Registry,
        first_token: usize,
    ) -> io::Result<bool> {
        let Some(pid) = pid_of(started.pid) else { return Ok(false) };
        let Some(fd) = proc_fs::watch(pid, started.kernel_start)? else { return Ok(false) };
        let token = first_token + self.next_token;
        self.next_token += 1;
        poll.register(&mut SourceFd(&fd.as_raw_fd()), Token(token), Interest::READABLE)?;
        self.adopted.insert(token, (run, fd));
        self.processes.insert(run, started);
        Ok(true)
    }

    /// The run whose child this was.
    pub fn reaped(&mut self, pid: Pid) -> Option<RunId> {
        let run = self.own.remove(&pid.as_raw_nonzero().get().unsigned_abs())?;
        self.processes.remove(&run);
        Some(run)
    }

    /// The adopted run whose pidfd has this token; it has ended.
    pub fn adopted_ended(&mut self, token: Token) -> Option<RunId> {
        let (run, _) = self.adopted.remove(&token.0)?;
        self.processes.remove(&run);
        Some(run)
    }

    /// Sends a signal to the process group of a run. A run that is gone gets none.
    ///
    /// # Errors
    /// The run has become another user's.
    pub fn signal(&self, run: RunId, signal: Signal) -> io::Result<bool> {
        let Some(started) = self.processes.get(&run) else { return Ok(false) };
        let Some(pid) = pid_of(started.pid) else { return Ok(false) };
        let signal = match signal {
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        signal_group(pid, started.kernel_start, signal)
    }
}

/// The system's type for a pid; none for 0.
pub fn pid_of(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}
