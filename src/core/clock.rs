//! What the wall clock may do, and what follows for the slots.
//!
//! Every slot up to an instant called *decided* has been launched or skipped, and no slot up to
//! it is ever decided again. Three things can be seen when the clock is read:
//!
//! - It went on, a little or a lot. Every slot in between is decided now, in order. One that is
//!   at most [`FRESH_MS`] late is launched all the same: a daemon that stood still for a moment,
//!   was restarted, or whose clock was set forward by a few seconds loses nothing. One that is
//!   later is a misfire: skipped, counted, recorded.
//! - It went back by at most [`MAX_BACK_MS`] (as cron(8) has it: summer time done by hand, a
//!   clock that was set right). Slots that ran don't run again: nothing is due until the clock
//!   has passed the decided instant.
//! - It went back further. Then the times read before were never right; waiting for them to
//!   come could silence a job for years. The schedule starts again from what the clock says.

use crate::core::time::Now;

/// A slot is still launched when it is at most this late, in milliseconds. Also how long a
/// launch that failed for want of memory or processes is tried again within its slot.
pub const FRESH_MS: i64 = 30_000;

/// Going back by more than this, in milliseconds, means that the clock was wrong before: 3 h, as
/// Debian's cron(8) has it.
pub const MAX_BACK_MS: i64 = 3 * 3_600_000;

/// What a reading of the clock means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Slots up to the reading are to be decided.
    Forward,
    /// Nothing is due until the clock has passed the decided instant.
    Back,
    /// The schedule starts again from the reading.
    Anew,
}

/// Classifies a reading.
pub fn classify(decided_ms: i64, wall_ms: i64) -> Step {
    if wall_ms >= decided_ms {
        Step::Forward
    } else if decided_ms - wall_ms <= MAX_BACK_MS {
        Step::Back
    } else {
        Step::Anew
    }
}

/// The reading of the monotonic clock nearest to `at_mono_ms` that lies in the middle of a second
/// of the wall clock. Slots are at whole seconds; a helper that is started there takes the
/// processor from the launches, for some milliseconds each time.
pub fn between_slots(now: Now, at_mono_ms: u64) -> u64 {
    let ahead_ms = i64::try_from(at_mono_ms.saturating_sub(now.mono_ms)).unwrap_or(i64::MAX / 2);
    let off_ms = now.wall_ms.saturating_add(ahead_ms).rem_euclid(1000) - 500;
    at_mono_ms.saturating_add_signed(-off_ms)
}

/// The reading of the monotonic clock, `at_mono_ms` or the first later one, that is far enough from
/// any slot for some work of a few dozen milliseconds, again and again.
pub fn clear_of_slots(now: Now, at_mono_ms: u64) -> u64 {
    const FROM_MS: i64 = 250;
    const TO_MS: i64 = 850;
    let ahead_ms = i64::try_from(at_mono_ms.saturating_sub(now.mono_ms)).unwrap_or(i64::MAX / 2);
    let of_second_ms = now.wall_ms.saturating_add(ahead_ms).rem_euclid(1000);
    let wait_ms = match of_second_ms {
        FROM_MS..=TO_MS => 0,
        _ => (FROM_MS - of_second_ms).rem_euclid(1000),
    };
    at_mono_ms.saturating_add(wait_ms.unsigned_abs())
}

/// A clock tick as the kernel counts them for programs (`USER_HZ`), ms.
const TICK_MS: u64 = 10;

/// A reading of the monotonic clock as the kernel tells when a process began.
pub fn tick_of(mono_ms: u64) -> u64 {
    mono_ms / TICK_MS
}

/// Whether a slot is late enough to be a misfire.
pub fn is_misfire(slot_ms: i64, wall_ms: i64) -> bool {
    wall_ms - slot_ms > FRESH_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_slots_is_the_nearest_middle_of_a_second() {
        let now = Now { mono_ms: 70_123, wall_ms: 1_800_000_000_003 };
        assert_eq!(between_slots(now, 71_123), 71_123 + 497);
        assert_eq!(between_slots(now, 70_123 + 996), 70_123 + 497);
        assert_eq!(between_slots(now, 70_123 + 997), 70_123 + 1497);
        let odd = Now { mono_ms: 0, wall_ms: -1 };
        assert_eq!(between_slots(odd, 1000), 501);
    }
}
