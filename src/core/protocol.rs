//! What the daemon and its helper processes say to each other: JSON, one value a line.
//!
//! The daemon writes a [`Request`] line to the helper's stdin, and another one when that is
//! answered. The helper writes [`Answer`] lines to stdout: first which question is answered, last
//! that it is done, which it writes after a COMMIT. Nothing of an answer counts before that line. A
//! failing helper writes an [`Answer::Error`] in its place and exits 1; without questions it exits
//! 0 at the end of its stdin. A table is answered in this order: variables, tags, jobs, end.

mod change;
mod outputs;
mod past;
mod records;
mod settled;
mod statistics;
mod timeline;

pub use change::{ChangeAsk, Changed, Find, Mark};
pub use outputs::{JobFiles, OutputsAsk, Tended};
pub use past::{ActsAsk, ActsEnd, Past, Place, Purged, RunsAsk, RunsEnd, Stays, WhyAsk};
pub use records::{ActRecord, Record, RunRecord, SkipRecord};
pub use settled::{SetAside, Statement};
pub use statistics::{DayTold, Rolled, Statistics, StatisticsAsk, Uncounted};
pub use timeline::{LaneTold, TimelineAsk, TimelineEnd};

use crate::core::change::{Of, Refused};
pub use crate::core::columns::JobRow;
use crate::core::database::{Database, ErrorKind};
use crate::core::homes::Homes;
use crate::core::ids::AskId;
use crate::core::journal::ActEntry;

use serde::{Deserialize, Serialize};

/// What a question is for. Each purpose has a lane of its own, with its deadline, its pauses after
/// failures and its helper: none waits for another's answer, however long that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The table follows the database.
    Sync,
    /// Records go there.
    Record,
    /// A job is changed, and somebody waits for that.
    Change,
    /// Somebody wants to know what was.
    History,
    /// What is older than it is kept leaves the database.
    Purge,
    /// Files of outputs are deleted and cut: no question to the database.
    Outputs,
    /// What the runs of past days came to is written down.
    RollUp,
}

impl Purpose {
    /// All of them; what is wrong with the first of several is told first.
    pub const ALL: [Purpose; 7] = [
        Purpose::Sync,
        Purpose::Record,
        Purpose::Change,
        Purpose::History,
        Purpose::Purge,
        Purpose::Outputs,
        Purpose::RollUp,
    ];

    /// So many milliseconds a helper has for an answer; then it is killed.
    pub const fn deadline_ms(self) -> u64 {
        match self {
            // As long as a large table takes on a slow line.
            Purpose::Sync => 30_000,
            // Twice as long as a helper goes on with what it was given.
            Purpose::Record | Purpose::Purge | Purpose::Outputs => 30_000,
            // Who has clicked does not wait for longer.
            Purpose::Change | Purpose::History => 5_000,
            // As long as a day of very many runs takes. Nobody waits.
            Purpose::RollUp => 300_000,
        }
    }
}

/// A line of a helper's stdin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What the answer is known by.
    pub id: AskId,
    /// Where to connect.
    pub database: Database,
    /// What to do there.
    pub ask: Ask,
}

