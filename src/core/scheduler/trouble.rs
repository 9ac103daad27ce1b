//! What is wrong with the database: for each kind of exchange how often it failed in a row, when it
//! may be tried again, and what the log was told already.
//!
//! The two kinds are apart because one may fail while the other does well (a missing table, a
//! missing right): a sync that succeeds must not make a record that fails look cured.

use crate::core::clock;
use crate::core::database::ErrorKind;
use crate::core::time::Now;

/// What is known of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// Not asked yet.
    Unknown,
    /// The last exchange succeeded.
    Up,
    /// The last exchange failed.
    Down {
        /// What kind of failure.
        kind: ErrorKind,
        /// What the database said, and what to do about it.
        message: String,
        /// Failures in a row.
        failures: u32,
    },
}

/// What an exchange is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sync,
    Record,
}

/// Longest pause after failures, in milliseconds.
const MAX_BACKOFF_MS: u64 = 60_000;

/// The same failure is said again after this long, in milliseconds.
const REPEAT_FAILURE_MS: u64 = 600_000;

/// So long records are refused before they are to blame, in milliseconds.
const UNSURE_MS: u64 = 60_000;

/// Messages remembered so as not to be said again.
const MAX_SAID: usize = 16;

/// What is wrong with one kind of exchange.
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
    sync: Trouble,
    record: Trouble,
    /// Failures of either kind since all was well.
    failures: u32,
    /// What was said since all was well, and when.
    said: Vec<(String, u64)>,
}

impl Troubles {
    fn of(&mut self, asked: Kind) -> (&mut Trouble, &mut Trouble) {
        match asked {
            Kind::Sync => (&mut self.sync, &mut self.record),
            Kind::Record => (&mut self.record, &mut self.sync),
        }
    }

    /// When an exchange of this kind may be tried, monotonic ms.
    pub fn not_before_ms(&self, asked: Kind) -> u64 {
        match asked {
            Kind::Sync => self.sync.not_before_ms,
            Kind::Record => self.record.not_before_ms,
        }
    }

    /// Both kinds may be tried now.
    pub fn forget_pauses(&mut self) {
        self.sync.not_before_ms = 0;
        self.record.not_before_ms = 0;
    }

    /// Notes a failure. Returns the pause until the next try, and whether the log is to be told.
    pub fn failed(
        &mut self,
        now: Now,
        asked: Kind,
        kind: ErrorKind,
        message: String,
    ) -> (u64, bool) {
        self.failures += 1;
        let (trouble, _) = self.of(asked);
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
        self.sync.last.is_none() && self.record.unsure_ms.is_some_and(long)
    }

    /// Notes a success. Returns how many failures there were, if that was the end of them.
    pub fn succeeded(&mut self, asked: Kind) -> Option<u32> {
        let (trouble, other) = self.of(asked);
        *trouble = Trouble::default();
        if matches!(other.last, Some((ErrorKind::Connect, _))) {
            // It can be reached again.
            other.not_before_ms = 0;
        }
        if other.last.is_some() || self.failures == 0 {
            return None;
        }
        self.said.clear();
        Some(std::mem::take(&mut self.failures))
    }

    /// What is to be shown.
    pub fn state(&self) -> DatabaseState {
        match self.sync.last.as_ref().or(self.record.last.as_ref()) {
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

    fn fail(troubles: &mut Troubles, mono_ms: u64, asked: Kind, message: &str) -> bool {
        troubles.failed(at(mono_ms), asked, ErrorKind::NoTable, message.into()).1
    }

    #[test]
    fn a_sync_that_succeeds_does_not_cure_records_that_fail() {
        let mut troubles = Troubles::default();
        assert!(fail(&mut troubles, 1_000, Kind::Record, "no table"));
        assert_eq!(troubles.succeeded(Kind::Sync), None);
        assert!(matches!(troubles.state(), DatabaseState::Down { failures: 1, .. }));
        assert!(troubles.not_before_ms(Kind::Record) > 1_000);
        assert!(!fail(&mut troubles, 3_000, Kind::Record, "no table"));
        assert_eq!(troubles.succeeded(Kind::Record), Some(2));
        assert_eq!(troubles.state(), DatabaseState::Up);
        assert!(fail(&mut troubles, 5_000, Kind::Record, "no table"));
    }

    #[test]
    fn records_are_to_blame_when_they_are_refused_for_long_and_the_database_answers() {
        let mut troubles = Troubles::default();
        let refuse = |troubles: &mut Troubles, mono_ms, kind| {
            troubles.failed(at(mono_ms), Kind::Record, kind, "no CASE".into());
        };
        refuse(&mut troubles, 1_000, ErrorKind::Unsure);
        refuse(&mut troubles, 40_000, ErrorKind::Unsure);
        assert!(!troubles.refused_for_long(at(60_999)));
        assert!(troubles.refused_for_long(at(61_000)));
        fail(&mut troubles, 61_000, Kind::Sync, "gone");
        assert!(!troubles.refused_for_long(at(61_000)));
        troubles.succeeded(Kind::Sync);
        assert!(troubles.refused_for_long(at(61_000)));
        // Another reason: it begins again.
        refuse(&mut troubles, 61_000, ErrorKind::Connect);
        refuse(&mut troubles, 62_000, ErrorKind::Unsure);
        assert!(!troubles.refused_for_long(at(100_000)));
        troubles.succeeded(Kind::Record);
        assert!(!troubles.refused_for_long(at(500_000)));
    }

    #[test]
    fn failures_that_alternate_are_said_once_each_until_it_is_long_ago() {
        let mut troubles = Troubles::default();
        let mut said = 0;
        for second in 0..600 {
            let message = ["refused", "no answer"][second as usize % 2];
            said += u32::from(fail(&mut troubles, second * 1_000, Kind::Sync, message));
        }
        assert_eq!(said, 2);
        assert!(fail(&mut troubles, 600_000, Kind::Sync, "refused"));
    }

    #[test]
    fn the_pause_grows_to_a_minute_and_ends_when_the_database_is_reached() {
        let mut troubles = Troubles::default();
        let mut pauses = Vec::new();
        for asked in [Kind::Sync; 9] {
            let why = String::new();
            pauses.push(troubles.failed(at(0), asked, ErrorKind::Connect, why).0);
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert!(troubles.not_before_ms(Kind::Sync) > 50_000);
        troubles.succeeded(Kind::Record);
        assert_eq!(troubles.not_before_ms(Kind::Sync), 0);
    }
}
