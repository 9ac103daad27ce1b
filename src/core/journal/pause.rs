//! Slots of many jobs that are skipped for a while, because somebody wanted that. It stands in the
//! journal and not in the database, for the database may be what is worked on meanwhile.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Tags that may be paused at a time, beside the pause of all jobs: the last word has to have room
/// for them.
pub const MAX_PAUSED_TAGS: usize = 23;

/// Characters of a note that are kept.
pub const NOTE_CHARS: usize = 200;

/// Whose slots are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseOf {
    /// Those of all jobs.
    All,
    /// Those of the jobs with this tag, by its id.
    Tag(u32),
}

impl fmt::Display for PauseOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PauseOf::All => f.write_str("all jobs"),
            PauseOf::Tag(id) => write!(f, "tag {id}"),
        }
    }
}

/// A pause of a tag, or of all. That of one job stands in its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseEntry {
    /// Whose slots are skipped.
    pub of: PauseOf,
    /// When somebody wanted it, unix ms.
    pub since_ms: i64,
    /// The first instant whose slots are launched again, unix ms. None: somebody has to say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// Why, as somebody has put it: [`NOTE_CHARS`] at the most.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Who wanted it, as far as that is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
}

impl PauseEntry {
    /// The same without what is for people: so much the last word has room for.
    pub fn short(&self) -> PauseEntry {
        let PauseEntry { of, since_ms, until_ms, .. } = *self;
        PauseEntry { of, since_ms, until_ms, note: String::new(), who: String::new() }
    }

    /// The first instant whose slots are launched again, unix ms; the end of all time if somebody
    /// has to say so.
    pub fn end_ms(&self) -> i64 {
        self.until_ms.unwrap_or(i64::MAX)
    }
}
