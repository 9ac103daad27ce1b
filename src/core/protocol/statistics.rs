//! What is asked about what runs came to, and what is said to that.

use crate::core::statistics::Told;
use serde::{Deserialize, Serialize};

/// The question about a job. Times are written as those of a [`Record`](super::Record).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsAsk {
    /// The group.
    pub server_id: u32,
    /// The job.
    pub job: u32,
    /// The day that is not over, `YYYY-MM-DD`.
    pub today: String,
    /// When it was 24 hours ago.
    pub since: String,
}

/// What is said of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Of each of the [`WINDOWS`](crate::core::statistics::WINDOWS).
    pub windows: Vec<Told>,
    /// The days on which there was something, newest first.
    pub days: Vec<DayTold>,
    /// Nothing is said of days before this one; empty: all was looked at.
    pub from: String,
    /// Why, if so.
    pub uncounted: Option<Uncounted>,
}

/// A day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayTold {
    /// `YYYY-MM-DD`.
    pub day: String,
    /// What its runs came to.
    #[serde(flatten)]
    pub told: Told,
}

/// Why days are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uncounted {
    /// The database lacks the table for it.
    NoTable,
    /// The database lacks the index by which the runs of a day are found.
    NoIndex,
    /// They will be, in a while.
    NotYet,
}

/// What became of a piece of work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolled {
    /// So many days were counted.
    pub days: u32,
    /// There are more.
    pub more: bool,
    /// Why none was.
    pub uncounted: Option<Uncounted>,
}
