//! Names of things: jobs, runs, clients, questions. The core knows no pids and no sockets.

use crate::core::plain;
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

/// Why a text is no job's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJobId {
    /// It is no number, or too large a one.
    #[error("`{0}` is no job id: a number is")]
    NoNumber(String),
    /// It is a number, but not as it is written.
    #[error("`{0}` is no job id: {1} is")]
    Otherwise(String, JobId),
}

impl FromStr for JobId {
    type Err = BadJobId;

    fn from_str(text: &str) -> Result<Self, BadJobId> {
        let id = text.parse().map(JobId).map_err(|_| BadJobId::NoNumber(plain::shown(text)))?;
        // One id, one text: no job has two addresses.
        match id.to_string() == text {
            true => Ok(id),
            false => Err(BadJobId::Otherwise(plain::shown(text), id)),
        }
    }
}

/// A connected client. Numbers are never used again within a daemon's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A question to a helper. Numbers are never used again within a daemon's life.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct AskId(pub u64);

/// Characters of a run id in the present form; the width of `scheduler_logs.uniq_id`.
pub const RUN_ID_CHARS: usize = 20;

/// Of these, so many tell the time.
const TIME_CHARS: usize = 8;

/// A tick of the time in a run id is 2¹⁰ units of a sequence, so a 1024th of a second.
const TICK_BITS: u32 = 10;

/// Ticks before 2025-01-01 00:00 UTC, where the time in the text begins.
const FIRST_TICK: u64 = 1_735_689_600 << TICK_BITS;

/// So many fit into the text, up to the year 2112.
const TICKS: u64 = 36u64.pow(TIME_CHARS as u32);

/// The year 4000, unix ms. Later times would be longer than the column.
const LAST_MS: u64 = 64_060_588_800_000;

/// A run of a job, unlike that of any other daemon anywhere.
///
/// As text it is `SERVER-TIMENUMBER`, 20 characters, the width of `scheduler_logs.uniq_id`; base 36
/// and lower case, because that column compares without case. The time of the launch has 8
/// characters, and the number that tells daemons apart takes what is left: 10 where the server id
/// has one digit, 4 where it has seven. So ids of a server sort by time, as texts, too.
///
/// Ids of earlier versions are `SERVER-SEQUENCE` and shorter; they sort before those that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// The group.
    pub server_id: u32,
    /// Time of the launch in 2⁻²⁰ seconds since 1970; one that is greater than any before.
    pub sequence: u64,
    /// Tells daemons apart whose server id is the same; 0 in ids of earlier versions.
    pub instance: u64,
}

impl RunId {
    /// The id after `last` for a run decided at `wall_ms`. Strictly greater than `last`, also
    /// when the clock went back. `instance` is the number of the daemon, any number at all.
    pub fn next(server_id: u32, instance: u64, last: u64, wall_ms: i64) -> RunId {
        let wall_ms = u64::try_from(wall_ms).unwrap_or(0).min(LAST_MS);
        let tick = ((wall_ms << TICK_BITS) / 1000).max((last >> TICK_BITS) + 1);
        let tick = tick.max(FIRST_TICK);
        if tick - FIRST_TICK >= TICKS {
            // A clock that is wrong by a century, or was: it is still a new one here.
            return RunId { server_id, sequence: tick << TICK_BITS, instance: 0 };
        }
        let instance = 1 + instance % (numbers(server_id) - 1);
        RunId { server_id, sequence: tick << TICK_BITS, instance }
    }

    /// The name of a part of what this names, from 1 on. It has the same time, and a number that no
    /// daemon is likely to have.
    pub fn part(self, number: u64) -> RunId {
        match self.instance {
            // It tells daemons not apart: what is behind a tick does.
            0 => RunId { sequence: self.sequence + number, ..self },
            its => {
                let instance = 1 + (its + number) % (numbers(self.server_id) - 1);
                RunId { instance, ..self }
            }
        }
    }

    /// The second of the launch, as the id has it.
    pub fn unix_seconds(&self) -> u64 {
        self.sequence >> (2 * TICK_BITS)
    }

    /// The same run, as those knew it who know of no instances.
    pub fn without_instance(self) -> RunId {
        RunId { instance: 0, ..self }
    }
}

/// Characters of the number in a run id.
fn number_chars(server_id: u32) -> usize {
    let server_chars = 1 + server_id.checked_ilog(36).unwrap_or(0) as usize;
    RUN_ID_CHARS - TIME_CHARS - 1 - server_chars
}

/// How many numbers tell daemons with this server id apart.
fn numbers(server_id: u32) -> u64 {
    36u64.pow(number_chars(server_id) as u32)
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunId { server_id, sequence, instance } = *self;
        write!(f, "{}-", Base36(u64::from(server_id), 1))?;
        if instance == 0 {
            return write!(f, "{}", Base36(sequence, 1));
        }
        let ticks = (sequence >> TICK_BITS).saturating_sub(FIRST_TICK);
        let number = Base36(instance, number_chars(server_id));
        write!(f, "{}{number}", Base36(ticks, TIME_CHARS))
    }
}

/// Why a text is no run id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no run id: 20 characters are, such as 1-0u93ojk0c8w1ma5kz2")]
pub struct BadRunId(pub String);

impl FromStr for RunId {
    type Err = BadRunId;

    fn from_str(text: &str) -> Result<Self, BadRunId> {
        let bad = || BadRunId(plain::shown(text));
        let id = text.split_once('-').and_then(|(server, rest)| read(server, rest));
        // One id, one text.
        id.filter(|id| id.to_string() == text).ok_or_else(bad)
    }
}

