//! What is older than `keep_records` leaves the database: in small pieces, away from the slots, and
//! with a pause after each piece that is at least as long as the piece took. So the database is
//! never more than half busy with it, and a launch meets a piece under way only where that takes
//! long.
//!
//! What is gone does not come back, so no clock is believed alone. The daemon's own counts only
//! when it has gone on evenly for a while, and one that was set ahead not for a day; the helper
//! compares it with the database's, and looks whether all that is recorded would go at once.

use super::lanes::Waiter;
use super::trouble::DatabaseState;
use super::{Scheduler, Settings};
use crate::core::clock;
use crate::core::database::ErrorKind;
use crate::core::plain::counted;
use crate::core::protocol::{Ask, Purged, Stays};
use crate::core::time::{Now, datetime};

/// Rows of a piece.
const PIECE: u32 = 500;

/// The least pause between two pieces, ms.
const PAUSE_MS: u64 = 20;

/// When all is deleted that is to be, it is looked again after this, in ms.
const ROUND_MS: u64 = 3_600_000;

/// The same after a failure.
const RETRY_MS: u64 = 600_000;

/// So long the clock goes on evenly before anything is deleted, ms: a machine that starts with a
/// wrong clock has it set right by then.
const EVEN_MS: u64 = 600_000;

/// What a clock that was set ahead makes old goes only after this, ms, and what would be all that
/// is recorded likewise: somebody has had a day to set it right.
const DOUBT_MS: u64 = 86_400_000;

/// The clock may be set by so much, ms: what is kept for days may go as much earlier.
const JUMP_MS: i64 = 3_600_000;

/// The wall clock as far as it is believed.
#[derive(Debug, Default)]
struct Believed {
    /// What it is ahead of the monotonic clock, ms.
    offset_ms: i64,
    /// What that was when it was looked at last, and since when (monotonic ms) it is so.
    seen_ms: i64,
    since_ms: u64,
}

impl Believed {
    fn begin(now: Now) -> Believed {
        let offset_ms = offset_ms(now);
        Believed { offset_ms, seen_ms: offset_ms, since_ms: now.mono_ms }
    }

    /// The time by it, unix ms; none: it was set a short while ago. It is set back at once, and
    /// forward a day later.
    fn at(&mut self, now: Now) -> Option<i64> {
        let offset_ms = offset_ms(now);
        if offset_ms.abs_diff(self.seen_ms) > JUMP_MS.unsigned_abs() {
            (self.seen_ms, self.since_ms) = (offset_ms, now.mono_ms);
        }
        let even_ms = now.mono_ms.saturating_sub(self.since_ms);
        let is_later = offset_ms > self.offset_ms.saturating_add(JUMP_MS);
        if !is_later || even_ms >= DOUBT_MS {
            self.offset_ms = offset_ms;
            self.seen_ms = offset_ms;
        }
        let mono_ms = i64::try_from(now.mono_ms).unwrap_or(i64::MAX);
        (even_ms >= EVEN_MS).then(|| mono_ms.saturating_add(self.offset_ms))
    }
}

