//! What waits in the daemon's memory because the disk is full: whatever leaves that is on the disk
//! by then, or is counted as dropped in the same turn.

use super::world::World;
use schedule::core::journal::count_records;

/// The memory as it was when a turn began.
pub struct Memory {
    /// Where each piece begins, and its lines.
    pieces: Vec<(u64, Vec<u8>)>,
    /// How many records were called dropped by then.
    dropped: u64,
}

impl World {
    /// What is in the memory now; none where that is large.
    pub fn memory(&mut self) -> Option<Memory> {
        self.written.clear();
        let is_small = self.profile.unwritten_limit_bytes < 1 << 20;
        let core = self.core.as_ref().filter(|_| is_small)?;
        let pieces = core.scheduler.outbox().unwritten.pieces();
        let pieces = pieces.map(|it| (it.offset, it.lines.clone())).collect();
        Some(Memory { pieces, dropped: core.scheduler.counters().records_dropped })
    }

    /// The turn has ended, and it is the same daemon.
    pub fn check_memory(&self, before: Option<Memory>) {
        let (Some(core), Some(before)) = (&self.core, before) else { return };
        let first = core.scheduler.outbox().unwritten.pieces().next().map(|it| it.offset);
        let has_left = |at: &u64| first.is_none_or(|first| *at < first);
        let is_written = |at: &u64| self.written.iter().any(|it| it.contains(at));
        let gone = before.pieces.iter().filter(|(at, _)| has_left(at) && !is_written(at));
        let records: u64 = gone.map(|(_, lines)| count_records(lines)).sum();
        let counted = core.scheduler.counters().records_dropped.saturating_sub(before.dropped);
        assert!(
            counted >= records,
            "{records} records have left the memory, and {counted} are called dropped"
        );
    }
}
