//! What is wrong with the database: for each purpose how often questions failed in a row, when one
//! may be asked again, and what the log was told already.
//!
//! The purposes are apart because one may fail while another does well (a missing table, a missing
//! right): a sync that succeeds must not make a record that fails look cured.

use crate::core::clock;
use crate::core::database::ErrorKind;
use crate::core::protocol::Purpose;
use crate::core::time::Now;
use std::mem;

/// What is known of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// Not asked for the table yet.
    Unknown,
    /// The last questions succeeded.
    Up,
    /// The last question of a purpose failed, or one is without an answer for long.
    Down {
        /// What kind of failure.
        kind: ErrorKind,
        /// What the database said, and what to do about it.
        message: String,
        /// Failures in a row.
        failures: u32,
    },
}

/// Longest pause after failures, in milliseconds.
const MAX_BACKOFF_MS: u64 = 60_000;

/// The same failure is said again after this long, in milliseconds.
const REPEAT_FAILURE_MS: u64 = 600_000;

/// So long records are refused before they are to blame, in milliseconds.
const UNSURE_MS: u64 = 60_000;

/// Messages remembered so as not to be said again.
const MAX_SAID: usize = 16;

/// What is wrong with questions of one purpose.
#[derive(Default)]
struct Trouble {
    /// Failures in a row.
    failures: u32,
    not_before_ms: u64,
    last: Option<(ErrorKind, String)>,
    /// Since when what was written was refused by an error that blames nobody; none if the last
    /// failure was another.
    unsure_ms: Option<u64>,
}

/// What is wrong.
#[derive(Default)]
pub struct Troubles {
    each: [Trouble; Purpose::ALL.len()],
    /// Failures of any purpose since all was well.
    failures: u32,
    /// What was said since all was well, and when.
    said: Vec<(String, u64)>,
}

impl Troubles {
    fn of(&self, purpose: Purpose) -> &Trouble {
        &self.each[purpose as usize]
    }

    /// When a question of this purpose may be asked, monotonic ms.
    pub fn not_before_ms(&self, purpose: Purpose) -> u64 {
        self.of(purpose).not_before_ms
    }

    /// All may be asked now.
    pub fn forget_pauses(&mut self) {
        self.each.iter_mut().for_each(|trouble| trouble.not_before_ms = 0);
    }

    /// Notes a failure. Returns the pause until the next try, and whether the log is to be told.
    pub fn failed(
        &mut self,
        now: Now,
        purpose: Purpose,
        kind: ErrorKind,
        message: String,
    ) -> (u64, bool) {
        self.failures += 1;
        let trouble = &mut self.each[purpose as usize];
        trouble.failures += 1;
        let pause_ms = (500u64 << trouble.failures.min(10)).min(MAX_BACKOFF_MS);
        trouble.not_before_ms = clock::between_slots(now, now.mono_ms + pause_ms);
        trouble.last = Some((kind, message.clone()));
        let since = trouble.unsure_ms.unwrap_or(now.mono_ms);
        trouble.unsure_ms = (kind == ErrorKind::Unsure).then_some(since);
        (pause_ms, self.is_news(now, message))
    }

    fn is_news(&mut self, now: Now, message: String) -> bool {
        self.said.retain(|(_, at)| now.mono_ms < at + REPEAT_FAILURE_MS);
        let news = self.said.iter().all(|(said, _)| *said != message);
        if news {
            if self.said.len() == MAX_SAID {
                self.said.remove(0);
            }
            self.said.push((message, now.mono_ms));
        }
        news
    }

    /// Whether records have been refused for long, by an error that may be theirs or the
    /// database's, while that answers otherwise.
    pub fn refused_for_long(&self, now: Now) -> bool {
        let long = |since| now.mono_ms >= since + UNSURE_MS;
        let record = self.of(Purpose::Record);
        self.of(Purpose::Sync).last.is_none() && record.unsure_ms.is_some_and(long)
    }

