//! Why a change was not made.

use super::words::{Of, User};
use super::{Difference, Mistake};
use crate::core::ids::JobId;
use crate::core::plain;
use crate::core::version::Version;
use serde::{Deserialize, Serialize};

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// There is no such row in this group.
    NotThere,
    /// There is no such variable, or tag.
    NoWord(Of),
    /// Jobs use it.
    InUse {
        /// What it is.
        of: Of,
        /// Which jobs.
        users: Vec<User>,
    },
    /// Somebody was first: the row says something else than was seen.
    SomebodyWasFirst {
        /// What it is now.
        version: Version,
        /// Where it is not as it was to be.
        differs: Vec<Difference>,
    },
    /// The group says something else than was seen; what it is now.
    GroupChanged(Version),
    /// What is wrong with a file: a list in JSON. It may be long, and comes in pieces before.
    File(String),
    /// All that is wrong with it.
    Mistakes(Vec<Mistake>),
    /// The unique key of the original's tables has another job with this command.
    Duplicate(JobId),
    /// The database refuses it: a constraint, or a trigger.
    ByDatabase(String),
    /// It was looked for, and was not done.
    NotDone,
    /// The database did not take it in the end, and nothing of it is done; why.
    Undone(String),
    /// It was looked for, and what came of it can't be told any more.
    NobodyKnows,
    /// A request with the same key had another body, or was to make something else.
    OtherBody,
}

impl Refused {
    /// In a few words, for the record of who did what.
    pub fn told(&self) -> String {
        match self {
            Refused::NotThere => "there is no such job".into(),
            Refused::NoWord(of) => format!("there is no such {}", of.noun()),
            Refused::InUse { of, users } => {
                let (count, noun) = (users.len() as u64, of.noun());
                format!("{} use the {noun}", plain::counted(count, "job"))
            }
            Refused::SomebodyWasFirst { version, .. } => {
                format!("somebody was first: it is at version {version}")
            }
            Refused::GroupChanged(version) => {
                format!("the group was changed meanwhile: it is at version {version}")
            }
            Refused::File(_) => "there are mistakes in the file".into(),
            Refused::Mistakes(all) => {
                let told: Vec<String> =
                    all.iter().map(|it| format!("{}: {}", it.column, it.why)).collect();
                told.join("; ")
            }
            Refused::Duplicate(id) => format!("job {id} has this command"),
            Refused::ByDatabase(why) => format!("the database refuses it: {why}"),
            Refused::NotDone => "not done: the answer was lost".into(),
            Refused::Undone(why) => format!("nothing was changed: {why}"),
            Refused::NobodyKnows => "nobody knows: the answer was lost".into(),
            Refused::OtherBody => {
                "the key came with another body, or to make something else, before".into()
            }
        }
    }
}
