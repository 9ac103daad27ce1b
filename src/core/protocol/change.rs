//! What is said of a change of a job.

use crate::core::change::{Change, Mistake, Of, What};
use crate::core::cron::Dialect;
use crate::core::ids::JobId;
use crate::core::journal::ActEntry;
use crate::core::version::Version;
use serde::{Deserialize, Serialize};

/// The question about a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeAsk {
    /// The group.
    pub server_id: u32,
    /// Whose variables fill the placeholders.
    pub vars_server: u32,
    /// How schedules are read.
    pub dialect: Dialect,
    /// IANA zone in which times are written; empty = the system's.
    pub timezone: String,
    /// What is to be changed.
    pub change: Change,
    /// Who wants it, and by which name it is known. The row of `scheduler_audit` is made of it, in
    /// the transaction of the change.
    pub act: Box<ActEntry>,
    /// It was asked before, and who was asked has died over it: it is only to be found out what
    /// came of it.
    pub find: Option<Find>,
}

/// What is known of a change whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Find {
    /// What was said of it before the COMMIT; none: that is not known. Where the table of acts is
    /// there, that tells.
    pub mark: Option<Mark>,
}

/// What comes of a change. It is said before the COMMIT: of what was not said nothing was
/// committed, and by what was said it can be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The row; 0: the whole group.
    pub id: JobId,
    /// What it will be; none: it will be gone.
    pub version: Option<Version>,
    /// What it was; none: it was not there.
    #[serde(default)]
    pub before: Option<Version>,
    /// What the row is of: the id is the key of its table.
    #[serde(default, skip_serializing_if = "Of::is_job")]
    pub of: Of,
}

impl Mark {
    /// The job that it is about, if it is about one.
    pub fn job(&self) -> Option<JobId> {
        Some(self.id).filter(|_| self.of.is_job())
    }
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The row, and what it is now.
    pub mark: Mark,
    /// What is probably a mistake.
    pub warnings: Vec<Mistake>,
    /// What was changed by it.
    pub what: What,
    /// A request with the same key had made it before: this one did nothing.
    pub was_before: bool,
    /// Of a group: the answer to who wanted it. It comes in pieces before.
    #[serde(skip)]
    pub report: String,
}

impl Changed {
    /// One that no more is known about.
    pub fn to(mark: Mark) -> Changed {
        Changed {
            mark,
            warnings: Vec::new(),
            what: What::new(),
            was_before: false,
            report: String::new(),
        }
    }
}
