//! What the journal says of the table in force.

use crate::core::definition::hex;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The table in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry<'a> {
    /// What stands for the digest of the answer that told it: see [`TableEntry::mark`].
    #[serde(borrow)]
    pub digest: Cow<'a, str>,
    /// When that was, unix ms: what is new in it has no slots before.
    pub at_ms: i64,
    /// That of the snapshot which was on the disk then, if it was of another table.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Cow<'a, str>>,
    /// Which database told it, and how its rows were read. None: an earlier version did not say.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Cow<'a, str>>,
}

impl TableEntry<'_> {
    /// What stands for a digest in the journal, however long that is.
    pub fn mark(digest: &str) -> String {
        hex(&Md5::digest(digest.as_bytes()))
    }

    /// The same entry, owning its texts.
    pub fn into_owned(self) -> TableEntry<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        TableEntry {
            digest: Cow::Owned(self.digest.into_owned()),
            at_ms: self.at_ms,
            before: self.before.map(owned),
            source: self.source.map(owned),
        }
    }
}
