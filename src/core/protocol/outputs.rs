//! What is to be done with the files of runs' outputs, and what became of it.

use crate::core::ids::{JobId, RunId};
use serde::{Deserialize, Serialize};

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputsAsk {
    /// State directory of the group.
    pub state_dir: String,
    /// Bytes of a file at the most: of a longer one the middle is left out; 0: any number.
    pub limit_bytes: u64,
    /// Runs that are alive, and their jobs: of a file that is too long by now.
    pub live: Vec<(JobId, RunId)>,
    /// Runs that have ended, and whose files somebody goes on writing to: they are looked at as if
    /// they were alive.
    #[serde(default)]
    pub written: Vec<(JobId, RunId)>,
    /// Jobs whose runs have ended.
    pub jobs: Vec<JobFiles>,
    /// What was begun later has a greater sequence than this, and nothing of it is touched.
    pub upto: u64,
    /// The disk is full: the oldest files of all jobs go, but those of these runs, which are alive
    /// or about to be; none: there is room.
    #[serde(default)]
    pub give_way: Option<Vec<RunId>>,
}

/// The files of a job's runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFiles {
    /// Which job.
    pub job: JobId,
    /// Runs that are alive, or about to be, or whose files are written to all the same: these files
    /// stay as they are.
    pub live: Vec<RunId>,
    /// The last runs that have ended: their files stay.
    pub last: Vec<RunId>,
    /// Of so many other runs they stay, the newest ones; none: of all.
    pub others: Option<usize>,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tended {
    /// Files that were deleted.
    pub deleted: u64,
    /// Runs whose files were, because the disk is full.
    pub gave_way: u64,
    /// Bytes that were left out.
    pub left_out_bytes: u64,
    /// Jobs that have more files to be deleted.
    pub more: Vec<JobId>,
    /// Jobs whose files are to be looked at once more, when nobody follows them any longer.
    pub again: Vec<JobId>,
    /// Files of runs that are alive grow so fast that they are to be looked at after this, ms.
    pub within_ms: u64,
    /// Runs that have ended, and whose files somebody has open to write to them.
    pub written: Vec<(JobId, RunId)>,
    /// The file system can't give back a part of a file: those of live runs grow.
    pub no_holes: bool,
    /// Why something could not be done; empty: all could.
    pub trouble: String,
}
