//! What somebody above may want to hear. The scheduler does not know who listens.

use crate::core::change::Refused;
use crate::core::ids::RunId;
use crate::core::journal::ActEntry;
use crate::core::protocol::{Changed, Mark, Past};
use crate::core::refusal::Refusal;
use crate::core::state_label::StateLabel;

/// Something that has happened, told in the order in which it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A launch was answered, or there will be no answer.
    Launch(RunId, Begun),
    /// A signal was sent to a run, or refused.
    Signal(RunId, Option<Box<Refusal>>),
    /// A signal can't be sent now, and is later; why.
    SignalLater(RunId, String),
    /// The database is asked for the table: what it answers is new to all who wanted it before.
    SyncBegins,
    /// It has answered, and what it said is in force; or why not.
    SyncEnded(Result<(), String>),
    /// A change of a job was made, or not. The next table that the database is asked for has it.
    Changed(u64, Result<Changed, NotChanged>),
    /// What was, or why the database does not say.
    Past(u64, Result<Box<Past>, String>),
}

impl News {
    /// Whether a job may be otherwise in the database than in the table in force.
    pub fn may_be_new_to_the_table(&self) -> bool {
        matches!(self, News::Changed(_, Ok(_) | Err(NotChanged::InDoubt { .. })))
    }
}

/// Whether a run has a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It has.
    Yes,
    /// Not yet; its state, and why.
    Not(StateLabel, String),
    /// It never will have one; why.
    Never(String),
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotChanged {
    /// It can't be.
    Refused(Refused),
    /// The database does not answer, or not in time. Nothing was changed; why.
    Away(String),
    /// Nobody knows whether it was made.
    InDoubt {
        /// Why.
        why: String,
        /// What is known of it.
        doubt: Doubt,
    },
}

/// A change that may have been made, or not: that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// As the journal has it.
    pub act: Box<ActEntry>,
    /// What shows that it was.
    pub mark: Option<Mark>,
}