fn offset_ms(now: Now) -> i64 {
    now.wall_ms.saturating_sub(i64::try_from(now.mono_ms).unwrap_or(i64::MAX))
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Purge {
    /// When the next piece is due, monotonic ms.
    at_ms: u64,
    /// When the last one was asked for, likewise.
    asked_ms: u64,
    clock: Believed,
    /// Since when all that is recorded would go, monotonic ms.
    all_since_ms: Option<u64>,
    /// What went since all was deleted last.
    round: Purged,
    /// Why not all is deleted, as the log was told.
    told: Option<String>,
}

impl Purge {
    /// That of a daemon that begins now.
    pub(super) fn begin(now: Now) -> Purge {
        let clock = Believed::begin(now);
        Purge { at_ms: now.mono_ms + EVEN_MS, clock, ..Purge::default() }
    }

    /// A piece is deleted. Returns what went, if that was the last one.
    fn done(&mut self, now: Now, piece: &Purged) -> Option<Purged> {
        self.round.runs += piece.runs;
        self.round.skips += piece.skips;
        self.round.acts += piece.acts;
        if piece.more {
            let took_ms = now.mono_ms.saturating_sub(self.asked_ms);
            self.at_ms = clock::clear_of_slots(now, now.mono_ms + took_ms.max(PAUSE_MS));
            return None;
        }
        self.at_ms = now.mono_ms + ROUND_MS;
        self.all_since_ms = None;
        Some(std::mem::take(&mut self.round)).filter(|round| round.rows() > 0)
    }

    /// Nothing can be deleted now, or not all. Returns whether that is news.
    fn failed(&mut self, now: Now, why: &str) -> bool {
        self.at_ms = now.mono_ms + RETRY_MS;
        let is_news = self.told.as_deref() != Some(why);
        self.told = Some(why.to_owned());
        is_news
    }

    /// Nothing may be deleted now: why, for the log.
    fn held(&mut self, now: Now, stays: Stays) -> String {
        match stays {
            Stays::NoIndex => {
                "that takes the indexes of scheduler_logs, which are optional: `schedule db \
                 migrate` makes them"
                    .to_owned()
            }
            Stays::Clock(ahead_s) => {
                let (hours, minutes) =
                    (ahead_s.saturating_abs() / 3_600, ahead_s.saturating_abs() / 60 % 60);
                let how = if ahead_s > 0 { "ahead of" } else { "behind" };
                format!(
                    "the clock of this machine is {hours} h {minutes} min {how} the database's: \
                     set the wrong one right"
                )
            }
            Stays::Gap(last) => {
                self.all_since_ms.get_or_insert(now.mono_ms);
                format!(
                    "nothing was recorded after {last} for as long as records are kept, as if the \
                     clock were wrong: look at it; they go after a day"
                )
            }
        }
    }

    /// Whether what would be all that is recorded has been so for a day.
    fn is_sure(&self, now: Now) -> bool {
        self.all_since_ms.is_some_and(|since_ms| now.mono_ms >= since_ms + DOUBT_MS)
    }

    /// The question for the next piece; none: a slot is too near, or the clock was set.
    pub(super) fn ask(&mut self, now: Now, settings: &Settings) -> Option<(Waiter, Ask)> {
        let Some(wall_ms) = self.clock.at(now) else {
            self.at_ms = now.mono_ms + EVEN_MS;
            self.all_since_ms = None;
            return None;
        };
        let clear_ms = clock::clear_of_slots(now, now.mono_ms);
        if clear_ms > now.mono_ms {
            self.at_ms = clear_ms;
            return None;
        }
        let keep_ms = settings.keep_records_ms;
        let before_ms = wall_ms.saturating_sub(i64::try_from(keep_ms).unwrap_or(i64::MAX));
        self.asked_ms = now.mono_ms;
        let ask = Ask::Purge {
            server_id: settings.server_id,
            before: datetime(before_ms, &settings.zone),
            keep_s: keep_ms / 1_000,
            now_s: now.wall_ms.div_euclid(1_000),
            sure: self.is_sure(now),
            limit: PIECE,
        };
        Some((Waiter::Nobody, ask))
    }

    /// A piece is deleted, or could not be. Returns how many rows went.
    pub(super) fn answered(
        &mut self,
        now: Now,
        failure: Option<(ErrorKind, String)>,
        piece: Option<Purged>,
    ) -> u64 {
        let mut piece = piece.unwrap_or_default();
        let held = piece.stays.take().map(|stays| self.held(now, stays));
        if let Some(why) = failure.map(|(_, why)| why).or(held) {
            if self.failed(now, &why) {
                log::error!("records older than keep_records are not deleted: {why}");
            }
            return 0;
        }
        if let Some(round) = self.done(now, &piece) {
            let told = [(round.runs, "run"), (round.skips, "skip"), (round.acts, "act")];
            let told = told.map(|(count, what)| counted(count, what)).join(", ");
            log::info!("records older than keep_records are deleted: {told}");
        }
        if piece.more {
            return piece.rows();
        }
        if piece.failed.is_empty() {
            self.told = None;
            return piece.rows();
        }
        let tables = piece.failed.iter().map(|(table, why)| format!("{table}: {why}"));
        let why = tables.collect::<Vec<_>>().join("; ");
        if self.failed(now, &why) {
            log::error!("not all records older than keep_records are deleted: {why}");
        }
        piece.rows()
    }
}

impl Scheduler {
    /// When the next piece is due, monotonic ms.
    pub(super) fn purge_at(&self) -> u64 {
        let is_up = self.sync.state.database == DatabaseState::Up;
        match self.settings.keep_records_ms > 0 && is_up && self.astray.is_none() {
            true => self.purge.at_ms,
            false => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million rows go in some minutes, and no piece begins near a slot.
    #[test]
    fn pieces_keep_away_from_slots_and_let_others_work() {
        const TOOK_MS: u64 = 30;
        let mut purge = Purge::default();
        let mut now = Now { mono_ms: 70_123, wall_ms: 1_800_000_000_950 };
        let begin = now;
        let mut busy_ms = 0;
        let piece = Purged { runs: PIECE.into(), more: true, ..Purged::default() };
        for _ in 0..2_000 {
            let pass_ms = clock::clear_of_slots(now, purge.at_ms.max(now.mono_ms)) - now.mono_ms;
            now = Now { mono_ms: now.mono_ms + pass_ms, ..now };
            now.wall_ms += pass_ms.cast_signed();
            let off_ms = now.wall_ms.rem_euclid(1_000);
            assert!((250..=850).contains(&off_ms), "{off_ms}");
            purge.asked_ms = now.mono_ms;
            now = Now { mono_ms: now.mono_ms + TOOK_MS, wall_ms: now.wall_ms + TOOK_MS as i64 };
            busy_ms += TOOK_MS;
            assert_eq!(purge.done(now, &piece), None);
            assert!(purge.at_ms >= now.mono_ms + TOOK_MS);
        }
        let took_ms = now.mono_ms - begin.mono_ms;
        assert!(took_ms < 300_000 && busy_ms * 2 <= took_ms, "{took_ms} ms");
        let last = Purged { skips: 3, ..Purged::default() };
        let round = purge.done(now, &last).unwrap();
        assert_eq!((round.runs, round.skips, round.acts), (1_000_000, 3, 0));
        assert_eq!(purge.at_ms, now.mono_ms + ROUND_MS);
        // Nothing to tell.
        assert_eq!(purge.done(now, &Purged::default()), None);
    }

    const DAY_MS: u64 = 86_400_000;

    fn set(mono_ms: u64, by_ms: i64) -> Now {
        Now { mono_ms, wall_ms: 1_800_000_000_000 + mono_ms.cast_signed() + by_ms }
    }

    /// Nothing is old by a clock that was set ahead for less than a day, however often that is.
    #[test]
    fn a_clock_set_ahead_is_not_believed_for_a_day() {
        const YEARS_MS: i64 = 10 * 365 * 86_400_000;
        let mut clock = Believed::begin(set(5, 0));
        assert_eq!(clock.at(set(5, 0)), None);
        let even = |ms: u64| set(ms, 0);
        assert_eq!(clock.at(even(EVEN_MS + 5)), Some(even(EVEN_MS + 5).wall_ms));
        let mut at_ms = 2 * EVEN_MS;
        for _ in 0..3 {
            // Ahead, and right again after most of a day.
            assert_eq!(clock.at(set(at_ms, YEARS_MS)), None);
            at_ms += DAY_MS - 1;
            assert_eq!(clock.at(set(at_ms, YEARS_MS)), Some(even(at_ms).wall_ms));
            at_ms += 1_000;
            assert_eq!(clock.at(even(at_ms)), None);
            at_ms += EVEN_MS;
            assert_eq!(clock.at(even(at_ms)), Some(even(at_ms).wall_ms));
        }
        // That it was behind before is believed after a day.
        assert_eq!(clock.at(set(at_ms, YEARS_MS)), None);
        at_ms += DAY_MS;
        assert_eq!(clock.at(set(at_ms, YEARS_MS)), Some(set(at_ms, YEARS_MS).wall_ms));
        // And back at once, after the wait.
        assert_eq!(clock.at(even(at_ms)), None);
        at_ms += EVEN_MS;
        assert_eq!(clock.at(even(at_ms)), Some(even(at_ms).wall_ms));
    }

    /// As each clock is by the time service, or where a machine sleeps for a while.
    #[test]
    fn a_clock_that_is_put_right_a_little_is_believed() {
        let mut clock = Believed::begin(set(0, 0));
        let mut by_ms = 0;
        for hour in 1..2_000 {
            by_ms += JUMP_MS / 2;
            let now = set(hour * 3_600_000, by_ms);
            assert_eq!(clock.at(now), Some(now.wall_ms));
        }
    }

    #[test]
    fn what_would_be_all_goes_after_a_day() {
        let (mut purge, now) = (Purge::begin(set(0, 0)), set(EVEN_MS, 0));
        let gap = || Stays::Gap("2026-01-01 00:00:00".into());
        assert!(purge.held(now, gap()).contains("2026-01-01 00:00:00 for as long as"));
        assert!(!purge.is_sure(now));
        let later = set(EVEN_MS + DAY_MS - 1, 0);
        purge.held(later, gap());
        assert!(!purge.is_sure(later) && purge.is_sure(set(EVEN_MS + DAY_MS, 0)));
        assert_eq!(purge.done(later, &Purged { more: true, ..Purged::default() }), None);
        assert!(purge.is_sure(set(EVEN_MS + DAY_MS, 0)), "it goes piece by piece");
        purge.done(later, &Purged::default());
        assert!(!purge.is_sure(set(9 * DAY_MS, 0)));
    }

    #[test]
    fn a_failure_is_told_once_and_tried_again_later() {
        let (mut purge, now) = (Purge::default(), Now { mono_ms: 5, wall_ms: 7 });
        assert!(purge.failed(now, "a") && !purge.failed(now, "a") && purge.failed(now, "b"));
        assert_eq!(purge.at_ms, 5 + RETRY_MS);
    }
}
