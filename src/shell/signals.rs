//! Signals reach the loop through signal-hook's self-pipe; which one it was stands in a flag.

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
        let write = std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(write));
        for signal in [SIGTERM, SIGINT, SIGQUIT, SIGCHLD] {
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        poll.register(&mut pipe, token, Interest::READABLE)?;
        Ok(Signals { pipe, terminate })
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
}
