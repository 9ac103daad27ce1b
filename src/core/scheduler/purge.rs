//! What is older than `keep_records` leaves the database: in small pieces, away from the slots, and
//! with a pause after each piece that is at least as long as the piece took. So the database is
//! never more than half busy with it, and a launch meets a piece under way only where that takes
//! long.

use super::Scheduler;
use super::lanes::Waiter;
use super::trouble::DatabaseState;
use crate::core::clock;
use crate::core::database::ErrorKind;
use crate::core::plain::counted;
use crate::core::protocol::{Ask, Purged};
use crate::core::time::{Now, datetime};

/// Rows of a piece.
const PIECE: u32 = 500;

/// The least pause between two pieces, ms.
const PAUSE_MS: u64 = 20;

/// When all is deleted that is to be, it is looked again after this, in ms.
const ROUND_MS: u64 = 3_600_000;

/// The same after a failure.
const RETRY_MS: u64 = 600_000;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Purge {
    /// When the next piece is due, monotonic ms.
    at_ms: u64,
    /// When the last one was asked for, likewise.
    asked_ms: u64,
    /// What went since all was deleted last.
    round: Purged,
    /// Why nothing is deleted, as the log was told.
    told: Option<String>,
}

impl Purge {
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
        Some(std::mem::take(&mut self.round)).filter(|round| round.rows() > 0)
    }

    /// Nothing can be deleted now. Returns whether that is news.
    fn failed(&mut self, now: Now, why: &str) -> bool {
        self.at_ms = now.mono_ms + RETRY_MS;
        let is_news = self.told.as_deref() != Some(why);
        self.told = Some(why.to_owned());
        is_news
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

    /// The question for the next piece; none: a slot is too near.
    pub(super) fn purge_ask(&mut self, now: Now) -> Option<(Waiter, Ask)> {
        let clear_ms = clock::clear_of_slots(now, now.mono_ms);
        if clear_ms > now.mono_ms {
            self.purge.at_ms = clear_ms;
            return None;
        }
        let keep_ms = i64::try_from(self.settings.keep_records_ms).unwrap_or(i64::MAX);
        let before = datetime(now.wall_ms.saturating_sub(keep_ms), &self.settings.zone);
        self.purge.asked_ms = now.mono_ms;
        let server_id = self.settings.server_id;
        Some((Waiter::Nobody, Ask::Purge { server_id, before, limit: PIECE }))
    }

    /// A piece is deleted, or could not be.
    pub(super) fn purged(
        &mut self,
        now: Now,
        failure: Option<(ErrorKind, String)>,
        piece: Option<Purged>,
    ) {
        let piece = piece.unwrap_or_default();
        if let Some(why) = failure.map(|(_, why)| why).or_else(|| piece.lacks.then(lacks)) {
            if self.purge.failed(now, &why) {
                log::error!("records older than keep_records are not deleted: {why}");
            }
            return;
        }
        self.purge.told = None;
        self.counters.records_deleted += piece.rows();
        if let Some(round) = self.purge.done(now, &piece) {
            let told = [(round.runs, "run"), (round.skips, "skip"), (round.acts, "act")];
            let told = told.map(|(count, what)| counted(count, what)).join(", ");
            log::info!("records older than keep_records are deleted: {told}");
        }
    }
}

fn lacks() -> String {
    "that takes the indexes of scheduler_logs, which are optional: `schedule db migrate` makes them"
        .to_owned()
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

    #[test]
    fn a_failure_is_told_once_and_tried_again_later() {
        let (mut purge, now) = (Purge::default(), Now { mono_ms: 5, wall_ms: 7 });
        assert!(purge.failed(now, "a") && !purge.failed(now, "a") && purge.failed(now, "b"));
        assert_eq!(purge.at_ms, 5 + RETRY_MS);
    }
}
