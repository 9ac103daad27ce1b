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
//!   come could silence a job for years. The schedule starts anew from what the clock says.

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
    /// The schedule starts anew from the reading.
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

/// Whether a slot is late enough to be a misfire.
pub fn is_misfire(slot_ms: i64, wall_ms: i64) -> bool {
    wall_ms - slot_ms > FRESH_MS
}
