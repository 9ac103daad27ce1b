//! What becomes of records: by which statement each is written, and what is set aside.

use crate::core::journal::Stand;
use serde::{Deserialize, Serialize};

/// What is written by a statement of its own: each may be refused while the others are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statement {
    /// The row of a run is made.
    Insert,
    /// The end of a run is put into its row.
    Update,
    /// When a job ran last.
    LastRun,
    /// Skipped slots.
    Skip,
    /// Nothing was done with skipped slots: the optional table for them is not there.
    NoSkips,
    /// What somebody did.
    Act,
    /// Nothing was done with that: the optional table for it is not there.
    NoActs,
}

impl Statement {
    /// What of SQL it is.
    pub fn label(self) -> &'static str {
        match self {
            Self::Insert => "INSERT INTO scheduler_logs",
            Self::Update => "UPDATE scheduler_logs",
            Self::LastRun => "UPDATE scheduler_jobs",
            Self::Skip | Self::NoSkips => "INSERT INTO scheduler_skips",
            Self::Act | Self::NoActs => "INSERT INTO scheduler_audit",
        }
    }

    pub(in crate::core) fn what(self) -> &'static str {
        match self {
            Self::Insert => "row of a run",
            Self::Update => "end of a run",
            Self::LastRun => "last run of a job",
            Self::Skip | Self::NoSkips => "skipped slot",
            Self::Act | Self::NoActs => "act",
        }
    }
}

/// Records that are set aside: the database refused them for themselves, or they are of another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SetAside {
    /// How many are kept.
    pub count: u64,
    /// So many of them are of another database than the configuration names: they are not tried.
    pub elsewhere: u64,
    /// So many of the others were so before, and their database has not been tried yet.
    pub waiting: u64,
    /// So many records should be there, are not, and are still to be counted.
    pub gone: u64,
    /// How the file stands: what is gone counts until it is counted.
    pub stand: Stand,
    /// The last one that is tried again and why it was refused; empty if there is none.
    pub last: String,
    /// The last one of another database, and what to do; empty if there is none.
    pub last_elsewhere: String,
}

impl SetAside {
    /// So many are tried again.
    pub fn tried(&self) -> u64 {
        self.count.saturating_sub(self.elsewhere)
    }
}
