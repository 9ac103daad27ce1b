//! Names of things: jobs, runs, clients. The core knows no pids and no sockets.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A job: the primary key of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u32);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A connected client. Numbers are never used again within a daemon's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Bits of a [`RunId`] that count within a second.
const COUNTER_BITS: u32 = 20;

/// A run of a job, unique over all groups that share a database and over restarts.
///
/// As text it is `SERVER-SEQUENCE`, both in base 36 and lower case, because the key column of the
/// records compares without case: at most 7 + 1 + 12 = 20 characters, the width of
/// `scheduler_logs.uniq_id`. The sequence is the second of the launch shifted left by 20 bits
/// plus a counter, so ids sort by time and a daemon that lost its journal still makes new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// The group.
    pub server_id: u32,
    /// Seconds since the epoch × 2²⁰ + counter.
    pub sequence: u64,
}

impl RunId {
    /// The id after `last` for a run decided at `wall_ms`. Strictly greater than `last`, also
    /// when the clock went back. `salt` (any number) keeps two daemons apart that were started
    /// within one second without a journal to tell them of each other.
    pub fn next(server_id: u32, last: u64, wall_ms: i64, salt: u32) -> RunId {
        let seconds = u64::try_from(wall_ms.div_euclid(1000)).unwrap_or(0);
        let salt = if last == 0 { u64::from(salt % (1 << (COUNTER_BITS - 1))) } else { 0 };
        let floor = (seconds << COUNTER_BITS) + salt;
        RunId { server_id, sequence: floor.max(last + 1) }
    }

    /// The second of the launch, as the id has it.
    pub fn unix_seconds(&self) -> u64 {
        self.sequence >> COUNTER_BITS
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", Base36(u64::from(self.server_id)), Base36(self.sequence))
    }
}

/// Why a text is no run id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no run id: two base 36 numbers joined by `-` are, such as 1-1hj2k3mq5s0")]
pub struct BadRunId(pub String);

impl FromStr for RunId {
    type Err = BadRunId;

    fn from_str(text: &str) -> Result<Self, BadRunId> {
        let bad = || BadRunId(text.chars().take(40).collect());
        let lower = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
        };
        let (server, sequence) = text.split_once('-').ok_or_else(bad)?;
        if !lower(server) || !lower(sequence) {
            return Err(bad());
        }
        let server_id = u32::from_str_radix(server, 36).map_err(|_| bad())?;
        let sequence = u64::from_str_radix(sequence, 36).map_err(|_| bad())?;
        Ok(RunId { server_id, sequence })
    }
}

impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Lower-case base 36.
struct Base36(u64);

impl fmt::Display for Base36 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0u8; 13];
        let mut at = digits.len();
        let mut rest = self.0;
        loop {
            at -= 1;
            digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        digits[at..].iter().try_for_each(|&b| fmt::Write::write_char(f, char::from(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_id_of_this_century_fits_the_key_column() {
        let wall_ms = 4_102_444_800_000; // 2100-01-01
        let id = RunId::next(u32::MAX, u64::MAX >> 12, wall_ms, 7);
        assert!(id.to_string().len() <= 20, "{id}");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn ids_grow_when_the_clock_goes_back() {
        let first = RunId::next(1, 0, 1_800_000_000_000, 3);
        let second = RunId::next(1, first.sequence, 1_700_000_000_000, 3);
        assert!(second > first);
        assert_eq!(first.unix_seconds(), 1_800_000_000);
    }

    #[test]
    fn upper_case_and_rubbish_are_no_ids() {
        for text in ["", "1", "1-", "-1", "1-A", "1-1-1", "+1-1", "1-zzzzzzzzzzzzzzzz"] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
}
