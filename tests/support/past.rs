//! A run as the daemon remembers it.

use schedule::core::history::PastRun;
use schedule::core::ids::RunId;
use schedule::core::journal::Cause;
use schedule::core::outcome::{Outcome, Usage};

/// The run of this number, that ended so and took so long.
pub fn past(run: u64, outcome: Outcome, duration_ms: u64) -> PastRun {
    PastRun {
        run: RunId::next(1, 7, run, 0),
        cause: Cause::Due,
        slot_ms: None,
        started_ms: 0,
        ended_ms: 0,
        duration_ms,
        pid: 1,
        outcome,
        usage: Usage::default(),
        stopped: false,
        attempt: 1,
        remarks: None,
    }
}
