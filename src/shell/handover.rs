//! What a daemon gives to the program that takes its place in the same process: its sockets, its
//! lock and its counts. All the rest is in the journal and with the keeper.
//!
//! It is written to a file in memory whose descriptor, like all those it names, stays open over
//! `execve`; a variable of the environment tells its number.

use crate::core::scheduler::{Carried, if_known};
use crate::shell::server::Stats;
use crate::shell::sys;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// The variable with the number of the descriptor. No job sees it.
pub const VARIABLE: &str = "SCHEDULE_HANDOVER";

/// See the module's text.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    /// The listening socket.
    pub listener: RawFd,
    /// The pid file.
    pub lock: RawFd,
    /// What is locked beside it; none from a program that has locked the pid file itself.
    #[serde(default)]
    pub lock_guard: Option<RawFd>,
    /// The pid file's name.
    pub lock_path: PathBuf,
    /// The state directory.
    pub state_lock: RawFd,
    /// What is locked in it; none from a program that has locked the directory itself.
    #[serde(default)]
    pub state_guard: Option<RawFd>,
    /// The state directory's name.
    pub state_dir: PathBuf,
    /// Clients between two requests, and what they have sent of the next one.
    pub clients: Vec<(RawFd, Vec<u8>)>,
    /// The counts of the core.
    #[serde(default, deserialize_with = "if_known")]
    pub carried: Carried,
    /// The counts of the server.
    #[serde(default, deserialize_with = "if_known")]
    pub stats: Stats,
    /// The program that upgrades execute.
    pub program: PathBuf,
    /// When it panicked lately, monotonic ms, oldest first.
    #[serde(default, deserialize_with = "if_known")]
    pub panics_ms: Vec<u64>,
}

impl Handover {
    /// Writes it down. The descriptor stays open over `execve`.
    ///
    /// # Errors
    /// No descriptor, no memory.
    pub fn write(&self) -> io::Result<OwnedFd> {
        let mut file = File::from(memfd_create(c"handover", MemfdFlags::empty())?);
        file.write_all(&serde_json::to_vec(self)?)?;
        file.rewind()?;
        Ok(file.into())
    }

    /// Whether a program before this one has handed over something.
    pub fn is_there() -> bool {
        std::env::var_os(VARIABLE).is_some()
    }

    /// What the program before this one has handed over; `None` if there was none, or what it
    /// wrote makes no sense to this one: then this is a start like any other.
    pub fn take() -> Option<Handover> {
        let number: RawFd = std::env::var(VARIABLE).ok()?.parse().ok()?;
        sys::remove_variable(VARIABLE);
        let mut text = Vec::new();
        let read = File::from(sys::take_descriptor(number)?).read_to_end(&mut text);
        read.ok().and_then(|_| serde_json::from_slice(&text).ok())
    }
}

/// A copy of a descriptor that stays open over `execve`.
///
/// # Errors
/// No descriptor left.
pub fn lasting(fd: impl AsFd) -> io::Result<OwnedFd> {
    let copy = rustix::io::fcntl_dupfd_cloexec(fd, 3)?;
    rustix::io::fcntl_setfd(&copy, rustix::io::FdFlags::empty())?;
    Ok(copy)
}
