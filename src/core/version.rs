//! The version of a row: a short text that stands for all that the row says.
//!
//! Who changes a row names the version that was seen, and is refused where the row says something
//! else by then. It is made of every column of the list and of whether the row is enabled, as they
//! stand in the database, so daemon and helper come to the same. A column that the database may
//! lack, and that says nothing, is no part of it: a migration changes no version.

use crate::core::columns::{Column, JobRow};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Digits of a version as text.
const DIGITS: usize = 16;

/// What is otherwise in the version of a row that is disabled.
const DISABLED: u64 = 0x5a5a_5a5a_5a5a_5a5a;

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(u64);

impl Version {
    /// That of a row.
    pub fn of(row: &JobRow, enabled: bool) -> Version {
        let mut hash = Md5::new();
        for column in Column::ALL {
            let value = row.value(*column);
            if column.is_optional() && value == column.default_text() {
                continue;
            }
            hash.update(column.name());
            // No two rows are one text: each value has its length before it.
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value.as_bytes());
        }
        let whole: [u8; 16] = hash.finalize().into();
        let half = whole.first_chunk().copied().unwrap_or_default();
        let version = Version(u64::from_be_bytes(half));
        if enabled { version } else { version.disabled() }
    }

    /// That of many things: names, and what is said under each.
    pub fn of_all(all: impl Iterator<Item = (String, String)>) -> Version {
        let mut hash = Md5::new();
        for text in all.flat_map(|(name, text)| [name, text]) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        let whole: [u8; 16] = hash.finalize().into();
        Version(u64::from_be_bytes(whole.first_chunk().copied().unwrap_or_default()))
    }

    /// The version of the same row as one that is disabled, of that of one that is enabled.
    pub fn disabled(self) -> Version {
        Version(self.0 ^ DISABLED)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}", self.0)
    }
}

/// A text that is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version has 16 hexadecimal digits, as the answer of the job says it")]
pub struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Version, NoVersion> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != DIGITS || !text.bytes().all(is_digit) {
            return Err(NoVersion);
        }
        u64::from_str_radix(text, 16).map(Version).map_err(|_| NoVersion)
    }
}

impl TryFrom<String> for Version {
    type Error = NoVersion;

    fn try_from(text: String) -> Result<Version, NoVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Each column, and whether it is enabled, is in it.
    #[test]
    fn whatever_a_row_says_is_in_its_version() {
        let row = JobRow { id: 7, command: "true".into(), ..JobRow::default() };
        let mut all = BTreeSet::from([Version::of(&row, true), Version::of(&row, false)]);
        for column in Column::ALL {
            let mut other = row.clone();
            other.set(*column, "12").unwrap();
            assert_eq!(other.value(*column), "12");
            all.extend([Version::of(&other, true), Version::of(&other, false)]);
        }
        assert_eq!(all.len(), 2 + 2 * Column::ALL.len());
        // What stands in one column does not stand in the next.
        let moved = JobRow { name: "ab".into(), command: "c".into(), ..row.clone() };
        let other = JobRow { name: "a".into(), command: "bc".into(), ..row };
        assert_ne!(Version::of(&moved, true), Version::of(&other, true));
    }

    /// Clients keep versions, and so will the record of changes: they outlive this program.
    #[test]
    fn a_version_stays_what_it_is() {
        // The first half of the MD5 of each name, the length of its value in eight bytes, and that.
        let row = JobRow { id: 5, name: "n".into(), max_concurrence: 1, ..JobRow::default() };
        assert_eq!(Version::of(&row, true).to_string(), "6fe6e916e108029f");
    }

    #[test]
    fn a_version_is_one_text() {
        let version = Version::of(&JobRow::default(), false);
        assert_eq!(version.to_string().parse(), Ok(version));
        for text in ["", "12", "00000000000000ag", "0000000000000000a", "00000000000000AB"] {
            assert_eq!(text.parse::<Version>(), Err(NoVersion), "{text}");
        }
    }
}
