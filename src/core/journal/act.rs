//! Who did what: changes of jobs, and what somebody had the daemon do.

use crate::core::change::{Change, What};
use crate::core::ids::{JobId, RunId};
use crate::core::version::Version;
use serde::{Deserialize, Serialize};

/// The result of what was done. Whatever else stands there says why not.
pub const DONE: &str = "done";

/// Something that somebody did, or wanted to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActEntry {
    /// What it is known by: an id of the kind that runs have, and no run has the same.
    pub id: RunId,
    /// When, unix ms.
    pub at_ms: i64,
    /// Who, as far as that is known; `database`: somebody who changed the table itself.
    pub who: String,
    /// Through what, and the address that it came from: `api 127.0.0.1`.
    pub origin: String,
    /// In a word: `edit`, `start`.
    pub action: String,
    /// The job, if it is one and known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// The run, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Of a change of a variable or a tag: the key of its row, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<u32>,
    /// Of a change: the version of the row afterwards; none: there is no row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The version of the row before; none: there was no row. Known of a change that may have been
    /// committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Version>,
    /// MD5 of the key by which the request may come again; empty: there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_key: String,
    /// MD5 of the request's body, where it has such a key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_body: String,
    /// What was changed by it, as far as that is known.
    #[serde(default, skip_serializing_if = "What::is_empty")]
    pub what: What,
    /// What became of it: [`DONE`], or why not. Empty: that is not known yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub result: String,
    /// Of a change whose result is not known yet: what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Box<Change>>,
    /// The same, once the helper had said what the change comes to: that may be committed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_said: bool,
    /// The database that it is for, as in [`super::RunEntry::home`].
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub home: u32,
}

impl ActEntry {
    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        self.result == DONE
    }
}
