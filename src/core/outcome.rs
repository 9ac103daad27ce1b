//! How a run ended and what it used.

use crate::core::list::{Tally, list};
use crate::core::state_label::StateLabel;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a process ended, as `wait(2)` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It called `exit` with this status, 0–255. 126 and 127 are the shell's "found, but can't be
    /// executed" and "not found" (POSIX, Shell Command Language 2.8.2).
    Code(u8),
    /// A signal ended it.
    Signal {
        /// 1–64.
        number: u8,
        /// Whether the kernel wrote a core dump.
        core_dumped: bool,
    },
}

impl Exit {
    /// Whether the run counts as a success: status 0, nothing else.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

/// `exit 0`, `signal 9`, `signal 11 (core dumped)`: the words of the records and the log.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit {code}"),
            Exit::Signal { number, core_dumped: false } => write!(f, "signal {number}"),
            Exit::Signal { number, core_dumped: true } => {
                write!(f, "signal {number} (core dumped)")
            }
        }
    }
}

/// What a run used, with those of its descendants it waited for: `wait4(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in user mode, milliseconds.
    pub user_ms: u64,
    /// CPU time in the kernel, milliseconds.
    pub system_ms: u64,
    /// Peak resident memory of its largest process, bytes. Linux counts the memory of the process
    /// that called `execve` too, so this is never below what the daemon itself held when it
    /// started the run: read a value near that as "at most this".
    pub max_rss_bytes: u64,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The process ended.
    Ended(Exit),
    /// It was told to end and did, but processes of it live on in sessions of their own, and the
    /// system has no control groups to reach them; their pids and names.
    LeftBehind(Exit, Box<str>),
    /// There never was a process; the reason.
    SpawnFailed(Box<str>),
    /// The process is gone and nobody saw how; the reason.
    Lost(Box<str>),
}

list! {
    /// Which kind of end a run had: what ends are counted by.
    pub enum OutcomeKind {
        /// It did what it should: exit status 0.
        Success = "success",
        /// It exited with another status.
        Failure = "failure",
        /// A signal ended it.
        Signal = "signal",
        /// There never was a process.
        SpawnFailed = "spawn_failed",
        /// Nobody saw how it ended.
        Lost = "lost",
        /// Somebody told it to end, and it was no success.
        Stopped = "stopped",
    }
}

/// Runs that ended, by the kind of their end.
pub type Outcomes = Tally<OutcomeKind, { OutcomeKind::ALL.len() }>;

/// What the outcome of a run begins with whose end nobody saw.
const LOST: &str = "lost: ";

/// Whether a recorded outcome says that nobody saw the end.
pub fn is_lost(outcome: &str) -> bool {
    outcome.starts_with(LOST)
}

impl Outcome {
    /// How its process ended, where there was one and somebody saw it.
    pub fn exit(&self) -> Option<Exit> {
        match self {
            Outcome::Ended(exit) | Outcome::LeftBehind(exit, _) => Some(*exit),
            Outcome::SpawnFailed(_) | Outcome::Lost(_) => None,
        }
    }

    /// The exit status, where there is one.
    pub fn exit_code(&self) -> Option<u8> {
        match self.exit() {
            Some(Exit::Code(code)) => Some(code),
            _ => None,
        }
    }

    /// The signal that ended the process, where one did.
    pub fn signal(&self) -> Option<u8> {
        match self.exit() {
            Some(Exit::Signal { number, .. }) => Some(number),
            _ => None,
        }
    }

    /// Whether the run did what it should: exit status 0.
    pub fn is_success(&self) -> bool {
        self.exit().is_some_and(Exit::is_success)
    }

    /// Which kind of end it is; `stopped`: somebody told the run to end.
    pub fn kind(&self, stopped: bool) -> OutcomeKind {
        match self {
            Outcome::Ended(exit) | Outcome::LeftBehind(exit, _) => match exit {
                Exit::Code(0) => OutcomeKind::Success,
                _ if stopped => OutcomeKind::Stopped,
                Exit::Code(_) => OutcomeKind::Failure,
                Exit::Signal { .. } => OutcomeKind::Signal,
            },
            Outcome::SpawnFailed(_) => OutcomeKind::SpawnFailed,
            Outcome::Lost(_) => OutcomeKind::Lost,
        }
    }

    /// The state of the original's page: 0 is `stopped`, 126 and 127 (not executable, not
    /// found) and a failed launch are `fatal`, 255 and a lost run are `unknown`, the rest is
    /// `exited`.
    pub fn state(&self) -> StateLabel {
        match self {
            Outcome::SpawnFailed(_) => StateLabel::Fatal,
            Outcome::Lost(_) => StateLabel::Unknown,
            Outcome::Ended(exit) | Outcome::LeftBehind(exit, _) => match exit {
                Exit::Code(0) => StateLabel::Stopped,
                Exit::Code(126 | 127) => StateLabel::Fatal,
                Exit::Code(255) => StateLabel::Unknown,
                Exit::Code(_) | Exit::Signal { .. } => StateLabel::Exited,
            },
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ended(exit) => exit.fmt(f),
            Outcome::LeftBehind(exit, left) => write!(f, "{exit}, left behind: {left}"),
            Outcome::SpawnFailed(why) => write!(f, "spawn failed: {why}"),
            Outcome::Lost(why) => write!(f, "{LOST}{why}"),
        }
    }
}
