//! What becomes of the runs when the daemon ends: in a container they may end, too.
//!
//! The kernel kills all processes of a namespace when its process 1 ends (pid_namespaces(7)). That
//! is the daemon itself, or a small program before it that hands signals on to its one child and
//! ends when that does (`docker run --init`). Of other processes 1 nobody can know what they do.

use std::fs;

use super::proc_fs::{name, parent, session_of};
use super::sys::Pid;
use crate::core::event::Event;

/// Processes 1 that end with the one child which they started, by their names: tini, alone or as
/// Docker's; dumb-init; catatonit, alone or as Podman's.
const FORWARDERS: [&str; 6] =
    ["tini", "tini-static", "docker-init", "dumb-init", "catatonit", "podman-init"];

/// The namespace of processes that a machine starts with has this number in each kernel
/// (`PROC_PID_INIT_INO` of its source).
const FIRST_NAMESPACE: &str = "pid:[4026531836]";

/// What becomes of the runs when a daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They go on.
    GoOn,
    /// The kernel kills them.
    End,
    /// The one or the other, as what started the daemon in its container has it.
    Unknown,
}

/// What becomes of the runs of the daemon with this pid when it ends.
pub fn fate_of_runs(daemon: Pid) -> Fate {
    let namespace = fs::read_link(format!("/proc/{}/ns/pid", daemon.as_raw_nonzero()));
    if daemon == Pid::INIT || is_forwarded_to(daemon) {
        Fate::End
    } else if namespace.is_ok_and(|it| it.as_os_str() != FIRST_NAMESPACE) {
        Fate::Unknown
    } else {
        Fate::GoOn
    }
}

/// What TERM wants of this daemon.
pub fn meaning_of_term() -> Event<'static> {
    match fate_of_runs(rustix::process::getpid()) {
        Fate::GoOn => Event::Terminate { contained: false },
        Fate::Unknown => Event::Terminate { contained: true },
        Fate::End => Event::EndWithRuns,
    }
}

/// Whether this is the one child of a process 1 that ends with it. What comes from `schedule
/// start`, or was left by its parent, is a child of process 1 as well, but in a session of others.
fn is_forwarded_to(pid: Pid) -> bool {
    let session = session_of(pid);
    parent(pid) == Some(Pid::INIT)
        && FORWARDERS.contains(&name(Pid::INIT).as_str())
        && (session == session_of(Pid::INIT) || session == Some(pid.as_raw_nonzero().get()))
}
