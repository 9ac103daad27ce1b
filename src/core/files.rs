//! Files that the web shows: which ones, and how much of them. The paths come from the core's own
//! data, never from a client.

use crate::core::ids::{JobId, RunId};
use crate::core::launch::Stream;
use serde::{Deserialize, Serialize};

/// Bytes read of a file at a time, at the most.
pub const MAX_READ_BYTES: u64 = 1 << 20;

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileName {
    /// A path that a row names.
    Path(String),
    /// The file of a run's own.
    Run(JobId, RunId, Stream),
    /// The daemon's log.
    Log,
}

/// What is to be read: the first of the files that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPlan {
    /// In the order in which they are tried.
    pub names: Vec<FileName>,
    /// From where on; none = the end, as far back as `max_bytes` reach. A file that is shorter
    /// is read from its beginning: it was cleared.
    pub from: Option<Mark>,
    /// How much, at most [`MAX_READ_BYTES`].
    pub max_bytes: u64,
}

/// Which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The device.
    pub device: u64,
    /// Its number there, which a file made later may get when this one is removed.
    pub inode: u64,
    /// When it was made, Unix nanoseconds; 0 where the file system does not tell.
    pub born_ns: u64,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// A file that was moved away is another one.
    pub identity: Identity,
    /// Offset in bytes.
    pub offset: u64,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Where the piece begins.
    pub start: Mark,
    /// The length of the whole file, bytes.
    pub size: u64,
    /// Bytes behind the beginning of the piece that are holes: they are never sent.
    #[serde(default)]
    pub holes: u64,
    /// What was read; between processes by itself.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// Why there is nothing to read or to clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileTrouble {
    /// None of the files exists (yet); the last one's name.
    Missing(String),
    /// It can't be used: what is wrong, where, and what to do.
    Unusable(String),
    /// Its file system does not answer; which file.
    NoAnswer(String),
}

impl FileTrouble {
    /// Status of an answer, and its text.
    pub fn told(self) -> (u16, String) {
        match self {
            FileTrouble::Missing(why) => (404, why),
            FileTrouble::Unusable(why) => (409, why),
            FileTrouble::NoAnswer(why) => (504, why),
        }
    }
}
