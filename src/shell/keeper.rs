//! The keeper: a small process of its own that starts the runs of a group and is their parent.
//!
//! It is there because only a parent is told how a process ended. A daemon may die at any instant,
//! be restarted or upgraded: the keeper stays as long as there is something to keep, and the next
//! daemon finds it at [`socket_path`] and hears of every run whether it was started, whether it is
//! alive and how it ended. What nobody asked for until its last run has ended is left on disk, for
//! the next keeper to tell. A launch costs the daemon a message; the pause until the new program
//! is executed is the keeper's, not the loop's.
//!
//! - `channel`: what both sides do with the socket between them
//! - `client`: the daemon's side
//! - `process`: the keeper itself
//! - `runs`: the processes it has made
//! - `aliases`: what a keeper of an earlier version calls runs
//! - `ends`: what a keeper leaves for the next

mod aliases;
pub mod channel;
pub mod client;
pub mod ends;
mod opening;
pub mod process;
mod runs;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// What a keeper is called in ps(1); its state directory follows.
pub const KEEPER_TITLE: &str = "schedule: keeper of ";

/// The socket in the state directory.
pub const SOCKET: &str = "keeper.sock";

/// A path to the keeper's socket that fits into a `sockaddr_un` (108 bytes, unix(7)) however deep
/// the state directory is. Valid as long as the descriptor is open.
///
/// # Errors
/// The state directory can't be opened.
pub fn socket_path(state_dir: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(state_dir, flags, Mode::empty())?;
    let path = socket_in(&dir);
    Ok((dir, path))
}

/// The same in a directory that is open.
fn socket_in(dir: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()).into()
}
