//! What is asked about runs and acts of the past, how far an answer goes, and what went of them.

use super::{ActRecord, LaneTold, RunRecord, SkipRecord, Statistics, TimelineEnd};
use crate::core::run_kind::RunKind;
use serde::{Deserialize, Serialize};

/// Where a run stands in the order of all: by its start, and then by its id, both as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// When it was launched, `YYYY-MM-DD HH:MM:SS` in the configured zone.
    pub at: String,
    /// Its id.
    pub run: String,
}

/// The question about runs. Times are written as those of a [`Record`](super::Record).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsAsk {
    /// The group.
    pub server_id: u32,
    /// The run with this id alone; empty: all that fit what follows.
    pub run: String,
    /// Of these jobs; none: of all.
    pub jobs: Option<Vec<u32>>,
    /// That stand like this; empty: however.
    pub kinds: Vec<RunKind>,
    /// Begun then or later; empty: whenever.
    pub since: String,
    /// Begun earlier; empty: whenever.
    pub until: String,
    /// That stand behind the run with this id; empty: from the newest on.
    pub before: String,
    /// Where that run stands, if that is known.
    pub below: Option<Place>,
    /// Where it would stand, if nobody knows it any more.
    pub near: Option<Place>,
    /// With all of these words, in lower case, in the command.
    pub words: Vec<String>,
    /// So many at the most.
    pub limit: usize,
    /// With slots that were skipped in the same time.
    pub skips: bool,
    /// Oldest first.
    #[serde(default)]
    pub oldest: bool,
}

/// How far an answer to [`Ask::Runs`](super::Ask::Runs) goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsEnd {
    /// Where the run stands, or would, that was named; none: there is none, or none was.
    pub below: Option<Place>,
    /// All was looked at down to here, and there may be more; none: to the end.
    pub down_to: Option<Place>,
    /// So many lines stand for a run, or for skipped slots, before this one.
    pub rows: usize,
}

/// The question about who did what, the newest id first: ids grow with time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActsAsk {
    /// The group.
    pub server_id: u32,
    /// With this job; none: with any, or with none.
    pub job: Option<u32>,
    /// By this one; empty: by anybody.
    pub who: String,
    /// In these words; none: in any.
    pub actions: Vec<String>,
    /// Done then or later, unix ms.
    pub since_ms: Option<i64>,
    /// The least id that is looked at. What was done since an instant has no lesser one.
    pub from: String,
    /// Ids are looked at that are less than this one; empty: from the newest on.
    pub before: String,
    /// So many at the most.
    pub limit: usize,
}

/// How far an answer to [`Ask::Acts`](super::Ask::Acts) goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActsEnd {
    /// All was looked at down to this id, and there may be more; none: to the end.
    pub down_to: Option<String>,
    /// So many lines stand for an act before this one.
    pub rows: usize,
    /// The database has no table for them.
    pub no_table: bool,
}

/// The question why a job ran, or did not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyAsk {
    /// What has changed its row.
    pub changes: ActsAsk,
    /// Who paused tags, or all jobs, or resumed them, around that time.
    pub pauses: ActsAsk,
    /// Its runs that began at that time or a little later.
    pub near: RunsAsk,
    /// Its last runs that began before, and the slots that were skipped since: a range of those
    /// ends where a slot is launched.
    pub skips: RunsAsk,
    /// Its last good run before that time. From there on its first bad one is looked for.
    pub good: RunsAsk,
    /// What was changed of variables since that good run.
    pub words: ActsAsk,
}

/// What the database says of the past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Runs, newest first.
    pub runs: Vec<RunRecord>,
    /// Skipped slots, newest first.
    pub skips: Vec<SkipRecord>,
    /// What was done, newest first.
    pub acts: Vec<ActRecord>,
    /// How far that goes; none: the answer is not whole, or is about acts.
    pub end: Option<RunsEnd>,
    /// The same of an answer about acts; of several the first.
    pub acts_end: Option<ActsEnd>,
    /// So many rows were counted before.
    counted: usize,
    /// What runs of a job came to, if that was the question.
    pub statistics: Option<Box<Statistics>>,
    /// A picture of the past, if that was the question; [`Past::lanes_end`] says how far it goes.
    pub lanes: Vec<LaneTold>,
    /// How far the picture goes.
    pub lanes_end: Option<TimelineEnd>,
}

impl Past {
    /// Whether it came to an end.
    pub fn is_whole(&self) -> bool {
        self.end.is_some()
            || self.acts_end.is_some()
            || self.statistics.is_some()
            || self.lanes_end.as_ref().is_some_and(|end| end.lanes == self.lanes.len())
    }

    /// The last line of it.
    ///
    /// # Errors
    /// It has fewer or more rows than that says: nothing of the answer counts.
    pub fn ends(&mut self, end: RunsEnd) -> Result<(), String> {
        let rows = end.rows;
        self.end = Some(end);
        self.count(rows)
    }

    /// The last line of one about acts.
    ///
    /// # Errors
    /// As [`Past::ends`].
    pub fn acts_end(&mut self, end: ActsEnd) -> Result<(), String> {
        let rows = end.rows;
        self.acts_end.get_or_insert(end);
        self.count(rows)
    }

    /// So many came since the last time, and so many there should be.
    fn count(&mut self, rows: usize) -> Result<(), String> {
        let all = self.runs.len() + self.skips.len() + self.acts.len();
        let came = all - self.counted;
        self.counted = all;
        match came == rows {
            true => Ok(()),
            false => Err(format!("the answer has {came} of {rows} rows: nothing of it counts")),
        }
    }
}

/// What was deleted of what is older than it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Rows of `scheduler_logs`.
    pub runs: u64,
    /// Rows of `scheduler_skips`.
    pub skips: u64,
    /// Rows of `scheduler_audit`.
    pub acts: u64,
    /// There may be more.
    pub more: bool,
    /// Why nothing was deleted at all.
    pub stays: Option<Stays>,
    /// Tables whose old rows could not all be deleted, and why. What went of them is counted.
    pub failed: Vec<(String, String)>,
}

/// Why all of what is old stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stays {
    /// The database lacks the index by which old runs are found.
    NoIndex,
    /// The daemon's clock is so many seconds ahead of the database's (negative: behind).
    Clock(i64),
    /// Between the last run that would go and the first that would stay there is more time than
    /// records are kept: so it would be if the clock were wrong by as much. The start of that run.
    Gap(String),
}

impl Purged {
    /// How many rows in all.
    pub fn rows(&self) -> u64 {
        self.runs + self.skips + self.acts
    }
}
