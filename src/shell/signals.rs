//! Signals reach the loop through signal-hook's self-pipe; which one it was stands in a flag.

use super::sys::{self, Signal};
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGQUIT, SIGTERM};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The daemon's signals.
pub struct Signals {
    pipe: UnixStream,
    terminate: Arc<AtomicBool>,
    drain: Arc<AtomicBool>,
    stop_runs: Arc<AtomicBool>,
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
        let terminate = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGQUIT] {
            signal_hook::flag::register(signal, Arc::clone(&terminate))?;
        }
        let drain = flag(drain_signal())?;
        let stop_runs = flag(stop_runs_signal())?;
        let write = std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(write));
        let ours = [drain_signal(), stop_runs_signal()].map(Signal::as_raw);
        for signal in [SIGTERM, SIGINT, SIGQUIT, SIGCHLD].into_iter().chain(ours) {
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        poll.register(&mut pipe, token, Interest::READABLE)?;
        Ok(Signals { pipe, terminate, drain, stop_runs })
    }

    /// Empties the pipe.
    pub fn drain(&mut self) {
        let mut bytes = [0u8; 256];
        while matches!(self.pipe.read(&mut bytes), Ok(n) if n > 0) {}
    }

    /// Whether the daemon was told to end since the last call.
    pub fn take_terminate(&self) -> bool {
        self.terminate.swap(false, Ordering::Relaxed)
    }

    /// Whether the daemon was told to end with its last run since the last call.
    pub fn take_drain(&self) -> bool {
        self.drain.swap(false, Ordering::Relaxed)
    }

    /// Whether the daemon was told to stop its runs and end since the last call.
    pub fn take_stop_runs(&self) -> bool {
        self.stop_runs.swap(false, Ordering::Relaxed)
    }
}

/// A flag that is set when the signal comes.
fn flag(signal: Signal) -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal.as_raw(), Arc::clone(&flag))?;
    Ok(flag)
}