/// One question to a helper: to the database, but for the files of outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Ask {
    /// Read the jobs of a group, its variables and the tags.
    Sync {
        /// Rows of `scheduler_jobs` with this `server_id`.
        server_id: u32,
        /// Rows of `scheduler_vars` with this `server_id` (the ini's `server` value).
        vars_server: u32,
        /// Digest of the table in force, as an earlier answer gave it; empty = none. An equal
        /// table is answered with [`Answer::Same`] alone.
        digest: String,
        /// File to which the helper also writes its whole answer (except `Same`), so that the
        /// daemon can rename it to the last good snapshot; empty = don't.
        snapshot: String,
        /// Whether it is also wanted when jobs ran last, as their rows say it.
        #[serde(default)]
        last_runs: bool,
    },
    /// Carry the records of the journal to the database, idempotent by their keys. The helper reads
    /// the journal's segments itself (`core::journal`), at most a bounded number of entries, and
    /// says in [`Answer::Recorded`] how far it came.
    Record {
        /// Directory of the segments.
        journal: String,
        /// Offset of the log from which entries count.
        from: u64,
        /// Offset of the log up to which they count.
        to: u64,
        /// The group whose journal it is.
        server_id: u32,
        /// IANA zone in which times are written; empty = the system's.
        timezone: String,
        /// The file of the records that were set aside: see `core::refused`.
        #[serde(default)]
        refused: String,
        /// Whether those are to be tried again.
        #[serde(default)]
        retry: bool,
        /// Whether a few are believed to be bad although none is taken: see `core::settle`.
        #[serde(default)]
        believe: bool,
        /// So many records at a time were good before: see `core::settle`; 0: nobody knows.
        #[serde(default)]
        pace: u32,
        /// What was taken of records that are still among these: see `core::settle`.
        #[serde(default)]
        taken: Vec<Statement>,
        /// What was set aside as far as the daemon knows: with a file that can't be read so much
        /// is lost.
        #[serde(default)]
        aside: Box<SetAside>,
        /// Which of them are for the database; those of others are set aside.
        #[serde(default)]
        homes: Homes,
    },
    /// Change a job, in one transaction. The row is locked, and judged as it is then.
    Change(Box<ChangeAsk>),
    /// Runs of the group, newest first.
    Runs(Box<RunsAsk>),
    /// Who did what, newest first.
    Acts(Box<ActsAsk>),
    /// What tells why a job ran, or did not.
    Why(Box<WhyAsk>),
    /// What the runs of a job came to.
    Statistics(Box<StatisticsAsk>),
    /// A picture of the past.
    Timeline(Box<TimelineAsk>),
    /// Write down what the runs of some past days came to.
    RollUp {
        /// The group whose runs they are.
        server_id: u32,
        /// The day that is not over, `YYYY-MM-DD` in the configured zone.
        today: String,
        /// The last two days are counted once more: a daemon of another version may have written
        /// of them and not said so.
        afresh: bool,
    },
    /// Delete what is older than it is kept, so much of it.
    Purge {
        /// The group whose rows they are.
        server_id: u32,
        /// What ended earlier, written as the times of a [`Record`].
        before: String,
        /// So long records are kept, seconds.
        keep_s: u64,
        /// The daemon's clock, unix seconds: the database's has to agree.
        now_s: i64,
        /// Whether they go in spite of [`Stays::Gap`].
        sure: bool,
        /// So many rows at the most.
        limit: u32,
    },
    /// Delete and cut files of outputs.
    Outputs(Box<OutputsAsk>),
}

impl Ask {
    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        match self {
            Ask::Sync { .. } => Purpose::Sync,
            Ask::Record { .. } => Purpose::Record,
            Ask::Change(_) => Purpose::Change,
            Ask::Runs(_) | Ask::Acts(_) | Ask::Why(_) | Ask::Statistics(_) | Ask::Timeline(_) => {
                Purpose::History
            }
            Ask::RollUp { .. } => Purpose::RollUp,
            Ask::Purge { .. } => Purpose::Purge,
            Ask::Outputs(_) => Purpose::Outputs,
        }
    }
}

