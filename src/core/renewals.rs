//! When a daemon has its program start again in its place by itself, after a panic and when it
//! takes too much memory; and when a program that could take its place is executed.

use crate::core::daemon::Core;
use crate::core::time::Now;

/// Panics that are longer ago than this, in milliseconds, count no more.
const PANICS_MS: u64 = 600_000;

/// A program that can't go on is asked again after so many seconds at the most.
const MAX_PAUSE_S: u64 = 30;

/// The longest pause before a new start is 2 to this power, in seconds.
const MAX_DOUBLINGS: usize = 5;

/// Requests under way have this long to be answered, in milliseconds.
const QUIET_MS: u64 = 1_000;

/// A table that is being put in force has this long, in milliseconds.
const TABLE_MS: u64 = 6_000;

/// No program is executed when a slot is due within so many milliseconds.
const NEAR_SLOT_MS: i64 = 150;

/// When a daemon panicked lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Panics {
    /// By the monotonic clock, ms; the oldest first.
    at_ms: Vec<u64>,
}

impl Panics {
    /// What the program before knew.
    pub fn of(at_ms: Vec<u64>) -> Panics {
        Panics { at_ms }
    }

    /// What the next program is to know.
    pub fn at_ms(&self) -> &[u64] {
        &self.at_ms
    }

    /// One more. Returns after how many seconds the program starts again: at once after the first
    /// one, then the later the more there were.
    pub fn one_more(&mut self, mono_ms: u64) -> u64 {
        self.at_ms.retain(|at_ms| at_ms + PANICS_MS > mono_ms);
        let before = self.at_ms.len();
        self.at_ms.push(mono_ms);
        match before {
            0 => 0,
            before => 1 << (before - 1).min(MAX_DOUBLINGS),
        }
    }

    /// The program could not start again after such a pause. Returns after how many seconds it is
    /// asked again.
    pub fn next_pause_s(pause_s: u64) -> u64 {
        (pause_s * 2).clamp(1, MAX_PAUSE_S)
    }
}

/// How much memory a daemon takes, beside what it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Nothing is to be said of it.
    None,
    /// Nine tenths of the limit, or all of it where a new start would not help.
    High,
    /// The same, and it was over the limit when that was first looked at: the limit is too low.
    HighFromTheStart,
    /// The limit is reached, and a new start gives memory back.
    Full,
}

/// The limit of a daemon's memory.
#[derive(Clone, Debug)]
pub struct MemoryLimit {
    /// Bytes of resident memory at which it starts again; 0 = never.
    limit_bytes: u64,
    /// It is looked at once in so many milliseconds.
    every_ms: u64,
    /// When it was last looked at, monotonic ms.
    looked_ms: u64,
    /// Resident memory when that was done for the first time, bytes; none = not yet.
    at_first_bytes: Option<u64>,
}

impl MemoryLimit {
    /// For a program that has just started.
    pub fn new(limit_bytes: u64, every_ms: u64, mono_ms: u64) -> MemoryLimit {
        MemoryLimit { limit_bytes, every_ms, looked_ms: mono_ms, at_first_bytes: None }
    }

    /// The limit, in bytes.
    pub fn bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Looks at so much resident memory, if it is time. A new start gives memory back and costs no
    /// run; but where the jobs alone need that much it would not help.
    pub fn look(&mut self, mono_ms: u64, rss_bytes: u64) -> Pressure {
        if self.limit_bytes == 0 || mono_ms < self.looked_ms + self.every_ms {
            return Pressure::None;
        }
        self.looked_ms = mono_ms;
        let is_first = self.at_first_bytes.is_none();
        let at_first_bytes = *self.at_first_bytes.get_or_insert(rss_bytes);
        let has_grown = rss_bytes / 5 * 4 >= at_first_bytes;
        let is_over = rss_bytes >= self.limit_bytes;
        match (is_over, is_first) {
            (true, _) if has_grown => Pressure::Full,
            (true, true) => Pressure::HighFromTheStart,
            _ if rss_bytes >= self.limit_bytes / 10 * 9 => Pressure::High,
            _ => Pressure::None,
        }
    }
}

/// What is under way around the core.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// Actions are left over from the last turn.
    pub left_over: bool,
    /// Clients are being answered, or files are read for them.
    pub serving: bool,
}

/// Whether a program that agreed so many milliseconds ago may be executed in place of the one that
/// has this core. First nothing is to be under way that another program could not take over; then
/// no table is to be put in force; at last it is executed whatever there is.
pub fn may_execute(core: &Core, now: Now, agreed_ms: u64, around: Around) -> bool {
    match agreed_ms {
        0..QUIET_MS => !is_between_tables(core, around) && is_calm(core, now, around),
        QUIET_MS..TABLE_MS => !is_between_tables(core, around),
        TABLE_MS.. => true,
    }
}

/// Whether a table is being put in force, or may be by what is left to be done: the next program
/// would have neither this table nor the one before, and start nothing until the database answers.
fn is_between_tables(core: &Core, around: Around) -> bool {
    around.left_over || core.busy() || core.scheduler.snapshot_is_due()
}

fn is_calm(core: &Core, now: Now, around: Around) -> bool {
    let due = core.next_wake().wall_ms;
    let is_near = due.is_some_and(|due| due - now.wall_ms < NEAR_SLOT_MS);
    let is_asking = core.scheduler.is_launching() || core.scheduler.is_asking();
    !is_near && !is_asking && !around.serving
}

#[cfg(test)]
mod tests {
    use super::{MemoryLimit, Panics, Pressure};

    /// What is planted in a program that panics as soon as it starts: it is tried once in half a
    /// minute, and who has mended the cause waits no longer than that.
    #[test]
    fn a_daemon_that_panics_again_and_again_waits_longer_each_time() {
        let mut panics = Panics::default();
        let pauses: Vec<u64> = (0..9).map(|nth| panics.one_more(1_000 * nth)).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 32, 32]);
        let mut next = Panics::of(panics.at_ms().to_vec());
        assert_eq!(next.one_more(9_000), 32);
        assert_eq!(next.one_more(700_000), 0);
        assert_eq!([0, 1, 16, 30].map(Panics::next_pause_s), [1, 2, 30, 30]);
    }

    /// A daemon that needs that much from the start would start again for ever.
    #[test]
    fn a_daemon_starts_again_only_for_memory_that_it_gives_back() {
        const MB: u64 = 1 << 20;
        let mut limit = MemoryLimit::new(100 * MB, 1_000, 0);
        assert_eq!(limit.look(999, 500 * MB), Pressure::None);
        assert_eq!(limit.look(1_000, 20 * MB), Pressure::None);
        assert_eq!(limit.look(2_000, 90 * MB), Pressure::High);
        assert_eq!(limit.look(2_500, 100 * MB), Pressure::None);
        assert_eq!(limit.look(3_000, 100 * MB), Pressure::Full);
        let mut low = MemoryLimit::new(100 * MB, 1_000, 0);
        assert_eq!(low.look(1_000, 110 * MB), Pressure::HighFromTheStart);
        assert_eq!(low.look(2_000, 120 * MB), Pressure::High);
        assert_eq!(low.look(3_000, 140 * MB), Pressure::Full);
        assert_eq!(MemoryLimit::new(0, 1_000, 0).look(9_000, 900 * MB), Pressure::None);
    }
}
