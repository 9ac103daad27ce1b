//! How what is set aside stands: what the journal knows of it and what its file says of itself, so
//! that what somebody takes away is missed.
//!
//! The helper changes the file before the daemon is told, and its answer may be lost: the file may
//! be ahead of the journal. So records that are added are numbered, and a change that takes some
//! out writes the whole file again, with how it stands then before all else. The later one of the
//! two tells how many records there were, and those added since are known by their numbers.

use serde::{Deserialize, Serialize};

/// See the module's text. Starts of runs are no records here, for their ends tell all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stand {
    /// So many records are to be there.
    pub records: u64,
    /// So many were numbered.
    pub numbered: u64,
    /// How often the whole file was written; 0: there is none, or nothing is known of it.
    pub written: u64,
    /// So many were dropped.
    pub dropped: u64,
}

impl Stand {
    /// How a file is to stand if the daemon knows this, the file says `head` of itself, and its
    /// records have numbers up to `highest`. None: nobody knows.
    pub fn due(self, head: Option<Stand>, highest: u64) -> Option<Stand> {
        let last = head.filter(|head| head.written > self.written).unwrap_or(self);
        let numbered = last.numbered.max(highest);
        let records = last.records + (numbered - last.numbered);
        let dropped = self.dropped.max(head.map_or(0, |head| head.dropped));
        (last.written > 0).then_some(Stand { records, numbered, dropped, ..last })
    }
}