    /// Notes a success. Returns how many failures there were, if that was the end of them.
    pub fn succeeded(&mut self, purpose: Purpose) -> Option<u32> {
        self.each[purpose as usize] = Trouble::default();
        for other in &mut self.each {
            if matches!(other.last, Some((ErrorKind::Connect, _))) {
                // It can be reached again.
                other.not_before_ms = 0;
            }
        }
        if self.failures == 0 || self.each.iter().any(|other| other.last.is_some()) {
            return None;
        }
        self.said.clear();
        Some(mem::take(&mut self.failures))
    }

    /// What is to be shown.
    pub fn state(&self) -> DatabaseState {
        match self.each.iter().find_map(|trouble| trouble.last.as_ref()) {
            None => DatabaseState::Up,
            Some((kind, message)) => {
                let (kind, message) = (*kind, message.clone());
                DatabaseState::Down { kind, message, failures: self.failures }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 1_800_000_000_000 + mono_ms as i64 }
    }

    fn fail(troubles: &mut Troubles, mono_ms: u64, purpose: Purpose, message: &str) -> bool {
        troubles.failed(at(mono_ms), purpose, ErrorKind::NoTable, message.into()).1
    }

    #[test]
    fn a_sync_that_succeeds_does_not_cure_records_that_fail() {
        let mut troubles = Troubles::default();
        assert!(fail(&mut troubles, 1_000, Purpose::Record, "no table"));
        assert_eq!(troubles.succeeded(Purpose::Sync), None);
        assert!(matches!(troubles.state(), DatabaseState::Down { failures: 1, .. }));
        assert!(troubles.not_before_ms(Purpose::Record) > 1_000);
        assert!(!fail(&mut troubles, 3_000, Purpose::Record, "no table"));
        assert_eq!(troubles.succeeded(Purpose::Record), Some(2));
        assert_eq!(troubles.state(), DatabaseState::Up);
        assert!(fail(&mut troubles, 5_000, Purpose::Record, "no table"));
    }

    #[test]
    fn records_are_to_blame_when_they_are_refused_for_long_and_the_database_answers() {
        let mut troubles = Troubles::default();
        let refuse = |troubles: &mut Troubles, mono_ms, kind| {
            troubles.failed(at(mono_ms), Purpose::Record, kind, "no CASE".into());
        };
        refuse(&mut troubles, 1_000, ErrorKind::Unsure);
        refuse(&mut troubles, 40_000, ErrorKind::Unsure);
        assert!(!troubles.refused_for_long(at(60_999)));
        assert!(troubles.refused_for_long(at(61_000)));
        fail(&mut troubles, 61_000, Purpose::Sync, "gone");
        assert!(!troubles.refused_for_long(at(61_000)));
        troubles.succeeded(Purpose::Sync);
        assert!(troubles.refused_for_long(at(61_000)));
        // Another reason: it begins again.
        refuse(&mut troubles, 61_000, ErrorKind::Connect);
        refuse(&mut troubles, 62_000, ErrorKind::Unsure);
        assert!(!troubles.refused_for_long(at(100_000)));
        troubles.succeeded(Purpose::Record);
        assert!(!troubles.refused_for_long(at(500_000)));
    }

    #[test]
    fn failures_that_alternate_are_said_once_each_until_it_is_long_ago() {
        let mut troubles = Troubles::default();
        let mut said = 0;
        for second in 0..600 {
            let message = ["refused", "no answer"][second as usize % 2];
            said += u32::from(fail(&mut troubles, second * 1_000, Purpose::Sync, message));
        }
        assert_eq!(said, 2);
        assert!(fail(&mut troubles, 600_000, Purpose::Sync, "refused"));
    }

    #[test]
    fn the_pause_grows_to_a_minute_and_ends_when_the_database_is_reached() {
        let mut troubles = Troubles::default();
        let mut pauses = Vec::new();
        for purpose in [Purpose::Sync; 9] {
            let why = String::new();
            pauses.push(troubles.failed(at(0), purpose, ErrorKind::Connect, why).0);
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert!(troubles.not_before_ms(Purpose::Sync) > 50_000);
        troubles.succeeded(Purpose::Record);
        assert_eq!(troubles.not_before_ms(Purpose::Sync), 0);
    }
}
