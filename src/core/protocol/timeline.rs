//! What is asked about a picture of the past, and what is said to that.

use crate::core::timeline::{Bins, Cell};
use serde::{Deserialize, Serialize};

/// The question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineAsk {
    /// The group.
    pub server_id: u32,
    /// IANA zone in which times are written; empty = the system's.
    pub timezone: String,
    /// The stretches of time.
    pub bins: Bins,
    /// Nothing begins later, unix ms.
    pub until_ms: i64,
    /// The jobs, and which lane each is in.
    pub jobs: Vec<(u32, usize)>,
    /// Runs that the daemon counts itself.
    pub known: Vec<String>,
}

/// A lane of the picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneTold {
    /// Its number.
    pub lane: usize,
    /// Bins that have something in them, with their numbers.
    pub cells: Vec<(usize, Cell)>,
}

/// How far the answer goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEnd {
    /// So many lanes came before this line.
    pub lanes: usize,
    /// Nothing is said of what was before this instant, unix ms; none: all was looked at.
    pub from_ms: Option<i64>,
}