/// A line of a helper's stdout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The first line: what follows answers this question.
    To(AskId),
    /// The last line: this question is answered, and what was to be committed is.
    Done(AskId),
    /// The table is the one whose digest was asked with; nothing else follows. The digest to ask
    /// with next time: it stands for the same rows, but a driver may have put something newer into
    /// it that makes the next comparison cheap.
    Same(String),
    /// A job.
    Job(Box<JobRow>),
    /// A row that is disabled. It has a word of its own, and is no field of a job: a daemon of a
    /// version before finds a snapshot with it not whole, and does not take it for a job in force.
    Disabled(Box<JobRow>),
    /// A row that can't be a job (NULL or out-of-range where a value must be), and why.
    BadRow {
        /// Its id where that is known, else 0.
        id: u32,
        /// What is wrong with it and what to do.
        why: String,
        /// Which variable or tag it can't be, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        word: Option<(Of, u32)>,
    },
    /// A placeholder's value.
    Var {
        /// Primary key; 0: it is not known.
        #[serde(default)]
        id: u32,
        /// Name without braces.
        name: String,
        /// What replaces it.
        value: String,
    },
    /// A tag.
    Tag {
        /// Primary key.
        id: u32,
        /// Display name.
        name: String,
    },
    /// When a job ran last, as its row says it: `YYYY-MM-DD HH:MM:SS` in the configured zone. It is
    /// no part of the table.
    LastRun {
        /// Its id.
        id: u32,
        /// When.
        at: String,
    },
    /// The last line of a whole table.
    End {
        /// The digest to ask with next time.
        digest: String,
        /// Rows that the database counted, and each is a line before this one: a job, a
        /// disabled row, a variable, a tag or a bad row. With fewer or more of them nothing of the
        /// answer counts.
        rows: u64,
    },
    /// The last line of snapshots that were written before rows were counted; read, never written.
    Digest(String),
    /// The snapshot that goes with the answer could not be written: why, and what to do.
    NoSnapshot(String),
    /// The database is at it: something came from there since the last line. Nothing is said, but
    /// who waits knows that it answers.
    Works,
    /// A record was set aside, and why: one line for the log.
    Refused(String),
    /// What became of [`Ask::Record`].
    Recorded {
        /// How many records were written.
        count: u64,
        /// Everything before this offset of the log is in the database, or set aside.
        through: u64,
        /// What is set aside in all.
        #[serde(default)]
        aside: SetAside,
        /// Why records that are refused could not be set aside: those from `through` on are to be
        /// carried again. Empty: they could.
        #[serde(default)]
        unkept: String,
        /// So many records at a time are good; 0: nothing was to be written.
        #[serde(default)]
        pace: u32,
        /// Some of what was set aside was taken, and there was no time for the rest.
        #[serde(default)]
        again: bool,
        /// The statements that were taken.
        #[serde(default)]
        taken: Vec<Statement>,
        /// How many records each segment of the journal had before `through`; none: not counted.
        #[serde(default)]
        found: Option<Vec<(u64, u64)>>,
    },
    /// A piece of what is said of a file that a group is made by: what is done, or what is wrong.
    Piece(String),
    /// What is done with a job of it.
    Act(Box<ActEntry>),
    /// What a change is about to come to: see [`Mark`].
    Changing(Mark),
    /// What became of [`Ask::Change`].
    Changed(Changed),
    /// Nothing was changed, and why.
    NotChanged(Refused),
    /// A run, as it was recorded.
    Run(Box<RunRecord>),
    /// Skipped slots likewise.
    Skipped(Box<SkipRecord>),
    /// The last line of [`Ask::Runs`].
    Runs(RunsEnd),
    /// What somebody did, as it was recorded.
    Did(Box<ActRecord>),
    /// The last line of [`Ask::Acts`].
    Acts(ActsEnd),
    /// What became of [`Ask::Purge`].
    Purged(Purged),
    /// What became of [`Ask::Outputs`].
    Tended(Tended),
    /// What is said to [`Ask::Statistics`].
    Statistics(Box<Statistics>),
    /// A lane of the picture of [`Ask::Timeline`].
    Lane(LaneTold),
    /// The last line of it.
    Timeline(TimelineEnd),
    /// What became of [`Ask::RollUp`].
    Rolled(Rolled),
    /// The last line in place of [`Answer::Done`]: the question failed, nothing of this counts.
    Error {
        /// What kind of failure, for the page and the log.
        kind: ErrorKind,
        /// What the database said, and what to do about it: one line.
        message: String,
    },
}

impl Answer {
    /// Whether it stands for a row of the database.
    pub fn is_row(&self) -> bool {
        match self {
            Self::Job(_)
            | Self::Disabled(_)
            | Self::BadRow { .. }
            | Self::Var { .. }
            | Self::Tag { .. } => true,
            Self::To(_)
            | Self::Done(_)
            | Self::Same(_)
            | Self::End { .. }
            | Self::Digest(_)
            | Self::Works
            | Self::LastRun { .. }
            | Self::Refused(_)
            | Self::Recorded { .. }
            | Self::NoSnapshot(_)
            | Self::Piece(_)
            | Self::Act(_)
            | Self::Changing(_)
            | Self::Changed(_)
            | Self::NotChanged(_)
            | Self::Run(_)
            | Self::Skipped(_)
            | Self::Runs(_)
            | Self::Did(_)
            | Self::Acts(_)
            | Self::Purged(_)
            | Self::Tended(_)
            | Self::Statistics(_)
            | Self::Lane(_)
            | Self::Timeline(_)
            | Self::Rolled(_)
            | Self::Error { .. } => false,
        }
    }
}
