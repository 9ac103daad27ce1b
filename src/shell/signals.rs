//! Signals reach the loop through signal-hook's self-pipe; which one it was stands in a flag.

use super::sys::{self, Signal};
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a signal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM, SIGINT, SIGQUIT: end; the runs go on, but for those of a container.
    Terminate,
    /// [`drain_signal`]: end with the last run.
    Drain,
    /// [`stop_runs_signal`]: stop the runs, then end.
    StopRuns,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: reopen the log.
    ReopenLog,
    /// SIGUSR2: execute the program that is installed now.
    Upgrade,
}

/// The signals of a daemon, or of a keeper.
pub struct Signals {
    pipe: UnixStream,
    flags: Vec<(Wish, Arc<AtomicBool>)>,
}

/// Asks the daemon to end when the last run has ended: `SIGRTMIN+1`. Not a signal with a name:
/// those left mean something in a terminal (WINCH at each change of its size).
pub fn drain_signal() -> Signal {
    sys::realtime_signal(1)
}

/// The same, and to stop the runs: `SIGRTMIN+2`.
pub fn stop_runs_signal() -> Signal {
    sys::realtime_signal(2)
}

impl Signals {
    /// Installs the handlers; the pipe is readable, with this token, when one was called.
    ///
    /// # Errors
    /// No descriptors.
    pub fn register(poll: &Registry, token: Token) -> io::Result<Signals> {
        let (mut pipe, write) = UnixStream::pair()?;
        let write = std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(write));
        let wishes = [
            (SIGTERM, Wish::Terminate),
            (SIGINT, Wish::Terminate),
            (SIGQUIT, Wish::Terminate),
            (drain_signal().as_raw(), Wish::Drain),
            (stop_runs_signal().as_raw(), Wish::StopRuns),
            (SIGHUP, Wish::Reload),
            (SIGUSR1, Wish::ReopenLog),
            (SIGUSR2, Wish::Upgrade),
        ];
        let mut flags = Vec::new();
        for (signal, wish) in wishes {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
            flags.push((wish, flag));
        }
        signal_hook::low_level::pipe::register(SIGCHLD, write)?;
        poll.register(&mut pipe, token, Interest::READABLE)?;
        sys::unblock_signals();
        Ok(Signals { pipe, flags })
    }

    /// Empties the pipe.
    pub fn drain(&mut self) {
        let mut bytes = [0u8; 256];
        while matches!(self.pipe.read(&mut bytes), Ok(n) if n > 0) {}
    }

    /// What was wished since the last call.
    pub fn wishes(&self) -> Vec<Wish> {
        let told = self.flags.iter().filter(|(_, flag)| flag.swap(false, Ordering::Relaxed));
        told.map(|(wish, _)| *wish).collect()
    }
}
