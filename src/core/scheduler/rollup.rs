//! What the runs of past days came to is written down, in pieces and beside all else: see
//! `shell/database/statistics.rs`. The database itself knows what there is to do, so nothing of it
//! is kept here, and whatever fails is done later.

use super::lanes::Waiter;
use super::trouble::DatabaseState;
use super::{Scheduler, Settings};
use crate::core::clock;
use crate::core::database::ErrorKind;
use crate::core::protocol::{Ask, Rolled, Uncounted};
use crate::core::time::{Now, datetime};

/// So long after its start a daemon begins with it, ms.
const FIRST_MS: u64 = 120_000;

/// After a piece comes a pause of so many times what it took: a fifth of the time is for this.
const PAUSES: u64 = 4;

/// The least pause between two pieces, ms.
const PAUSE_MS: u64 = 100;

/// When all is done it is looked again after this, ms.
const ROUND_MS: u64 = 600_000;

/// See the module's text.
#[derive(Debug)]
pub struct RollUp {
    /// When the next piece is due, monotonic ms.
    at_ms: u64,
    /// When the last one was asked for, likewise.
    asked_ms: u64,
    /// Nothing was answered yet since the start.
    afresh: bool,
    /// Why it is not done, as the log was told.
    told: Option<String>,
}

impl RollUp {
    /// That of a daemon that begins now.
    pub(super) fn begin(now: Now) -> RollUp {
        RollUp { at_ms: now.mono_ms + FIRST_MS, asked_ms: 0, afresh: true, told: None }
    }

    /// The question for the next piece; none: a slot is too near.
    pub(super) fn ask(&mut self, now: Now, settings: &Settings) -> Option<(Waiter, Ask)> {
        let clear_ms = clock::clear_of_slots(now, now.mono_ms);
        if clear_ms > now.mono_ms {
            self.at_ms = clear_ms;
            return None;
        }
        self.asked_ms = now.mono_ms;
        let mut today = datetime(now.wall_ms, &settings.zone);
        today.truncate(10);
        let (server_id, afresh) = (settings.server_id, self.afresh);
        Some((Waiter::Nobody, Ask::RollUp { server_id, today, afresh }))
    }

    /// A piece is done, or could not be.
    pub(super) fn answered(
        &mut self,
        now: Now,
        failure: Option<(ErrorKind, String)>,
        piece: Option<Rolled>,
    ) {
        let piece = piece.unwrap_or_default();
        let why = match (failure, piece.uncounted) {
            (Some((_, why)), _) => Some(why),
            (None, Some(Uncounted::NoIndex)) => Some(NO_INDEX.to_owned()),
            // An optional table that is not there is no fault.
            (None, Some(Uncounted::NoTable | Uncounted::NotYet) | None) => None,
        };
        self.at_ms = now.mono_ms + ROUND_MS;
        if let Some(why) = why {
            if self.told.as_deref() != Some(&why) {
                log::error!("what runs of past days came to is not written down: {why}");
            }
            self.told = Some(why);
            return;
        }
        self.told = None;
        self.afresh &= piece.uncounted.is_some();
        if piece.more {
            let took_ms = now.mono_ms.saturating_sub(self.asked_ms);
            let pause_ms = (took_ms * PAUSES).max(PAUSE_MS);
            self.at_ms = clock::clear_of_slots(now, now.mono_ms + pause_ms);
        }
    }
}

/// What there is to do where an index is missing.
const NO_INDEX: &str = "that takes the indexes of scheduler_logs, which are optional: `schedule db \
                        migrate` makes them";

impl Scheduler {
    /// When the next piece is due, monotonic ms.
    pub(super) fn roll_up_at(&self) -> u64 {
        let is_up = self.sync.state.database == DatabaseState::Up;
        if is_up && self.astray.is_none() { self.roll_up.at_ms } else { u64::MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_leave_four_fifths_of_the_time_and_failures_are_told_once() {
        let mut now = Now { mono_ms: 5, wall_ms: 1_800_000_000_300 };
        let mut roll_up = RollUp::begin(now);
        assert_eq!(roll_up.at_ms, 5 + FIRST_MS);
        roll_up.asked_ms = now.mono_ms;
        now.mono_ms += 2_000;
        let more = Rolled { days: 3, more: true, uncounted: None };
        roll_up.answered(now, None, Some(more));
        assert!(roll_up.at_ms >= now.mono_ms + 8_000 && !roll_up.afresh, "{roll_up:?}");
        roll_up.answered(now, None, Some(Rolled::default()));
        assert_eq!((roll_up.at_ms, &roll_up.told), (now.mono_ms + ROUND_MS, &None));
        let no_index = Rolled { uncounted: Some(Uncounted::NoIndex), ..Rolled::default() };
        roll_up.answered(now, None, Some(no_index));
        assert_eq!(roll_up.told.as_deref(), Some(NO_INDEX));
        roll_up.answered(now, Some((ErrorKind::Other, "why".into())), None);
        assert_eq!(roll_up.told.as_deref(), Some("why"));
    }
}
