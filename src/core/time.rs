//! Clock readings. The core never reads a clock: it is told.

/// Both clocks, read once a turn of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock: milliseconds since 1970-01-01T00:00:00Z. May jump either way.
    pub wall_ms: i64,
    /// Monotonic clock: milliseconds since an arbitrary start. Never goes back.
    pub mono_ms: u64,
}
