//! What somebody wants: the kinds of changes.

use super::Wanted;
use super::words::{Of, WordChange};
use crate::core::ids::JobId;
use crate::core::version::Version;
use serde::{Deserialize, Serialize};

/// In a word, that a group was made to be as a file says.
pub const APPLY: &str = "apply";

/// What somebody wants of a job, a variable, a tag, or a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Change {
    /// A new one; enabled unless it says otherwise.
    Create {
        /// What its row says; the rest is as by default.
        columns: Wanted,
    },
    /// Another row for it.
    Edit {
        /// Which.
        id: JobId,
        /// What is to be otherwise.
        columns: Wanted,
        /// What the row must be.
        expected: Option<Version>,
    },
    /// Its row is to go. Live runs end in peace.
    Delete {
        /// Which.
        id: JobId,
        /// What the row must be.
        expected: Option<Version>,
    },
    /// It is enabled, or disabled.
    Switch {
        /// Which.
        id: JobId,
        /// Whether it is to be in force.
        enabled: bool,
        /// What the row must be.
        expected: Option<Version>,
    },
    /// Its slots are skipped for a while, or launched again.
    Pause {
        /// Which.
        id: JobId,
        /// Until when, as its row says it; empty: they are launched.
        until: String,
        /// Why.
        note: String,
    },
    /// Of a variable or a tag.
    Word(WordChange),
    /// The group is made to be as a file says: see `core::apply`.
    Apply {
        /// The file. In the journal it is left out: it is large, and nothing is done by it twice.
        file: String,
        /// What the file lacks is to go.
        prune: bool,
        /// It is only to be told what would be done.
        dry_run: bool,
        /// What the group must be.
        expected: Option<Version>,
    },
}

/// What is done where a row says this of its pause, in a word.
pub(super) fn pause_verb(until: &str) -> &'static str {
    if until.is_empty() { "resume" } else { "pause" }
}

impl Change {
    /// The job; none for one that is made, and where it is about no job.
    pub fn id(&self) -> Option<JobId> {
        match self {
            Change::Create { .. } | Change::Apply { .. } | Change::Word(_) => None,
            Change::Edit { id, .. }
            | Change::Delete { id, .. }
            | Change::Pause { id, .. }
            | Change::Switch { id, .. } => Some(*id),
        }
    }

    /// What the row, or the group, must be.
    pub fn expected(&self) -> Option<Version> {
        match self {
            Change::Create { .. } | Change::Pause { .. } => None,
            Change::Word(word) => word.expected,
            Change::Edit { expected, .. }
            | Change::Apply { expected, .. }
            | Change::Delete { expected, .. }
            | Change::Switch { expected, .. } => *expected,
        }
    }

    /// What it is about.
    pub fn of(&self) -> Of {
        match self {
            Change::Word(word) => word.of,
            Change::Create { .. }
            | Change::Edit { .. }
            | Change::Delete { .. }
            | Change::Apply { .. }
            | Change::Pause { .. }
            | Change::Switch { .. } => Of::Job,
        }
    }

    /// Whether something is made that was not there.
    pub fn is_new(&self) -> bool {
        match self {
            Change::Create { .. } => true,
            Change::Word(word) => word.id.is_none(),
            Change::Edit { .. }
            | Change::Delete { .. }
            | Change::Apply { .. }
            | Change::Pause { .. }
            | Change::Switch { .. } => false,
        }
    }

    /// Whether it is about a whole group, and has a file.
    pub fn is_group(&self) -> bool {
        matches!(self, Change::Apply { .. })
    }

    /// What is done, in a word.
    pub fn verb(&self) -> &'static str {
        match self {
            Change::Create { .. } => "create",
            Change::Edit { .. } => "edit",
            Change::Delete { .. } => "delete",
            Change::Switch { enabled: true, .. } => "enable",
            Change::Switch { enabled: false, .. } => "disable",
            Change::Pause { until, .. } => pause_verb(until),
            Change::Apply { .. } => APPLY,
            Change::Word(word) => word.verb(),
        }
    }

    /// Whether nothing is to be changed by it.
    pub fn is_dry_run(&self) -> bool {
        matches!(self, Change::Apply { dry_run: true, .. })
    }

    /// As it is written down.
    pub fn noted(&self) -> Change {
        match self {
            Change::Apply { prune, dry_run, expected, file: _ } => Change::Apply {
                file: String::new(),
                prune: *prune,
                dry_run: *dry_run,
                expected: *expected,
            },
            Change::Create { .. }
            | Change::Edit { .. }
            | Change::Delete { .. }
            | Change::Pause { .. }
            | Change::Word(_)
            | Change::Switch { .. } => self.clone(),
        }
    }
}