fn read(server: &str, rest: &str) -> Option<RunId> {
    let server_id = u32::from_str_radix(server, 36).ok()?;
    if server.len() + 1 + rest.len() < RUN_ID_CHARS {
        let sequence = u64::from_str_radix(rest, 36).ok()?;
        return Some(RunId { server_id, sequence, instance: 0 });
    }
    let (time, number) = rest.split_at_checked(TIME_CHARS)?;
    let sequence = (FIRST_TICK + u64::from_str_radix(time, 36).ok()?) << TICK_BITS;
    let instance = u64::from_str_radix(number, 36).ok()?;
    Some(RunId { server_id, sequence, instance })
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

/// Lower-case base 36, with zeros in front up to so many digits.
struct Base36(u64, usize);

impl fmt::Display for Base36 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0u8; 13];
        let mut at = digits.len();
        let mut rest = self.0;
        loop {
            at -= 1;
            digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 && digits.len() - at >= self.1 {
                break;
            }
        }
        digits[at..].iter().try_for_each(|&b| fmt::Write::write_char(f, char::from(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const NOW_MS: i64 = 1_800_000_000_000;

    #[test]
    fn every_id_of_this_century_fits_the_key_column_and_is_read_again() {
        for wall_ms in [0, 1_735_689_600_000, NOW_MS, 4_102_444_800_000, i64::MAX] {
            for server_id in [0, 1, 35, 36, 1295, 1296, 46_656, u32::MAX] {
                for instance in [0, 1, 1 << 40, u64::MAX] {
                    let id = RunId::next(server_id, instance, 5, wall_ms);
                    let text = id.to_string();
                    assert!(text.len() == RUN_ID_CHARS || wall_ms == i64::MAX, "{text}");
                    assert_eq!(text.parse(), Ok(id), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_tells_daemons_apart_takes_the_room_that_is_left() {
        let chars = |server_id| number_chars(server_id);
        assert_eq!([1, 35, 36, 1295, 1296, u32::MAX].map(chars), [10, 10, 9, 9, 8, 4]);
        let texts = |server_id, instance| RunId::next(server_id, instance, 0, NOW_MS).to_string();
        assert_eq!(texts(1, 0), "1-0u93ojk00000000001");
        assert_eq!(texts(1, 36u64.pow(10) - 2), "1-0u93ojk0zzzzzzzzzz");
        assert_eq!(texts(u32::MAX, 36u64.pow(4) - 2), "1z141z3-0u93ojk0zzzz");
    }

    #[test]
    fn ids_grow_when_the_clock_goes_back() {
        let first = RunId::next(1, 3, 0, NOW_MS);
        let second = RunId::next(1, 3, first.sequence, NOW_MS - 1000 * DAY_MS);
        assert!(second > first);
        assert_eq!(first.unix_seconds(), 1_800_000_000);
    }

    #[test]
    fn ids_of_a_burst_and_of_later_days_sort_by_time_as_numbers_and_as_texts() {
        let mut ids = Vec::new();
        let mut last = 0;
        for step in 0..5_000 {
            let id = RunId::next(1, 7, last, NOW_MS + i64::from(step / 2_000) * 400 * DAY_MS);
            last = id.sequence;
            ids.push(id);
        }
        assert!(ids.is_sorted_by(|a, b| a < b && a.to_string() < b.to_string()));
    }

    #[test]
    fn ids_of_earlier_versions_are_read_and_come_before_those_that_follow() {
        // As 0.1.0 made them: the second × 2²⁰ and a counter, here 5 and half of all.
        for counter in [5, 1 << 19] {
            let last = (1_800_000_000 << 20) + counter;
            let old = RunId { server_id: 1, sequence: last, instance: 0 };
            assert_eq!(old.to_string().parse(), Ok(old));
            assert_eq!(old.unix_seconds(), 1_800_000_000);
            let next = RunId::next(1, 9, last, NOW_MS);
            assert!(next > old && next.to_string().len() == RUN_ID_CHARS, "{next}");
            assert!(next.sequence - last < 1 << 20, "within a second");
        }
        assert_eq!("1-ijb2rl5tll".parse::<RunId>().map(|id| id.instance), Ok(0));
    }

    #[test]
    fn a_clock_that_was_a_century_ahead_costs_no_id() {
        let far = RunId::next(1, 9, 0, 6_000_000_000_000);
        let next = RunId::next(1, 9, far.sequence, NOW_MS);
        assert!(next > far);
        assert_eq!(next.to_string().parse(), Ok(next));
    }

    #[test]
    fn a_job_has_one_id_as_text() {
        assert_eq!(["0", "1", "4294967295"].map(str::parse), [0, 1, u32::MAX].map(JobId).map(Ok));
        for text in ["01", "+1", "00", "+0"] {
            let told = text.parse::<JobId>().unwrap_err().to_string();
            assert!(told.starts_with(&format!("`{text}` is no job id: ")), "{told}");
        }
        for text in ["", "x", "-1", " 1", "1 ", "1.0", "4294967296", "١"] {
            assert!(matches!(text.parse::<JobId>(), Err(BadJobId::NoNumber(_))), "{text}");
        }
    }

    #[test]
    fn upper_case_and_rubbish_are_no_ids() {
        const LONG: &str = "1-0u93ojk000000000011";
        const UPPER: &str = "1-0U93OJK00000000001";
        for text in
            ["", "1", "1-", "-1", "1-A", "1-1-1", "+1-1", "01-1", "1-zzzzzzzzzzzzzzzz", LONG, UPPER]
        {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
}
