//! What connections hold in memory: one count, and what they may hold together.

use std::cell::Cell;

/// The count. What belongs to a connection alone is told by who has it; what several share counts
/// once, from the first that queues it to the last that has sent it.
#[derive(Debug)]
pub struct Ledger {
    limit: usize,
    held: Cell<usize>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger::new(usize::MAX)
    }
}

impl Ledger {
    /// Nothing held yet, and so many bytes allowed.
    pub fn new(limit: usize) -> Ledger {
        Ledger { limit, held: Cell::new(0) }
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether more is held than may be.
    pub fn is_over(&self) -> bool {
        self.held() > self.limit
    }

    /// Somebody held `before` bytes and holds `after` now.
    pub fn change(&self, before: usize, after: usize) {
        self.held.set(self.held().saturating_sub(before).saturating_add(after));
    }
}
